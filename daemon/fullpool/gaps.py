"""Missing rows of a series, and what is known of each gap. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise, product
from typing import Any, Final

from fullpool.grid import (
    Grid,
    Places,
    holes_of,
    near_files,
    subtract,
    tail_begins,
)
from fullpool.model import ANOTHER_LIFE, Hole, PartitionFile, Series, Span


class GapStatus(StrEnum):
    """Where a gap stands."""

    OPEN = "open"
    EXPLAINED = "explained"


class Explanation(StrEnum):
    """Why rows are not there, and are not to be had."""

    EMPTY_AT_SOURCE = "empty_at_source"
    SUSPENDED = "suspended"
    RELISTED = "relisted"
    NOT_LISTED = "not_listed"
    DELISTED = "delisted"
    NOT_PUBLISHED = "not_published"
    TOO_OLD_FOR_API = "too_old_for_api"
    UNKNOWN_TO_API = "unknown_to_api"
    NO_ARCHIVE = "no_archive"
    API_REFUSED = "api_refused"


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows of a series that should be there and are not.

    *span* holds the opens of missing bars; of trades it reaches from the row before to the row
    after. *evidence* is JSON: what was asked, when, and what came back; what was asked before
    *asked_since* does not count any more. A gap is worth asking for at *next_try_at*, or at once if
    that is None and it is open.
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
    asked_since: datetime | None = None

    def __str__(self) -> str:
        return f"{self.series} {self.span}"

    def is_due(self, now: datetime) -> bool:
        """Whether it is worth asking for."""
        if self.next_try_at is None:
            return self.status is GapStatus.OPEN
        return self.next_try_at <= now


@dataclass(frozen=True, slots=True)
class Expected:
    """Where rows of a series should be, and how many, of one span that was configured."""

    series: Series
    wanted: Span
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
class MissingRange:
    """Places that are not held, and the span they lie in; *is_head*, *is_tail*: no row beyond."""

    places: Places
    span: Span
    is_head: bool = False
    is_tail: bool = False


def missing_ranges(
    grid: Grid | None,
    held: Sequence[PartitionFile],
    expected: Sequence[Span],
    there: Sequence[int] = (),
) -> list[MissingRange]:
    """Return what is not held of a series, oldest first: at its beginning, inside, at its end.

    *held* in the order of time; *there* are places that are not missing whatever the rows tell,
    sorted. Without a *grid* the places are ids, which have holes but neither
    head nor tail. *expected* are the spans where rows should be.
    """
    if grid is None:
        ranges: list[MissingRange] = []
        for files in by_span(held, expected):
            ranges += _ids_missing(files)
        return [missing for missing in ranges if _touches_any(missing.span, expected)]
    if not expected:
        return []
    whole = grid.places(Span(expected[0].start, expected[-1].end))
    spans = [grid.places(span) for span in expected]
    found: list[MissingRange] = []
    for missing, span in product([*_ends(grid, held, whole), *_bars_between(grid, held)], spans):
        left = subtract(missing.places.meet(span), there)
        found += [replace(missing, places=places, span=grid.span(places)) for places in left]
    return sorted(found, key=lambda missing: missing.places)


def _ends(grid: Grid, held: Sequence[PartitionFile], whole: Places) -> Iterator[MissingRange]:
    """Yield what is missing before the first row and after the last one."""
    if not held:
        yield MissingRange(whole, grid.span(whole), is_head=True, is_tail=True)
        return
    head = Places(whole.first, grid.first_place(held[0].first_time))
    tail = Places(tail_begins(grid, held[-1]), whole.end)
    if head:
        yield MissingRange(head, grid.span(head), is_head=True)
    if tail:
        yield MissingRange(tail, grid.span(tail), is_tail=True)


def _bars_between(grid: Grid, held: Sequence[PartitionFile]) -> Iterator[MissingRange]:
    near = {(one.last_time, other.first_time) for one, other in near_files(grid, held)}
    for hole in holes_of(held):
        if (hole.before_time, hole.after_time) in near:
            continue
        if hole.before_time < hole.after_time and (
            places := grid.between(hole.before_time, hole.after_time)
        ):
            yield MissingRange(places, grid.span(places))


def _ids_missing(held: Sequence[PartitionFile]) -> Iterator[MissingRange]:
    """Yield the ids between those of a file, and of two; not what another file beside may have.

    Trades of the same moment at midnight may be in the archives of both days.
    """
    shared = [
        Places(after.first_key, before.last_key + 1)
        for before, after in pairwise(held)
        if after.first_key <= before.last_key and _is_same_life(before, after)
    ]
    for hole in holes_of(held):
        missing = _ids_between(hole)
        if missing and not any(_covers(places, missing.places) for places in shared):
            yield missing


def _covers(places: Places, others: Places) -> bool:
    return places.first <= others.first and others.end <= places.end


def _ids_between(hole: Hole) -> MissingRange | None:
    places = Places(hole.before + 1, hole.after)
    end = max(hole.before_time, hole.after_time)
    return MissingRange(places, Span(hole.before_time, end)) if places else None


def _touch(one: Span, other: Span) -> bool:
    """Whether a span overlaps another, or is an instant of it."""
    return one.start < other.end and other.start <= one.end


def _touches_any(one: Span, others: Iterable[Span]) -> bool:
    return any(_touch(one, other) for other in others)


def by_span(held: Sequence[PartitionFile], spans: Sequence[Span]) -> list[list[PartitionFile]]:
    """Return the files of each span: between those of two spans nothing is expected."""
    starts = [span.start for span in spans[1:]]
    found: list[list[PartitionFile]] = [[] for _ in spans]
    for file in held if spans else ():
        found[bisect_right(starts, file.first_time)].append(file)
    return found


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The gaps of a series, and the parts of them, as they were found, that nothing told of yet."""

    gaps: list[Gap]
    new: list[Gap]


def reconciled(
    series: Series, grid: Grid | None, ranges: Sequence[MissingRange], known: Sequence[Gap],
    now: datetime,
) -> Reconciled:  # fmt: skip
    """Return the gaps of a series: what is missing, each part with what is known of it by now.

    Gaps that are filled meanwhile are gone. What follows the end of a delisted series belongs to
    that, until it trades again. Parts that touch and that the API was to be asked for are one gap.
    """
    index = _Index(grid, known)
    gaps: list[Gap] = []
    new: list[Gap] = []
    for missing in ranges:
        parts = _parts(series, grid, missing, index.beside(missing), now)
        gaps += _joined(grid, parts)
        new += [part for part in parts if part.found_at == now]
    return Reconciled(gaps, new)


class _Index:
    """Known gaps by where they are. Ids may start again, so gaps of trades are told by time."""

    def __init__(self, grid: Grid | None, known: Sequence[Gap]) -> None:
        self._grid = grid
        self._known = sorted(known, key=lambda gap: (self._start(gap), gap.places))
        self._starts = [self._start(gap) for gap in self._known]

    def _start(self, item: Gap | MissingRange) -> Any:
        return item.span.start if self._grid is None else item.places.first

    def _end(self, item: Gap | MissingRange) -> Any:
        return item.span.end if self._grid is None else item.places.end

    def beside(self, missing: MissingRange) -> Iterator[Gap]:
        """Yield the gaps that may have places of *missing*, in their order."""
        at = bisect_left(self._starts, self._start(missing))
        while at and self._end(self._known[at - 1]) >= self._start(missing):
            at -= 1
        for gap in self._known[at:]:
            if self._start(gap) > self._end(missing):
                return
            yield gap


def _parts(
    series: Series,
    grid: Grid | None,
    missing: MissingRange,
    known: Iterable[Gap],
    now: datetime,
) -> list[Gap]:
    """Return one missing range as gaps, known ones and new ones."""
    found: list[Gap] = []
    at, end = missing.places.first, missing.places.end
    for gap in known:
        same = gap.places.meet(Places(at, end))
        if not same:
            continue
        if at < same.first:
            found.append(_new(series, grid, Places(at, same.first), missing, now))
        if _is_disproved(gap, grid, missing):
            found.append(_new(series, grid, same, missing, now))
        else:
            found.append(part_of(gap, grid, same))
        at = same.end
    if at == end:
        return found
    if found and _goes_on(found[-1]) and missing.is_tail:
        found[-1] = part_of(found[-1], grid, Places(found[-1].places.first, end))
        return found
    return [*found, _new(series, grid, Places(at, end), missing, now)]


_OF_THE_API: Final = (
    Explanation.EMPTY_AT_SOURCE, Explanation.SUSPENDED, Explanation.RELISTED,
    Explanation.API_REFUSED,
)  # fmt: skip
# A series without an archive for so long has ended.
_ENDED: Final = timedelta(days=60)


def _goes_on(gap: Gap) -> bool:
    """Whether what explains the end of a series explains what would have followed as well."""
    has_ended = gap.span.end - gap.span.start >= _ENDED
    is_absent = gap.explanation is Explanation.NO_ARCHIVE
    return gap.explanation is Explanation.DELISTED or (is_absent and has_ended)


def _is_disproved(gap: Gap, grid: Grid | None, missing: MissingRange) -> bool:
    """Whether rows have come beyond what was taken for the end of a series, or its beginning."""
    if grid is None:
        return False
    is_ended = gap.explanation is Explanation.DELISTED and not missing.is_tail
    return is_ended or (gap.explanation is Explanation.NOT_LISTED and not missing.is_head)


def _joined(grid: Grid | None, parts: Sequence[Gap]) -> list[Gap]:
    """Return the parts of one missing range, joined where they are asked about together."""
    found: list[Gap] = []
    for gap in parts:
        if found and _belong_together(found[-1], gap):
            found[-1] = _together(grid, found[-1], gap)
        else:
            found.append(gap)
    return found


def _belong_together(one: Gap, other: Gap) -> bool:
    are_absent = one.explanation is other.explanation is Explanation.NO_ARCHIVE
    return are_absent or (_is_asked_for(one) and _is_asked_for(other))


def _is_asked_for(gap: Gap) -> bool:
    return gap.explanation in (None, *_OF_THE_API)


def _together(grid: Grid | None, one: Gap, other: Gap) -> Gap:
    """Return two gaps that touch as one: open if one of them is, and as soon as that is due."""
    undone, *rest = sorted((one, other), key=lambda gap: gap.status is not GapStatus.OPEN)
    times = [g.next_try_at for g in (undone, *rest) if g.explanation is undone.explanation]
    since = [gap.asked_since for gap in (one, other) if gap.asked_since]
    return part_of(
        replace(
            undone,
            found_at=min(one.found_at, other.found_at),
            asked_since=min(since, default=None),
            attempts=max(one.attempts, other.attempts),
            next_try_at=None if None in times else min(filter(None, times)),
        ),
        grid,
        Places(one.places.first, other.places.end),
    )


def _new(
    series: Series, grid: Grid | None, places: Places, missing: MissingRange, now: datetime
) -> Gap:
    return Gap(series, places, grid.span(places) if grid else missing.span, now)


def part_of(gap: Gap, grid: Grid | None, places: Places) -> Gap:
    """Return the gap of some of its places."""
    return replace(gap, places=places, span=grid.span(places) if grid else gap.span)


def _is_same_life(before: PartitionFile, file: PartitionFile) -> bool:
    """Whether ids go on from one file to the next, and do not start again."""
    is_soon = file.first_time < before.last_time + ANOTHER_LIFE
    return is_soon and file.last_key > before.last_key
