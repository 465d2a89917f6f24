"""Reads the files of a lake whose state is lost.

Of files that cover the same time the one of the highest generation counts.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fullpool.errors import MalformedError
from fullpool.model import PartitionFile, Series, Span
from fullpool.store import duck
from fullpool.store.partitions import finish, rows
from fullpool.store.partitions.provenance import Source, origin_of
from fullpool.store.tree import Tree, partition_in


@dataclass(frozen=True, slots=True)
class RecoveryOrder:
    """A file to be read, below *root*. *sha256* is what is known of its bytes, or ""."""

    path: str
    generation: int
    root: Path
    memory_mb: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class RecoveredFile:
    """What one file holds and where it came from; the *damage* if it holds nothing of use."""

    path: str
    file: PartitionFile | None
    sources: tuple[Source, ...] = ()
    damage: str = ""

    @property
    def generation(self) -> int:
        """The one that wrote it."""
        return self.file.generation if self.file else 0


def newest_files(paths: Iterable[tuple[str, int]]) -> tuple[list[str], list[str]]:
    """Tell the files that count from those that were replaced, by names and generations."""
    kept: dict[Series, _Taken] = defaultdict(_Taken)
    current: list[str] = []
    replaced: list[str] = []
    for path, _ in sorted(paths, key=lambda item: (-item[1], item[0])):
        partition = partition_in(path)
        if partition is None:
            continue
        is_new = kept[partition.series].take(partition.period.span)
        (current if is_new else replaced).append(path)
    return sorted(current), sorted(replaced)


class _Taken:
    """Spans that do not overlap, in order."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def take(self, span: Span) -> bool:
        """Take a span unless one overlaps it; return whether it was taken."""
        at = bisect_left(self._spans, span)
        if any(one.overlaps(span) for one in self._spans[max(at - 1, 0) : at + 1]):
            return False
        self._spans.insert(at, span)
        return True


def superseded(found: Iterable[RecoveredFile]) -> list[RecoveredFile]:
    """Return files whose archive another file has a newer edition of: they were replaced.

    A new edition of a month may have no rows of a day any more, whose file nothing took the place
    of then.
    """
    reads = [one for one in found if one.file is not None]
    newest: dict[str, tuple[int, str]] = {}
    for file in reads:
        for source in file.sources:
            edition = file.generation, source.sha256
            newest[source.key] = max(newest.get(source.key, edition), edition)

    def has_older(one: RecoveredFile) -> bool:
        return any(_is_older(one.generation, source, newest[source.key]) for source in one.sources)

    return [file for file in reads if has_older(file)]


def _is_older(generation: int, source: Source, newest: tuple[int, str]) -> bool:
    """Whether a file of *generation* has another edition of an archive than the newest one has."""
    return generation < newest[0] and source.sha256 != newest[1]


def read(order: RecoveryOrder) -> RecoveredFile:
    """Return what a file holds. Runs in a worker process.

    Raises LakeUnwritableError or StateDamagedError if it cannot be looked at, which says nothing of
    what it holds.
    """
    path, partition = order.root / order.path, partition_in(order.path)
    assert partition is not None
    with duck.map_errors(f"reading {path}"):
        if order.sha256 and order.sha256 != finish.sha256_of(path):
            return RecoveredFile(
                order.path, None, damage="does not have the bytes that were written"
            )
        connection = duck.of_worker(order.root, Tree(order.root).staging, order.memory_mb, 1)
        try:
            found = finish.checked(connection, partition.series, path, rows.SORTED_ONCE)
            origin = origin_of(connection, [path])
        except (MalformedError, *duck.ERRORS) as error:
            is_known = order.sha256 and not isinstance(error, MalformedError)
            if is_known or not duck.is_damage(error):
                raise  # its bytes are those that were written, or nobody can read them
            return RecoveredFile(order.path, None, damage=duck.summary(error))
        if found is None:
            return RecoveredFile(order.path, None, damage="has no rows")
        if reason := origin.why_not_of(partition.series):
            return RecoveredFile(order.path, None, damage=reason)
        file = finish.file_of(partition, order.path, order.generation, found, order.sha256)
    return RecoveredFile(order.path, file, origin.sources)
