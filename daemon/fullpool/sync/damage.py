"""Files of the lake that are not what was written: taken out, and what was in them due again."""

from fullpool import logs
from fullpool.model import PartitionFile, Status, Step
from fullpool.store.held import harm_of
from fullpool.store.state import State
from fullpool.store.tree import take_out
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

log = logs.get_logger()


def take_out_damaged(work: Work, state: State, outcome: Outcome, step: Step) -> None:
    """Have what damaged files of *step* held fetched again; the files are kept in quarantine.

    Their archives count as failed until they are in the lake again.
    """
    harms = {file: harm for file in step.files if (harm := harm_of(work.tree.root, file))}
    state.record_lost(list(harms), work.now())
    outcome.is_dirty = True
    for file, harm in harms.items():
        take_out(work.tree, file.path)
        tell(file, harm)
        for known in state.memory.known_of([step.series])[step.series]:
            is_due = known.status in (Status.EXPECTED, Status.PUBLISHED)
            if is_due and known.archive.period.span.overlaps(file.partition.period.span):
                outcome.failed[str(known.archive)] = f"{file.path} {harm}"


def tell(file: PartitionFile, harm: str) -> None:
    """Tell of a file that was found damaged."""
    log.error(
        "partition.damaged", partition=file.path, series=str(file.partition.series), reason=harm
    )
