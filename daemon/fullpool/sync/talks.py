"""Asking the API for many gaps at once: windows, neighbours, and what tells an end from a hole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from fullpool.errors import FullpoolError, RestError
from fullpool.gaps import Gap, Grid, Places
from fullpool.model import PartitionFile, Series
from fullpool.rest import Answer, Client, Window, ask, existed_before, is_trading, windows
from fullpool.sync.work import Work

# Asked for in one turn at most: what a process that is killed meanwhile has asked for in vain.
_WINDOWS_A_TURN: Final = 200


@dataclass(slots=True)
class Talk:
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


class Asking:
    """Talks with the API about gaps, within the requests that one pass may make."""

    def __init__(self, work: Work, client: Client) -> None:
        self.requests_left = work.config.rest.requests_per_pass
        self._work = work
        self._client = client
        self._living: set[Series] = set()

    def about(self, gap: Gap, grid: Grid | None, held: Sequence[PartitionFile]) -> Talk:
        """Return a talk about a gap, with what is held on either side of it."""
        talk = Talk(gap, grid, gap.places)
        talk.is_head = grid is not None and all(gap.span.end <= f.first_time for f in held)
        talk.is_tail = grid is not None and all(gap.span.start > f.last_time for f in held)
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
        left = min(self.requests_left, _WINDOWS_A_TURN)
        for talk in talks:
            gap = talk.gap
            if left <= 0 and talk.error is None:
                continue
            around = Places(gap.places.first - 1, gap.places.end + 1)
            most = 1 if talk.is_trading is False and gap.series not in self._living else left
            all_ = windows(gap.series, talk.grid, around, gap.span)
            talk.windows = list(islice(all_, most)) if talk.error is None else []
            last = talk.windows[-1].places.end if talk.windows else around.end
            talk.asked = Places(gap.places.first, min(gap.places.end, last))
            left -= len(talk.windows)
            self.requests_left -= len(talk.windows)
            found.append(talk)
        return found

    def _is_long(self, talk: Talk) -> bool:
        series = talk.gap.series
        several = islice(windows(series, talk.grid, talk.gap.places), 2)
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
            talk.places += done.value.places
            inside = talk.gap.places
            rows = zip(done.value.places, done.value.moments, done.value.lines, strict=True)
            for place, moment, line in rows:
                if inside.first <= place < inside.end:
                    talk.rows[place] = (moment, line)
        _cut_off(talk for talk in talks if left[id(talk)])

    def _look_around(self, talks: Sequence[Talk]) -> None:
        """Ask what tells an outage from the beginning or the end of a series."""
        heads = [t for t in talks if t.error is None and t.is_head and not _has_before(t)]
        tails = [
            t for t in talks
            if t.error is None and t.is_tail and t.is_trading is None and not _has_after(t)
        ]  # fmt: skip

        def before(talk: Talk) -> bool:
            assert talk.grid is not None
            return existed_before(self._client, talk.grid, talk.gap.series, talk.gap.places.first)

        for talk, value in self._answers(heads, before):
            talk.existed_before = value
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


def _cut_off(talks: Iterable[Talk]) -> None:
    """Have nobody take what was not asked any more for what the API does not have."""
    for talk in talks:
        talk.error = talk.error or RestError(f"asking for {talk.gap}: stopped")


def _has_before(talk: Talk) -> bool:
    return bool(talk.places) and min(talk.places) < talk.gap.places.first


def _has_after(talk: Talk) -> bool:
    return bool(talk.places) and max(talk.places) >= talk.asked.end


def _as_rest(error: FullpoolError | None) -> RestError:
    return error if isinstance(error, RestError) else RestError(str(error))
