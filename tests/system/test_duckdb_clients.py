"""A published lake is read by old and new DuckDB clients, each in an environment of its own."""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

import fullpool
from fullpool.app import clock
from fullpool.app.assembly import opened_state
from fullpool.app.lock import writing
from fullpool.app.service.housekeeping import keep_house
from lab import DAY, MINUTE, Lab, at, bars
from served import Vendor, dataset, sync, tree_of

pytestmark = pytest.mark.duckdb_clients
YESTERDAY = clock.now().date() - timedelta(days=1)

PROGRAM = """
import duckdb, json, sys
c = duckdb.connect(sys.argv[1], read_only=True)
day = f"TIMESTAMP '{sys.argv[2]}'"
asks = [
    "SELECT count(*), typeof(any_value(close)) FROM klines WHERE symbol = 'BTCUSDT'",
    "SELECT count(*), typeof(any_value(volume)) FROM klines_exact WHERE interval = '1m'",
    "SELECT count(*), min(symbol) FROM klines_of('币安人生USDT')",
    "SELECT count(*), max(market) FROM agg_trades_of('BTCUSDT', market_ := 'um')",
    "SELECT count(*), 'none' FROM klines_of('NOPE')",
    "SELECT count(*), max(status) FROM sync.archives",
    "SELECT count(*), 'none' FROM mark_price_klines",
    "SELECT count(*), 'none' FROM klines WHERE close < 0.123456784",
    "SELECT count(*), source FROM agg_trades GROUP BY source",
    "SELECT count(*), count(DISTINCT symbol) FROM klines_between(DAY, DAY + INTERVAL 30 MINUTE)",
    "SELECT count(*), 'none' FROM klines_between_exact(DAY - to_days(9), DAY)",
    "SELECT count(*), min(symbol) FROM agg_trades_between(DAY, DAY + to_days(1), market_ := 'um')",
    "SELECT count(*), max(open_time)::VARCHAR FROM klines_latest()",
    "SELECT count(*), any_value(symbol) FROM agg_trades_latest(market_ := 'um')",
]
answers = [c.execute(sql.replace('DAY', day)).fetchone() for sql in asks]
c.close()
c = duckdb.connect()
c.execute(f"ATTACH '{sys.argv[1]}' AS other (READ_ONLY)")
for name in ("klines", "sync.files", "instruments"):
    sql = f"SELECT count(*), 'other' FROM other.{name}"
    answers.append(c.execute(sql).fetchone())
print(json.dumps([duckdb.__version__, answers]))
"""


@pytest.mark.parametrize("version", ["1.1.3", "1.5.6", "2.0.1"])
def test_this_client_version_reads_the_lake(vendor: Vendor, tmp_path: Path, version: str) -> None:
    folder = os.environ.get("DUCKDB_CLIENTS")
    if not folder:
        pytest.skip("other DuckDB versions are not installed: make test-duckdb installs them")
    for series in ("spot/klines/BTCUSDT/1m", "spot/klines/币安人生USDT/1m", "um/aggTrades/BTCUSDT"):
        vendor.publish(series, YESTERDAY, YESTERDAY)
    text = dataset("spot/klines/*USDT/1m") + dataset("um/aggTrades/BTCUSDT")
    config = vendor.config(tmp_path / "lake", text)
    sync(config)

    done = subprocess.run(
        [f"{folder}/{version}/bin/python", "-c", PROGRAM, str(tree_of(config).current),
         str(YESTERDAY)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    found, answers = json.loads(done.stdout)
    assert found == version
    assert answers == [
        [1440, "DOUBLE"], [2880, "DECIMAL(38,8)"], [1440, "币安人生USDT"], [500, "um"], [0, "none"],
        [3, "present"], [0, "none"], [0, "none"], [500, "archive"],
        [60, 2], [0, "none"], [500, "BTCUSDT"], [2, f"{YESTERDAY} 23:59:00"], [1, "BTCUSDT"],
        [2880, "other"], [3, "other"], [3, "other"],
    ]  # fmt: skip


FOLLOWED = """
import duckdb, json, sys
c = duckdb.connect(sys.argv[1], read_only=True)
asks = [
    "SELECT count(*), max(open_time)::VARCHAR FROM klines",
    "SELECT count(*), typeof(any_value(volume)) FROM klines_exact WHERE symbol = 'AUSDT'",
    "SELECT count(*), any_value(interval) FROM klines_1m WHERE source = 'rest'",
    "SELECT count(*), max(open_time)::VARCHAR FROM klines_of('AUSDT')",
    "SELECT count(*), 'none' FROM klines_of('AUSDT', market_ := 'um')",
    "SELECT count(*), 'none' FROM klines_between('2024-03-09 23:00', '2024-03-10 01:00')",
    "SELECT count(*), min(open_time)::VARCHAR FROM klines_latest()",
    "SELECT count(*), max(followed_until)::VARCHAR FROM sync.coverage",
]
print(json.dumps([c.execute(sql).fetchone() for sql in asks]))
"""


@pytest.mark.parametrize("version", ["1.1.3", "1.5.6", "2.0.1"])
def test_this_client_version_reads_followed_rows(version: str) -> None:
    folder = os.environ.get("DUCKDB_CLIENTS")
    if not folder:
        pytest.skip("other DuckDB versions are not installed: make test-duckdb installs them")
    with Lab(dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-09", follow="true")) as lab:
        for symbol in ("AUSDT", "BUSDT"):
            key = f"data/spot/{{}}/klines/{symbol}/1m/{symbol}-1m-{{}}.zip"
            day = bars(at("2024-03-09"), at("2024-03-10"), MINUTE)
            lab.put(key.format("daily", "2024-03-09"), day)
            march = bars(at("2024-03-01"), at("2024-04-01"), MINUTE)
            lab.tell_api(key.format("monthly", "2024-03"), march)
        lab.run("sync", "2024-03-10T09:30:20")
        done = subprocess.run(
            [f"{folder}/{version}/bin/python", "-c", FOLLOWED, str(tree_of(lab.config).current)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip

    last = "2024-03-10 09:29:00"
    assert json.loads(done.stdout) == [
        [4020, last], [2010, "DECIMAL(38,8)"], [1140, "1m"], [2010, last], [0, "none"],
        [240, "none"], [2, last], [2, "2024-03-10 09:30:00"],
    ]  # fmt: skip


HELD_OPEN = """
import duckdb, json, sys
path, count = sys.argv[1], "SELECT count(*)::INTEGER, sum(volume)::INTEGER FROM klines"
held = duckdb.connect(path, read_only=True)
def ask(connection):
    try:
        return connection.execute(count).fetchone()
    except duckdb.Error as error:
        return str(error)
print(json.dumps(ask(held)), flush=True)
for _ in sys.stdin:
    # The same process gets what it has open already, unless that is closed.
    print(json.dumps([ask(held), ask(held.cursor())]), flush=True)
held.close()
print(json.dumps(ask(duckdb.connect(path, read_only=True))))
"""


@pytest.mark.parametrize("version", ["1.1.3", "1.5.6", "2.0.1"])
def test_open_sessions_see_the_past_during_grace(version: str) -> None:
    folder = os.environ.get("DUCKDB_CLIENTS")
    if not folder:
        pytest.skip("other DuckDB versions are not installed: make test-duckdb installs them")
    key = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-03-0{}.zip"
    begins = at("2024-03-08")
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-08", end="2024-03-09")) as lab:
        lab.put(key.format(8), bars(begins, begins + DAY, MINUTE))
        lab.run("sync", "2024-03-09T12:00")
        tree = tree_of(lab.config)
        lake = fullpool.open(tree.root)
        with subprocess.Popen(
            [f"{folder}/{version}/bin/python", "-c", HELD_OPEN, tree.current],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as client:  # fmt: skip
            assert client.stdin is not None
            assert client.stdout is not None
            seen = [json.loads(client.stdout.readline())]
            ours = [lake.klines("AUSDT").count()]
            lab.put(key.format(9), bars(begins + DAY, begins + 2 * DAY, MINUTE))
            lab.run("sync", "2024-03-10T12:00")
            for now in ("2024-03-10T13:00", "2024-03-12T13:00"):
                with writing(tree, "test", at(now)), opened_state(tree) as state:
                    keep_house(state, tree, DAY, at(now))
                client.stdin.write("\n")
                client.stdin.flush()
                seen.append(json.loads(client.stdout.readline()))
                ours.append(lake.klines("AUSDT").count())
            client.stdin.close()
            seen.append(json.loads(client.stdout.readline()))

    old, new = [1440, 14400], [2880, 28800]
    assert seen[0] == old
    assert seen[1] == [old, old]
    assert all("No files found" in answer for answer in seen[2]), seen[2]
    assert seen[3] == new
    assert ours == [1440, 2880, 2880]
