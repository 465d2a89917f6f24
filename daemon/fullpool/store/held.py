"""Holding a file of the lake to what is recorded of its bytes."""

from pathlib import Path

from fullpool.model import PartitionFile
from fullpool.store.finish import sha256_of


def harm_of(root: Path, file: PartitionFile) -> str | None:
    """Return how a file is not the one that was written; None if it is. Raises OSError."""
    path = root / file.path
    if not path.is_file():
        return "is gone"
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        return f"has {size_bytes} bytes, not {file.size_bytes}"
    if file.sha256 and sha256_of(path) != file.sha256:
        return "has other bytes than were written"
    return None
