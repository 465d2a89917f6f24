"""The last rungs of the ladder: gaps found, asked for at the API, patched or explained."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from fullpool import attempts, ladder, logs, stand_ins
from fullpool.errors import NoSymbolError, RestRefusedError
from fullpool.evidence import Evidence, renewed
from fullpool.gaps import (
    Expected,
    Explanation,
    Gap,
    GapStatus,
    Neighbours,
    absences,
    expected_rows,
    reconciled,
)
from fullpool.grid import Grid, Places, grid_of
from fullpool.ladder import Heard, Shape
from fullpool.model import Archive, Interval, Known, Market, Series, Span
from fullpool.planning import Want
from fullpool.rest import Client, address, is_too_old
from fullpool.store.build import scan
from fullpool.store.orders import Scan
from fullpool.store.state import State
from fullpool.sync.disk import require_room
from fullpool.sync.mending import Mending
from fullpool.sync.outcome import Outcome
from fullpool.sync.publishing import Publisher
from fullpool.sync.talks import Asking, Talk
from fullpool.sync.work import Work

log = logs.get_logger()

# A pass looks at its gaps this many times at most: daily archives, a few symbols, all the others.
_MOST_TURNS: Final = 100


class Patching:
    """Brings the gaps of the wanted series down the ladder. Decides nothing that `ladder` can."""

    def __init__(
        self, work: Work, state: State, outcome: Outcome, wants: Sequence[Want],
        fetch: Callable[[Collection[Archive]], None],
    ) -> None:  # fmt: skip
        """*fetch* runs what is due of some archives, of all if it is given none."""
        self._work = work
        self._state = state
        self._outcome = outcome
        self._wants = {want.series: want for want in wants}
        self._fetch = fetch
        self._patched: set[Shape] = set()
        self._asked: set[tuple[Series, Places]] = set()
        self._grids: dict[Series, Grid | None] = {}
        self._asking = Asking(work, work.rest) if work.rest else None
        self._publisher = Publisher(work, state, outcome)

    def run(self) -> None:
        """Look for gaps and do what can be done about them, unless the work is to end."""
        self.look()
        self._welcome_back()
        for _ in range(_MOST_TURNS):
            lost = self._outcome.lost
            if self._work.is_ending or not self._turn():
                break
            if self._outcome.lost > lost:  # what damaged files held is due again
                self._fetch(())
                self._look_again(self._stale())
            self._publish_if_due()
        self._outcome.gaps = self._state.memory.gap_rows()
        if self._asking is not None and self._asking.requests_left <= 0:
            now, reason = self._work.now(), "this pass may make no more requests"
            for gap in (gap for gap in self._wanted() if gap.is_due(now)):
                name = str(gap)
                self._outcome.open_gaps.setdefault(name, f"{reason} (rest.requests_per_pass)")

    def look(self) -> None:
        """Compare what is held with what should be, where either may have changed."""
        if not self._work.is_ending:
            self._scan()
            self._look_again(self._stale())
            self._outcome.gaps = self._state.memory.gap_rows()

    def _scan(self) -> None:
        """Find the holes of files that were written without looking for them."""
        files = self._state.memory.unscanned()
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

    def _welcome_back(self) -> None:
        """Ask again what a host refused that is another by now, or whose time is over."""
        client = self._work.rest
        if client is not None:
            self._state.reopen_refused([m for m in Market if client.blocked(m) is None])

    def _stale(self) -> list[Series]:
        """Return the series whose gaps may have changed since they were looked for."""
        known, now = self._state.memory.expected(), self._work.now()
        unread = {file.partition.series for file in self._state.memory.unscanned()}
        return [
            series
            for series, want in self._wants.items()
            if series not in unread
            and known.get(series)
            != [(one.start, one.end, _until(want, one, now)) for one in want.parts]
        ]

    def _publish_if_due(self) -> None:
        if self._publisher.is_due():
            self._publisher.publish(self._state.next_value("generation"))

    def _look_again(self, series: Sequence[Series]) -> None:
        """Compare what is held of *series* with what should be, and record the gaps."""
        if not series:
            return
        memory, now = self._state.memory, self._work.now()
        files, known, delays = memory.files_of(series), memory.gaps_of(series), memory.delays(now)
        archives = memory.known_of(series)
        expected: list[Expected] = []
        found: dict[Series, list[Gap]] = {}
        for one_series in series:
            want, held = self._wants[one_series], files[one_series]
            grid = grid_of(one_series, held)
            spans = ladder.expected_spans(want, held, archives[one_series], grid, now)
            missing = absences(grid, held, spans)
            gaps = reconciled(one_series, grid, missing, known[one_series], now)
            had = _last_had(archives[one_series])
            found[one_series] = ladder.unpublished(gaps, grid, delays, had, now)
            rows = dict(zip(spans, expected_rows(grid, held, spans), strict=True))
            expected += [_expected(want, part, rows, now) for part in want.parts]
        self._report(known, found)
        self._state.record_gaps(found)
        self._state.record_expected(expected)
        self._look_into(found, archives, now)
        self._outcome.is_dirty = True

    def _look_into(
        self, found: dict[Series, list[Gap]], archives: dict[Series, list[Known]], now: datetime
    ) -> None:
        """Have the archives looked at again that lack rows which were just found missing."""
        new = [gap for own in found.values() for gap in own if gap.found_at == now]
        lacking = stand_ins.archives_beside(new, archives)
        self._state.record_looks([attempts.look_again(known, now) for known in lacking])

    def _turn(self) -> bool:
        """Do the next thing for every gap that is due; return whether anything was."""
        now = self._work.now()
        gaps = self._on_their_way(self._wanted())
        fresh = [gap for gap in gaps if not (gap.is_due(now) and self._was_asked(gap))]
        chosen = ladder.choose(fresh, self._patched, now)
        self._replace(chosen.shared, chosen.shared)
        if self._fetch_archives(chosen.to_ask):
            return True
        to_ask = self._not_blocked(chosen.to_ask, fresh)
        return self._ask(to_ask) if to_ask else bool(chosen.shared)

    def _on_their_way(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Record which of the gaps still wait for their archive, and which do so no more."""
        memory, now = self._state.memory, self._work.now()
        waiting = [g for g in gaps if g.explanation is Explanation.NOT_PUBLISHED and g.is_due(now)]
        if not waiting:
            return list(gaps)
        delays, archives = memory.delays(now), memory.known_of({gap.series for gap in waiting})
        after = [
            part
            for gap in waiting
            for part in ladder.unpublished(
                [gap], self._grid(gap.series), delays, _last_had(archives[gap.series]), now
            )
        ]
        self._replace(waiting, after)
        return [*_without(gaps, waiting), *after]

    def _not_blocked(self, gaps: Sequence[Gap], alike: Sequence[Gap]) -> list[Gap]:
        """Return the gaps whose host may be asked; put the others off, or explain them.

        *alike* are all that are due, and those just like one.
        """
        client, now = self._work.rest, self._work.now()
        if client is None:
            return list(gaps)
        errors = {market: client.blocked(market) for market in Market}
        put_off = [g for g in alike if g.is_due(now) and errors[g.series.market] is not None]
        after = [
            ladder.blocked(g, error, now) for g in put_off if (error := errors[g.series.market])
        ]
        self._replace(put_off, after)
        return _without(gaps, put_off)

    def _was_asked(self, gap: Gap) -> bool:
        """Whether this pass asked for just that before: what it is still due for is no use."""
        return (gap.series, gap.places) in self._asked

    def _wanted(self) -> list[Gap]:
        """Return the gaps of wanted series that are due, and those just like one."""
        found = self._state.memory.due_gaps(self._work.now())
        return [gap for gap in found if gap.series in self._wants]

    def _grid(self, series: Series) -> Grid | None:
        if series not in self._grids:
            is_told_by_rows = series.interval is Interval.D3
            held = self._state.memory.files_of([series])[series] if is_told_by_rows else ()
            self._grids[series] = grid_of(series, held)
        return self._grids[series]

    def _replace(self, old: Sequence[Gap], new: Sequence[Gap]) -> None:
        """Record what became of some gaps; the other gaps of their series stay."""
        if not old and not new:
            return
        known = self._state.memory.gaps_of({gap.series for gap in old})
        gone: dict[Series, list[Gap]] = defaultdict(list)
        for gap in old:
            gone[gap.series].append(gap)
        found = {series: _without(own, gone[series]) for series, own in known.items()}
        for gap in new:
            found.setdefault(gap.series, []).append(gap)
        self._report(known, found)
        self._state.record_gaps(found)
        self._outcome.is_dirty = True

    def _fetch_archives(self, gaps: Sequence[Gap]) -> bool:
        """Fetch archives that may have what others lack; return whether there are any."""
        now, known = self._work.now(), self._state.memory.known_of({gap.series for gap in gaps})
        archives = stand_ins.archives_of(gaps, known, now)
        if not archives:
            return False
        self._state.record_listings([], archives, now)
        self._fetch({known.archive for known in archives})
        self._look_again(self._stale())
        return True

    def _ask(self, gaps: Sequence[Gap]) -> bool:
        """Ask the API for gaps and build in what it has; return whether it was asked at all."""
        client, asking, now = self._work.rest, self._asking, self._work.now()
        old = [gap for gap in gaps if is_too_old(gap.series, gap.span.end, now)]
        self._replace(old, [ladder.too_old(gap, now) for gap in old])
        left = _without(gaps, old)
        if client is None or asking is None or not left or asking.requests_left <= 0:
            return bool(old)
        require_room(self._work)
        talks = self._talks(asking, left, now)
        young = [talk.gap for talk in asking.never_listed(talks)]
        self._replace(young, [ladder.unlisted(g, address(client, g.series), now) for g in young])
        gone = {id(gap) for gap in young}
        self._publish_if_due()
        talks = asking.ask([talk for talk in talks if id(talk.gap) not in gone])
        self._record_bans(client)
        self._record(client, talks)
        return True

    def _talks(self, asking: Asking, gaps: Sequence[Gap], now: datetime) -> list[Talk]:
        """Return the gaps with what is held beside them and what was asked of them before."""
        series = {gap.series for gap in gaps}
        files, evidence = self._state.memory.files_of(series), self._evidence_of(series)
        beside = {one: Neighbours(files[one]) for one in series}
        return [
            asking.about(
                ladder.begun(gap, evidence[gap.series], now),
                self._grid(gap.series),
                beside[gap.series],
                evidence[gap.series],
            )
            for gap in gaps
        ]

    def _evidence_of(self, series: Iterable[Series]) -> dict[Series, list[Evidence]]:
        return self._state.memory.evidence_of(series)

    def _record(self, client: Client, talks: Sequence[Talk]) -> None:
        """Build the rows in, then record what is left of every gap, and why."""
        now = self._work.now()
        left: list[Gap] = []
        evidence = self._renewed(talks, now)
        Mending(self._work, self._state, self._outcome, client).build(talks)
        if self._work.stop.is_set():  # what was cut off counts as not asked
            talks = [talk for talk in talks if talk.error is None]
        self._outcome.requests = client.requests
        for talk in talks:
            heard = Heard(
                gap=talk.gap,
                evidence=evidence[talk.gap.series],
                found=sorted(talk.places),
                url=address(client, talk.gap.series),
                requests=len(talk.windows),
                at=now,
                error=talk.error,
                is_head=talk.is_head,
                is_tail=talk.is_tail,
                existed_before=talk.existed_before,
                is_trading=talk.is_trading,
            )
            rest = ladder.remaining(heard, talk.grid)
            left += rest
            if not talk.windows or talk.error or not any(gap.is_due(now) for gap in rest):
                self._asked.add((talk.gap.series, talk.gap.places))
            self._note_failure(talk)
            if talk.rows:
                self._patched.add(ladder.shape_of(talk.gap))
        self._replace([talk.gap for talk in talks], left)
        self._look_again(self._stale())

    def _renewed(self, talks: Sequence[Talk], now: datetime) -> dict[Series, list[Evidence]]:
        """Record what the answers show to be missing; return all that is known of these series."""
        new: dict[Series, list[Evidence]] = defaultdict(list)
        for talk in talks:
            new[talk.gap.series] += talk.evidence(now)
        known = self._evidence_of(new)
        evidence = {series: renewed(known[series], own) for series, own in new.items()}
        self._state.record_evidence(evidence)
        return evidence

    def _note_failure(self, talk: Talk) -> None:
        """Take note of what the network or the host kept from us; what they refuse is explained."""
        name = str(talk.gap)
        self._outcome.open_gaps.pop(name, None)
        if talk.error is not None and not isinstance(talk.error, RestRefusedError | NoSymbolError):
            self._outcome.open_gaps[name] = str(talk.error)

    def _report(self, before: dict[Series, list[Gap]], after: dict[Series, list[Gap]]) -> None:
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

    def _record_bans(self, client: Client) -> None:
        """Keep what hosts asked for, at once: the process may end at any time."""
        bans = [ban for ban in client.bans if ban.status]
        if bans != self._state.memory.bans():
            self._state.record_bans(bans)


def _last_had(archives: Iterable[Known]) -> datetime | None:
    """Return the end of the last archive that is in the lake."""
    ends = (k.archive.period.span.end for k in archives if k.is_held)
    return max(ends, default=None)


def _until(want: Want, part: Span, now: datetime) -> datetime:
    """Return the end of what a series should have by *now*, as far as its rows need not tell."""
    until = ladder.expected_until(want, grid_of(want.series, ()), now)
    return max(part.start, min(part.end, until))


def _expected(want: Want, part: Span, rows: dict[Span, int], now: datetime) -> Expected:
    until = _until(want, part, now)
    span = next((one for one in rows if part.covers(one)), Span(until, until))
    return Expected(want.series, part, Span(min(span.start, until), until), rows.get(span, 0))


def _without(gaps: Iterable[Gap], others: Iterable[Gap]) -> list[Gap]:
    """Return the gaps that are of no series and place of *others*."""
    taken = {(gap.series, gap.places) for gap in others}
    return [gap for gap in gaps if (gap.series, gap.places) not in taken]
