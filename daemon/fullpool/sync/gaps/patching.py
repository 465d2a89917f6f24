"""Works off the gaps that are due: archives first, then the API, then an explanation."""

from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from fullpool import choosing, following, ladder, logs, stand_ins
from fullpool.choosing import Shape
from fullpool.evidence import Index
from fullpool.gaps import Explanation, Gap
from fullpool.grid import Grid
from fullpool.kinds import Api, api_of, kind_of
from fullpool.model import Archive, Fault, Interval, Series
from fullpool.neighbours import Neighbours
from fullpool.planning import Want
from fullpool.rest import is_too_old
from fullpool.store.state.writer import State
from fullpool.sync.disk import require_room
from fullpool.sync.gaps.answers import Answers
from fullpool.sync.gaps.asker import WINDOWS_A_TURN, Asker, Inquiry
from fullpool.sync.gaps.finder import GapFinder, last_had
from fullpool.sync.gaps.records import GapRecords, key_of, without
from fullpool.sync.gaps.verdicts import Verdicts
from fullpool.sync.outcome import Outcome
from fullpool.sync.publishing import Publisher
from fullpool.sync.work import Work
from fullpool.vendor import REST_URL

log = logs.get_logger()

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
        self._grids: dict[Series, Grid | None] = {}
        self._records = GapRecords(work, state, outcome)
        self._verdicts = Verdicts(work, state, self._records)
        self._answers: Answers | None = None
        if work.rest is not None:
            self._answers = Answers(work, state, outcome, self._records, work.rest)
        self._publisher = Publisher(work, state, outcome)
        self._finder = GapFinder(work, state, outcome, wants)

    def run(self) -> None:
        """Look for gaps and do what can be done about them, unless the work is to end."""
        self._finder.look()
        self._fetch_beyond()
        self._welcome_back()
        for _ in range(_MOST_TURNS):
            lost = self._outcome.lost
            self._work.meanwhile()
            if self._work.is_ending or not self._turn():
                break
            if self._outcome.lost > lost:  # what damaged files held is due again
                self._fetch_lost()
                self._finder.look_again()
            self._publish_if_due()
        self._outcome.gaps = self._state.queries.gaps.rows_by_state()
        if self._answers is not None and self._answers.asker.requests_left <= 0:
            now, reason = self._work.now(), "this pass has used up its requests"
            for gap in (gap for gap in self._wanted() if gap.is_due(now)):
                name = str(gap)
                self._outcome.open_gaps.setdefault(name, f"{reason} (rest.requests_per_pass)")

    def _welcome_back(self) -> None:
        """Ask again what a host refused that is another by now, or whose time is over."""
        client = self._work.rest
        if client is not None:
            self._state.gaps.reopen_refused([m for m in REST_URL if client.blocked(m) is None])

    def _publish_if_due(self) -> None:
        if self._publisher.is_due():
            self._publisher.publish(self._state.next_value("generation"))

    def _turn(self) -> bool:
        """Do the next thing for every gap that is due; return whether anything was."""
        now = self._work.now()
        gaps = self._on_their_way(self._wanted())
        fresh = [gap for gap in gaps if not (gap.is_due(now) and self._was_asked(gap))]
        chosen = choosing.choose(fresh, self._patched(), now)
        self._records.replace(chosen.shared, chosen.shared)
        looked_for = self._records.failing
        if self._fetch_archives([gap for gap in chosen.to_ask if key_of(gap) not in looked_for]):
            return True
        askable = _with_api(chosen.to_ask)
        is_told = self._verdicts.without_api(without(chosen.to_ask, askable))
        to_ask = self._not_blocked(askable, _with_api(fresh))
        return self._ask(to_ask) if to_ask else bool(chosen.shared) or is_told

    def _on_their_way(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Record which of the gaps still wait for their archive, and which do so no more."""
        queries, now = self._state.queries, self._work.now()
        waiting = [g for g in gaps if g.explanation is Explanation.NOT_PUBLISHED and g.is_due(now)]
        if not waiting:
            return list(gaps)
        delays = queries.gaps.delays(now)
        archives = queries.known_of({gap.series for gap in waiting})
        after: list[Gap] = []
        for gap in waiting:
            grid, had = self._grid(gap.series), last_had(archives[gap.series])
            after += ladder.on_their_way([gap], grid, delays, had, now)
        if after != waiting:
            self._records.replace(waiting, after)
        return [*without(gaps, waiting), *after]

    def _not_blocked(self, gaps: Sequence[Gap], alike: Sequence[Gap]) -> list[Gap]:
        """Return the gaps whose host may be asked; put the others off, or explain them.

        *alike* are all that are due, and those just like one.
        """
        client, now = self._work.rest, self._work.now()
        if client is None:
            return list(gaps)
        errors = {market: client.blocked(market) for market in REST_URL}
        put_off: list[Gap] = []
        after: list[Gap] = []
        for gap in alike:
            error = errors.get(gap.series.market)
            if error is not None and gap.is_due(now):
                put_off.append(gap)
                after.append(ladder.blocked(gap, error, now))
        self._records.replace(put_off, after)
        return without(gaps, put_off)

    def _patched(self) -> AbstractSet[Shape]:
        return self._answers.patched if self._answers else frozenset()

    def _was_asked(self, gap: Gap) -> bool:
        """Whether this pass asked for just that before: what it is still due for is no use."""
        return self._answers is not None and key_of(gap) in self._answers.asked

    def _wanted(self) -> list[Gap]:
        """Return the gaps of wanted series that are due, and those just like one."""
        found = self._state.queries.gaps.due(self._work.now())
        return [gap for gap in found if gap.series in self._wants]

    def _grid(self, series: Series) -> Grid | None:
        if series not in self._grids:
            is_told_by_rows = series.interval is Interval.D3 or bool(kind_of(series).spacing)
            held = self._state.queries.files.of([series])[series] if is_told_by_rows else ()
            runs = self._state.tails.of(series) if is_told_by_rows else ()
            self._grids[series] = following.grid_with(series, held, runs)
        return self._grids[series]

    def _fetch_lost(self) -> None:
        """Fetch again what damaged files held."""
        due = self._state.queries.due(self._work.now())
        lost = (Fault.GONE, Fault.DAMAGED)
        self._fetch({known.archive for known in due if known.fault in lost})

    def _fetch_beyond(self) -> None:
        """Fetch the days at both ends of series that their months may lack."""
        while (days := self._finder.take_beyond()) and not self._work.is_ending:
            self._fetch(days)
            self._finder.look_again()

    def _fetch_archives(self, gaps: Sequence[Gap]) -> bool:
        """Fetch archives that may have what others lack; return whether there are any."""
        now, known = self._work.now(), self._state.queries.known_of({gap.series for gap in gaps})
        self._records.look_for_failing(gaps, known)
        archives = stand_ins.archives_of(gaps, known, self._wants, now)
        if not archives:
            return False
        self._state.record_listings([], archives, now)
        self._fetch({known.archive for known in archives})
        self._finder.look_again()
        return True

    def _ask(self, gaps: Sequence[Gap]) -> bool:
        """Ask the API for gaps and build in what it has; return whether it was asked at all."""
        answers, now = self._answers, self._work.now()
        gaps = self._verdicts.split_by_age(gaps, self._grid)
        old = [gap for gap in gaps if is_too_old(gap.series, gap.span.end, now)]
        self._verdicts.too_old(old)
        left = without(gaps, old)[:WINDOWS_A_TURN]
        if answers is None:
            self._verdicts.not_asked(without(gaps, old))
            return bool(old)
        if not left or answers.asker.requests_left <= 0:
            return bool(old)
        require_room(self._work)
        inquiries = self._inquiries(answers.asker, left, now)
        young = answers.explain_never_listed(inquiries, now)
        self._publish_if_due()
        inquiries = [inquiry for inquiry in inquiries if id(inquiry.gap) not in young]
        answers.record(answers.asker.ask(inquiries))
        self._finder.look_again()
        return True

    def _inquiries(self, asking: Asker, gaps: Sequence[Gap], now: datetime) -> list[Inquiry]:
        """Return the gaps with what is held next to them and what was asked of them before."""
        series = {gap.series for gap in gaps}
        files, known = (
            self._state.queries.files.of(series),
            self._state.queries.gaps.evidence_of(series),
        )
        indexes = {each: Index(known[each]) for each in series}
        evidence = {key_of(gap): indexes[gap.series].of(gap) for gap in gaps}
        beside = {each: Neighbours(files[each]) for each in series}
        return [
            asking.about(
                ladder.begun(gap, evidence[key_of(gap)], now),
                self._grid(gap.series),
                beside[gap.series],
                evidence[key_of(gap)],
            )
            for gap in gaps
        ]


def _with_api(gaps: Iterable[Gap]) -> list[Gap]:
    """Return the gaps of kinds that the API has."""
    return [gap for gap in gaps if api_of(gap.series) is not Api.NOTHING]
