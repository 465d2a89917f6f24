"""`fullpool.open`: a lake as Python programs read it."""

import json
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

import fullpool
from fullpool.errors import NoLakeError, QueryError, UsageError
from fullpool.kinds import KINDS
from fullpool.lake import kinds
from fullpool.lake.selection import Selection, matching, rows_of
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


def test_rows_come_by_symbol_and_time(lab: Lab) -> None:
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
        datetime(2024, 3, 8, 18, tzinfo=timezone(timedelta(hours=-5))), 1_709_938_800_000,
    ],
)  # fmt: skip
def test_times_are_utc_unless_said_otherwise(lab: Lab, start: str | datetime | int) -> None:
    assert opened(lab).klines("AUSDT", start=start).count() == 60


def test_lists_and_patterns_select_symbols(lab: Lab) -> None:
    lake = opened(lab)
    each = "SELECT DISTINCT symbol FROM these ORDER BY 1"

    def symbols(*given: str) -> list[str]:
        return [symbol for (symbol,) in lake.klines(given).sql(each).fetchall()]

    assert symbols("BUSDT", "AUSDT") == ["AUSDT", "BUSDT"]
    assert symbols("*USDT", "!*UPUSDT") == ["AUSDT", "BUSDT"]
    assert symbols("?USDT") == ["AUSDT", "BUSDT"]
    assert symbols("Z*") == []
    assert lake.klines("Z*").columns[3] == "open_time"


def test_many_symbols_give_the_same_rows(lab: Lab) -> None:
    lake = opened(lab)
    kind = KINDS["klines"]
    selection = Selection("*", "1m", "spot", "2024-03-08T05:00", None, None, exact=False)
    names = [f"S{n}USDT" for n in range(20)] + ["AUSDT", "BUSDT", "CUPUSDT"]
    few, many = (rows_of(kind, selection, names, held) for held in (1000, 23))
    assert ("klines_of" in few, "klines_between" in many) == (True, True)
    asked = "SELECT * FROM these ORDER BY ALL"
    one_by_one = lake.sql(few).sql(asked).fetchall()

    assert lake.sql(many).sql(asked).fetchall() == one_by_one
    assert len(one_by_one) == 3 * 19 * 60


def test_selecting_nothing_gives_nothing(lab: Lab) -> None:
    lake = opened(lab)
    assert lake.klines([]).count() == 0
    assert lake.klines("AUSDT", columns="close").columns == ("close",)
    with pytest.raises(UsageError, match="column ''"):
        lake.klines("AUSDT", columns=[])


def test_patterns_match_at_reading_time(lab: Lab) -> None:
    rows = opened(lab).klines("*")
    assert rows.count() == 3 * 1440
    put_day(lab, "ZUSDT", "2024-03-08")
    lab.run("sync", "2024-03-11T06:00")
    assert rows.count() == 4 * 1440


def test_only_stars_and_question_marks_are_special() -> None:
    held = ["A[B]USDT", "AUSDT", "BUSDT"]
    assert matching("A[B]USDT", held) == ["A[B]USDT"]
    assert matching("A[B]*", held) == ["A[B]USDT"]
    assert matching(["*", "!A[B]USDT"], held) == ["AUSDT", "BUSDT"]
    with pytest.raises(UsageError) as raised:
        matching("ausdt", held)
    assert "such as AUSDT" in raised.value.hint
    assert raised.value.__notes__ == [f"hint: {raised.value.hint}"]


def test_kinds_have_methods_and_exact_decimals(lab: Lab) -> None:
    lake = opened(lab)
    assert methods_text() == Path(kinds.__file__).read_text()
    for kind in KINDS.values():
        rows = getattr(lake, kind.table)("*", market=kind.default_market)
        assert rows.count() == (3 * 1440 if kind.name == "klines" else 0)
    trades = lake.agg_trades("AUSDT", market="um", exact=True)
    shape = "SELECT typeof(any_value(price)), count(*) FROM these"
    assert trades.sql(shape).fetchall() == [("DECIMAL(18,8)", 24)]


def test_sql_takes_parameters_and_chains(lab: Lab) -> None:
    lake = opened(lab)
    rows = lake.sql("SELECT symbol FROM klines WHERE symbol = $name", name="AUSDT")
    assert rows.count() == 1440
    on = "WITH x AS (SELECT * FROM these LIMIT 5) SELECT count(*) FROM x WHERE symbol = $other"
    assert rows.sql(on, other="AUSDT").fetchall() == [(5,)]
    recursive = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)"
    counted = f"{recursive} SELECT sum(i), (SELECT count(*) FROM these) FROM n"
    assert rows.sql(counted).fetchall() == [(6, 1440)]
    for query in (
        "SELECT 1;",
        "SELECT 1 -- one",
        "WITH\n x AS (SELECT 1) FROM x",
        "-- c\nSELECT 1",
    ):
        assert lake.sql(query).count() == lake.sql(query).head(3).count() == 1
    with pytest.raises(QueryError, match="2 statements"):
        lake.sql("SELECT 1; SELECT 2").fetchall()
    with pytest.raises(UsageError, match="name has two values"):
        rows.sql("SELECT * FROM these WHERE symbol = $name", name="BUSDT")


def test_symbols_coverage_and_gaps_are_listed(lab: Lab) -> None:
    lake = opened(lab)
    assert [row[2] for row in lake.symbols("klines")] == ["AUSDT", "BUSDT", "CUPUSDT"]
    assert [row[:3] for row in lake.symbols(market="um")] == [("um", "aggTrades", "AUSDT")]
    assert lake.symbols("agg_trades").count() == 1
    assert lake.coverage().count() == 4
    assert lake.gaps().count() == lab.ask("SELECT count(*) FROM sync.gaps")[0][0]
    assert lake.generations()[-1].is_current


def test_an_open_lake_always_shows_the_newest(lab: Lab) -> None:
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
    with pytest.raises(NoLakeError, match="it was removed"):
        old.klines("AUSDT").count()


def test_a_direct_connection_hides_no_generation(lab: Lab) -> None:
    root = tree_of(lab.config).root
    newest = opened(lab).generations()[-1].number
    with duckdb.connect(str(root / "lake.duckdb"), read_only=True):
        assert opened(lab).generations()[-1].number == newest
        assert opened(lab, newest).klines("AUSDT").count() == 1440


def test_a_replaced_lake_is_opened_again(lab: Lab, tmp_path: Path) -> None:
    root = tree_of(lab.config).root
    rows = opened(lab).klines("*")
    assert rows.count() == 3 * 1440
    shutil.copytree(root, tmp_path / "copy", symlinks=True)
    root.rename(tmp_path / "old")
    (tmp_path / "copy").rename(root)
    shutil.rmtree(tmp_path / "old")
    assert rows.count() == 3 * 1440


def test_a_lake_travels_to_other_processes(lab: Lab) -> None:
    with fullpool.open(tree_of(lab.config).root, settings={"threads": 1}) as lake:
        again = pickle.loads(pickle.dumps(lake))  # noqa: S301 - our own
        threads = "SELECT current_setting('threads')"
        assert again.sql(threads).fetchall() == lake.sql(threads).fetchall() == [(1,)]
    assert lake.klines("AUSDT").count() == 1440


def test_threads_and_forks_read_side_by_side(lab: Lab) -> None:
    lake, counts = opened(lab), []
    rows = lake.klines("*")
    threads = [threading.Thread(target=lambda: counts.append(rows.count())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [3 * 1440] * 8

    program = (
        "import fullpool, os, sys; rows = fullpool.open(sys.argv[1]).klines('*'); rows.count()"
    )
    program += "; child = os.fork(); found = rows.count(); assert found == 4320, found"
    program += "; child and sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    subprocess.run([sys.executable, "-c", program, str(lake.path)], check=True)
    assert rows.count() == 3 * 1440


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda lake: lake.klines("AUSD"), "'AUSD': not in the lake"),
        (lambda lake: lake.klines("AUSDT", "7m"), "'7m': no such interval"),
        (lambda lake: lake.klines("AUSDT", market="moon"), "'moon': no such market"),
        (lambda lake: lake.klines("AUSDT", start="yesterday"), "the time 'yesterday'"),
        (lambda lake: lake.klines("AUSDT", start=1.5), "the time 1.5"),
        (lambda lake: lake.klines("AUSDT", start=""), "the time ''"),
        (lambda lake: lake.klines("AUSDT", start="2024-03-09", end="2024-03-08"), "is after"),
        (lambda lake: lake.klines("AUSDT", columns=["closing"]), "column 'closing' of klines"),
        (lambda lake: lake.klines("AUSDT", columns=["is_void"]), "column 'is_void' of klines"),
        (
            lambda lake: lake.agg_trades("AUSDT", market="um", columns=["interval"]),
            "column 'interval' of agg",
        ),
        (lambda lake: lake.klines(None), "symbols None: not a name"),
        (lambda lake: lake.klines(["AUSDT", 5]), "symbols 5: not a name"),
        (lambda lake: lake.klines(["AUSDT", None]), "symbols None: not a name"),
        (lambda lake: lake.klines("AUSDT", columns=5), "columns 5: not a name"),
        (lambda lake: lake.klines("AUSDT").batches(0), "batches of 0 rows"),
        (lambda lake: fullpool.open(lake.path, settings={"foo": 1}), "with settings: .*foo"),
    ],
)
def test_impossible_requests_are_refused_at_once(lab: Lab, ask: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ask(opened(lab))  # type: ignore[operator]


def test_names_are_kept_as_they_were_given(lab: Lab) -> None:
    given, lake = ["AUSDT"], opened(lab)
    rows = lake.klines(given)
    given.append("BUSDT")
    once: Any = iter(["AUSDT"])
    columns: Any = iter(["close"])
    lazy = lake.klines(once, columns=columns)

    assert rows.count() == lazy.count() == 1440
    assert lazy.columns == ("close",)


def test_selected_rows_travel_to_other_processes(lab: Lab) -> None:
    rows = (
        opened(lab).klines("AUSDT").sql("SELECT max(close) FROM these WHERE close < $most", most=9)
    )

    again = pickle.loads(pickle.dumps(rows))  # noqa: S301 - our own
    assert again.fetchall() == rows.fetchall()


@pytest.mark.parametrize("symbols", ["AUSDT", "*"])
def test_rows_stay_in_order_after_late_archive(symbols: str) -> None:
    """The archive of a day has come, that of the day before has not: it was followed."""
    days = ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11"]
    asked = dataset("um/aggTrades/AUSDT", start=days[0], follow="true")
    texts = {day: "".join(trade(n + 24 * i, at(day) + n * HOUR) for n in range(24))
             for i, day in enumerate(days)}  # fmt: skip
    with Lab(asked) as lab:
        name = TRADES.replace("2024-03-08", "{day}")
        for day in days[:3]:
            lab.tell_api(name.format(day=day), texts[day])
        lab.put(name.format(day=days[0]), texts[days[0]], at("2024-03-09T04:00"))
        lab.run("sync", "2024-03-09T23:59:30")
        lab.run("sync", "2024-03-10T23:59:30")
        rows = opened(lab).agg_trades(symbols, market="um", start=days[0], end=days[3])
        assert "ORDER BY" not in repr(rows)  # to sort all of them takes memory
        assert rows.count() == 72
        lab.put(name.format(day=days[2]), texts[days[2]], at("2024-03-11T04:00"))
        lab.run("sync", "2024-03-11T09:00:30")
        lake = opened(lab)
        ((followed, archived),) = lake.sql(
            "SELECT min(f.first_time) < max(c.last_time), max(c.last_time)::DATE::TEXT"
            " FROM sync.followed AS f, sync.coverage AS c"
        ).fetchall()
        assert (followed, archived) == (True, days[2])
        ids = [row[0] for row in rows.sql("SELECT agg_trade_id FROM these").fetchall()]
        assert ids == list(range(72))
        assert rows.head(1).sql("SELECT agg_trade_id FROM these").fetchall() == [(0,)]
        chosen = Selection("*", "", "um", days[0], days[3], "agg_trade_id", exact=False)
        many = rows_of(KINDS["aggTrades"], chosen, ["AUSDT"] * 9, 9, ["AUSDT"])
        assert [row[0] for row in lake.sql(many).fetchall()] == ids


def test_failed_queries_say_what_duckdb_says(lab: Lab) -> None:
    with pytest.raises(QueryError, match="nonsense"):
        opened(lab).sql("SELECT nonsense FROM klines").fetchall()


def test_a_folder_without_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match="nothing is published"):
        fullpool.open(tmp_path)


def test_the_configured_lake_is_opened(
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


def test_importing_loads_nothing_unused() -> None:
    program = "import fullpool, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"duckdb", "pydantic", "pandas", "polars", "pyarrow", "httpx", "rich"}
