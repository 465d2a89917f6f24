"""Checks a file against its recorded size and hash."""

import errno
from pathlib import Path

from fullpool.model import GONE, Damage, Fault, PartitionFile
from fullpool.store.partitions.finish import sha256_of


def damage_of(root: Path, file: PartitionFile) -> Damage | None:
    """Return how a file is not the one that was written; None if it is.

    Raises OSError if it cannot be looked at for a reason that says nothing of the file.
    """
    try:
        return _damage_of(root / file.path, file)
    except OSError as error:
        if error.errno == errno.EIO:
            return Damage(Fault.DAMAGED, f"cannot be read: {error.strerror}")
        raise


def _damage_of(path: Path, file: PartitionFile) -> Damage | None:
    if not path.is_file():
        return GONE
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        return Damage(Fault.DAMAGED, f"has {size_bytes} bytes, not {file.size_bytes}")
    if file.sha256 and sha256_of(path) != file.sha256:
        return Damage(Fault.DAMAGED, "does not have the bytes that were written")
    return None
