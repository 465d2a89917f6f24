"""The last rungs of the ladder: gaps found, asked for at the API, patched or explained."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from fullpool import ladder, logs, stand_ins
from fullpool.errors import NoSymbolError, RestRefusedError
from fullpool.evidence import Evidence, Index, renewed
from fullpool.gaps import (
    Explanation,
    Gap,
    Neighbours,
)
from fullpool.grid import Grid, Places, grid_of
from fullpool.ladder import Heard, Shape
from fullpool.model import Archive, Fault, Interval, Known, Market, Series
from fullpool.planning import Want
from fullpool.rest import Client, address, is_too_old
from fullpool.store.state.writer import State
from fullpool.sync.disk import require_room
from fullpool.sync.gaps.asker import WINDOWS_A_TURN, Asking, Talk
from fullpool.sync.gaps.finder import Finding, last_had, report
from fullpool.sync.gaps.patch_builds import Mending
from fullpool.sync.outcome import Outcome
from fullpool.sync.publishing import Publisher
from fullpool.sync.work import Work

log = logs.get_logger()

Key = tuple[Series, Places, datetime]

# A pass looks at its gaps this many times at most: daily archives, a few symbols, all the others.
_MOST_TURNS: Final = 100


class Patching:
    """Brings the gaps of the wanted series down the ladder. Decides nothing that `ladder` can."""

    def __init__(
        self, work: Work, state: State, outcome: Outcome, wants: Sequence[Want],
        fetch: Callable[[Collection[Archive]], None],
    ) -> None:  # fmt: skip
        """*fetch* runs what is due of some archives."""
        self._work = work
        self._state = state
        self._outcome = outcome
        self._wants = {want.series: want for want in wants}
        self._fetch = fetch
        self._patched: set[Shape] = set()
        self._asked: set[Key] = set()
        # Of the gaps whose archives were looked for: those that failed.
        self._failing: dict[Key, list[Known]] = {}
        self._grids: dict[Series, Grid | None] = {}
        self._asking = Asking(work, work.rest) if work.rest else None
        self._publisher = Publisher(work, state, outcome)
        self._finding = Finding(work, state, outcome, wants)

    def run(self) -> None:
        """Look for gaps and do what can be done about them, unless the work is to end."""
        self._finding.look()
        self._welcome_back()
        for _ in range(_MOST_TURNS):
            lost = self._outcome.lost
            if self._work.is_ending or not self._turn():
                break
            if self._outcome.lost > lost:  # what damaged files held is due again
                self._fetch_lost()
                self._finding.look_again()
            self._publish_if_due()
        self._outcome.gaps = self._state.memory.gap_rows()
        if self._asking is not None and self._asking.requests_left <= 0:
            now, reason = self._work.now(), "this pass may make no more requests"
            for gap in (gap for gap in self._wanted() if gap.is_due(now)):
                name = str(gap)
                self._outcome.open_gaps.setdefault(name, f"{reason} (rest.requests_per_pass)")

    def _welcome_back(self) -> None:
        """Ask again what a host refused that is another by now, or whose time is over."""
        client = self._work.rest
        if client is not None:
            self._state.reopen_refused([m for m in Market if client.blocked(m) is None])

    def _publish_if_due(self) -> None:
        if self._publisher.is_due():
            self._publisher.publish(self._state.next_value("generation"))

    def _turn(self) -> bool:
        """Do the next thing for every gap that is due; return whether anything was."""
        now = self._work.now()
        gaps = self._on_their_way(self._wanted())
        fresh = [gap for gap in gaps if not (gap.is_due(now) and self._was_asked(gap))]
        chosen = ladder.choose(fresh, self._patched, now)
        self._replace(chosen.shared, chosen.shared)
        if self._fetch_archives([gap for gap in chosen.to_ask if _key(gap) not in self._failing]):
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
                [gap], self._grid(gap.series), delays, last_had(archives[gap.series]), now
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
        return _key(gap) in self._asked

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
        report(known, found)
        self._state.record_gaps(found, self._work.now())
        self._outcome.is_dirty = True

    def _fetch_lost(self) -> None:
        """Fetch again what damaged files held."""
        due = self._state.memory.due(self._work.now())
        lost = (Fault.GONE, Fault.DAMAGED)
        self._fetch({known.archive for known in due if known.fault in lost})

    def _fetch_archives(self, gaps: Sequence[Gap]) -> bool:
        """Fetch archives that may have what others lack; return whether there are any."""
        now, known = self._work.now(), self._state.memory.known_of({gap.series for gap in gaps})
        for gap in gaps:
            self._failing[_key(gap)] = [
                archive for archive in known[gap.series] if stand_ins.is_in_failing(gap, archive)
            ]
        archives = stand_ins.archives_of(gaps, known, self._wants, now)
        if not archives:
            return False
        self._state.record_listings([], archives, now)
        self._fetch({known.archive for known in archives})
        self._finding.look_again()
        return True

    def _ask(self, gaps: Sequence[Gap]) -> bool:
        """Ask the API for gaps and build in what it has; return whether it was asked at all."""
        client, asking, now = self._work.rest, self._asking, self._work.now()
        old = [gap for gap in gaps if is_too_old(gap.series, gap.span.end, now)]
        self._replace(old, [self._doubted(gap, ladder.too_old(gap, now), now) for gap in old])
        left = _without(gaps, old)[:WINDOWS_A_TURN]
        if client is None or asking is None:
            self._tell_not_asked(_without(gaps, old))
            return bool(old)
        if not left or asking.requests_left <= 0:
            return bool(old)
        require_room(self._work)
        talks = self._talks(asking, left, now)
        young = [talk.gap for talk in asking.never_listed(talks)]
        self._replace(
            young,
            [
                self._doubted(g, ladder.unlisted(g, address(client, g.series), now), now)
                for g in young
            ],
        )
        gone = {id(gap) for gap in young}
        self._publish_if_due()
        talks = asking.ask([talk for talk in talks if id(talk.gap) not in gone])
        self._record_bans(client)
        self._record(client, talks)
        return True

    def _tell_not_asked(self, gaps: Sequence[Gap]) -> None:
        after = {gap: ladder.not_asked(gap) for gap in gaps}
        news = [gap for gap, told in after.items() if told != gap]
        self._replace(news, [after[gap] for gap in news])

    def _talks(self, asking: Asking, gaps: Sequence[Gap], now: datetime) -> list[Talk]:
        """Return the gaps with what is held beside them and what was asked of them before."""
        series = {gap.series for gap in gaps}
        files, known = self._state.memory.files_of(series), self._state.memory.evidence_of(series)
        indexes = {one: Index(known[one]) for one in series}
        evidence = {_key(gap): indexes[gap.series].of(gap) for gap in gaps}
        beside = {one: Neighbours(files[one]) for one in series}
        return [
            asking.about(
                ladder.begun(gap, evidence[_key(gap)], now),
                self._grid(gap.series),
                beside[gap.series],
                evidence[_key(gap)],
            )
            for gap in gaps
        ]

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
                evidence=evidence[talk.gap.series].of(talk.gap),
                found=sorted(talk.places),
                url=address(client, talk.gap.series),
                requests=len(talk.windows),
                at=now,
                error=talk.error,
                is_head=talk.is_head,
                is_tail=talk.is_tail,
                existed_before=talk.existed_before,
                existed_after=talk.existed_after,
                is_trading=talk.is_trading,
            )
            parts = ladder.remaining(heard, talk.grid)
            rest = [self._doubted(talk.gap, part, now) for part in parts]
            left += rest
            if not talk.windows or talk.error or not any(gap.is_due(now) for gap in rest):
                self._asked.add(_key(talk.gap))
            self._note_failure(talk)
            if talk.rows:
                self._patched.add(ladder.shape_of(talk.gap))
        self._replace([talk.gap for talk in talks], left)
        self._finding.look_again()

    def _renewed(self, talks: Sequence[Talk], now: datetime) -> dict[Series, Index]:
        """Record what the answers show to be missing; return all that is known of these series."""
        new: dict[Series, list[Evidence]] = defaultdict(list)
        for talk in talks:
            new[talk.gap.series] += talk.evidence(now)
        known = self._state.memory.evidence_of(new)
        evidence = {series: renewed(known[series], own) for series, own in new.items()}
        self._state.record_evidence(evidence)
        return {series: Index(own) for series, own in evidence.items()}

    def _doubted(self, gap: Gap, left: Gap, now: datetime) -> Gap:
        """Return what is left of a gap: without an explanation, if an archive of it failed."""
        archive = stand_ins.failing(left, self._failing.get(_key(gap), ()))
        if archive is None or left.explanation is None:
            return left
        return ladder.held_up(left, archive, gap.attempts + 1, now)

    def _note_failure(self, talk: Talk) -> None:
        """Take note of what the network or the host kept from us; what they refuse is explained."""
        name = str(talk.gap)
        self._outcome.open_gaps.pop(name, None)
        if talk.error is not None and not isinstance(talk.error, RestRefusedError | NoSymbolError):
            self._outcome.open_gaps[name] = str(talk.error)

    def _record_bans(self, client: Client) -> None:
        """Keep what hosts asked for, at once: the process may end at any time."""
        bans = [ban for ban in client.bans if ban.status]
        if bans != self._state.memory.bans():
            self._state.record_bans(bans)


def _without(gaps: Iterable[Gap], others: Iterable[Gap]) -> list[Gap]:
    """Return the gaps that are of no series and place of *others*."""
    taken = {_key(gap) for gap in others}
    return [gap for gap in gaps if _key(gap) not in taken]


def _key(gap: Gap) -> Key:
    """Return what tells one gap from others: ids may begin anew."""
    return gap.series, gap.places, gap.span.start
