"""Room on the lake's disk: looked at before anything is fetched or asked for."""

import shutil
from typing import Final

from fullpool.errors import DiskFullError
from fullpool.store.duck import map_errors
from fullpool.sync.work import Work

_MB: Final = 1_000_000


def require_room(work: Work, planned: int = 0) -> None:
    """Raise DiskFullError if *planned* bytes would leave less free than configured."""
    with map_errors(f"looking for room in {work.tree.root}"):
        free = shutil.disk_usage(work.tree.root).free
    floor = int(work.config.lake.min_free_gb * 1e9)
    if free - planned < floor:
        raise DiskFullError(
            f"looking for room in {work.tree.root}: of {free / _MB:,.0f} MB that are free,"
            f" {planned / _MB:,.0f} MB are needed and {floor / _MB:,.0f} MB are to stay free",
            hint="free some space, move the lake, ask for less, or lower lake.min_free_gb",
        )
