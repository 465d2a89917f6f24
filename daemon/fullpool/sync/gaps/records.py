"""Records what became of gaps."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fullpool import ladder, stand_ins
from fullpool.gaps import Gap
from fullpool.grid import Places
from fullpool.model import Known, Series
from fullpool.store.state.writer import State
from fullpool.sync.gaps.finder import report
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

Key = tuple[Series, Places, datetime]


class GapRecords:
    """Writes down what became of gaps.

    *failing*: of the gaps whose archives were looked for, the archives that failed.
    """

    def __init__(self, work: Work, state: State, outcome: Outcome) -> None:
        self.failing: dict[Key, list[Known]] = {}
        self._work = work
        self._state = state
        self._outcome = outcome

    def look_for_failing(self, gaps: Sequence[Gap], known: Mapping[Series, list[Known]]) -> None:
        """Record the archives that rows of *gaps* are in and that failed."""
        for gap in gaps:
            self.failing[key_of(gap)] = [
                archive for archive in known[gap.series] if stand_ins.is_in_failing(gap, archive)
            ]

    def replace(self, old: Sequence[Gap], new: Sequence[Gap]) -> None:
        """Record what became of some gaps; the other gaps of their series stay."""
        if not old and not new:
            return
        known = self._state.queries.gaps.of({gap.series for gap in old})
        gone: dict[Series, list[Gap]] = defaultdict(list)
        for gap in old:
            gone[gap.series].append(gap)
        found = {series: without(own, gone[series]) for series, own in known.items()}
        for gap in new:
            found.setdefault(gap.series, []).append(gap)
        report(known, found)
        self._state.gaps.record(found, self._work.now())
        self._outcome.is_dirty = True

    def doubted(self, gap: Gap, left: Gap, now: datetime) -> Gap:
        """Return what is left of a gap: without an explanation, if an archive of it failed."""
        archive = stand_ins.failing(left, self.failing.get(key_of(gap), ()))
        if archive is None or left.explanation is None:
            return left
        return ladder.held_up(left, archive, gap.attempts + 1, now)


def without(gaps: Iterable[Gap], others: Iterable[Gap]) -> list[Gap]:
    """Return the gaps that are of no series and place of *others*."""
    taken = {key_of(gap) for gap in others}
    return [gap for gap in gaps if key_of(gap) not in taken]


def key_of(gap: Gap) -> Key:
    """Return what tells one gap from others: ids may start again."""
    return gap.series, gap.places, gap.span.start
