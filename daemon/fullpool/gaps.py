"""The grid of expected rows, what is missing of it, and what is known of what is missing.

Every row of a series has a place: a kline the number of its bar on the grid, a trade its id. So a
gap is a range of whole numbers whatever the kind, and all arithmetic is the same.
Source for the grid: the published files. Weeks open on Monday, months on their first day, at 00:00
UTC. No published file with three-day bars was to be had, so their days are taken from the rows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from fullpool.model import EPOCH, Hole, Interval, PartitionFile, Series, Span, instant

_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONDAY: Final = timedelta(days=4)  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True, order=True)
class Places:
    """A range of places `[first, end)`: bars of the grid, or ids."""

    first: int
    end: int

    def __len__(self) -> int:
        return max(self.end - self.first, 0)

    def meet(self, other: "Places") -> "Places":
        """Return what both have; of length 0 if nothing."""
        return Places(max(self.first, other.first), min(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bars of an interval open; *offset* is when the bar 0 does, since 1970."""

    interval: Interval
    offset: timedelta = timedelta()

    @property
    def step(self) -> timedelta | None:
        """The length of a bar; None for months, which differ."""
        if self.interval is Interval.MO1:
            return None
        return timedelta(seconds=int(self.interval[:-1]) * _UNITS[self.interval[-1]])

    def at(self, moment: datetime) -> int:
        """Return the bar that *moment* falls in."""
        if self.step is None:
            return moment.year * 12 + moment.month - 1
        return (moment - EPOCH - self.offset) // self.step

    def opens(self, place: int) -> datetime:
        """Return when a bar opens, which is when the one before it closes."""
        if self.step is None:
            return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)
        return EPOCH + self.offset + place * self.step

    def opening_at(self, microseconds: Sequence[int]) -> list[int] | None:
        """Return the bars that open at these instants; None if one of them is no such."""
        if self.step is None:
            months = [instant(one) for one in microseconds]
            places = [self.at(moment) for moment in months]
            return places if [self.opens(place) for place in places] == months else None
        step, offset = self.step // _MICROSECOND, self.offset // _MICROSECOND
        if {(one - offset) % step for one in microseconds} - {0}:
            return None
        return [(one - offset) // step for one in microseconds]

    def places(self, span: Span) -> Places:
        """Return the bars that open in *span*."""
        return Places(self._from(span.start), self._from(span.end))

    def span(self, places: Places) -> Span:
        return Span(self.opens(places.first), self.opens(max(places.end, places.first)))

    def _from(self, moment: datetime) -> int:
        """Return the first bar that opens at *moment* or later."""
        return self.at(moment - _MICROSECOND) + 1


def grid_of(series: Series, held: Sequence[PartitionFile]) -> Grid | None:
    """Return the grid of a series of klines; None for other kinds."""
    if series.interval is None:
        return None
    offset = timedelta()
    if series.interval is Interval.W1:
        offset = _MONDAY
    if series.interval is Interval.D3 and held:
        offset = (held[0].first_time - EPOCH) % timedelta(days=3)
    return Grid(series.interval, offset)


class GapStatus(StrEnum):
    """Where a gap stands."""

    OPEN = "open"
    EXPLAINED = "explained"


class Explanation(StrEnum):
    """Why rows are not there, and are not to be had."""

    EMPTY_AT_SOURCE = "empty_at_source"
    NOT_LISTED = "not_listed"
    DELISTED = "delisted"
    NOT_PUBLISHED = "not_published"
    TOO_OLD_FOR_API = "too_old_for_api"
    API_REFUSED = "api_refused"


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows of a series that should be there and are not.

    *span* holds the opens of missing bars; of trades it reaches from the row before to the row
    after. *evidence* is JSON: what was asked, when, and what came back. A gap is worth asking for
    at *next_try_at*, or at once if that is None and it is open.
    """

    series: Series
    places: Places
    span: Span
    found_at: datetime
    status: GapStatus = GapStatus.OPEN
    explanation: Explanation | None = None
    reason: str = ""
    evidence: str = ""
    asked_at: datetime | None = None
    attempts: int = 0
    next_try_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.series} {self.span}"

    def is_due(self, now: datetime) -> bool:
        """Whether it is worth asking for."""
        if self.next_try_at is None:
            return self.status is GapStatus.OPEN
        return self.next_try_at <= now


@dataclass(frozen=True, slots=True)
class Expected:
    """Where rows of a series should be, and how many. *wanted_from* is what was configured."""

    series: Series
    wanted_from: datetime
    span: Span
    rows: int


@dataclass(frozen=True, slots=True)
class Patch:
    """Rows that REST gave for a series, as lines of the vendor's own CSV, oldest first.

    *span* holds them all; *url* is what was asked, without its bounds.
    """

    series: Series
    span: Span
    text: bytes
    rows: int
    asked_at: datetime
    url: str


@dataclass(frozen=True, slots=True)
class Absence:
    """Places that are not held, and the span they lie in."""

    places: Places
    span: Span


def absences(
    grid: Grid | None, held: Sequence[PartitionFile], expected: Span | None
) -> list[Absence]:
    """Return what is not held of a series, oldest first: at its head, inside, at its tail.

    *held* in the order of time. Without a *grid* the places are ids, which have holes but neither
    head nor tail. *expected* is where rows should be.
    """
    found = [absence for hole in _holes(held) if (absence := _between(grid, hole))]
    if grid is None or expected is None:
        return found
    whole = grid.places(expected)
    ends = [whole] if not held else [
        Places(whole.first, min(grid.at(held[0].first_time), whole.end)),
        Places(max(grid.at(held[-1].last_time) + 1, whole.first), whole.end),
    ]  # fmt: skip
    found += [Absence(places, grid.span(places)) for places in ends if places]
    inside = (Absence(a.places.meet(whole), a.span) for a in found)
    return sorted(
        (Absence(a.places, grid.span(a.places)) for a in inside if a.places),
        key=lambda absence: absence.places,
    )


def _holes(held: Sequence[PartitionFile]) -> Iterator[Hole]:
    """Yield pairs of neighbouring rows between which something may be missing."""
    before: PartitionFile | None = None
    for one in held:
        if before is not None:
            yield Hole(before.last_key, one.first_key, before.last_time, one.first_time)
        yield from one.holes
        before = one


def _between(grid: Grid | None, hole: Hole) -> Absence | None:
    if grid is None:
        places = Places(hole.before + 1, hole.after)
        end = max(hole.before_time, hole.after_time)
        return Absence(places, Span(hole.before_time, end)) if places else None
    if hole.after_time <= hole.before_time:
        return None
    places = grid.places(Span(hole.before_time + _MICROSECOND, hole.after_time))
    return Absence(places, grid.span(places)) if places else None


def reconciled(
    series: Series, grid: Grid | None, missing: Sequence[Absence], known: Sequence[Gap],
    now: datetime,
) -> list[Gap]:  # fmt: skip
    """Return the gaps of a series: what is missing, each part with what is known of it by now.

    Gaps that are filled meanwhile are gone, and what follows the end of a delisted series belongs
    to that.
    """
    unfilled = sorted(known, key=lambda gap: gap.places)
    starts = [gap.places.first for gap in unfilled]
    found: list[Gap] = []
    for absence in missing:
        at = absence.places.first
        index = max(bisect_right(starts, at) - 1, 0)
        for gap in unfilled[index:]:
            if gap.places.first >= absence.places.end:
                break
            same = gap.places.meet(Places(at, absence.places.end))
            if not same:
                continue
            if at < same.first:
                found.append(_new(series, grid, Places(at, same.first), absence, now))
            found.append(part_of(gap, grid, same))
            at = same.end
        if at < absence.places.end:
            rest = Places(at, absence.places.end)
            if at > absence.places.first and found[-1].explanation is Explanation.DELISTED:
                found[-1] = part_of(found[-1], grid, Places(found[-1].places.first, rest.end))
            else:
                found.append(_new(series, grid, rest, absence, now))
    return found


def _new(series: Series, grid: Grid | None, places: Places, absence: Absence, now: datetime) -> Gap:
    return Gap(series, places, grid.span(places) if grid else absence.span, now)


def part_of(gap: Gap, grid: Grid | None, places: Places) -> Gap:
    """Return the gap of some of its places."""
    return replace(gap, places=places, span=grid.span(places) if grid else gap.span)


def subtract(places: Places, taken: Sequence[int]) -> list[Places]:
    """Return what is left of *places* without those *taken*, which are sorted."""
    left: list[Places] = []
    at = places.first
    for one in taken:
        if not places.first <= one < places.end:
            continue
        if at < one:
            left.append(Places(at, one))
        at = one + 1
    if at < places.end:
        left.append(Places(at, places.end))
    return left


def expected_rows(grid: Grid | None, held: Sequence[PartitionFile], expected: Span | None) -> int:
    """Return how many rows a series should have: bars of the grid, or ids from first to last."""
    if grid is None:
        return held[-1].last_key - held[0].first_key + 1 if held else 0
    return len(grid.places(expected)) if expected else 0
