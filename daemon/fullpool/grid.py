"""Where rows are expected: the place of each row, and arithmetic on places. Pure.

A kline's place is the number of its bar on the grid, a trade's its id; where only whole archives
are expected, it is the number of the day or the month. So a gap is a range of whole numbers
whatever the kind, and all arithmetic is the same.
Source for the grid: the published files. Weeks open on Monday, months on their first day, at 00:00
UTC. No published file with three-day bars was to be had, so their days are taken from the rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from fullpool.model import EPOCH, Hole, Interval, PartitionFile, Run, Span, instant

_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ALIKE: Final = 1.1  # so much more than a distance is still that: some rows are missing
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
    """Where rows at regular times are: one every *step*, or every month of the calendar if None.

    *offset* is when the place 0 begins, since 1970; not *is_placed*, only the rows tell that.
    *is_by_period*: a place is a whole period, which is there if it has any row at all, but for
    rows of its first moments, the *slack*, which may be of the archive before. With *longest*,
    rows tell how far apart they are, at most that, and a place is as long as where they are
    closest.
    """

    step: timedelta | None
    offset: timedelta = timedelta()
    is_placed: bool = True
    is_by_period: bool = False
    slack: timedelta = timedelta()
    longest: timedelta | None = None

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
        if self.step is None or self.is_by_period:
            return timedelta()
        return self.step / 10

    def place_of(self, moment: datetime) -> int:
        """Return the place of a bar that opens at *moment*, on the grid or off it."""
        return self.at(moment + self.leeway - self.slack)

    def first_place(self, moment: datetime) -> int:
        """Return the place of the first row of a file: of its own period, never the one before."""
        return self.at(moment) if self.is_by_period else self.place_of(moment)

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
        if self.is_by_period:
            return Places(first, max(first, self.at(after)))
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


def bars(interval: Interval, offset: timedelta = timedelta(), *, is_placed: bool = True) -> Grid:
    """Return the grid of the bars of an interval."""
    if interval is Interval.MO1:
        return Grid(None)
    step = timedelta(seconds=int(interval[:-1]) * _UNITS[interval[-1]])
    return Grid(step, offset, is_placed)


def spaced(longest: timedelta, held: Sequence[PartitionFile]) -> Grid:
    """Return the grid of rows that are *longest* apart, or half or an eighth of that, as held.

    Where the distance changed in time it is the shortest of any file: the places between are told
    by rows.
    """
    distances = [distance for file in held if (distance := distance_in(file))]
    # Rows with one missing between them are twice as far apart as they should be.
    distances += [(one.after_time - one.before_time) / 2 for file in held for one in file.holes]
    shortest = min(distances, default=longest) * _ALIKE
    step = next((one for one in _distances(longest) if one <= shortest), longest / 8)
    return Grid(step, longest=longest)


def distance_in(rows: PartitionFile | Run) -> timedelta | None:
    """Return how far apart the rows of a file or run are on average; None if it has only one."""
    return (rows.last_time - rows.first_time) / (rows.rows - 1) if rows.rows > 1 else None


def rows_before(rows: PartitionFile | Run, moment: datetime) -> int:
    """Return how many rows of a file or run, which are evenly apart, come before a moment."""
    if rows.rows == 1:
        return int(rows.first_time < moment)
    length = rows.last_time - rows.first_time
    # Rounded up. A distance between two rows would be rounded itself, and that many times over.
    steps = -((rows.first_time - moment) * (rows.rows - 1) // length)
    return min(max(steps, 0), rows.rows)


def _distances(longest: timedelta) -> tuple[timedelta, ...]:
    """Return how far apart rows can be, of which *longest* is the longest."""
    return longest, longest / 2, longest / 8


def _even_distance(file: PartitionFile, longest: timedelta) -> timedelta | None:
    """Return how far apart all rows of a file are; None if they may differ."""
    own = None if file.holes else distance_in(file)
    if own is None:
        return None
    return next((d for d in _distances(longest) if is_alike(own, d)), None)


def tail_begins(grid: Grid, last: PartitionFile) -> int:
    """Return the first place that must have a row after the last file."""
    place = grid.place_of(last.last_time) + 1
    if grid.longest is None:
        return place
    return max(place, grid.place_of(last.last_time + _next_within(last, grid.longest)))


def _next_within(file: PartitionFile, longest: timedelta) -> timedelta:
    """Return how far from a file the next row may be: as its own are, if these are evenly apart."""
    length, steps = file.last_time - file.first_time, file.rows - 1
    even = (d for d in _distances(longest) if abs(length - d * steps) < d / 2 and not file.holes)
    return next(even, longest)


def _are_near(before: PartitionFile, after: PartitionFile, longest: timedelta) -> bool:
    """Whether no row is missing between two files, as far as the distances in them can tell.

    After an archive whose rows are unevenly apart, those of a run of followed rows tell.
    """
    own, others = _even_distance(after, longest), _even_distance(before, longest)
    if own is None or (others is None and after.path):
        return False
    return after.first_time - before.last_time <= max(own, others or own) * _ALIKE


def near_files(
    grid: Grid, held: Sequence[PartitionFile]
) -> Iterator[tuple[PartitionFile, PartitionFile]]:
    """Yield the files between which nothing is missing, though places may lie between them."""
    if grid.longest is None:
        return
    pairs = list(pairwise(held))
    for number, pair in enumerate(pairs):
        beside = pairs[max(number - 1, 0) : number + 2]
        if _are_near(*pair, grid.longest) or _is_step(pair, beside, grid.longest):
            yield pair


def _is_step(
    pair: tuple[PartitionFile, PartitionFile],
    beside: Iterable[tuple[PartitionFile, PartitionFile]],
    longest: timedelta,
) -> bool:
    """Whether followed rows are as far apart as those before or after them: it is their distance.

    Each is a run of its own where rows came more often once. What is missing in between would be
    missing twice in a row.
    """
    distance = _between(pair)
    if pair[1].path or not any(is_alike(distance, even) for even in _distances(longest)):
        return False
    others = [other for other in beside if other is not pair and not other[1].path]
    return any(is_alike(distance, _between(other)) for other in others)


def _between(pair: tuple[PartitionFile, PartitionFile]) -> timedelta:
    return pair[1].first_time - pair[0].last_time


def is_alike(one: timedelta, other: timedelta) -> bool:
    """Whether two distances are the same, but for rows that are some milliseconds late."""
    return other / _ALIKE <= one <= other * _ALIKE


def holes_of(held: Sequence[PartitionFile]) -> Iterator[Hole]:
    """Yield pairs of neighbouring rows between which something may be missing."""
    before: PartitionFile | None = None
    for one in held:
        if before is not None:
            yield Hole(before.last_key, one.first_key, before.last_time, one.first_time)
        yield from one.holes
        before = one


def bars_of(interval: Interval, held: Sequence[PartitionFile]) -> Grid:
    """Return the grid of a series of klines; *held* tell where its three-day bars are."""
    if interval is Interval.W1:
        return bars(interval, _MONDAY)
    if interval is not Interval.D3:
        return bars(interval)
    if not held:
        return bars(interval, is_placed=False)
    return bars(interval, (held[0].first_time - EPOCH) % timedelta(days=3))


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
