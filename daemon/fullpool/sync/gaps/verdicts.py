"""Explains gaps that no source can fill any more, without asking one."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from fullpool import unfillable
from fullpool.gaps import Gap
from fullpool.grid import Grid
from fullpool.kinds import is_counted
from fullpool.model import Series
from fullpool.rest import kept_for
from fullpool.store.state.writer import State
from fullpool.sync.gaps.records import GapRecords
from fullpool.sync.work import Work


class Verdicts:
    """Writes down what is known of gaps as it is: that the API lacks their kind, or forgot them."""

    def __init__(self, work: Work, state: State, records: GapRecords) -> None:
        self._work = work
        self._state = state
        self._records = records

    def without_api(self, gaps: Sequence[Gap]) -> bool:
        """Explain what no archive fills of kinds that the API lacks; return whether any was."""
        if not gaps:
            return False
        now, after = self._work.now(), []
        known = self._state.queries.known_of({gap.series for gap in gaps})
        for gap, is_head in self._with_heads(gaps):
            if unfillable.is_awaited(gap, known[gap.series]):
                after.append(unfillable.awaited(gap, now))
                continue
            told = unfillable.without_api(gap, now, is_head=is_head)
            after.append(self._records.doubted(gap, told, now))
        self._records.replace(gaps, after)
        return True

    def split_by_age(
        self, gaps: Sequence[Gap], grid_of: Callable[[Series], Grid | None]
    ) -> list[Gap]:
        """Cut gaps that began before what the API keeps: the rest can be had."""
        found: list[Gap] = []
        now = self._work.now()
        for gap in gaps:
            kept = kept_for(gap.series)
            parts = unfillable.split_by_age(gap, grid_of(gap.series), kept, now) if kept else [gap]
            if len(parts) > 1:
                self._records.replace([gap], parts)
            found += parts
        return found

    def too_old(self, gaps: Sequence[Gap]) -> None:
        """Explain what no archive fills and the API has forgotten."""
        if not gaps:
            return
        now, after = self._work.now(), []
        for gap, is_head in self._with_heads(gaps):
            told = unfillable.too_old(
                gap, kept_for(gap.series) or timedelta(), now, is_head=is_head
            )
            after.append(self._records.doubted(gap, told, now))
        self._records.replace(gaps, after)

    def not_asked(self, gaps: Sequence[Gap]) -> None:
        """Record that the API is not to be asked for gaps that no archive fills."""
        after = {gap: unfillable.not_asked(gap) for gap in gaps}
        news = [gap for gap, told in after.items() if told != gap]
        self._records.replace(news, [after[gap] for gap in news])

    def _with_heads(self, gaps: Sequence[Gap]) -> Iterator[tuple[Gap, bool]]:
        """Yield gaps, and whether they are before the first archive of their series."""
        queries, series = self._state.queries, {gap.series for gap in gaps}
        files, ends = queries.files.of(series), queries.ends_of(series)
        for gap in gaps:
            rows = [file.first_time for file in files[gap.series][:1]]
            archives = [one.archive.period.span.start for one in ends[gap.series] if one.is_held]
            is_before_all = bool(rows) and gap.span.end <= min([*rows, *archives])
            yield gap, is_before_all and not is_counted(gap.series)
