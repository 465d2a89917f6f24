"""Follows the market: asks the API for the rows that no archive has yet, and publishes them."""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, starmap
from typing import Final

from fullpool import following, logs
from fullpool.config import Config
from fullpool.errors import MalformedError, NoSymbolError, RestError
from fullpool.following import Next
from fullpool.grid import Grid
from fullpool.kinds import KINDS, grid_of
from fullpool.model import Market, Series, instant
from fullpool.rest import Answer, Client, Window, ask, weight_of, windows
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.figures import trading
from fullpool.store.catalogue.publication import Manner
from fullpool.store.partitions import tails
from fullpool.store.partitions.tails import TailFile, TailKey
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.bans import share_bans
from fullpool.sync.maps import Map
from fullpool.sync.publishing import publish_state
from fullpool.sync.tails import here

log = logs.get_logger()

# So long a generation that only follows is kept, for those who have it open.
KEPT: Final = timedelta(minutes=30)
# Of a series that is far behind so many requests are made at a time: the others wait as well.
_MOST_WINDOWS: Final = 3
# So often in one run, if the answers are all empty: an outage is left behind soon.
_MOST_ROUNDS: Final = 10
# A symbol that the API does not know is asked for again after that.
_UNKNOWN_FOR: Final = timedelta(hours=1)

# By file of followed rows, and by symbol: moments and lines.
_Rows = dict[TailKey, dict[str, list[tuple[datetime, str]]]]
# What is asked for now of what is to be asked.
_Asked = dict[Next, list[Window]]


@dataclass(slots=True)
class Followed:
    """What one run of following did. *behind*: series that the weight did not suffice for."""

    rows: int = 0
    requests: int = 0
    behind: int = 0
    troubles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wire:
    """What the API is asked through."""

    client: Client
    rest_map: Map
    now: Callable[[], datetime]


class Follow:
    """Keeps the rows of followed series that no archive has yet."""

    def __init__(self, config: Config, state: State, tree: Tree) -> None:
        self._config = config
        self._state = state
        self._tree = tree
        self._unknown: dict[Series, datetime] = {}
        self._told: set[str] = set()
        # When a series was asked in full, and before when the API has no rows of it.
        self._asked_at: dict[Series, datetime] = {}
        self._since: dict[Series, datetime] = {}
        # What this run got no row of in all that it may ask at a time: an outage, or it has ended.
        self._empty: set[Series] = set()

    @property
    def is_on(self) -> bool:
        """Whether anything is to be followed."""
        return self._config.rest.enabled and any(one.follow for one in self._config.dataset)

    def run(self, wire: Wire) -> Followed:
        """Ask for what was closed since the last time, and publish what came."""
        found = Followed()
        here(self._state, self._tree, wire.now())
        share_bans(wire.client, self._state)
        rows: _Rows = defaultdict(lambda: defaultdict(list))
        asked = self._chosen(wire, found)
        self._ask(wire, asked, rows, found)
        for _ in range(_MOST_ROUNDS - 1):
            if not (again := set(self._empty)):
                break
            self._ask(wire, self._chosen(wire, found, again), rows, found)
        share_bans(wire.client, self._state)
        if rows:
            now = wire.now()
            self._write(rows, {one.series: one.grid for one in asked}, found, now)
            generation = self._state.next_value("generation")
            publish_state(self._state, self._tree, generation, now, Manner(is_tail=True))
            publication.retire_tails(self._state, self._tree, now - KEPT)
        self._tell(found)
        return found

    def _chosen(
        self, wire: Wire, found: Followed, among: Container[Series] | None = None
    ) -> _Asked:
        """Return what is asked for now, as far as the weight of this minute goes."""
        by_market: dict[Market, list[tuple[Next, int]]] = defaultdict(list)
        asked: _Asked = {}
        for one in self._wanted(wire.now()):
            if among is None or one.series in among:
                asked[one] = list(islice(windows(one.series, one.grid, one.places), _MOST_WINDOWS))
                by_market[one.series.market].append((one, sum(map(weight_of, asked[one]))))
        chosen: _Asked = {}
        found.behind = 0
        for market, own in by_market.items():
            if (error := wire.client.blocked(market)) is not None:
                found.troubles[str(market)] = str(error)
                continue
            taken = {one: asked[one] for one in following.chosen(own, wire.client.room(market))}
            found.behind += len(own) - len(taken) + sum(starmap(_is_cut, taken.items()))
            chosen |= taken
        return chosen

    def _wanted(self, now: datetime) -> list[Next]:
        """Return what is to be asked of each series that is followed and still trades."""
        runs, ends = self._state.tails.runs(), trading(self._state.connection, now)
        own = [series for series in ends if self._is_followed(series, now)]
        told = [series for series in own if following.is_told_by_rows(series)]
        files = self._state.queries.files.of(told) if told else {}
        found = []
        for series in own:
            last = max((run.last_time for run in runs.get(series, ())), default=None)
            last = max(filter(None, (last, ends[series])), default=None)
            grid = grid_of(series, files.get(series, ()))
            since = self._since.get(series)
            if grid and (one := following.next_of(series, grid, last, now, since)) is not None:
                found.append(one)
        return found

    def _is_followed(self, series: Series, now: datetime) -> bool:
        is_known = self._unknown.get(series, now) <= now
        is_wanted = self._config.follows(series) and following.is_followed(series)
        return is_wanted and is_known and following.is_time(series, self._asked_at.get(series), now)

    def _ask(self, wire: Wire, asked: _Asked, rows: _Rows, found: Followed) -> None:
        """Add the rows that come to *rows*; what fails is asked for again by the next run."""
        items = [(one, window) for one, own in asked.items() for window in own]
        answers: dict[tuple[Series, int], Answer] = {}

        def answer(item: tuple[Next, Window]) -> Answer:
            return ask(wire.client, item[0].grid, item[1])

        for done in wire.rest_map(answer, items, lambda _: 1):
            one, window = done.item
            found.requests += 1
            if done.value is None:
                self._note(one.series, done.error, wire.now(), found)
            else:
                answers[one.series, window.places.first] = done.value
        self._empty.clear()
        for one, own in asked.items():
            answered = [(window, answers.get((one.series, window.places.first))) for window in own]
            found.rows += self._take(one, answered, rows, wire.now())

    def _take(
        self,
        one: Next,
        answered: Sequence[tuple[Window, Answer | None]],
        rows: _Rows,
        now: datetime,
    ) -> int:
        """Put the rows of a series to those of their files; return how many there are.

        None behind an answer that did not come: it would be a hole.
        """
        count = 0
        for _, answer in answered:
            if answer is None:
                return count
            count += _sort_in(rows, one, answer, now)
        self._asked_at[one.series] = now
        end = answered[-1][0].places.end
        if not count and end < one.places.end:
            self._since[one.series] = one.grid.opens(end)
            self._empty.add(one.series)
        return count

    def _note(
        self, series: Series, error: Exception | None, now: datetime, found: Followed
    ) -> None:
        if isinstance(error, NoSymbolError):
            self._unknown[series] = now + _UNKNOWN_FOR
        found.troubles[str(series)] = str(error or RestError("not asked"))

    def _tell(self, found: Followed) -> None:
        """Log how it went; a reason that was told by the run before is no news."""
        log.debug("series.followed", rows=found.rows, requests=found.requests)
        reasons: dict[str, str] = {}
        for name, reason in found.troubles.items():
            reasons.setdefault(reason, name)
        for reason, name in reasons.items():
            if reason not in self._told:
                log.warning("follow.failed", series=name, reason=reason)
        self._told = set(reasons)

    def _write(
        self, rows: _Rows, grids: Mapping[Series, Grid], found: Followed, now: datetime
    ) -> None:
        """Write the files that the rows belong to, oldest first, and record each at once."""
        generation, held = self._state.next_value("generation"), self._state.tails.files()
        runs = self._state.tails.runs()
        for key in sorted(rows, key=lambda one: one.period):
            old, target = held.get(key), tails.named(key, generation)
            lines = {symbol: _lines(own) for symbol, own in rows[key].items()}
            new = self._appended(old, target, lines, found)
            if new is None:
                continue
            after = {}
            for series in map(key.series, lines):
                moments = sorted(moment for moment, _ in rows[key][series.symbol])
                after[series] = following.extended(grids[series], runs.get(series, ()), moments)
            runs |= after
            self._state.tails.record([new], [old] if old else [], after, now)

    def _appended(
        self, old: TailFile | None, target: TailFile, lines: dict[str, list[str]], found: Followed
    ) -> TailFile | None:
        """Write a file; take from *lines*, and tell, the symbols whose values do not fit."""
        connection = self._state.connection
        try:
            return tails.append(connection, self._tree, old, target, lines)
        except MalformedError as error:
            for symbol in lines.keys() - self._sound(target.key, lines).keys():
                found.troubles[str(target.key.series(symbol))] = str(error)
                del lines[symbol]
        return tails.append(connection, self._tree, old, target, lines) if lines else None

    def _sound(self, key: TailKey, lines: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """Return the lines of the symbols whose values fit."""
        kind, connection = KINDS[key.kind], self._state.connection
        return {
            symbol: own
            for symbol, own in lines.items()
            if tails.is_sound(connection, self._tree, kind, symbol, own)
        }


def _is_cut(one: Next, asked: Sequence[Window]) -> bool:
    """Whether more is to be asked for a series than is asked at a time."""
    return asked[-1].places.end < one.places.end


def _lines(rows: Sequence[tuple[datetime, str]]) -> list[str]:
    return [line for _, line in rows]


def _sort_in(rows: _Rows, one: Next, answer: Answer, now: datetime) -> int:
    """Put the new rows of an answer to those of their files; return how many there are."""
    series, count = one.series, 0
    taken = following.finished_rows(series, answer.moments, answer.lines, now)
    pairs = zip(answer.moments[:taken], answer.lines[:taken], strict=True)
    for microseconds, line in pairs:
        moment = instant(microseconds)
        if moment <= now and (one.after is None or moment > one.after):
            period = following.period_at(series.kind, series.interval, moment)
            key = TailKey(series.market, series.kind, series.interval, period)
            rows[key][series.symbol].append((moment, line))
            count += 1
    return count
