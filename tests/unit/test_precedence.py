"""Which archive's rows stay where two have them, by what a file tells of its archives."""

from datetime import datetime, timedelta

import pytest

from fullpool import vendor
from fullpool.kinds import kind_of
from fullpool.model import Archive, Identity, Market, Series, Span, period_from
from fullpool.store.partitions.messages import Accepted, Edition
from fullpool.store.partitions.precedence import Precedence
from fullpool.store.partitions.provenance import Origin, Source
from lab import at

METRICS = Series(Market.UM, "metrics", "X")
TICKS = Series(Market.UM, "bookTicker", "X")
MINUTE = timedelta(minutes=1)
MIDNIGHT = [Span(at("2024-03-02"), at("2024-03-02") + MINUTE)]


def archive(series: Series, period: str) -> Archive:
    return Archive(series, period_from(period))


def held(
    series: Series, period: str, first: str = "", last: str = "", published: str = ""
) -> Source:
    """Return an archive of the lake; without times as in files of an older version."""
    key = vendor.archive_key(archive(series, period))
    first, last = (at(time).isoformat() if time else "" for time in (first, last))
    moment = at(published).isoformat() if published else ""
    return Source(key, period, "e", "old", 1, moment, 1, first_time=first, last_time=last)


def precedence(series: Series, *sources: Source) -> Precedence:
    return Precedence(kind_of(series), Origin(sources))


def come(found: Precedence, series: Series, period: str, published: str = "2024-04-02") -> None:
    """Have a new edition of an archive accepted."""
    identity = Identity("n", 1, at(published))
    first: datetime = at(period_from(period).first.isoformat())
    edition = Edition(archive(series, period), "new", identity)
    found.accept(Accepted(edition, 1, first, first))


@pytest.mark.parametrize(
    ("first", "expected"),
    [("2024-03-02", MIDNIGHT), ("2024-03-02T00:00:59", MIDNIGHT), ("2024-03-02T00:05", []),
     ("", [])],
)  # fmt: skip
def test_a_next_archive_has_its_midnight(first: str, expected: list[Span]) -> None:
    found = precedence(METRICS, held(METRICS, "2024-03-02", first, first))
    come(found, METRICS, "2024-03-01")

    assert found.starts_of_next == expected


@pytest.mark.parametrize(
    ("own_last", "next_first", "is_dropped"),
    [
        ("2024-03-02", "2024-03-02T00:05", True),
        ("2024-03-02", "2024-03-02", False),
        ("2024-03-02", "", False),
        ("", "2024-03-02T00:05", False),
        ("2024-03-01T23:55", "2024-03-02T00:05", False),
    ],
)
def test_a_midnight_is_dropped_if_none_may_have_it(
    own_last: str, next_first: str, *, is_dropped: bool
) -> None:
    old = held(METRICS, "2024-03-01", own_last and "2024-03-01T00:05", own_last)
    found = precedence(METRICS, old, held(METRICS, "2024-03-02", next_first, next_first))
    come(found, METRICS, "2024-03-01")

    whole = [Span(at("2024-03-01"), at("2024-03-02"))]
    assert found.dropped == (whole + MIDNIGHT if is_dropped else whole)


def test_older_editions_without_keys_are_never_merged() -> None:
    """Also where a day that corrects the month cuts it in two."""
    corrected = held(TICKS, "2024-03-10", published="2024-04-09")
    found = precedence(TICKS, held(TICKS, "2024-03", published="2024-04-01"), corrected)
    come(found, TICKS, "2024-03")

    before = Span(at("2024-03-01"), at("2024-03-10"))
    assert found.replaced == [before, Span(at("2024-03-11"), at("2024-04-01"))]
    assert found.merged == []


@pytest.mark.parametrize("period", ["2024-03-01", "2024-03-03"])
def test_rows_between_others_are_not_written_as_they_come(period: str) -> None:
    found = precedence(METRICS, held(METRICS, "2024-03-02", "2024-03-02T00:05", "2024-03-02T12:00"))
    come(found, METRICS, period)

    assert found.is_needed == (period == "2024-03-01")
