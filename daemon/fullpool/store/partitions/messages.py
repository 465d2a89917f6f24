"""What a build is given and returns: values that pass between processes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from fullpool.gaps import Patch
from fullpool.model import (
    Archive,
    Checksum,
    Fault,
    Identity,
    PartitionFile,
    Series,
    Span,
    Step,
    Zipped,
)


@dataclass(frozen=True, slots=True)
class Edition:
    """One archive as the vendor published it at some moment."""

    archive: Archive
    sha256: str
    identity: Identity
    checksum: Checksum = Checksum.VERIFIED


@dataclass(frozen=True, slots=True)
class Input:
    """A verified ZIP. It goes to the worker; what comes back names its edition only."""

    edition: Edition
    zipped: Zipped


@dataclass(frozen=True, slots=True)
class Followed:
    """Files with followed rows of the series, which come into the partition as *patch* says.

    The first of these rows is of *first_time*.
    """

    paths: tuple[str, ...]
    patch: Patch
    first_time: datetime

    def before(self, end: datetime) -> "Followed | None":
        """Return what of it lies before *end*; None if nothing does."""
        until = Span(self.patch.span.start, min(self.patch.span.end, end))
        if until.end <= self.first_time:
            return None
        return replace(self, patch=replace(self.patch, span=until))


def end_of(step: Step, spans: Iterable[Span]) -> datetime:
    """Return where what the partitions of a step will hold ends, if *spans* are built into them.

    A followed row before that would be taken for one that is in them.
    """
    start = step.unit.span.start
    ends = [*(span.end for span in spans), *(file.last_time for file in step.files)]
    return max([start, *ends])


@dataclass(frozen=True, slots=True)
class Order:
    """What one build is to do. *generation* is part of the names of the files it writes.

    Until they have their names they lie in *staging*, where downloads are put as well. *threads*
    and *memory_mb* are what DuckDB may use for it.
    """

    step: Step
    inputs: tuple[Input, ...]
    root: Path
    staging: Path
    generation: int
    memory_mb: int
    inflated_bytes: int
    patches: tuple[Patch, ...] = ()
    followed: Followed | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Accepted:
    """An archive whose rows are in the lake now. *rows* counts the lines of its file."""

    edition: Edition
    rows: int
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """An archive that failed a check, and which."""

    edition: Edition
    reason: str
    fault: Fault = Fault.WRONG_ROWS


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that two sources give differently; *kept_value* is the one in the lake."""

    series: Series
    key: int
    row_time: datetime
    column_name: str
    kept_source: str
    kept_value: str | None
    other_source: str
    other_value: str | None


@dataclass(frozen=True, slots=True)
class Revision:
    """An archive that was in the lake and came with other bytes, and what that did to its rows."""

    edition: Edition
    old: Identity
    old_sha256: str
    added: int
    removed: int
    changed: int


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did. Without *files* nothing was written and *replaced* stays as it is."""

    step: Step
    files: tuple[PartitionFile, ...]
    accepted: tuple[Accepted, ...]
    rejected: tuple[Rejected, ...]
    conflicts: tuple[Conflict, ...] = ()
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """Files whose holes are to be found: written by an older version, or by none we know."""

    files: tuple[PartitionFile, ...]
    root: Path
    memory_mb: int
