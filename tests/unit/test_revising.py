"""Which archives on record were published anew, late, or taken back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fullpool.model import (
    Archive,
    Checksum,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Series,
    Status,
    period_from,
)
from fullpool.revising import compared, withdrawn

SERIES = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
THEN = datetime(2024, 3, 6, 4, tzinfo=UTC)
HELD = Identity("one", 100, THEN)
DAY = period_from("2024-03-05")


def known(status: Status = Status.PRESENT, label: str = "2024-03-05", **more: object) -> Known:
    record = Known(Archive(SERIES, period_from(label)), status, "", HELD, attempts=3)
    return replace(record, next_try_at=THEN, **more)  # type: ignore[arg-type]


def changed(before: Known, listed: Identity | None) -> Known | None:
    """Return the record of an archive after a listing; None if it stays as it is."""
    found = list(compared([before], {} if listed is None else {before.archive.period: listed}))
    assert [was for was, _ in found] in ([], [before])
    return found[0][1] if found else None


@pytest.mark.parametrize("status", [Status.PRESENT, Status.QUARANTINED])
@pytest.mark.parametrize(
    "listed",
    [
        Identity("two", 100, THEN),
        Identity("one", 101, THEN),
        Identity("", 101, THEN),
        Identity("", 100, THEN + timedelta(seconds=1)),
    ],
)
def test_other_bytes_make_a_new_edition_due(status: Status, listed: Identity) -> None:
    marked = known(status, fault=Fault.WRONG_SUM, checksum=Checksum.WRONG)
    after = changed(marked, listed)

    assert after is not None
    assert (after.status, after.identity) == (Status.LISTED, listed)
    assert (after.attempts, after.next_try_at, after.fault, after.checksum) == (0, None, None, None)
    assert after.reason.startswith(
        "republished: 100 bytes of 2024-03-06T04:00:00Z (ETag one) became "
    )


def test_edition_without_etag_or_time_is_told() -> None:
    after = changed(known(), Identity("", 50))

    assert after is not None
    assert after.reason.endswith("became 50 bytes of no time (ETag none)")


@pytest.mark.parametrize(
    "listed",
    [
        HELD,
        replace(HELD, modified_at=THEN + timedelta(milliseconds=999)),
        replace(HELD, modified_at=None),
        Identity("", 100),
    ],
)
def test_the_same_bytes_change_nothing(listed: Identity) -> None:
    assert changed(known(), listed) is None


def test_same_bytes_again_change_only_time() -> None:
    listed = replace(HELD, modified_at=THEN + timedelta(days=1))

    assert changed(known(), listed) == replace(known(), identity=listed)
    assert changed(known(Status.QUARANTINED), listed) is None


@pytest.mark.parametrize("status", [Status.ABSENT, Status.NOT_PUBLISHED])
def test_what_came_late_is_due(status: Status) -> None:
    after = changed(known(status), HELD)

    assert after is not None
    assert (after.status, after.identity) == (Status.LISTED, HELD)
    assert after.reason == "published late"


@pytest.mark.parametrize("status", [Status.LISTED, Status.EXPECTED, Status.FAILED])
def test_what_is_due_stays_unchanged(status: Status) -> None:
    assert changed(known(status), Identity("two", 1, THEN)) is None


@pytest.mark.parametrize("status", [Status.LISTED, Status.FAILED, Status.QUARANTINED])
def test_vanished_unheld_day_is_asked_for_again(status: Status) -> None:
    after = changed(known(status), None)

    assert after is not None
    assert (after.status, after.identity) == (Status.EXPECTED, None)
    assert after.reason == "the vendor no longer lists it"
    assert changed(known(status, is_held=True), None) is None
    assert changed(known(status, "2024-03"), None) is None
    assert changed(known(status, identity=None), None) is None


def test_held_but_unlisted_archive_is_withdrawn() -> None:
    record = [known(label=label) for label in ("2024-03-07", "2024-03-05", "2024-03-06")]
    record.append(known(Status.ABSENT, "2024-03-01"))
    gone = withdrawn(record, {period_from("2024-03-06"): HELD})

    assert [str(one.archive.period) for one in gone] == ["2024-03-05", "2024-03-07"]


def test_each_archive_is_compared() -> None:
    record = [known(label="2024-03-05"), known(label="2024-03-06"), known(label="2024-03-07")]
    listing = {
        period_from("2024-03-05"): HELD,
        period_from("2024-03-06"): Identity("two", 1, THEN),
        period_from("2024-03-07"): Identity("three", 1, THEN),
    }

    assert len(list(compared(record, listing))) == 2
