"""A kind that is invented here is one row of the table, and all the rest follows from it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fullpool.export.exporting import export
from fullpool.export.order import Order
from fullpool.kinds import KINDS, Kind
from fullpool.simulator import Fault
from lab import HOUR, Lab, at, uncounted
from served import dataset, tree_of

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-kind.md"


def of_the_page() -> Kind:
    """Return the kind that the documentation adds."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation
    found = names["NEW"]
    assert isinstance(found, Kind)
    return found


NEW = of_the_page()
FOLDER = "data/futures/um/daily/tideTables/BTCUSDT/BTCUSDT-tideTables-"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setitem(KINDS, NEW.name, NEW)
    series = "um/tideTables/BTCUSDT"
    with Lab(dataset(series, start="2024-03-01", end="2024-03-03")) as one:
        yield one


def day(number: int, *, level: str = "1.5", lost: range = range(0), header: str = "at") -> str:
    start = at(f"2024-03-0{number}")
    times = (round((start + n * HOUR).timestamp() * 1000) for n in range(24) if n not in lost)
    return f"{header},note,level\n" + "".join(f"{time},calm,{level}\n" for time in times)


def test_an_invented_kind_works_from_sync_to_export(lab: Lab, tmp_path: Path) -> None:
    lab.put(f"{FOLDER}2024-03-01.zip", day(1))
    lab.put(f"{FOLDER}2024-03-02.zip", day(2, lost=range(5, 8)))
    lab.put(f"{FOLDER}2024-03-03.zip", day(3, header="measured"))
    lost = [round((at("2024-03-02") + n * HOUR).timestamp() * 1000) for n in range(4, 9)]
    rates = [f'{{"symbol":"BTCUSDT","fundingTime":{t},"fundingRate":"2.5"}}' for t in lost]
    lab.vendor.fail(Fault("fapi/v1/tideTables*", "body", text=f"[{','.join(rates)}]"))

    lab.run("sync", "2024-03-05T12:00")

    counts = "SELECT source, count(*), sum(water_level) FROM tide_tables GROUP BY ALL ORDER BY ALL"
    assert lab.ask(counts) == [("archive", 69, 103.5), ("rest", 3, 7.5)]
    assert lab.ask("SELECT expected_rows, patched_rows FROM sync.coverage") == [(72, 3)]
    assert lab.ask("SELECT count(*), min(note) FROM tide_tables_of('BTCUSDT')") == [(72, "calm")]

    lab.put(f"{FOLDER}2024-03-02.zip", day(2, level="9.25"), at("2024-03-06"))
    lab.run("audit", "2024-03-07T12:00")

    assert lab.ask(counts) == [("archive", 72, 48 * 1.5 + 24 * 9.25)]
    assert lab.ask("SELECT rows_added, rows_changed FROM sync.revisions") == [(3, 21)]
    assert lab.ask("SELECT DISTINCT column_name FROM sync.conflicts") == [("water_level",)]

    assert export(tree_of(lab.config), tmp_path / "out", Order(), uncounted).files == 1
    files = tmp_path / "out/tide_tables/**/*.parquet"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT count(*) FROM read_parquet('{files}')").fetchall()
    assert found == [(72,)]


def test_an_invented_kinds_gaps_are_recorded(lab: Lab) -> None:
    lab.put(f"{FOLDER}2024-03-01.zip", day(1))
    lab.put(f"{FOLDER}2024-03-02.zip", day(2, lost=range(5, 8)))
    lab.put(f"{FOLDER}2024-03-03.zip", day(3))
    lab.vendor.fail(Fault("fapi/v1/tideTables*", "body", text="[]"))

    lab.run("sync", "2024-03-05T12:00")

    found = lab.ask("SELECT gap_start::VARCHAR, row_count, status FROM sync.gaps")
    assert found == [("2024-03-02 05:00:00", 3, "open")]


def test_files_lacking_a_column_are_quarantined(lab: Lab) -> None:
    lab.put(f"{FOLDER}2024-03-01.zip", "at,level\n1709251200000,1.5\n")

    lab.run("sync", "2024-03-05T12:00")

    ((reason,),) = lab.ask("SELECT reason FROM sync.archives WHERE status = 'quarantined'")
    assert "not that of tideTables: it lacks note" in reason
