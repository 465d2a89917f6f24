"""Counts the rows of files that lie only partly in what is configured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fullpool import logs
from fullpool.cuts import Counts, Cut, CutRows, cuts_of
from fullpool.kinds import KINDS
from fullpool.model import PartitionFile, Series, Span
from fullpool.store.partitions.counts import count_inside
from fullpool.store.state.writer import State

log = logs.get_logger()


def counted(
    state: State,
    root: Path,
    files: Mapping[Series, Sequence[PartitionFile]],
    spans: Mapping[Series, Sequence[Span]],
) -> tuple[dict[Series, Counts], list[Series]]:
    """Return how many rows of files lie in the *spans* of their series, where that is not all.

    And the series that have a file which cannot be read. A file never changes: what was counted of
    it once is on record.
    """
    cuts = {series: cuts_of(files[series], own) for series, own in spans.items()}
    cuts = {series: own for series, own in cuts.items() if own}
    if not cuts:
        return {}, []
    known = state.queries.gaps.counts_of(cuts)
    new = _counted_now(state, root, _unknown(cuts, known))
    found = {series: _of(own, {**known[series], **new}) for series, own in cuts.items()}
    return found, [series for series, own in cuts.items() if len(found[series]) < len(own)]


def _unknown(
    cuts: Mapping[Series, Sequence[Cut]], known: Mapping[Series, Counts]
) -> dict[tuple[str, Span], list[str]]:
    """Return the files that are to be counted, by kind and span."""
    unknown: dict[tuple[str, Span], list[str]] = defaultdict(list)
    for series, own in cuts.items():
        for cut in own:
            if cut not in known[series]:
                unknown[series.kind, cut.span].append(cut.path)
    return unknown


def _counted_now(
    state: State, root: Path, unknown: Mapping[tuple[str, Span], Sequence[str]]
) -> dict[Cut, CutRows]:
    """Count the rows in all files of one kind and span together."""
    found: dict[Cut, CutRows] = {}
    for (kind, span), paths in unknown.items():
        counts = count_inside(state.connection, KINDS[kind], root, paths, span)
        found |= {Cut(path, span): rows for path, rows in counts.items()}
        for path in set(paths) - counts.keys():
            log.error("partition.failed", partition=path, reason="its rows cannot be counted")
    return found


def _of(cuts: Sequence[Cut], counts: Counts) -> Counts:
    """Return the counts of cuts, without those of files that could not be read."""
    return {cut: counts[cut] for cut in cuts if cut in counts}
