"""The rows of the lake on both sides of a gap. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from fullpool.gaps import Gap
from fullpool.grid import holes_of
from fullpool.model import PartitionFile


class Neighbours:
    """The rows of the lake on both sides of the gaps of one series."""

    def __init__(self, held: Sequence[PartitionFile]) -> None:
        pairs = [(hole.before_time, hole.after_time) for hole in holes_of(held)]
        ends = (held[0].first_time, held[-1].last_time) if held else (None, None)
        self._before = [before for before, _ in pairs] + [one for one in ends[1:] if one]
        self._after = [after for _, after in pairs]
        self._first = ends[0]

    def of(self, gap: Gap) -> tuple[datetime | None, datetime | None]:
        """Return when the bars before and after a gap are; None where there is none."""
        at = bisect_left(self._before, gap.span.start) - 1
        if at < 0:
            return None, self._first
        return self._before[at], self._after[at] if at < len(self._after) else None
