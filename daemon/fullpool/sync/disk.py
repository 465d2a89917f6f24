"""Checks free disk space before anything is downloaded."""

import shutil
from collections.abc import Sequence
from typing import Final

from fullpool import logs
from fullpool.errors import DiskFullError
from fullpool.model import Step
from fullpool.store.duck import map_errors
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work

log = logs.get_logger()

_MB: Final = 1_000_000
# The text of a ZIP has up to so many times its bytes, and lies in staging while it is built.
_INFLATED: Final = 8


def room_for(sizes: Sequence[int], builders: int) -> int:
    """Return the bytes that steps of these sizes, zipped, take: what stays, and the largest texts.

    So many of them are built at the same time.
    """
    return sum(sizes) + _INFLATED * sum(sorted(sizes)[-builders:])


def parted(steps: Sequence[Step], left: int) -> tuple[list[Step], list[Step]]:
    """Return the steps that find room in *left* bytes one by one, and those too large for that."""
    small: list[Step] = []
    large: list[Step] = []
    for step in steps:
        (small if room_for([step.size_bytes], 1) <= left else large).append(step)
    return small, large


def with_room(work: Work, steps: Sequence[Step], outcome: Outcome) -> list[Step]:
    """Return the steps that the disk has room for: one that is too large keeps no other waiting.

    Raises DiskFullError if there is room for each but not for all, or for none and the pass has
    done nothing yet.
    """
    left = left_for(work)
    small, large = parted(steps, left)
    if small or not (outcome.built or outcome.too_large):
        sizes = [step.size_bytes for step in small or large]
        require_room(work, room_for(sizes, work.config.limits.builders))
    for step in large:
        _leave_out(step, too_large(step, left), outcome)
    return small


def _leave_out(step: Step, reason: str, outcome: Outcome) -> None:
    unit, series = (step.series, step.unit), str(step.series)
    for known in step.archives:
        if unit not in outcome.too_large:
            log.warning("archive.failed", archive=str(known.archive), series=series, reason=reason)
        outcome.failed[str(known.archive)] = reason
    outcome.too_large.add(unit)


def too_large(step: Step, left: int) -> str:
    """Return why a step is left out."""
    needed = room_for([step.size_bytes], 1)
    return (
        f"it needs {needed / _MB:,.0f} MB of disk while it is built, and"
        f" {max(left, 0) / _MB:,.0f} MB are free above lake.min_free_gb"
    )


def left_for(work: Work) -> int:
    """Return the bytes that are free above the reserve; less than 0 if that is not there."""
    with map_errors(f"checking free space in {work.tree.root}"):
        free = shutil.disk_usage(work.tree.root).free
    return free - int(work.config.lake.min_free_gb * 1e9)


def require_room(work: Work, planned: int = 0) -> None:
    """Raise DiskFullError if *planned* bytes would leave less free than configured."""
    left, floor = left_for(work), int(work.config.lake.min_free_gb * 1e9)
    if left < planned:
        raise DiskFullError(
            f"checking free space in {work.tree.root}: {(left + floor) / _MB:,.0f} MB free,"
            f" {planned / _MB:,.0f} MB needed, {floor / _MB:,.0f} MB reserved (lake.min_free_gb)",
            hint="free some space, move the lake, configure fewer series, or lower"
            " lake.min_free_gb",
        )
