"""Making what the state holds the newest generation."""

from datetime import datetime

from fullpool import logs
from fullpool.model import PartitionFile
from fullpool.store import catalogue
from fullpool.store.state import State
from fullpool.store.tree import Tree
from fullpool.sync.damage import give_up_gone, note_lost
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

log = logs.get_logger()


def publish(work: Work, state: State, outcome: Outcome, generation: int) -> None:
    """Make what the state holds the newest generation, and tell."""
    gone = publish_state(state, work.tree, generation, work.now())
    note_lost(state, outcome, gone)
    outcome.generation, outcome.is_dirty = generation, False
    work.watcher.published(generation)


def publish_state(
    state: State, tree: Tree, generation: int, now: datetime
) -> dict[PartitionFile, str]:
    """Make what the state holds the newest generation; return what is left out for it is gone.

    What that held is due again. Raises LakeUnwritableError if the lake itself is gone.
    """
    gone = give_up_gone(state, tree, now)
    catalogue.publish(state, tree, generation, now)
    log.info("generation.published", generation=generation)
    return gone
