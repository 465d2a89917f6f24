"""A file of an export."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """A file by its path below the folder; *sha256* may be "" for one that an old version made."""

    path: str
    rows: int
    size_bytes: int
    sha256: str
