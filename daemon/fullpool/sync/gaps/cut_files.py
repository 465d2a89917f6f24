"""Counts the rows of files that lie only partly in what is configured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fullpool.cuts import Counts, Cut, CutRows, cuts_of
from fullpool.kinds import KINDS
from fullpool.model import PartitionFile, Series, Span
from fullpool.store.partitions.counts import rows_inside
from fullpool.store.state.writer import State


def counted(
    state: State,
    root: Path,
    files: Mapping[Series, Sequence[PartitionFile]],
    spans: Mapping[Series, Sequence[Span]],
) -> dict[Series, Counts]:
    """Return how many rows of files lie in the *spans* of their series, where that is not all.

    A file never changes: what was counted of it once is on record.
    """
    all_cuts = {series: cuts_of(files[series], own) for series, own in spans.items()}
    cuts: dict[Series, _Cuts] = {series: own for series, own in all_cuts.items() if own}
    if not cuts:
        return {}
    known = state.queries.gaps.counts_of(cuts)
    cuts = {series: _with(own, known[series]) for series, own in cuts.items()}
    new = _counted_now(state, root, cuts)
    return {series: _known(_with(own, new)) for series, own in cuts.items()}


_Cuts = Mapping[Cut, CutRows | None]


def _with(cuts: _Cuts, counts: Counts) -> _Cuts:
    """Return cuts with what is known of those that were to be counted."""
    return {cut: counts.get(cut) if rows is None else rows for cut, rows in cuts.items()}


def _known(cuts: _Cuts) -> Counts:
    """Return cuts without those of files that could not be read."""
    return {cut: rows for cut, rows in cuts.items() if rows is not None}


def _counted_now(state: State, root: Path, cuts: Mapping[Series, _Cuts]) -> Counts:
    """Count the rows that are not known, in all files of one kind and span together."""
    unknown: dict[tuple[str, Span], list[str]] = defaultdict(list)
    for series, own in cuts.items():
        for cut in own.keys() - _known(own).keys():
            unknown[series.kind, cut.span].append(cut.path)
    found: dict[Cut, CutRows] = {}
    for (kind, span), paths in unknown.items():
        counts = rows_inside(state.connection, KINDS[kind], root, paths, span)
        found |= {Cut(path, span): rows for path, rows in counts.items()}
    return found
