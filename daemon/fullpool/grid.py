"""Where rows are expected: the place of each bar, and arithmetic on places. Pure.

A kline's place is the number of its bar on the grid, a trade's its id. So a gap is a range of whole
numbers whatever the kind, and all arithmetic is the same.
Source for the grid: the published files. Weeks open on Monday, months on their first day, at 00:00
UTC. No published file with three-day bars was to be had, so their days are taken from the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fullpool.model import EPOCH, Interval, PartitionFile, Series, Span, instant

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

    @property
    def leeway(self) -> timedelta:
        """How far from where it should open a bar still counts as the bar of that place.

        Source: whole hours of spot's bars of 2017-12 and 2018-02 open some seconds late.
        """
        return self.step / 10 if self.step else timedelta()

    def place_of(self, moment: datetime) -> int:
        """Return the place of a bar that opens at *moment*, on the grid or off it."""
        return self.at(moment + self.leeway)

    def places_of(self, microseconds: Sequence[int]) -> list[int]:
        """Return the places of bars that open at these instants."""
        if self.step is None:
            return [self.at(instant(moment)) for moment in microseconds]
        step, before = self.step // _MICROSECOND, (self.offset - self.leeway) // _MICROSECOND
        return [(moment - before) // step for moment in microseconds]

    def is_regular(self, microseconds: Sequence[int]) -> bool:
        """Whether bars that open at these instants are all on the grid."""
        if self.step is None:
            moments = [instant(moment) for moment in microseconds]
            return [self.opens(self.at(moment)) for moment in moments] == moments
        step, offset = self.step // _MICROSECOND, self.offset // _MICROSECOND
        return not {(moment - offset) % step for moment in microseconds} - {0}

    def between(self, before: datetime, after: datetime) -> Places:
        """Return the places that are missing between two neighbouring bars.

        So many as open after the one and before the other, and no more than fit in between: bars
        that follow each other at their own length lack none, wherever they open.
        """
        first = self.place_of(before) + 1
        opening = self._from(after - self.leeway) - first
        if self.step is not None:
            opening = min(opening, (after - before - _MICROSECOND) // self.step)
        return Places(first, first + max(opening, 0))

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
