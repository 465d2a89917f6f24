"""A published lake is read by old and new DuckDB clients, each in an environment of its own."""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from fullpool.app import clock
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
def test_a_client_of_that_version_reads_the_lake(
    vendor: Vendor, tmp_path: Path, version: str
) -> None:
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
