"""`fullpool.open`: a lake as Python programs read it."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

import fullpool
from fullpool.errors import NoLakeError, QueryError, UsageError
from fullpool.kinds import KINDS
from fullpool.lake import kinds
from lab import DAY, HOUR, MINUTE, Lab, at, bars, trade
from methods import text as methods_text
from served import dataset, tree_of

DAILY = "data/spot/daily/klines/{s}/1m/{s}-1m-{day}.zip"
TRADES = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-2024-03-08.zip"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three symbols of 1m and one of trades, of 8 March."""
    text = dataset("spot/klines/*USDT/1m", start="2024-03-08", end="2024-03-09")
    text += dataset("um/aggTrades/AUSDT", start="2024-03-08", end="2024-03-08")
    with Lab(text) as made:
        for symbol in ("AUSDT", "BUSDT", "CUPUSDT"):
            put_day(made, symbol, "2024-03-08")
        begins = at("2024-03-08")
        made.put(TRADES, "".join(trade(7 + n, begins + n * HOUR) for n in range(24)))
        made.run("sync", "2024-03-09T06:00")
        yield made


def put_day(lab: Lab, symbol: str, day: str) -> None:
    lab.put(DAILY.format(s=symbol, day=day), bars(at(day), at(day) + DAY, MINUTE))


def opened(lab: Lab, as_of: int | str | None = None) -> fullpool.Lake:
    return fullpool.open(tree_of(lab.config).root, as_of=as_of)


def test_rows_are_asked_for_by_symbol_and_time(lab: Lab) -> None:
    lake = opened(lab)
    rows = lake.klines("AUSDT", "1m", start="2024-03-08T01:00", end="2024-03-08T02:00")

    found = rows.fetchall()
    assert len(found) == rows.count() == len(list(rows)) == 60
    assert found[0][:3] == ("spot", "AUSDT", "1m")
    assert [row[3] for row in found] == sorted(row[3] for row in found)
    assert rows.columns[:5] == ("market", "symbol", "interval", "open_time", "open")
    some = lake.klines("AUSDT", columns=["open_time", "close"], end=date(2024, 3, 9))
    assert (some.columns, some.count()) == (("open_time", "close"), 1440)


@pytest.mark.parametrize(
    "start",
    [
        "2024-03-08T23:00", "2024-03-08T23:00Z", "2024-03-09T07:00+08:00",
        datetime(2024, 3, 8, 23), datetime(2024, 3, 8, 23, tzinfo=UTC),  # noqa: DTZ001 - it is UTC
        datetime(2024, 3, 8, 18, tzinfo=timezone(timedelta(hours=-5))),
    ],
)  # fmt: skip
def test_a_time_is_in_utc_unless_it_says_otherwise(lab: Lab, start: str | datetime) -> None:
    assert opened(lab).klines("AUSDT", start=start).count() == 60


def test_several_symbols_and_patterns(lab: Lab) -> None:
    lake = opened(lab)
    each = "SELECT DISTINCT symbol FROM these ORDER BY 1"

    def symbols(*given: str) -> list[str]:
        return [symbol for (symbol,) in lake.klines(given).sql(each).fetchall()]

    assert symbols("BUSDT", "AUSDT") == ["AUSDT", "BUSDT"]
    assert symbols("*USDT", "!*UPUSDT") == ["AUSDT", "BUSDT"]
    assert symbols("?USDT") == ["AUSDT", "BUSDT"]
    assert symbols("Z*") == []
    assert lake.klines("Z*").columns[3] == "open_time"


def test_many_symbols_are_the_same_rows_as_one_by_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = opened(lab)
    asked = "SELECT * FROM these ORDER BY ALL"
    one_by_one = lake.klines("*", start="2024-03-08T05:00").sql(asked).fetchall()
    monkeypatch.setattr("fullpool.lake.asking._BY_SYMBOL", 1)

    assert lake.klines("*", start="2024-03-08T05:00").sql(asked).fetchall() == one_by_one
    assert len(one_by_one) == 3 * 19 * 60


def test_each_kind_has_a_method_and_exact_decimals(lab: Lab) -> None:
    lake = opened(lab)
    assert methods_text() == Path(kinds.__file__).read_text()
    for kind in KINDS.values():
        rows = getattr(lake, kind.table)("*", market=kind.default_market)
        assert rows.count() == (3 * 1440 if kind.name == "klines" else 0)
    trades = lake.agg_trades("AUSDT", market="um", exact=True)
    shape = "SELECT typeof(any_value(price)), count(*) FROM these"
    assert trades.sql(shape).fetchall() == [("DECIMAL(18,8)", 24)]


def test_sql_with_parameters_and_on_from_there(lab: Lab) -> None:
    lake = opened(lab)
    rows = lake.sql("SELECT symbol FROM klines WHERE symbol = $name", name="AUSDT")
    assert rows.count() == 1440
    on = "WITH x AS (SELECT * FROM these LIMIT 5) SELECT count(*) FROM x WHERE symbol = $other"
    assert rows.sql(on, other="AUSDT").fetchall() == [(5,)]
    recursive = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)"
    counted = f"{recursive} SELECT sum(i), (SELECT count(*) FROM these) FROM n"
    assert rows.sql(counted).fetchall() == [(6, 1440)]


def test_what_there_is_and_what_is_missing(lab: Lab) -> None:
    lake = opened(lab)
    assert [row[2] for row in lake.symbols("klines")] == ["AUSDT", "BUSDT", "CUPUSDT"]
    assert [row[:3] for row in lake.symbols(market="um")] == [("um", "aggTrades", "AUSDT")]
    assert lake.coverage().count() == 4
    assert lake.gaps().count() == lab.ask("SELECT count(*) FROM sync.gaps")[0][0]
    assert lake.generations()[-1].is_current


def test_a_lake_that_is_kept_open_shows_what_is_newest_and_never_breaks(lab: Lab) -> None:
    lake = opened(lab)
    rows = lake.klines("AUSDT")
    assert rows.count() == 1440
    (fixed,) = [one.number for one in lake.generations() if one.is_current]
    old = opened(lab, fixed)
    put_day(lab, "AUSDT", "2024-03-09")
    lab.run("sync", "2024-03-10T06:00")

    assert rows.count() == 2880
    assert old.klines("AUSDT").count() == 1440
    for day in range(20, 24):  # long after what it began with is gone
        lab.run("audit", f"2024-03-{day}T06:00")
    assert fixed not in [one.number for one in lake.generations()]
    assert rows.count() == 2880


def test_threads_and_forks_read_next_to_each_other(lab: Lab) -> None:
    lake, counts = opened(lab), []
    rows = lake.klines("*")
    threads = [threading.Thread(target=lambda: counts.append(rows.count())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [3 * 1440] * 8

    child = os.fork()
    if child == 0:
        os._exit(0 if rows.count() == 3 * 1440 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert rows.count() == 3 * 1440


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda lake: lake.klines("AUSD"), "AUSD: not in the lake"),
        (lambda lake: lake.klines("AUSDT", "7m"), "'7m': no such interval"),
        (lambda lake: lake.klines("AUSDT", market="moon"), "'moon': no such market"),
        (lambda lake: lake.klines("AUSDT", start="yesterday"), "the time 'yesterday'"),
        (lambda lake: lake.klines("AUSDT", columns=["closing"]), "column 'closing' of klines"),
    ],
)
def test_what_cannot_be_is_refused_as_it_is_asked(lab: Lab, ask: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ask(opened(lab))  # type: ignore[operator]


def test_a_query_that_fails_says_what_duckdb_says(lab: Lab) -> None:
    with pytest.raises(QueryError, match="nonsense"):
        opened(lab).sql("SELECT nonsense FROM klines").fetchall()


def test_a_folder_that_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match="nothing is published"):
        fullpool.open(tmp_path)


def test_the_lake_of_the_configuration_is_opened(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fullpool.toml"
    path.write_text(f"[lake]\npath = '{tree_of(lab.config).root}'\n{lab.datasets}")
    monkeypatch.setenv("FULLPOOL_CONFIG", str(path))
    assert fullpool.open().klines("AUSDT").count() == 1440


def test_the_examples_of_the_documentation_run(lab: Lab) -> None:
    """On this lake: its symbols and days are others, and pandas need not be there."""
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    program = "\n".join(blocks).replace("~/fullpool-lake", str(tree_of(lab.config).root))
    for before, after in (
        ("BTCUSDT", "AUSDT"), ("ETHUSDT", "BUSDT"), ('lake.funding_rate("AUSDT")', ""),
        ('"1h")', '"1m")'), ('"1d")', '"1m")'), ("bars.df()", "bars.fetchall()"),
    ):  # fmt: skip
        assert before in program
        program = program.replace(before, after)
    names: dict[str, object] = {}
    exec(program, names)  # noqa: S102 - our own documentation

    hourly = names["hourly"]
    assert isinstance(hourly, fullpool.Rows)
    assert (hourly.count(), hourly.columns) == (24, ("hour", "close"))


def test_importing_loads_nothing_that_is_not_used() -> None:
    program = "import fullpool, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"duckdb", "pydantic", "pandas", "polars", "pyarrow", "httpx", "rich"}
