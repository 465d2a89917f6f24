"""Follows the market: asks the API for the rows that no archive has yet, and publishes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fullpool import logs
from fullpool.config import Config
from fullpool.errors import NoSymbolError, RestError
from fullpool.following import LastRow, Next
from fullpool.model import Series
from fullpool.rest import Answer, Client, Window, ask
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.publication import Manner
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.bans import share_bans
from fullpool.sync.follow_choice import Asked, Choice
from fullpool.sync.maps import Map
from fullpool.sync.publishing import publish_state
from fullpool.sync.tail_writer import NewRows, TailWriter
from fullpool.sync.tails import here

log = logs.get_logger()

# So long a generation that only follows is kept, for those who have it open.
KEPT: Final = timedelta(minutes=30)


@dataclass(slots=True)
class Followed:
    """What one run of following did. *behind*: series that have more rows than it asked for."""

    rows: int = 0
    requests: int = 0
    behind: int = 0
    troubles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wire:
    """What the API is asked through, and how often in one run at most.

    It is asked again where an outage is to be left behind, or an answer was full.
    """

    client: Client
    rest_map: Map
    now: Callable[[], datetime]
    rounds: int = 10


class Follow:
    """Keeps the rows of followed series that no archive has yet."""

    def __init__(self, config: Config, state: State, tree: Tree) -> None:
        self._config = config
        self._state = state
        self._tree = tree
        self._choice = Choice(config, state)
        self._told: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether anything is to be followed."""
        return self._config.rest.enabled and any(one.follow for one in self._config.dataset)

    def run(self, wire: Wire) -> Followed:
        """Ask for what was closed since the last time, and publish what came."""
        found, new = Followed(), NewRows()
        here(self._state, self._tree, wire.now())
        share_bans(wire.client, self._state)
        self._ask_on(wire, new, found)
        share_bans(wire.client, self._state)
        if new.rows:
            found.rows, now = new.count, wire.now()
            found.troubles |= TailWriter(self._state, self._tree).write(new, now)
            generation = self._state.next_value("generation")
            publish_state(self._state, self._tree, generation, now, Manner(is_tail=True))
            publication.retire_tails(self._state, self._tree, now - KEPT)
        self._tell(found)
        return found

    def _ask_on(self, wire: Wire, new: NewRows, found: Followed) -> None:
        """Ask for all that is followed, and again for what has more at once."""
        behind: set[Series] = set()
        self._choice.begin(wire.now())
        again: frozenset[Series] | None = None
        for _ in range(wire.rounds):
            chosen = self._choice.of(wire.client, wire.now(), again)
            found.troubles |= chosen.troubles
            self._ask(wire, chosen.asked, new, found)
            behind = behind - {one.series for one in chosen.asked} | chosen.behind
            again = self._choice.unfinished
            if not again or not chosen.asked:
                break
        found.behind = len(behind | self._choice.unfinished)

    def _ask(self, wire: Wire, asked: Asked, new: NewRows, found: Followed) -> None:
        """Add the rows that come to *new*; what fails is asked for again by the next run."""
        items = [(one, window) for one, own in asked.items() for window in own]
        answers: dict[tuple[Series, int], Answer] = {}

        def answer(item: tuple[Next, Window]) -> Answer:
            with wire.client.ahead():
                return ask(wire.client, item[0].grid, item[1])

        for done in wire.rest_map(answer, items, lambda _: 1):
            one, window = done.item
            found.requests += 1
            if done.value is None:
                self._note(one.series, done.error, wire.now(), found)
            else:
                answers[one.series, window.places.first] = done.value
        for one, own in asked.items():
            answered = [(window, answers.get((one.series, window.places.first))) for window in own]
            self._take(one, answered, new, wire.now())

    def _take(
        self,
        one: Next,
        answered: Sequence[tuple[Window, Answer | None]],
        new: NewRows,
        now: datetime,
    ) -> None:
        """Add the rows of a series, but none behind an answer that did not come: a hole."""
        newest: LastRow | None = None
        for window, answer in answered:
            if answer is None:
                return
            newest = new.add(one, answer, newest, now)
            self._choice.came(one, newest)
            last = window, answer
        self._choice.answered(one, last, newest, now)

    def _note(
        self, series: Series, error: Exception | None, now: datetime, found: Followed
    ) -> None:
        if isinstance(error, NoSymbolError):
            self._choice.unknown(series, now)
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
