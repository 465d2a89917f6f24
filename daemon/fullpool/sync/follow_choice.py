"""Chooses what is asked for of what is followed, and remembers what the API said to that."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from fullpool import following
from fullpool.config import Config
from fullpool.following import LastRow, Next
from fullpool.kinds import grid_of, is_counted
from fullpool.model import Market, PartitionFile, Run, Series
from fullpool.rest import (
    Answer,
    Client,
    Window,
    kept_for,
    until_of,
    weight_of,
    window_since,
    windows,
)
from fullpool.store.catalogue.figures import trading
from fullpool.store.state.writer import State

# Of a series that is far behind so many requests are made at a time: the others wait as well.
_MOST_WINDOWS: Final = 3
# A symbol that the API does not know is asked for again after that.
_UNKNOWN_FOR: Final = timedelta(hours=1)

# What is asked for now of what is to be asked.
Asked = dict[Next, list[Window]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked for now; the series that are *behind* all the same; hosts not to be asked."""

    asked: Asked
    behind: set[Series]
    troubles: dict[str, str]


class Choice:
    """Chooses for one run of following after the other; `begin` is called before each."""

    def __init__(self, config: Config, state: State) -> None:
        self._config = config
        self._state = state
        self._unknown: dict[Series, datetime] = {}
        # When a series was asked in full, and before when the API has no rows of it.
        self._asked_at: dict[Series, datetime] = {}
        self._since: dict[Series, datetime] = {}
        # What is followed of each series by the state, and the files of those told by rows alone.
        self._held: dict[Series, list[LastRow]] = {}
        self._wanted_from: dict[Series, datetime] = {}
        self._files: dict[Series, list[PartitionFile]] = {}
        # What this run got, of counted rows the last one, and of which there may be more at once.
        self._last: dict[Series, LastRow] = {}
        self._unfinished: set[Series] = set()

    def begin(self, now: datetime) -> None:
        """Read what is held of each series that is followed and still trades.

        What rows the run before got is forgotten: they are on record, or were not kept.
        """
        self._forget_what_is_ahead(now)
        runs, ends = self._state.tails.runs(), trading(self._state.connection, now)
        starts = {series: self._config.followed_from(series, now) for series in ends}
        self._wanted_from = {
            series: start
            for series, start in starts.items()
            if start is not None and following.is_followed(series)
        }
        self._held = {
            series: _rows(runs.get(series, ()), ends[series]) for series in self._wanted_from
        }
        told = [series for series in self._held if following.is_told_by_rows(series)]
        self._files = self._state.queries.files.of(told) if told else {}
        self._last.clear()
        self._unfinished.clear()

    def _forget_what_is_ahead(self, now: datetime) -> None:
        """Forget what was noted while the clock was ahead: it would be waited for."""
        for noted, limit in (
            (self._since, now), (self._asked_at, now), (self._unknown, now + _UNKNOWN_FOR),
        ):  # fmt: skip
            for series in [series for series, moment in noted.items() if moment > limit]:
                del noted[series]

    @property
    def unfinished(self) -> frozenset[Series]:
        """The series that may have more rows than one turn brought.

        Nothing came for all that may be asked at a time, an outage; or all answers were full.
        """
        return frozenset(self._unfinished)

    def of(self, client: Client, now: datetime, among: Collection[Series] | None) -> Chosen:
        """Return what is asked for now, as far as the weight of this minute goes."""
        by_market: dict[Market, list[tuple[Next, int]]] = defaultdict(list)
        wanted: Asked = {}
        for one in self._wanted(among, now):
            wanted[one] = self._windows(one)
            by_market[one.series.market].append((one, sum(map(weight_of, wanted[one]))))
        chosen = Chosen({}, set(), {})
        if among is None:
            _reserve(client, by_market)
        self._unfinished.clear()
        for market, own in by_market.items():
            if (error := client.blocked(market)) is not None:
                chosen.troubles[str(market)] = str(error)
                continue
            taken = following.chosen(own, client.room(market))
            chosen.asked.update((one, wanted[one]) for one in taken)
            chosen.behind.update(one.series for one, _ in own if one not in chosen.asked)
        for one, asked in chosen.asked.items():
            if _is_cut(one, asked):
                chosen.behind.add(one.series)
        return chosen

    def _windows(self, one: Next) -> list[Window]:
        """Return what is asked for a series at a time: of trades one answer, if full then more."""
        if one.since is not None:
            return [window_since(one.series, one.since)]
        is_first = one.grid is None and one.series not in self._unfinished
        most = 1 if is_first else _MOST_WINDOWS
        return list(islice(windows(one.series, one.grid, one.places), most))

    def _wanted(self, among: Collection[Series] | None, now: datetime) -> Iterator[Next]:
        """Yield what is to be asked of each series, or of some."""
        for series in self._held:
            if (among is None or series in among) and self._is_due(series, now):
                yield from filter(None, [self._next(series, now)])

    def _next(self, series: Series, now: datetime) -> Next | None:
        """Return what is to be asked of a series; None if nothing is."""
        if came := self._last.get(series):
            return following.ids_after(series, came, None)
        last = following.newest(self._held[series], is_counted=is_counted(series))
        since, wanted_from = self._since.get(series), self._wanted_from[series]
        if is_counted(series):
            kept = kept_for(series)
            since = max(filter(None, (since, wanted_from, now - kept if kept else None)))
            return following.next_ids(series, last, self._asked_at.get(series), now, since)
        grid = grid_of(series, self._files.get(series, ()))
        if grid is None:
            return None
        return following.next_of(series, grid, last.time if last else None, now, since, wanted_from)

    def _is_due(self, series: Series, now: datetime) -> bool:
        is_known = self._unknown.get(series, now) <= now
        return is_known and following.is_time(series, self._asked_at.get(series), now)

    def unknown(self, series: Series, now: datetime) -> None:
        """Ask for a series later that the API does not know."""
        self._unknown[series] = now + _UNKNOWN_FOR

    def answered(
        self, one: Next, last: tuple[Window, Answer], newest: LastRow | None, now: datetime
    ) -> None:
        """Note that all that was asked for a series was answered.

        *last* is the last question with its answer, *newest* the last row that was new.
        """
        series, (window, answer) = one.series, last
        if one.grid is None:
            until = until_of(window)
            if until is not None and until <= now and not answer.places:
                self._since[series] = until
            if _has_more(window, answer, newest, now):
                self._unfinished.add(series)
                return
        elif newest is None and window.places.end < one.places.end:
            self._since[series] = one.grid.opens(window.places.end)
            self._unfinished.add(series)
        self._asked_at[series] = now

    def came(self, one: Next, newest: LastRow | None) -> None:
        """Note the last row that was new of counted ones: what is asked next comes after it."""
        if one.grid is None and newest is not None:
            self._last[one.series] = newest


def _rows(runs: Iterable[Run], last: LastRow | None) -> list[LastRow]:
    """Return the last row of each run, and that of the partitions."""
    rows = [LastRow(run.last_time, run.last_id) for run in runs]
    return [*rows, last] if last else rows


def _has_more(window: Window, answer: Answer, newest: LastRow | None, now: datetime) -> bool:
    """Whether trades are to be asked for again at once: after a full answer, or an hour gone by."""
    until = until_of(window)
    if until is not None and until <= now:
        return True
    is_full = len(answer.places) >= len(window.places)
    return is_full and newest is not None and newest.id == answer.places[-1]


def _is_cut(one: Next, asked: Sequence[Window]) -> bool:
    """Whether more is to be asked for a series than is asked at a time; of trades none can tell."""
    return one.grid is not None and asked[-1].places.end < one.places.end


def _reserve(client: Client, by_market: Mapping[Market, Sequence[tuple[Next, int]]]) -> None:
    """Keep the weight that following takes from those who ask for gaps."""
    for market in Market:
        client.reserve(market, sum(weight for _, weight in by_market.get(market, ())))
