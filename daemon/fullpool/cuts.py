"""How many rows are expected, also of files that lie only partly in the configured span. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fullpool.gaps import by_span, missing_ranges
from fullpool.grid import Grid, Places, near_files, rows_before, tail_begins
from fullpool.model import PartitionFile, Span


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """A file of which not all rows are expected, and a span that some or none of them lie in."""

    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class CutRows:
    """How many rows of a file lie in a span, and how many of those are from the API."""

    rows: int
    patched: int


Counts = Mapping[Cut, CutRows]
_NONE: Final = CutRows(0, 0)


@dataclass(frozen=True, slots=True)
class Inside:
    """Tells how many rows of a file lie in a span where rows are expected.

    *bounds* has the span in which those of each of these are counted: as far as the configuration
    goes, for an expected span grows every day. *counts* lacks files that could not be read: all
    their rows are taken to be expected.
    """

    bounds: Mapping[Span, Span] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)

    def rows(self, file: PartitionFile, span: Span) -> int:
        """Return how many rows of a file lie in an expected span."""
        if file.path:
            span = self.bounds.get(span, span)
        if _covers(span, file):
            return file.rows
        if _is_beside(span, file):
            return 0
        if not file.path:  # followed rows are evenly apart
            return rows_before(file, span.end) - rows_before(file, span.start)
        counted = self.counts.get(Cut(file.path, span))
        return file.rows if counted is None else counted.rows


def cuts_of(files: Sequence[PartitionFile], spans: Sequence[Span]) -> dict[Cut, CutRows | None]:
    """Return the files that none of *spans* covers, with each of these; None is to be counted."""
    cuts: dict[Cut, CutRows | None] = {}
    for file in files:
        if file.path and not any(_covers(span, file) for span in spans):
            for span in spans:
                cuts[Cut(file.path, span)] = _NONE if _is_beside(span, file) else None
    return cuts


def expected_rows(
    grid: Grid | None,
    held: Sequence[PartitionFile],
    expected: Sequence[Span],
    inside: Inside,
) -> list[int]:
    """Return how many rows each span should have: of the grid; or ids held and missing."""
    if grid is None:
        parts = zip(by_span(held, expected), expected, strict=True)
        return [_ids_missing(files, span) + _ids_held(held, span, inside) for files, span in parts]
    return [len(grid.places(span)) + _off_grid(grid, held, span, inside) for span in expected]


def _ids_missing(held: Sequence[PartitionFile], span: Span) -> int:
    return sum(len(missing.places) for missing in missing_ranges(None, held, [span]))


def _ids_held(held: Sequence[PartitionFile], span: Span, inside: Inside) -> int:
    """Return how many ids archives have in a span: what is followed is expected with its own."""
    return sum(inside.rows(file, span) for file in held if file.path)


def _off_grid(grid: Grid, held: Sequence[PartitionFile], span: Span, inside: Inside) -> int:
    """Return how many rows a span has, held or missing, beyond those the grid has places for.

    Where bars open half an hour late for some days, the first or the last one is cut short. Where
    a place is a period it has any number of rows.
    """
    rows = 0
    if held:
        beyond = Places(grid.place_of(held[-1].last_time) + 1, tail_begins(grid, held[-1]))
        rows -= len(grid.places(span).meet(beyond))
    for before, after in near_files(grid, held):
        rows -= len(grid.places(span).meet(grid.between(before.last_time, after.first_time)))
    return rows + sum(_beyond_places(grid, file, span, inside) for file in held)


def _beyond_places(grid: Grid, file: PartitionFile, span: Span, inside: Inside) -> int:
    """Return how many rows of a file in a span, held or missing, there are beyond its places.

    Fewer than none where rows are further apart than places.
    """
    wanted, first = grid.places(span), grid.first_place(file.first_time)
    places = Places(first, max(grid.place_of(file.last_time), first) + 1)
    missing = [grid.between(hole.before_time, hole.after_time) for hole in file.holes]
    rows = inside.rows(file, span) + sum(len(hole.meet(wanted)) for hole in missing)
    return rows - len(places.meet(wanted))


def _covers(span: Span, file: PartitionFile) -> bool:
    return span.start <= file.first_time and file.last_time < span.end


def _is_beside(span: Span, file: PartitionFile) -> bool:
    return file.last_time < span.start or file.first_time >= span.end
