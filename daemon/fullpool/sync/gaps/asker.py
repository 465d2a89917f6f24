"""Asking the API for many gaps at once: windows, neighbours, and what tells an end from a hole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from fullpool.errors import FullpoolError, RestError
from fullpool.evidence import Evidence, empty_in, unasked
from fullpool.gaps import Gap, Neighbours
from fullpool.grid import Grid, Places
from fullpool.rest import (
    Answer,
    Client,
    Surroundings,
    Window,
    ask,
    existed_after,
    existed_before,
    is_trading,
    windows,
)
from fullpool.sync.work import Work

if TYPE_CHECKING:
    from fullpool.model import Series

# Asked for in one turn at most: what a process that is killed meanwhile has asked for in vain.
WINDOWS_A_TURN: Final = 200


@dataclass(slots=True)
class Talk:
    """What is asked for one gap, and what came of it so far.

    *unasked* are the places left to ask for, *answered* those of answers, neighbours among them.
    *rows* are by their key: a moment, or an id.
    """

    gap: Gap
    grid: Grid | None
    unasked: list[Places]
    around: Surroundings
    is_head: bool = False
    is_tail: bool = False
    windows: list[Window] = field(default_factory=list)
    answered: list[Places] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rows: dict[int, tuple[int, str]] = field(default_factory=dict)
    error: RestError | None = None
    existed_before: bool | None = None
    existed_after: bool | None = None
    is_trading: bool | None = None

    def evidence(self, at: datetime) -> list[Evidence]:
        """Return what the answers show of the gap."""
        return empty_in(self.gap, self.answered, sorted(self.places), at)


class Asking:
    """Talks with the API about gaps, within the requests that one pass may make."""

    def __init__(self, work: Work, client: Client) -> None:
        self.requests_left = work.config.rest.requests_per_pass
        self._work = work
        self._client = client
        self._living: set[Series] = set()

    def about(
        self, gap: Gap, grid: Grid | None, beside: Neighbours, evidence: Sequence[Evidence]
    ) -> Talk:
        """Return a talk about a gap, with the rows beside it and what was asked of it before."""
        before, after = beside.of(gap)
        around = Surroundings(gap.places, gap.span, before, after)
        talk = Talk(gap, grid, unasked(gap.places, evidence, gap.asked_since), around)
        talk.is_head = grid is not None and before is None
        talk.is_tail = grid is not None and after is None
        return talk

    def never_listed(self, talks: Sequence[Talk]) -> list[Talk]:
        """Return the heads of series that the API has nothing before."""
        heads = [talk for talk in talks if talk.is_head and not talk.is_tail]

        def existed(talk: Talk) -> bool:
            assert talk.grid is not None
            return existed_before(self._client, talk.grid, talk.gap.series, talk.gap.places.end)

        return [talk for talk, value in self._answers(heads, existed) if not value]

    def ask(self, talks: Sequence[Talk]) -> list[Talk]:
        """Ask for as many of the gaps as this turn may, and return the talks with what came."""
        talks = self._with_windows(talks)
        if not talks:
            return []
        self._work.watcher.asking(len(talks), sum(len(talk.windows) for talk in talks))
        self._read(talks)
        self._look_around(talks)
        return talks

    def _with_windows(self, talks: Sequence[Talk]) -> list[Talk]:
        """Cut the gaps into windows, with the neighbours on both sides, as far as the pass may ask.

        Of a series that has ended only the first window is asked for, unless that came back full.
        """
        tails = [t for t in talks if t.is_tail and t.error is None and self._is_long(t)]
        self._ask_if_trading(tails)
        found: list[Talk] = []
        left = min(self.requests_left, WINDOWS_A_TURN)
        for talk in talks:
            if left <= 0 and talk.error is None and talk.unasked:
                continue
            is_over = talk.is_trading is False and talk.gap.series not in self._living
            most = 1 if is_over else left
            talk.windows = list(islice(_windows(talk), most)) if talk.error is None else []
            left -= len(talk.windows)
            self.requests_left -= len(talk.windows)
            found.append(talk)
        return found

    def _is_long(self, talk: Talk) -> bool:
        series = talk.gap.series
        several = islice(_windows(talk), 2)
        return series not in self._living and len(list(several)) > 1

    def _read(self, talks: Sequence[Talk]) -> None:
        """Ask all windows of all gaps, many at once."""
        items = [(talk, window) for talk in talks for window in talk.windows]
        left = {id(talk): len(talk.windows) for talk in talks}

        def one(item: tuple[Talk, Window]) -> Answer:
            answer = ask(self._client, item[0].grid, item[1])
            self._work.watcher.answered()
            return answer

        for done in self._work.rest_map(one, items, lambda _: 1):
            talk, window = done.item
            left[id(talk)] -= 1
            if done.value is None:
                talk.error = _as_rest(done.error)
                continue
            if window.places.end - 1 in done.value.places:
                self._living.add(talk.gap.series)
            _take(talk, window, done.value)
        _cut_off(talk for talk in talks if left[id(talk)])

    def _look_around(self, talks: Sequence[Talk]) -> None:
        """Ask what tells an outage from the beginning or the end of a series.

        The API's hole may be wider than the lake's, which has the rows beside it from archives.
        """
        bars = [t for t in talks if t.error is None and t.grid is not None]
        without_before = [t for t in bars if not _has_before(t)]
        without_after = [t for t in bars if not t.is_tail and not _has_after(t)]
        tails = [t for t in bars if t.is_tail and t.is_trading is None and not _has_after(t)]

        def before(talk: Talk) -> bool:
            assert talk.grid is not None
            return existed_before(self._client, talk.grid, talk.gap.series, talk.gap.places.first)

        def after(talk: Talk) -> bool:
            assert talk.grid is not None
            return existed_after(self._client, talk.grid, talk.gap.series, talk.gap.places.end)

        for talk, value in self._answers(without_before, before):
            talk.existed_before = value
        for talk, value in self._answers(without_after, after):
            talk.existed_after = value
        self._ask_if_trading(tails)

    def _ask_if_trading(self, talks: Sequence[Talk]) -> None:
        for talk, value in self._answers(talks, lambda t: is_trading(self._client, t.gap.series)):
            talk.is_trading = value

    def _answers(
        self, talks: Sequence[Talk], question: Callable[[Talk], bool]
    ) -> Iterator[tuple[Talk, bool]]:
        """Yield what the API says to a question of each talk; an error stays with its talk."""
        self.requests_left -= len(talks)
        left = {id(talk): talk for talk in talks}
        for done in self._work.rest_map(question, talks, lambda _: 1):
            del left[id(done.item)]
            if done.value is None:
                done.item.error = _as_rest(done.error)
            else:
                yield done.item, done.value
        _cut_off(left.values())


def _windows(talk: Talk) -> Iterator[Window]:
    """Yield the windows of what is left to ask for, with the neighbours on both sides."""
    for places in talk.unasked:
        wider = Places(places.first - 1, places.end + 1)
        yield from windows(talk.gap.series, talk.grid, wider, talk.around)


def _take(talk: Talk, window: Window, answer: Answer) -> None:
    talk.answered.append(window.places)
    talk.places += answer.places
    inside = talk.gap.places
    for place, moment, line in zip(answer.places, answer.moments, answer.lines, strict=True):
        if inside.first <= place < inside.end:
            talk.rows[place if talk.grid is None else moment] = (moment, line)


def _cut_off(talks: Iterable[Talk]) -> None:
    """Have nobody take what was not asked any more for what the API does not have."""
    for talk in talks:
        talk.error = talk.error or RestError(f"asking for {talk.gap}: stopped")


def _has_before(talk: Talk) -> bool:
    return bool(talk.places) and min(talk.places) < talk.gap.places.first


def _has_after(talk: Talk) -> bool:
    last = max((places.end for places in talk.answered), default=talk.gap.places.end)
    return bool(talk.places) and max(talk.places) >= min(last, talk.gap.places.end)


def _as_rest(error: FullpoolError | None) -> RestError:
    return error if isinstance(error, RestError) else RestError(str(error))
