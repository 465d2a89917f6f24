"""Drops damaged files, so that their archives are due again."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from fullpool import logs
from fullpool.model import GONE, Damage, Fault, PartitionFile, Status, Step
from fullpool.store.inventory import forget_gone
from fullpool.store.partitions.held import damage_of
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree, keep_copy
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

log = logs.get_logger()


def give_up_damaged(work: Work, state: State, outcome: Outcome, step: Step) -> None:
    """Have what damaged files of *step* held fetched again; a copy of each goes to quarantine.

    Readers see its rows until the next publication.
    """
    root = work.tree.root
    damaged = {file: damage for file in step.files if (damage := damage_of(root, file))}
    for file in damaged:
        keep_copy(work.tree, file.path)
    state.record_lost(damaged, work.now())
    _tell(damaged)
    note_lost(state, outcome, damaged)


def give_up_gone(state: State, tree: Tree, now: datetime) -> dict[PartitionFile, Damage]:
    """Have what files held that are gone fetched again; return them, with that word."""
    gone = dict.fromkeys(forget_gone(state, tree, now), GONE)
    _tell(gone)
    return gone


def tell_gone(files: Iterable[PartitionFile]) -> None:
    """Log that files of the lake are gone."""
    _tell(dict.fromkeys(files, GONE))


def note_lost(state: State, outcome: Outcome, lost: Mapping[PartitionFile, Damage]) -> None:
    """Count the archives of lost files as failed until they are in the lake again."""
    outcome.lost += len(lost)
    outcome.is_dirty = outcome.is_dirty or bool(lost)
    known = state.queries.known_of({file.partition.series for file in lost})
    for own in known.values():
        for one in own:
            if one.status is Status.EXPECTED and one.fault in (Fault.GONE, Fault.DAMAGED):
                outcome.failed[str(one.archive)] = one.reason


def _tell(lost: Mapping[PartitionFile, Damage]) -> None:
    for file, damage in lost.items():
        series = str(file.partition.series)
        log.error("partition.damaged", partition=file.path, series=series, reason=str(damage))
