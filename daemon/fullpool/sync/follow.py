"""Follows the market: asks the API for the rows that no archive has yet, and publishes them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from fullpool import following, logs
from fullpool.config import Config
from fullpool.errors import NoSymbolError, RestError
from fullpool.following import Next
from fullpool.kinds import grid_of
from fullpool.model import Market, Series, instant
from fullpool.rest import Answer, Client, Window, ask, weight_of, windows
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.figures import trading
from fullpool.store.partitions import tails
from fullpool.store.partitions.tails import TailFile, TailKey
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.maps import Map
from fullpool.sync.publishing import publish_state
from fullpool.sync.tails import here

log = logs.get_logger()

# So long a generation that only follows is kept, for those who have it open.
KEPT: Final = timedelta(minutes=30)
# Of a series that is far behind so many requests are made at a time: the others wait as well.
_MOST_WINDOWS: Final = 3
# A symbol that the API does not know is asked for again after that.
_UNKNOWN_FOR: Final = timedelta(hours=1)

# By file of followed rows, and by symbol: moments and lines.
_Rows = dict[TailKey, dict[str, list[tuple[datetime, str]]]]


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

    @property
    def is_on(self) -> bool:
        """Whether anything is to be followed."""
        return self._config.rest.enabled and any(one.follow for one in self._config.dataset)

    def run(self, wire: Wire) -> Followed:
        """Ask for what was closed since the last time, and publish what came."""
        found = Followed()
        here(self._state, self._tree, wire.now())
        wanted = self._chosen(wire, found)
        rows = self._asked(wire, wanted, found)
        if rows:
            now = wire.now()
            self._write(rows, {one.series: one for one in wanted}, now)
            generation = self._state.next_value("generation")
            publish_state(self._state, self._tree, generation, now, is_tail=True)
            publication.retire_tails(self._state, self._tree, now - KEPT)
        self._tell(found)
        return found

    def _chosen(self, wire: Wire, found: Followed) -> list[Next]:
        """Return what is asked for now, as far as the weight of this minute goes."""
        by_market: dict[Market, list[tuple[Next, int]]] = defaultdict(list)
        for one in self._wanted(wire.now()):
            weight = sum(map(weight_of, _windows(one)))
            by_market[one.series.market].append((one, weight))
        chosen: list[Next] = []
        for market, own in by_market.items():
            if (error := wire.client.blocked(market)) is not None:
                found.troubles[str(market)] = str(error)
                continue
            taken = following.chosen(own, wire.client.room(market))
            found.behind += len(own) - len(taken)
            chosen += taken
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
            if grid and (one := following.next_of(series, grid, last, now)) is not None:
                found.append(one)
        return found

    def _is_followed(self, series: Series, now: datetime) -> bool:
        is_known = self._unknown.get(series, now) <= now
        return self._config.follows(series) and is_known and following.is_followed(series)

    def _asked(self, wire: Wire, wanted: Sequence[Next], found: Followed) -> _Rows:
        """Return the rows that came; a series that fails is asked for again by the next run."""
        asked = [(one, window) for one in wanted for window in _windows(one)]
        rows: _Rows = defaultdict(lambda: defaultdict(list))
        failed: set[Series] = set()

        def answer(item: tuple[Next, Window]) -> Answer:
            return ask(wire.client, item[0].grid, item[1])

        answers: dict[tuple[Series, int], Answer] = {}
        for done in wire.rest_map(answer, asked, lambda _: 1):
            one, window = done.item
            found.requests += 1
            if done.value is None:
                failed.add(one.series)
                self._note(one.series, done.error, wire.now(), found)
            else:
                answers[one.series, window.places.first] = done.value
        for (series, _), value in sorted(answers.items(), key=lambda item: item[0]):
            if series not in failed:
                found.rows += _sort_in(rows, series, value)
        return rows

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

    def _write(self, rows: _Rows, wanted: Mapping[Series, Next], now: datetime) -> None:
        """Write the files that the rows belong to, and record them."""
        generation = self._state.next_value("generation")
        held, runs = self._state.tails.files(), self._state.tails.runs()
        new: list[TailFile] = []
        moments: dict[Series, list[datetime]] = defaultdict(list)
        for key, of_symbols in rows.items():
            lines = {symbol: _lines(own) for symbol, own in of_symbols.items()}
            target = tails.named(key, generation)
            connection = self._state.connection
            new.append(tails.append(connection, self._tree, held.get(key), target, lines))
            for symbol, own in of_symbols.items():
                series = Series(key.market, key.kind, symbol, key.interval)
                moments[series] += [moment for moment, _ in own]
        after = {
            series: following.extended(wanted[series].grid, runs.get(series, ()), sorted(own))
            for series, own in moments.items()
        }
        replaced = [held[file.key] for file in new if file.key in held]
        self._state.tails.record(new, replaced, after, now)


def _windows(one: Next) -> list[Window]:
    return list(islice(windows(one.series, one.grid, one.places), _MOST_WINDOWS))


def _lines(rows: Sequence[tuple[datetime, str]]) -> list[str]:
    return [line for _, line in rows]


def _sort_in(rows: _Rows, series: Series, answer: Answer) -> int:
    """Put the rows of an answer to those of their files; return how many there are."""
    for microseconds, line in zip(answer.moments, answer.lines, strict=True):
        moment = instant(microseconds)
        period = following.period_at(series.kind, series.interval, moment)
        key = TailKey(series.market, series.kind, series.interval, period)
        rows[key][series.symbol].append((moment, line))
    return len(answer.lines)
