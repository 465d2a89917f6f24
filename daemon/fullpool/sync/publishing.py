"""Publishes the state as a new generation, at intervals."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from fullpool import logs
from fullpool.errors import FullpoolError, StateDamagedError
from fullpool.model import Damage, PartitionFile
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.publication import ORDINARY, Manner
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.damage import give_up_gone, note_lost
from fullpool.sync.outcome import Outcome
from fullpool.sync.tails import set_aside_damaged, take_out
from fullpool.sync.work import Work

log = logs.get_logger()

# A fill of ten hours is published a hundred times, not a thousand.
_SHARE_BETWEEN: Final = 0.05


class Publisher:
    """Publishes what is recorded from time to time; ever less often in long work."""

    def __init__(self, work: Work, state: State, outcome: Outcome) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._began = self._published = work.monotonic()
        self._is_prepared = False

    def is_due(self) -> bool:
        """Whether there is something to publish, and the interval since the last time is over."""
        now, every_s = self._work.monotonic(), self._work.config.limits.publish_every_s
        spacing_s = max(every_s, (now - self._began) * _SHARE_BETWEEN)  # each is kept for a while
        return self._outcome.is_dirty and now >= self._published + spacing_s

    def prepare(self) -> None:
        """Make what any publication needs, once, while there is time for it."""
        if not self._is_prepared:
            self._is_prepared = True
            publication.prepare(self._state, self._work.tree)

    def publish(self, generation: int) -> None:
        publish(self._work, self._state, self._outcome, generation)
        self._published = self._work.monotonic()


def publish(
    work: Work, state: State, outcome: Outcome, generation: int, manner: Manner = ORDINARY
) -> None:
    """Make what the state holds the newest generation, and tell."""
    gone = publish_state(state, work.tree, generation, work.now(), manner)
    note_lost(state, outcome, gone)
    outcome.generation, outcome.is_dirty = generation, False
    work.watcher.published(generation)


def publish_state(
    state: State, tree: Tree, generation: int, now: datetime, manner: Manner = ORDINARY
) -> dict[PartitionFile, Damage]:
    """Make what the state holds the newest generation; return what is left out for it is gone.

    What that held is due again. Raises LakeUnwritableError if the lake itself is gone.
    """
    state.require_ours()
    gone = give_up_gone(state, tree, now)
    take_out(state, tree, generation, now)
    try:
        publication.publish(state, tree, generation, now, manner)
    except StateDamagedError:
        with suppress(FullpoolError):  # publishing again says what is wrong
            set_aside_damaged(state, tree, now)
        # What cannot be read may be a table of the generation before.
        publication.publish(state, tree, generation, now, replace(manner, is_afresh=True))
    (log.debug if manner.is_tail else log.info)("generation.published", generation=generation)
    return gone
