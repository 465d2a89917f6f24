"""Finds gaps, where files or expectations changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from fullpool import attempts, following, ladder, logs, stand_ins
from fullpool.cuts import RowsInside, expected_rows
from fullpool.evidence import Index
from fullpool.gaps import (
    Expected,
    Gap,
    GapStatus,
    missing_ranges,
    reconciled,
)
from fullpool.grid import Grid
from fullpool.kinds import grid_of, is_by_period
from fullpool.model import Archive, Known, PartitionFile, Run, Series, Span
from fullpool.planning import Want
from fullpool.store.partitions.build import scan
from fullpool.store.partitions.messages import Scan
from fullpool.store.state.writer import State
from fullpool.sync.gaps.cut_files import counted
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

log = logs.get_logger()

# Of so many series the files are looked at together: what is held of all does not fit into memory.
_AT_A_TIME: Final = 500


class GapFinder:
    """Looks for the gaps of the wanted series. Decides nothing that `gaps` and `ladder` can."""

    def __init__(self, work: Work, state: State, outcome: Outcome, wants: Sequence[Want]) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._wants = {want.series: want for want in wants}
        self._beyond: set[Archive] = set()
        # Rows that are held would count as of the future.
        self._is_behind = state.is_behind(work.now())

    def look(self) -> None:
        """Compare what is held with what should be, where either may have changed."""
        if not self._work.is_ending:
            self._scan()
            if self._is_behind:
                name = "the clock of this machine"
                self._outcome.failed[name] = "it is behind the vendor's: no gap is looked for"
            self.look_again()
            self._outcome.gaps = self._state.queries.gaps.rows_by_state()

    def _scan(self) -> None:
        """Find the holes of files that were written without looking for them."""
        files = self._state.queries.files.unscanned()
        if not files:
            return  # a map without items would start its workers all the same
        memory_mb, root = self._work.config.limits.builder_memory_mb, self._work.tree.root
        orders = (Scan((file,), root, memory_mb) for file in files)
        for done in self._work.build_map(scan, orders, lambda _: 1):
            (file,) = done.item.files
            if done.value is not None:
                self._state.record_scanned(done.value)
            else:
                log.error("partition.failed", partition=file.path, reason=str(done.error))
                self._outcome.failed[file.path] = f"looking for gaps: {done.error}"

    def look_again(self) -> None:
        """Compare what is held with what should be, where either may have changed since."""
        runs = self._state.tails.runs()
        self._compare(self._stale(runs), runs)

    def _stale(self, runs: Mapping[Series, Sequence[Run]]) -> list[Series]:
        """Return the series whose gaps may have changed since they were looked for."""
        if self._is_behind:
            return []
        known, now = self._state.queries.gaps.expected(), self._work.now()
        unread = {file.partition.series for file in self._state.queries.files.unscanned()}
        stale = []
        for series, want in self._wants.items():
            until = following.begun(runs.get(series, ()))
            expected = [(p.start, p.end, _until(want, p, now, until)) for p in want.parts]
            if series not in unread and known.get(series) != expected:
                stale.append(series)
        return stale

    def _compare(self, series: Sequence[Series], runs: Mapping[Series, Sequence[Run]]) -> None:
        """Compare what is held of *series* with what should be, and record the gaps."""
        if not series:
            return
        delays = self._state.queries.gaps.delays(self._work.now())
        rest = iter(series)
        while some := list(islice(rest, _AT_A_TIME)):
            self._compare_some(some, delays, runs)
        self._outcome.is_dirty = True

    def _compare_some(
        self, series: Sequence[Series], delays: ladder.Delays, runs: Mapping[Series, Sequence[Run]]
    ) -> None:
        queries, now = self._state.queries, self._work.now()
        files, known = queries.files.of(series), queries.gaps.of(series)
        ends = queries.ends_of(series)
        archives = queries.known_of([one for one in series if is_by_period(one)])
        looks: list[_Expectation] = []
        found: dict[Series, list[Gap]] = {}
        new: dict[Series, list[Gap]] = {}
        for one_series in series:
            held, own = files[one_series], runs.get(one_series, ())
            look = _expectation(self._wants[one_series], held, own, ends[one_series], now)
            looks.append(look)
            there = ladder.places_there(look.grid, archives[one_series])
            missing = missing_ranges(look.grid, look.held, look.spans, there)
            told = reconciled(one_series, look.grid, missing, known[one_series], now)
            new |= {one_series: told.new} if told.new else {}
            found[one_series] = told.gaps
            if not own:
                had = last_had(ends[one_series])
                found[one_series] = ladder.on_their_way(told.gaps, look.grid, delays, had, now)
        self._look_beyond(files, ends)
        report(known, found)
        self._state.gaps.record(found, now)
        self._record_expected(files, looks, now)
        self._doubt(new)
        self._forget_evidence(found)

    def _record_expected(
        self,
        files: Mapping[Series, Sequence[PartitionFile]],
        looks: Sequence["_Expectation"],
        now: datetime,
    ) -> None:
        spans = {look.want.series: list(look.bounds.values()) for look in looks}
        counts, unread = counted(self._state, self._work.tree.root, files, spans)
        expected: list[Expected] = []
        for look in looks:
            inside = RowsInside(look.bounds, counts.get(look.want.series, {}))
            rows = expected_rows(look.grid, look.held, look.spans, inside)
            of_spans = dict(zip(look.spans, rows, strict=True))
            for part in look.want.parts:
                until = _until(look.want, part, now, look.followed)
                expected.append(_expected(look.want, part, of_spans, until))
        self._state.gaps.record_expected(expected, counts)
        self._state.gaps.doubt(unread)  # as soon as its file can be read, it is counted

    def take_beyond(self) -> set[Archive]:
        """Return the archives that were found to be asked for beyond the ends of series, once."""
        found, self._beyond = self._beyond, set()
        return found

    def _look_beyond(
        self, files: Mapping[Series, list[PartitionFile]], ends: Mapping[Series, list[Known]]
    ) -> None:
        """Have the days asked for that the first and the last month of a series may lack."""
        short = {series: stand_ins.short_months(files[series], ends[series]) for series in files}
        months = [month for own in short.values() for month in own]
        known = self._state.queries.days_in(months) if months else {}
        days: list[Known] = []
        for month in months:
            series = month.series
            days += stand_ins.days_beyond(month, files[series], known[series], self._wants[series])
        self._beyond |= {day.archive for day in days}
        self._state.record_listings([], days, self._work.now())

    def _doubt(self, new: Mapping[Series, Sequence[Gap]]) -> None:
        """Have the archives beside new gaps looked at again: they may have the rows by now."""
        if not new:
            return
        now, known = self._work.now(), self._state.queries.known_of(new)
        doubted = stand_ins.archives_beside((gap for own in new.values() for gap in own), known)
        self._state.record_looks([attempts.look_again(one, now) for one in doubted])

    def _forget_evidence(self, found: dict[Series, list[Gap]]) -> None:
        """Forget evidence on what is no gap any more."""
        known = self._state.queries.gaps.evidence_of(found)
        if known:
            self._state.gaps.record_evidence(
                {series: Index(own).of_any(found[series]) for series, own in known.items()}
            )


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What is held of one series, and where rows are expected.

    *bounds* has those spans, whose ends move every day, and the same up to the configured end.
    """

    want: Want
    grid: Grid | None
    held: list[PartitionFile]
    spans: list[Span]
    bounds: dict[Span, Span]
    followed: datetime | None


def _expectation(
    want: Want,
    files: list[PartitionFile],
    runs: Sequence[Run],
    ends: Sequence[Known],
    now: datetime,
) -> _Expectation:
    grid, followed = following.grid_with(want.series, files, runs), following.begun(runs)
    held = _with_followed(want.series, grid, files, runs) if runs else files
    until = ladder.expected_until(want, grid, now, followed)
    spans = ladder.expected_spans(want, held, ends, until)
    bounds: dict[Span, Span] = {}
    for span in spans:
        part = next(part for part in want.parts if part.covers(span))
        bounds[span] = Span(span.start, part.end)
    return _Expectation(want, grid, held, spans, bounds, followed)


def _with_followed(
    series: Series, grid: Grid | None, held: list[PartitionFile], runs: Sequence[Run]
) -> list[PartitionFile]:
    """Return the files of a series and what is followed beyond them, in the order of time."""
    own = following.files_of(series, following.beyond(grid, runs, held))
    return sorted([*held, *own], key=lambda file: file.first_time)


def report(before: dict[Series, list[Gap]], after: dict[Series, list[Gap]]) -> None:
    """Log what is new of the gaps."""
    old = {(gap.series, gap.places.first): gap for own in before.values() for gap in own}
    for gap in (gap for own in after.values() for gap in own):
        earlier = old.get((gap.series, gap.places.first))
        if earlier is not None and (earlier.status, earlier.reason) == (gap.status, gap.reason):
            continue
        fields = {"series": str(gap.series), "span": str(gap.span), "rows": len(gap.places)}
        if gap.status is GapStatus.EXPLAINED:
            explanation = str(gap.explanation)
            log.info("gap.explained", **fields, explanation=explanation, reason=gap.reason)
        elif gap.reason:
            log.warning("gap.failed", **fields, reason=gap.reason)
        else:
            log.info("gap.found", **fields)


def last_had(archives: Iterable[Known]) -> datetime | None:
    """Return the end of the last archive that is in the lake."""
    ends = (k.archive.period.span.end for k in archives if k.is_held)
    return max(ends, default=None)


def _until(want: Want, part: Span, now: datetime, followed: datetime | None) -> datetime:
    """Return the end of what a series should have by *now*, as far as its rows need not tell."""
    until = ladder.expected_until(want, grid_of(want.series, ()), now, followed)
    return max(part.start, min(part.end, until))


def _expected(want: Want, part: Span, rows: dict[Span, int], until: datetime) -> Expected:
    span = next((each for each in rows if part.covers(each)), Span(until, until))
    return Expected(want.series, part, Span(min(span.start, until), until), rows.get(span, 0))
