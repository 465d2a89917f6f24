"""Removes what is kept no longer: generations, files, records of quiet passes."""

from datetime import datetime, timedelta
from typing import Final

from fullpool import logs
from fullpool.store.catalogue import publication
from fullpool.store.quarantine import forget_taken_out
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree

log = logs.get_logger()

# A quiet pass is remembered this long.
_QUIET_PASSES: Final = timedelta(days=2)
# And a file that was taken out of the lake is kept this long, or longer if older generations are.
_TAKEN_OUT: Final = timedelta(days=30)


def keep_house(state: State, tree: Tree, grace: timedelta, now: datetime) -> None:
    """Remove what was replaced more than *grace* ago, and give back what the state holds open."""
    freed = publication.retire(state, tree, now - grace)
    thinned = publication.thin(state, tree, now)
    state.passes.forget(now - _QUIET_PASSES)
    forget_taken_out(tree, now - max(_TAKEN_OUT, grace))
    state.renew()
    log.info("housekeeping.finished", freed_bytes=freed, thinned=thinned)
