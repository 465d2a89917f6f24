"""What an export has to write, and what it has written."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fullpool.export.choice import Held
from fullpool.export.order import Choice
from fullpool.export.source import ExportSource
from fullpool.export.written import Written
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.tree import sync_file

# Opens what counts so many steps.
Counter = Callable[[int], AbstractContextManager[Callable[[int], object]]]


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of *series*, as far as *choice* wants them, that are to be written below *folder*."""

    source: ExportSource
    series: Sequence[Held]
    choice: Choice
    folder: Path
    counter: Counter

    def described(self, file: Path, rows: int) -> Written:
        """Return the record of a finished file, once it is on disk."""
        sync_file(file)
        path = str(file.relative_to(self.folder))
        return Written(path, rows, file.stat().st_size, sha256_of(file))


@dataclass(frozen=True, slots=True)
class Result:
    """The files of an export, and what is not in them: a reason each."""

    files: Sequence[Written]
    left_out: Sequence[str] = ()
