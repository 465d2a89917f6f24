"""Asks the API about many gaps at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from fullpool.errors import FullpoolError, RestError
from fullpool.evidence import Evidence, empty_in, unasked
from fullpool.gaps import Gap
from fullpool.grid import Grid, Places
from fullpool.neighbours import Neighbours
from fullpool.rest import (
    Answer,
    Client,
    Surroundings,
    Window,
    ask,
    existed_after,
    existed_before,
    is_trading,
    requests_of,
    tells_history,
    windows,
)
from fullpool.sync.work import Work

if TYPE_CHECKING:
    from fullpool.model import Series

# Asked for in one turn at most; a process that is killed meanwhile loses these answers.
WINDOWS_A_TURN: Final = 200


@dataclass(slots=True)
class Inquiry:
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


class Asker:
    """Talks with the API about gaps, within the requests that one pass may make."""

    def __init__(self, work: Work, client: Client) -> None:
        self.requests_left = work.config.rest.requests_per_pass
        self._work = work
        self._client = client
        self._living: set[Series] = set()

    def about(
        self, gap: Gap, grid: Grid | None, beside: Neighbours, evidence: Sequence[Evidence]
    ) -> Inquiry:
        """Return an inquiry about a gap, with its neighbouring rows and earlier evidence."""
        before, after = beside.of(gap)
        around = Surroundings(gap.places, gap.span, before, after)
        inquiry = Inquiry(gap, grid, unasked(gap.places, evidence, gap.asked_since), around)
        inquiry.is_head = grid is not None and before is None
        inquiry.is_tail = grid is not None and after is None
        return inquiry

    def never_listed(self, inquiries: Sequence[Inquiry]) -> list[Inquiry]:
        """Return the heads of series that the API has nothing before."""
        heads = [
            inquiry
            for inquiry in inquiries
            if inquiry.is_head and not inquiry.is_tail and tells_history(inquiry.gap.series)
        ]

        def existed(inquiry: Inquiry) -> bool:
            assert inquiry.grid is not None
            return existed_before(
                self._client, inquiry.grid, inquiry.gap.series, inquiry.gap.places.end
            )

        return [inquiry for inquiry, value in self._answers(heads, existed) if not value]

    def ask(self, inquiries: Sequence[Inquiry]) -> list[Inquiry]:
        """Ask for as many of the gaps as this turn may; return the inquiries, answered."""
        inquiries = self._with_windows(inquiries)
        if not inquiries:
            return []
        self._work.watcher.asking(
            len(inquiries), sum(len(inquiry.windows) for inquiry in inquiries)
        )
        self._read(inquiries)
        self._look_around(inquiries)
        return inquiries

    def _with_windows(self, inquiries: Sequence[Inquiry]) -> list[Inquiry]:
        """Cut the gaps into windows, with the neighbours on both sides, as far as the pass may ask.

        Of a series that has ended only the first window is asked for, unless that came back full.
        """
        tails = [t for t in inquiries if t.is_tail and t.error is None and self._is_long(t)]
        self._ask_if_trading(tails)
        found: list[Inquiry] = []
        left = min(self.requests_left, WINDOWS_A_TURN)
        for inquiry in inquiries:
            if left <= 0 and inquiry.error is None and inquiry.unasked:
                continue
            inquiry.windows = self._next_windows(inquiry, left)
            requests = requests_of(inquiry.gap.series) * len(inquiry.windows)
            left -= requests
            self.requests_left -= requests
            found.append(inquiry)
        return found

    def _next_windows(self, inquiry: Inquiry, left: int) -> list[Window]:
        """Return the windows that *left* requests allow, one at least."""
        if inquiry.error is not None:
            return []
        is_over = inquiry.is_trading is False and inquiry.gap.series not in self._living
        most = 1 if is_over else max(left // requests_of(inquiry.gap.series), 1)
        return list(islice(_windows(inquiry), most))

    def _is_long(self, inquiry: Inquiry) -> bool:
        series = inquiry.gap.series
        several = islice(_windows(inquiry), 2)
        return series not in self._living and len(list(several)) > 1

    def _read(self, inquiries: Sequence[Inquiry]) -> None:
        """Ask all windows of all gaps, many at once."""
        items = [(inquiry, window) for inquiry in inquiries for window in inquiry.windows]
        left = {id(inquiry): len(inquiry.windows) for inquiry in inquiries}

        def one(item: tuple[Inquiry, Window]) -> Answer:
            answer = ask(self._client, item[0].grid, item[1])
            self._work.watcher.answered()
            return answer

        for done in self._work.rest_map(one, items, lambda _: 1):
            inquiry, window = done.item
            left[id(inquiry)] -= 1
            if done.value is None:
                inquiry.error = _as_rest(done.error)
                continue
            if window.places.end - 1 in done.value.places:
                self._living.add(inquiry.gap.series)
            _take(inquiry, window, done.value)
        _cut_off(inquiry for inquiry in inquiries if left[id(inquiry)])

    def _look_around(self, inquiries: Sequence[Inquiry]) -> None:
        """Ask what tells an outage from the beginning or the end of a series.

        The API's hole may be wider than the lake's, which has the rows next to it from archives.
        """
        answered = [t for t in inquiries if t.error is None and t.grid is not None]
        told = [t for t in answered if tells_history(t.gap.series)]
        self._ask_before(told)
        self._ask_after(told)
        self._ask_at_ends(answered)

    def _ask_before(self, inquiries: Sequence[Inquiry]) -> None:
        without = [t for t in inquiries if not _has_before(t)]
        for inquiry, value in self._answers(without, self._existed_before):
            inquiry.existed_before = value

    def _ask_after(self, inquiries: Sequence[Inquiry]) -> None:
        without = [t for t in inquiries if not t.is_tail and not _has_after(t)]
        for inquiry, value in self._answers(without, self._existed_after):
            inquiry.existed_after = value

    def _ask_at_ends(self, inquiries: Sequence[Inquiry]) -> None:
        """Ask whether symbols still trade, and what comes after those that do not."""
        tails = [t for t in inquiries if t.is_tail and not _has_after(t)]
        self._ask_if_trading([t for t in tails if t.is_trading is None])
        over = [t for t in tails if t.is_trading is False]
        self._ask_beyond([t for t in over if tells_history(t.gap.series)])

    def _ask_beyond(self, inquiries: Sequence[Inquiry]) -> None:
        """Ask what comes after symbols that are not listed as trading any more."""
        for inquiry, value in self._answers(inquiries, self._existed_beyond):
            inquiry.existed_after = value
            if value:
                self._living.add(inquiry.gap.series)

    def _existed_before(self, inquiry: Inquiry) -> bool:
        assert inquiry.grid is not None
        gap = inquiry.gap
        return existed_before(self._client, inquiry.grid, gap.series, gap.places.first)

    def _existed_after(self, inquiry: Inquiry) -> bool:
        return self._existed_from(inquiry, inquiry.gap.places.end)

    def _existed_beyond(self, inquiry: Inquiry) -> bool:
        """Whether the API has a row beyond what was asked of a series that seems to have ended."""
        asked = (places.end for places in inquiry.answered)
        return self._existed_from(inquiry, max(asked, default=inquiry.gap.places.first))

    def _existed_from(self, inquiry: Inquiry, place: int) -> bool:
        assert inquiry.grid is not None
        series, now = inquiry.gap.series, self._work.now()
        return existed_after(self._client, inquiry.grid, series, place, now)

    def _ask_if_trading(self, inquiries: Sequence[Inquiry]) -> None:
        for inquiry, value in self._answers(
            inquiries, lambda t: is_trading(self._client, t.gap.series)
        ):
            inquiry.is_trading = value

    def _answers(
        self, inquiries: Sequence[Inquiry], question: Callable[[Inquiry], bool]
    ) -> Iterator[tuple[Inquiry, bool]]:
        """Yield the API's answer for each inquiry; an error stays with its inquiry."""
        self.requests_left -= len(inquiries)
        left = {id(inquiry): inquiry for inquiry in inquiries}
        for done in self._work.rest_map(question, inquiries, lambda _: 1):
            del left[id(done.item)]
            if done.value is None:
                done.item.error = _as_rest(done.error)
            else:
                yield done.item, done.value
        _cut_off(left.values())


def _windows(inquiry: Inquiry) -> Iterator[Window]:
    """Yield the windows of what is left to ask for, with the neighbours on both sides."""
    for places in inquiry.unasked:
        wider = Places(places.first - 1, places.end + 1)
        yield from windows(inquiry.gap.series, inquiry.grid, wider, inquiry.around)


def _take(inquiry: Inquiry, window: Window, answer: Answer) -> None:
    inquiry.answered.append(window.places)
    inquiry.places += answer.places
    inside = inquiry.gap.places
    for place, moment, line in zip(answer.places, answer.moments, answer.lines, strict=True):
        if inside.first <= place < inside.end:
            inquiry.rows[place if inquiry.grid is None else moment] = (moment, line)


def _cut_off(inquiries: Iterable[Inquiry]) -> None:
    """Have nobody take what was not asked any more for what the API does not have."""
    for inquiry in inquiries:
        inquiry.error = inquiry.error or RestError(f"asking for {inquiry.gap}: stopped")


def _has_before(inquiry: Inquiry) -> bool:
    return bool(inquiry.places) and min(inquiry.places) < inquiry.gap.places.first


def _has_after(inquiry: Inquiry) -> bool:
    last = max((places.end for places in inquiry.answered), default=inquiry.gap.places.end)
    return bool(inquiry.places) and max(inquiry.places) >= min(last, inquiry.gap.places.end)


def _as_rest(error: FullpoolError | None) -> RestError:
    return error if isinstance(error, RestError) else RestError(str(error))
