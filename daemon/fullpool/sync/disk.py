"""Checks free disk space before anything is downloaded."""

import shutil
from collections.abc import Sequence
from typing import Final

from fullpool.errors import DiskFullError
from fullpool.store.duck import map_errors
from fullpool.sync.work import Work

_MB: Final = 1_000_000
# The text of a ZIP has up to so many times its bytes, and lies in staging while it is built.
_INFLATED: Final = 8


def room_for(sizes: Sequence[int], builders: int) -> int:
    """Return the bytes that steps of these sizes, zipped, take: what stays, and the largest texts.

    So many of them are built at the same time.
    """
    return sum(sizes) + _INFLATED * sum(sorted(sizes)[-builders:])


def require_room(work: Work, planned: int = 0) -> None:
    """Raise DiskFullError if *planned* bytes would leave less free than configured."""
    with map_errors(f"checking free space in {work.tree.root}"):
        free = shutil.disk_usage(work.tree.root).free
    floor = int(work.config.lake.min_free_gb * 1e9)
    if free - planned < floor:
        raise DiskFullError(
            f"checking free space in {work.tree.root}: {free / _MB:,.0f} MB free,"
            f" {planned / _MB:,.0f} MB needed, {floor / _MB:,.0f} MB reserved (lake.min_free_gb)",
            hint="free some space, move the lake, configure fewer series, or lower"
            " lake.min_free_gb",
        )
