"""Coverage counts the rows that are configured, also where a file has others too."""

from pathlib import Path
from threading import Event

import duckdb
import pytest

from fullpool.app import verify
from fullpool.app.doctor import examination
from fullpool.cli import report
from fullpool.cuts import CutRows
from fullpool.kinds import KINDS
from fullpool.model import Span
from fullpool.store.catalogue.reader import reading
from fullpool.store.partitions.counts import count_inside
from lab import DAY, HEADER, HOUR, MINUTE, Lab, at, bars, days_of
from served import dataset, tree_of

RATES = "data/futures/um/monthly/fundingRate/AUSDT/AUSDT-fundingRate-{}.zip"
TRADES = "data/spot/monthly/aggTrades/AUSDT/AUSDT-aggTrades-2024-03.zip"
MINUTES = "data/spot/{}/klines/AUSDT/1m/AUSDT-1m-{}.zip"
COUNTS = "SELECT expected_rows, present_rows, patched_rows, open_rows FROM sync.coverage"


def rates(*spans: tuple[str, str, int]) -> str:
    """Return funding rates of some spans, each so many hours apart."""
    lines = ["calc_time,funding_interval_hours,last_funding_rate\n"]
    for first, end, hours in spans:
        moments = range(0, (at(end) - at(first)) // HOUR, hours)
        times = [round((at(first) + hour * HOUR).timestamp() * 1000) for hour in moments]
        lines += [f"{time},{hours},0.0001\n" for time in times]
    return "".join(lines)


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        ("2024-01-01", "2024-03-31", 93 + 144 + 186),
        ("2024-01-10", "2024-03-31", 66 + 144 + 186),
        ("2024-02-05", "2024-03-31", 18 + 114 + 186),
        ("2024-01-01", "2024-02-20", 93 + 30 + 60),
        ("2024-01-20", "2024-02-05", 36 + 15),
    ],
)
def test_rates_are_counted_where_they_are_configured(start: str, end: str, rows: int) -> None:
    text = dataset("um/fundingRate/AUSDT", start=start, end=end)
    with Lab(text, has_api=False) as lab:
        lab.put(RATES.format("2024-01"), rates(("2024-01-01", "2024-02-01", 8)))
        changing = (("2024-02-01", "2024-02-11", 8), ("2024-02-11", "2024-03-01", 4))
        lab.put(RATES.format("2024-02"), rates(*changing))
        lab.put(RATES.format("2024-03"), rates(("2024-03-01", "2024-04-01", 4)))
        lab.run("sync", "2024-04-20")

        assert lab.ask(COUNTS) == [(rows, rows, 0, 0)]


def test_trades_before_a_later_start_are_not_counted() -> None:
    with Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        begin = at("2024-03-01")
        hours = [begin + number * HOUR for number in range(31 * 24)]
        lines = [
            f"{number},1.5,2,{number},{number},{round(hour.timestamp() * 1000)},True\n"
            for number, hour in enumerate(hours)
        ]
        lab.put(TRADES, HEADER + "".join(lines))
        lab.run("sync", "2024-04-20")
        whole = lab.ask(COUNTS)
        lab.datasets = dataset("spot/aggTrades/AUSDT", start="2024-03-13", end="2024-03-20")
        lab.run("sync", "2024-04-20T01:00")

        assert whole == [(744, 744, 0, 0)]
        assert lab.ask(COUNTS) == [(8 * 24, 8 * 24, 0, 0)]
        assert lab.ask("SELECT row_count FROM sync.coverage") == [(744,)]


def test_rows_before_the_start_hide_no_loss() -> None:
    """A month was kept whole for a day that it had; its rows stand in for none that are lost."""
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-15", end="2024-04-10")) as lab:
        lab.has_api = False
        days = [*days_of("2024-03", 15, 31), *days_of("2024-04", 1, 10)]
        for day in days:
            if day != "2024-03-20":
                text = bars(at(day), at(day) + DAY, MINUTE)
                lab.put(MINUTES.format("daily", day), text, at(day) + DAY)
        march = bars(at("2024-03-01"), at("2024-04-01"), MINUTE)
        lab.put(MINUTES.format("monthly", "2024-03"), march, at("2024-04-02"))
        lab.run("sync", "2024-04-15T12:00")
        lab.run("sync", "2024-04-16T12:00")
        whole = lab.ask(COUNTS)
        (april,) = (lab.folder / "lake" / "klines").rglob("2024-04*.parquet")
        april.unlink()
        verify.repair(lab.config, verify.verify(lab.config, Event(), lambda _: None))

        rows = len(days) * 1440
        assert whole == [(rows, rows, 0, 0)]
        assert lab.ask(COUNTS) == [(rows, 17 * 1440, 0, 10 * 1440)]


def test_rows_from_before_a_start_to_come_count_as_none() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", follow="true")) as lab:
        key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-{}.zip"
        lab.put(key.format("2024-03-01"), bars(at("2024-03-01"), at("2024-03-02"), HOUR))
        lab.tell_api(key.format("2024-03-02"), bars(at("2024-03-01"), at("2024-03-04"), HOUR))
        lab.run("sync", "2024-03-03T12:00:20")
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-06-01", follow="true")
        lab.run("sync", "2024-03-03T13:00:20")

        assert lab.ask(COUNTS) == [(0, 0, 0, 0)]
        assert lab.ask("SELECT row_count FROM sync.coverage") == [(60,)]


def test_rows_of_lost_files_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-30", end="2024-04-02")) as lab:
        lab.has_api = False
        for day in (*days_of("2024-03", 30, 31), *days_of("2024-04", 1, 2)):
            lab.put(MINUTES.format("daily", day), bars(at(day), at(day) + DAY, MINUTE))
        lab.run("sync", "2024-04-15T12:00")
        (april,) = (lab.folder / "lake" / "klines").rglob("2024-04*.parquet")
        april.unlink()
        verify.repair(lab.config, verify.verify(lab.config, Event(), lambda _: None))
        tree = tree_of(lab.config)
        told = [problem.what for problem in examination.examine_lake(tree)]
        with reading(tree) as reader:
            report.gaps(reader, symbol="", is_open=True, is_json=False)
        said = capsys.readouterr().out

        assert any(what.startswith("2 archives of spot/klines/AUSDT/1m lost: ") for what in told)
        assert said.startswith("2,880 more rows were in files that are lost:")


def test_a_garbled_file_is_counted_once_it_can_be_read() -> None:
    """Of a column's name: DuckDB's message of that is no text."""
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-01-01", end="2024-03-31")) as lab:
        lab.has_api = False
        key = "data/spot/monthly/klines/AUSDT/1h/AUSDT-1h-2024-0{}.zip"
        for month in (1, 2, 3):
            rows = bars(at(f"2024-0{month}-01"), at(f"2024-0{month + 1}-01"), HOUR)
            lab.put(key.format(month), rows)
        lab.run("sync", "2024-05-20")
        (path,) = (lab.folder / "lake" / "klines").rglob("*.parquet")
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole.replace(b"close_time", b"clos\xff_time"))
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-01-11", end="2024-03-10")
        lab.run("sync", "2024-05-20T01:00")
        path.write_bytes(whole)
        lab.run("sync", "2024-05-20T02:00")

        assert lab.ask(COUNTS) == [(60 * 24, 60 * 24, 0, 0)]


def test_files_that_cannot_be_read_are_not_counted(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        rows = "SELECT TIMESTAMP '2024-03-01' + INTERVAL 1 HOUR * n AS open_time, 'rest' AS source"
        connection.execute(f"COPY ({rows} FROM range(48) AS r(n)) TO '{tmp_path}/good.parquet'")
        (tmp_path / "cut short.parquet").write_bytes(b"PAR1")
        paths = ["good.parquet", "cut short.parquet", "gone.parquet"]
        span = Span(at("2024-03-01T05:00"), at("2024-03-02T05:00"))
        found = count_inside(connection, KINDS["klines"], tmp_path, paths, span)

    assert found == {"good.parquet": CutRows(24, 24)}
