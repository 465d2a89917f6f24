"""Archives republished: seen, fetched, merged, counted, and the lake before still there."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Event

import duckdb
import pytest

from fullpool import logs
from fullpool.app import syncing
from fullpool.config import Checks, Config
from fullpool.errors import IncompleteError
from fullpool.model import (
    Archive,
    Identity,
    Interval,
    Known,
    Market,
    Partition,
    PartitionFile,
    Series,
    Status,
    Step,
    period_from,
)
from fullpool.revising import compared
from fullpool.simulator import Fault
from fullpool.simulator.generate import zipped
from fullpool.store.catalogue.reader import reading
from fullpool.store.partitions.build import build
from fullpool.store.partitions.messages import Built, Edition, Input, Order
from fullpool.store.tree import Tree
from served import Seen, Vendor, ask, audit, dataset, kline, snapshot, sync, tree_of

DAY = datetime(2024, 6, 2, tzinfo=UTC)
SERIES = "spot/klines/AUSDT/1m"
KEY = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"
ARCHIVE = Archive(Series(Market.SPOT, "klines", "AUSDT", Interval.M1), period_from("2024-06-02"))
OLD = Identity("aa", 100, DAY)


def minutes(first: int, last: int, **changes: str) -> str:
    lines = [kline(DAY + timedelta(minutes=n)) for n in range(first, last)]
    return "".join(changes.get(f"m{n}", line) for n, line in enumerate(lines, start=first))


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Config:
    vendor.publish(SERIES, date(2024, 6, 1), date(2024, 6, 3))
    vendor.put(KEY, minutes(0, 1440))
    return vendor.config(tmp_path / "lake", dataset(SERIES, start="2024-06-01", end="2024-06-03"))


def republish(vendor: Vendor, text: str, *, minute: int = 0) -> None:
    content = zipped("AUSDT-1m-2024-06-02.csv", text.encode())
    vendor.put_bytes(KEY, content, datetime(2024, 7, 1, 0, minute, tzinfo=UTC))


def test_a_revision_is_merged_and_counted(vendor: Vendor, config: Config) -> None:
    sync(config)
    before = ask(config, "SELECT max(generation) FROM sync.generations")[0][0]
    other = kline(DAY + timedelta(minutes=5)).replace("1.50000000", "1.75000000")
    republish(vendor, minutes(0, 1430, m5=other))
    asked = len(vendor.archive_requests())
    outcome = audit(config)

    assert outcome.archives == 1
    assert all(KEY in path for path in vendor.archive_requests()[asked:])
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440 - 10,)]
    counts = "SELECT rows_added, rows_removed, rows_changed, old_sha256 <> new_sha256"
    assert ask(config, f"{counts} FROM sync.revisions") == [(0, 10, 1, True)]
    with reading(tree_of(config), str(before)) as earlier:
        sql = "SELECT count(*), count(*) FILTER (close = 1.75) FROM klines"
        assert earlier.query(sql).rows == [(3 * 1440, 0)]


def test_rows_that_come_back_are_added(vendor: Vendor, config: Config) -> None:
    republish(vendor, minutes(0, 1000))
    sync(config)
    republish(vendor, minutes(0, 1440), minute=1)
    audit(config)

    counts = "SELECT rows_added, rows_removed, rows_changed FROM sync.revisions"
    assert ask(config, counts) == [(440, 0, 0)]
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440,)]


def test_an_audit_fetches_no_unchanged_archive(vendor: Vendor, config: Config) -> None:
    sync(config)
    asked, files = len(vendor.archive_requests()), snapshot(tree_of(config).root)
    audit(config)

    assert len(vendor.archive_requests()) == asked
    assert snapshot(tree_of(config).root) == files


def test_republishing_same_bytes_costs_no_byte(vendor: Vendor, config: Config) -> None:
    sync(config)
    vendor.put_bytes(KEY, (vendor.folder / KEY).read_bytes(), datetime(2024, 8, 1, tzinfo=UTC))
    asked = len(vendor.archive_requests())
    audit(config)

    assert len(vendor.archive_requests()) == asked
    assert ask(config, "SELECT count(*) FROM sync.revisions") == [(0,)]
    modified = "SELECT modified_at FROM sync.archives WHERE key = ?"
    assert ask(config, modified, [KEY]) == [(datetime(2024, 8, 1),)]  # noqa: DTZ001 - as DuckDB has it


def test_a_broken_edition_leaves_old_rows(vendor: Vendor, config: Config) -> None:
    sync(config)
    republish(vendor, "no,klines\n")
    outcome = audit(config)

    assert any("AUSDT" in name for name in outcome.failed)
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440,)]
    assert ask(config, "SELECT status FROM sync.missing") == [("quarantined",)]


@pytest.mark.parametrize("wrong", [",x,", ",1.00000000,2.00000000"], ids=["value", "columns"])
def test_days_stand_without_their_rejected_month(tmp_path: Path, wrong: str) -> None:
    tree = Tree(tmp_path)
    tree.create()
    day = minutes(0, 1440)
    (held,) = built(tree, (), {"2024-06-02": day}).files
    other = day.replace("10.00000000", "37.00000000")
    broken = minutes(0, 10) + minutes(10, 11).replace(",1.00000000,", wrong)
    done = built(tree, (held,), {"2024-06": broken, "2024-06-02": other})

    assert [str(one.edition.archive.period) for one in done.accepted] == ["2024-06-02"]
    path = tmp_path / done.files[0].path
    sql = f"SELECT DISTINCT volume::INTEGER, source FROM read_parquet('{path}')"
    with duckdb.connect() as connection:
        assert connection.execute(sql).fetchall() == [(37, "archive")]


def built(tree: Tree, held: tuple[PartitionFile, ...], archives: dict[str, str]) -> Built:
    """Build the month from *archives*: the text of each by its period."""
    series, unit = ARCHIVE.series, period_from("2024-06")
    inputs = []
    for name, text in archives.items():
        content = zipped(f"AUSDT-1m-{name}.csv", text.encode())
        edition = Edition(Archive(series, period_from(name)), text[:64], Identity(name, 9, DAY))
        inputs.append(Input(edition, content))
    step = Step(series, unit, (), held, (Partition(series, unit),), "test")
    return build(Order(step, tuple(inputs), tree.root, tree.staging, len(archives), 256, 1 << 24))


@pytest.mark.parametrize(
    ("known", "listed", "status"),
    [
        (Known(ARCHIVE, Status.PRESENT, "", OLD), Identity("bb", 100, DAY), Status.LISTED),
        (Known(ARCHIVE, Status.PRESENT, "", OLD), Identity("aa", 101, DAY), Status.LISTED),
        (Known(ARCHIVE, Status.PRESENT, "", OLD), OLD, None),
        (
            Known(ARCHIVE, Status.PRESENT, "", OLD),
            Identity("aa", 100, DAY + timedelta(days=1)),
            Status.PRESENT,
        ),
        (
            Known(ARCHIVE, Status.PRESENT, "", OLD),
            Identity("aa", 100, DAY + timedelta(milliseconds=900)),
            None,
        ),
        (
            Known(ARCHIVE, Status.PRESENT, "", Identity("", 100, DAY)),
            Identity("", 100, DAY + timedelta(days=1)),
            Status.LISTED,
        ),
        (Known(ARCHIVE, Status.QUARANTINED, "", OLD), Identity("bb", 9, DAY), Status.LISTED),
        (Known(ARCHIVE, Status.QUARANTINED, "", OLD), OLD, None),
        (Known(ARCHIVE, Status.ABSENT), OLD, Status.LISTED),
        (Known(ARCHIVE, Status.FAILED, "", OLD), Identity("bb", 9, DAY), None),
        (Known(ARCHIVE, Status.FAILED, "", OLD), None, Status.EXPECTED),
        (Known(ARCHIVE, Status.QUARANTINED, "", OLD), None, Status.EXPECTED),
        (Known(ARCHIVE, Status.QUARANTINED, "", OLD, is_held=True), None, None),
        (Known(ARCHIVE, Status.PRESENT, "", OLD), None, None),
        (Known(ARCHIVE, Status.ABSENT), None, None),
    ],
)
def test_a_listing_updates_what_is_known(
    known: Known, listed: Identity | None, status: Status | None
) -> None:
    listing = {ARCHIVE.period: listed} if listed else {}
    found = [after.status for _, after in compared([known], listing)]

    assert found == ([status] if status else [])


def test_withdrawn_archives_stay_and_are_told(vendor: Vendor, config: Config) -> None:
    sync(config)
    vendor.remove(KEY)
    asked = len(vendor.archive_requests())
    told = StringIO()
    logs.configure("WARNING", told)
    outcome = audit(config)
    logs.configure("CRITICAL")

    assert outcome.is_complete
    assert vendor.archive_requests()[asked:] == []
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440,)]
    (event,) = map(json.loads, told.getvalue().splitlines())
    assert (event["event"], event["archives"]) == ("archive.withdrawn", 1)
    assert event["first"] == event["last"] == str(ARCHIVE)


def test_archives_withdrawn_before_fetching_are_absent(vendor: Vendor, config: Config) -> None:
    vendor.fail(Fault(f"{KEY}*", "status", 500))
    with pytest.raises(IncompleteError):
        sync(config)
    vendor.fail()
    vendor.remove(KEY)
    outcome = audit(config)

    assert outcome.is_complete
    assert archive_row(config) == ("absent", None)


def archive_row(config: Config) -> tuple[str, str | None]:
    (row,) = ask(config, "SELECT status, checksum FROM sync.archives WHERE key = ?", [KEY])
    return row[0], row[1]


def test_a_right_checksum_is_recorded(config: Config) -> None:
    sync(config)

    assert archive_row(config) == ("present", "verified")


def test_archives_without_checksum_wait_until_allowed(vendor: Vendor, config: Config) -> None:
    vendor.fail(Fault("*06-02.zip.CHECKSUM", "status", 404))
    with pytest.raises(IncompleteError, match="no CHECKSUM"):
        sync(config)
    held = archive_row(config)
    asked = len(vendor.archive_requests())
    sync(config)  # it waits: nothing is asked
    again = len(vendor.archive_requests())
    allowed = replace(config, checks=Checks(accept_missing_checksum=True))
    planned = [syncing.plan(one, Seen(), Event()).steps for one in (config, allowed)]
    sync(allowed)

    assert [len(steps) for steps in planned] == [0, 1]
    assert held == ("quarantined", "missing")
    assert again == asked
    assert archive_row(config) == ("present", "missing")
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440,)]


def test_lasting_wrong_checksums_can_be_accepted(vendor: Vendor, config: Config) -> None:
    wrong = f"{'0' * 64}  AUSDT-1m-2024-06-02.zip"
    vendor.fail(Fault("*06-02.zip.CHECKSUM", "body", text=wrong))
    with pytest.raises(IncompleteError, match="its CHECKSUM says 000"):
        sync(config)
    held = archive_row(config)
    allowed = replace(config, checks=Checks(accept_wrong_checksum=True))
    sync(allowed)

    assert held == ("quarantined", "wrong")
    assert archive_row(config) == ("present", "wrong")
    assert ask(config, "SELECT count(*) FROM klines") == [(3 * 1440,)]


def test_late_checksums_let_their_archives_in(vendor: Vendor, config: Config) -> None:
    wrong = f"{'0' * 64}  AUSDT-1m-2024-06-02.zip"
    vendor.fail(Fault("*06-02.zip.CHECKSUM", "body", times=1, text=wrong))
    sync(config)

    assert archive_row(config) == ("present", "verified")


def test_accepting_checksums_admits_no_wrong_archive(vendor: Vendor, config: Config) -> None:
    vendor.put(KEY, "1,2,3\n")
    vendor.fail(Fault("*06-02.zip.CHECKSUM", "body", text=f"{'0' * 64}  AUSDT-1m-2024-06-02.zip"))
    allowed = replace(config, checks=Checks(accept_wrong_checksum=True))
    with pytest.raises(IncompleteError):
        sync(allowed)

    assert archive_row(config)[0] == "quarantined"
    assert ask(config, "SELECT count(*) FROM klines") == [(2 * 1440,)]
