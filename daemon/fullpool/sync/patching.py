"""The last rungs of the ladder: gaps found, asked for at the API, patched or explained."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from fullpool import gaps as grids
from fullpool import ladder, logs, planning
from fullpool.errors import FullpoolError, NoSymbolError, RestError, RestRefusedError
from fullpool.gaps import Expected, Explanation, Gap, GapStatus, Grid, Patch, Places
from fullpool.ladder import Heard, Shape
from fullpool.model import Known, Market, Period, Series, Span, Status
from fullpool.planning import Want
from fullpool.rest import (
    Answer,
    Client,
    Window,
    address,
    ask,
    existed_before,
    is_too_old,
    is_trading,
    windows,
)
from fullpool.store.build import scan
from fullpool.store.orders import Scan
from fullpool.store.state import State
from fullpool.sync.outcome import Outcome
from fullpool.sync.rounds import Round, publish
from fullpool.sync.work import Work

log = logs.get_logger()

# A pass looks at its gaps this many times at most: daily archives, a few symbols, all the others.
_MOST_TURNS: Final = 100
# Asked for in one turn at most: what a process that is killed meanwhile has asked for in vain.
_WINDOWS_A_TURN: Final = 200


@dataclass(slots=True)
class _Talk:
    """What is asked for one gap, and what came of it so far."""

    gap: Gap
    grid: Grid | None
    asked: Places
    is_head: bool = False
    is_tail: bool = False
    windows: list[Window] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rows: dict[int, tuple[int, str]] = field(default_factory=dict)
    error: RestError | None = None
    existed_before: bool | None = None
    is_trading: bool | None = None


class Patching:
    """Brings the gaps of the wanted series down the ladder. Decides nothing that `ladder` can."""

    def __init__(
        self, work: Work, state: State, outcome: Outcome, wants: Sequence[Want],
        fetch: Callable[[], None],
    ) -> None:  # fmt: skip
        """*fetch* runs what archives are due."""
        self._work = work
        self._state = state
        self._outcome = outcome
        self._wants = {want.series: want for want in wants}
        self._fetch = fetch
        self._patched: set[Shape] = set()
        self._living: set[Series] = set()
        self._asked: set[tuple[Series, Places]] = set()
        self._grids: dict[Series, Grid | None] = {}
        self._requests_left = work.config.rest.requests_per_pass
        self._published_at = work.now()

    def run(self) -> None:
        """Look for gaps and do what can be done about them, unless the work is to end."""
        if self._work.stop.is_set():
            return
        self._scan()
        self._look_again(self._stale())
        self._welcome_back()
        for _ in range(_MOST_TURNS):
            if self._work.stop.is_set() or not self._turn():
                break
            self._publish_if_time()
        self._outcome.gaps = self._state.memory.gap_rows()
        if self._requests_left <= 0:
            for gap in self._due():
                reason = "this pass may make no more requests (rest.requests_per_pass)"
                self._outcome.open_gaps.setdefault(str(gap), reason)

    def _scan(self) -> None:
        """Find the holes of files that were written without looking for them."""
        files = self._state.memory.unscanned()
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
            != (want.span.start, ladder.expected_until(want, grids.grid_of(series, ()), now))
        ]

    def _publish_if_time(self) -> None:
        now = self._work.now()
        every = timedelta(seconds=self._work.config.limits.publish_every_s)
        if self._outcome.is_dirty and now - self._published_at >= every:
            publish(self._work, self._state, self._outcome, self._state.next_value("generation"))
            self._published_at = now

    def _look_again(self, series: Sequence[Series]) -> None:
        """Compare what is held of *series* with what should be, and record the gaps."""
        if not series:
            return
        memory, now = self._state.memory, self._work.now()
        files, known, delays = memory.files_of(series), memory.gaps_of(series), memory.delays(now)
        archives = defaultdict(list)
        for one in memory.known(series):
            archives[one.archive.series].append(one)
        expected: list[Expected] = []
        found: dict[Series, list[Gap]] = {}
        for one_series in series:
            want, held = self._wants[one_series], files[one_series]
            grid = grids.grid_of(one_series, held)
            span = ladder.expected_span(want, held, archives[one_series], grid, now)
            missing = grids.absences(grid, held, span) if span else []
            gaps = grids.reconciled(one_series, grid, missing, known[one_series], now)
            had = _last_had(archives[one_series])
            found[one_series] = ladder.unpublished(gaps, grid, delays, had, now)
            until = ladder.expected_until(want, grids.grid_of(one_series, ()), now)
            start = span.start if span else until
            rows = grids.expected_rows(grid, held, span)
            expected.append(
                Expected(one_series, want.span.start, Span(min(start, until), until), rows)
            )
        self._report(known, found)
        self._state.record_gaps(found)
        self._state.record_expected(expected)
        self._outcome.is_dirty = True

    def _turn(self) -> bool:
        """Do the next thing for every gap that is due; return whether anything was."""
        now = self._work.now()
        wanted = [gap for gap in self._state.memory.due_gaps(now) if gap.series in self._wants]
        gaps = self._not_blocked(self._on_their_way(wanted))
        fresh = [gap for gap in gaps if not (gap.is_due(now) and self._was_asked(gap))]
        chosen = ladder.choose(fresh, self._patched, now)
        self._replace(chosen.shared, chosen.shared)
        if not chosen.to_ask:
            return bool(chosen.shared)
        if self._fetch_days(chosen.to_ask):
            return True
        return self._ask(chosen.to_ask)

    def _on_their_way(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Record which of the gaps still wait for their archive, and which do so no more."""
        now = self._work.now()
        waiting = [g for g in gaps if g.explanation is Explanation.NOT_PUBLISHED and g.is_due(now)]
        delays = self._state.memory.delays(now)
        archives = defaultdict(list)
        for one in self._state.memory.known({gap.series for gap in waiting}):
            archives[one.archive.series].append(one)
        after = [
            part
            for gap in waiting
            for part in ladder.unpublished(
                [gap], self._grid(gap.series), delays, _last_had(archives[gap.series]), now
            )
        ]
        self._replace(waiting, after)
        return [*_without(gaps, waiting), *after]

    def _not_blocked(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Return the gaps whose host may be asked; put the others off, or explain them."""
        client, now = self._work.rest, self._work.now()
        if client is None:
            return list(gaps)
        errors = {market: client.blocked(market) for market in Market}
        put_off = [g for g in gaps if g.is_due(now) and errors[g.series.market] is not None]
        after = [
            ladder.blocked(g, error, now) for g in put_off if (error := errors[g.series.market])
        ]
        self._replace(put_off, after)
        return _without(gaps, put_off)

    def _was_asked(self, gap: Gap) -> bool:
        """Whether this pass asked for just that before: what it is still due for is no use."""
        return (gap.series, gap.places) in self._asked

    def _due(self) -> list[Gap]:
        now = self._work.now()
        found = self._state.memory.due_gaps(now)
        return [gap for gap in found if gap.series in self._wants and gap.is_due(now)]

    def _grid(self, series: Series) -> Grid | None:
        if series not in self._grids:
            held = self._state.memory.files_of([series])[series] if _needs_rows(series) else ()
            self._grids[series] = grids.grid_of(series, held)
        return self._grids[series]

    def _replace(self, old: Sequence[Gap], new: Sequence[Gap], *, is_told: bool = True) -> None:
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
        if is_told:
            self._report(known, found)
        self._state.record_gaps(found)
        self._outcome.is_dirty = True

    def _fetch_days(self, gaps: Sequence[Gap]) -> bool:
        """Fetch the daily archives of days whose month lacks rows; return whether there are any."""
        days = ladder.fills(gaps, self._state.memory.known({gap.series for gap in gaps}))
        if not days:
            return False
        self._state.record_listings([], days)
        self._fetch()
        self._look_again(self._stale())
        return True

    def _ask(self, gaps: Sequence[Gap]) -> bool:
        """Ask the API for gaps and build in what it has; return whether it was asked at all."""
        client, now = self._work.rest, self._work.now()
        old = [gap for gap in gaps if is_too_old(gap.series, gap.span.end, now)]
        self._replace(old, [ladder.too_old(gap, now) for gap in old])
        left = _without(gaps, old)
        if client is None or not left or self._requests_left <= 0:
            return bool(old)
        self._asked.update((gap.series, gap.places) for gap in left)
        talks = self._with_windows(client, self._never_listed(client, self._talks(left)))
        if talks:
            self._publish_if_time()
            self._work.watcher.asking(len(talks), sum(len(talk.windows) for talk in talks))
            self._read(client, talks)
            self._look_around(client, talks)
            self._record_bans(client)
            self._record(client, talks)
        return True

    def _talks(self, gaps: Sequence[Gap]) -> list[_Talk]:
        """Return the gaps with what is held on either side of them."""
        files = self._state.memory.files_of({gap.series for gap in gaps})
        found: list[_Talk] = []
        for gap in gaps:
            grid, held = self._grid(gap.series), files[gap.series]
            talk = _Talk(gap, grid, gap.places)
            talk.is_head = grid is not None and all(gap.span.end <= f.first_time for f in held)
            talk.is_tail = grid is not None and all(gap.span.start > f.last_time for f in held)
            found.append(talk)
        return found

    def _never_listed(self, client: Client, talks: Sequence[_Talk]) -> list[_Talk]:
        """Explain the heads of series that the API has nothing before; return the others."""
        heads = [talk for talk in talks if talk.is_head and not talk.is_tail]

        def existed(talk: _Talk) -> bool:
            assert talk.grid is not None
            return existed_before(client, talk.grid, talk.gap.series, talk.gap.places.end)

        self._each(heads, existed, _set_before)
        now = self._work.now()
        young = [talk for talk in heads if talk.existed_before is False]
        for talk in heads:
            talk.existed_before = None  # of its end; its beginning is another question
        gone = [ladder.unlisted(talk.gap, address(client, talk.gap.series), now) for talk in young]
        self._replace([talk.gap for talk in young], gone)
        return [talk for talk in talks if talk not in young]

    def _with_windows(self, client: Client, talks: Sequence[_Talk]) -> list[_Talk]:
        """Cut the gaps into windows, with the neighbours on both sides, as far as the pass may ask.

        Of a series that has ended only the first window is asked for, unless that came back full.
        """
        tails = [t for t in talks if t.is_tail and t.error is None and self._is_long(t)]
        self._each(tails, lambda talk: is_trading(client, talk.gap.series), _set_trading)
        found: list[_Talk] = []
        left = min(self._requests_left, _WINDOWS_A_TURN)
        for talk in talks:
            gap = talk.gap
            if left <= 0 and talk.error is None:
                self._asked.discard((gap.series, gap.places))
                continue
            around = Places(gap.places.first - 1, gap.places.end + 1)
            most = 1 if talk.is_trading is False and gap.series not in self._living else left
            all_ = windows(gap.series, talk.grid, around, gap.span)
            talk.windows = list(islice(all_, most)) if talk.error is None else []
            last = talk.windows[-1].places.end if talk.windows else around.end
            talk.asked = Places(gap.places.first, min(gap.places.end, last))
            left -= len(talk.windows)
            self._requests_left -= len(talk.windows)
            found.append(talk)
        return found

    def _is_long(self, talk: _Talk) -> bool:
        series = talk.gap.series
        several = islice(windows(series, talk.grid, talk.gap.places), 2)
        return series not in self._living and len(list(several)) > 1

    def _read(self, client: Client, talks: Sequence[_Talk]) -> None:
        """Ask all windows of all gaps, many at once."""
        items = [(talk, window) for talk in talks for window in talk.windows]

        def one(item: tuple[_Talk, Window]) -> Answer:
            answer = ask(client, item[0].grid, item[1])
            self._work.watcher.answered()
            return answer

        for done in self._work.rest_map(one, items, lambda _: 1):
            talk, window = done.item
            if done.value is None:
                talk.error = _as_rest(done.error)
                continue
            if window.places.end - 1 in done.value.places:
                self._living.add(talk.gap.series)
            talk.places += done.value.places
            inside = talk.gap.places
            rows = zip(done.value.places, done.value.moments, done.value.lines, strict=True)
            for place, moment, line in rows:
                if inside.first <= place < inside.end:
                    talk.rows[place] = (moment, line)

    def _look_around(self, client: Client, talks: Sequence[_Talk]) -> None:
        """Ask what tells an outage from the beginning or the end of a series."""
        heads = [t for t in talks if t.error is None and t.is_head and not _has_before(t)]
        tails = [
            t for t in talks
            if t.error is None and t.is_tail and t.is_trading is None and not _has_after(t)
        ]  # fmt: skip

        def before(talk: _Talk) -> bool:
            assert talk.grid is not None
            return existed_before(client, talk.grid, talk.gap.series, talk.gap.places.first)

        self._each(heads, before, _set_before)
        self._each(tails, lambda talk: is_trading(client, talk.gap.series), _set_trading)

    def _each(
        self,
        talks: Sequence[_Talk],
        function: Callable[[_Talk], bool],
        keep: Callable[[_Talk, bool], None],
    ) -> None:
        self._requests_left -= len(talks)
        for done in self._work.rest_map(function, talks, lambda _: 1):
            if done.value is None:
                done.item.error = _as_rest(done.error)
            else:
                keep(done.item, done.value)

    def _record(self, client: Client, talks: Sequence[_Talk]) -> None:
        """Build the rows in, then record what is left of every gap, and why."""
        now = self._work.now()
        left: list[Gap] = []
        if self._work.stop.is_set():  # what was cut off counts as not asked
            talks = [talk for talk in talks if talk.error is None]
        self._build(client, talks)
        self._outcome.requests = client.requests
        for talk in talks:
            heard = Heard(
                gap=talk.gap,
                asked=talk.asked,
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
            left += ladder.remaining(heard, talk.grid)
            self._note_failure(talk)
            if talk.rows:
                self._patched.add(ladder.shape_of(talk.gap))
        self._replace([talk.gap for talk in talks], left)
        self._look_again(self._stale())

    def _note_failure(self, talk: _Talk) -> None:
        """Take note of what the network or the host kept from us; what they refuse is explained."""
        name = str(talk.gap)
        self._outcome.open_gaps.pop(name, None)
        if talk.error is not None and not isinstance(talk.error, RestRefusedError | NoSymbolError):
            self._outcome.open_gaps[name] = str(talk.error)

    def _build(self, client: Client, talks: Sequence[_Talk]) -> None:
        """Write the rows that came into the partitions they belong to.

        Where that fails every gap is tried alone, so that one bad row costs its own gap.
        """
        failed = self._build_together(client, talks)
        suspects = [talk for talk in talks if failed & self._units(talk)]
        for talk in suspects:
            if len(suspects) == 1 or self._build_together(client, [talk]):
                talk.error = RestError(f"the rows that came for {talk.gap} cannot be built in")
                talk.rows, talk.places = {}, []

    def _units(self, talk: _Talk) -> set[tuple[Series, Period]]:
        series, now = talk.gap.series, self._work.now()
        moments = (grids.instant(moment) for moment, _ in talk.rows.values())
        return {(series, planning.unit_at(series, moment, now)) for moment in moments}

    def _build_together(self, client: Client, talks: Sequence[_Talk]) -> set[tuple[Series, Period]]:
        """Build in the rows of some gaps; return the units that could not be written."""
        now = self._work.now()
        lines: dict[tuple[Series, Period], dict[int, tuple[int, str]]] = defaultdict(dict)
        for talk in talks:
            for place, (moment, line) in talk.rows.items():
                unit = planning.unit_at(talk.gap.series, grids.instant(moment), now)
                lines[talk.gap.series, unit][place] = (moment, line)
        if not lines:
            return set()
        files = self._state.memory.files_of({series for series, _ in lines})
        patches = {
            (series, unit): (self._patch(client, series, rows),)
            for (series, unit), rows in lines.items()
        }
        steps = [planning.patch_step(series, unit, files[series]) for series, unit in patches]
        round_ = Round(self._work, self._state, self._outcome)
        round_.run(steps, patches)
        built = [patch for key, (patch,) in patches.items() if key not in round_.unbuilt]
        self._outcome.patched_rows += sum(patch.rows for patch in built)
        for series, unit in patches.keys() - round_.unbuilt.keys():
            self._outcome.failed.pop(f"{series}/{unit}", None)
        return set(round_.unbuilt)

    def _patch(self, client: Client, series: Series, rows: dict[int, tuple[int, str]]) -> Patch:
        ordered = [rows[place] for place in sorted(rows)]
        moments = [moment for moment, _ in ordered]
        span = Span(grids.instant(min(moments)), grids.instant(max(moments) + 1))
        text = "".join(f"{line}\n" for _, line in ordered).encode()
        return Patch(series, span, text, len(ordered), self._work.now(), address(client, series))

    def _report(self, before: dict[Series, list[Gap]], after: dict[Series, list[Gap]]) -> None:
        """Log what is new of the gaps, and take note of those that could not be asked for."""
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
        bans = [(b.host, b.status, b.reason, b.at, b.until) for b in client.bans if b.status]
        if bans != self._state.memory.bans():
            self._state.record_bans(bans)


def _last_had(archives: Iterable[Known]) -> datetime | None:
    """Return the end of the last archive that is in the lake."""
    ends = (k.archive.period.span.end for k in archives if k.status is Status.PRESENT)
    return max(ends, default=None)


def _needs_rows(series: Series) -> bool:
    """Whether the grid of the series is told by its rows alone."""
    return grids.grid_of(series, ()) is not None and series.interval == "3d"


def _without(gaps: Iterable[Gap], others: Iterable[Gap]) -> list[Gap]:
    """Return the gaps that are of no series and place of *others*."""
    taken = {(gap.series, gap.places) for gap in others}
    return [gap for gap in gaps if (gap.series, gap.places) not in taken]


def _has_before(talk: _Talk) -> bool:
    return bool(talk.places) and min(talk.places) < talk.gap.places.first


def _has_after(talk: _Talk) -> bool:
    return bool(talk.places) and max(talk.places) >= talk.asked.end


def _set_before(talk: _Talk, value: bool) -> None:  # noqa: FBT001 - an answer, not an option
    talk.existed_before = value


def _set_trading(talk: _Talk, value: bool) -> None:  # noqa: FBT001 - an answer, not an option
    talk.is_trading = value


def _as_rest(error: FullpoolError | None) -> RestError:
    return error if isinstance(error, RestError) else RestError(str(error))
