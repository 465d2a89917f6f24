"""How many rows are expected, also of files that lie only partly in the configured span. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fullpool.gaps import by_span, missing_ranges
from fullpool.grid import Grid, Places, near_files, rows_before, tail_begins
from fullpool.model import PartitionFile, Span


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """A file that lies only partly in the spans where rows are expected, and one of these."""

    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class CutRows:
    """How many rows of a file lie in a span, and how many of those are from the API."""

    rows: int
    patched: int


Counts = Mapping[Cut, CutRows]


@dataclass(frozen=True, slots=True)
class RowsInside:
    """Tells how many rows of a file lie in a span where rows are expected.

    *bounds* has the expected spans, whose ends move every day, and the same up to the configured
    end: counts are kept by those. Of files that *counts* lacks, which could not be read, all rows
    are counted.
    """

    bounds: Mapping[Span, Span] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)

    def rows(self, file: PartitionFile, span: Span) -> int:
        """Return how many rows of a file lie in an expected span."""
        if file.path:
            span = self.bounds.get(span, span)
        if _contains(span, file):
            return file.rows
        if _is_beside(span, file):
            return 0
        if not file.path:  # followed rows are evenly apart
            return rows_before(file, span.end) - rows_before(file, span.start)
        counted = self.counts.get(Cut(file.path, span))
        return file.rows if counted is None else counted.rows


def cuts_of(files: Sequence[PartitionFile], spans: Sequence[Span]) -> list[Cut]:
    """Return the files that lie only partly in *spans*, with each of these that has a part."""
    cuts: list[Cut] = []
    for file in files:
        if file.path and not any(_contains(span, file) for span in spans):
            cuts += [Cut(file.path, span) for span in spans if not _is_beside(span, file)]
    return cuts


def expected_rows(
    grid: Grid | None,
    held: Sequence[PartitionFile],
    expected: Sequence[Span],
    inside: RowsInside,
) -> list[int]:
    """Return how many rows each span should have: of the grid; or ids held and missing."""
    if grid is None:
        parts = zip(by_span(held, expected), expected, strict=True)
        return [_missing_ids(files, span) + _held_ids(held, span, inside) for files, span in parts]
    return [len(grid.places(span)) + _off_grid(grid, held, span, inside) for span in expected]


def _missing_ids(held: Sequence[PartitionFile], span: Span) -> int:
    return sum(len(missing.places) for missing in missing_ranges(None, held, [span]))


def _held_ids(held: Sequence[PartitionFile], span: Span, inside: RowsInside) -> int:
    """Return how many ids archives have in a span: what is followed is expected with its own."""
    return sum(inside.rows(file, span) for file in held if file.path)


def _off_grid(grid: Grid, held: Sequence[PartitionFile], span: Span, inside: RowsInside) -> int:
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


def _beyond_places(grid: Grid, file: PartitionFile, span: Span, inside: RowsInside) -> int:
    """Return how many rows of a file in a span, held or missing, there are beyond its places.

    Fewer than none where rows are further apart than places.
    """
    wanted, first = grid.places(span), grid.first_place(file.first_time)
    places = Places(first, max(grid.place_of(file.last_time), first) + 1)
    missing = [grid.between(hole.before_time, hole.after_time) for hole in file.holes]
    rows = inside.rows(file, span) + sum(len(hole.meet(wanted)) for hole in missing)
    return rows - len(places.meet(wanted))


def _contains(span: Span, file: PartitionFile) -> bool:
    return span.start <= file.first_time and file.last_time < span.end


def _is_beside(span: Span, file: PartitionFile) -> bool:
    return file.last_time < span.start or file.first_time >= span.end
