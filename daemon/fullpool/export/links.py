"""Gives files of the lake a second name, or copies them: as they are, in a plain tree."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from fullpool.errors import NO_LINKS, DamagedError, LakeUnwritableError, UsageError
from fullpool.export.order import Way
from fullpool.export.task import Result, Task
from fullpool.export.written import Written
from fullpool.store.duck import listed
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.tree import ends_whole


def paths_of(task: Task) -> list[str]:
    """Return the files of the series that have rows of what is wanted, by their paths."""
    span = task.choice.span
    return [path for series in task.series for path in task.source.files(series, span)]


def require_one_type(task: Task, paths: Sequence[str]) -> None:
    """Raise UsageError if a column has other types in some files than in others of its table."""
    root = task.source.tree.root
    for table in sorted({path.partition("/")[0] for path in paths}):
        files = [str(root / path) for path in paths if path.startswith(f"{table}/")]
        found = task.source.reader.query(
            "SELECT name, count(DISTINCT (type, precision, scale)) AS types,"
            " arg_min(file_name, precision), arg_max(file_name, precision)"
            f" FROM parquet_schema({listed(files)}) WHERE type IS NOT NULL"
            " GROUP BY name HAVING types > 1 ORDER BY name LIMIT 1"
        ).rows
        for column, _, *ends in found:
            both = " and ".join(str(Path(path).relative_to(root)) for path in ends)
            raise UsageError(
                f"exporting {table} as it is stored: {column} has decimals of different widths in"
                f" {both}, which other engines refuse to read together",
                hint="leave --link and --copy out to write rows of one type, or add --types stored",
            )


def place(task: Task, paths: Sequence[str], way: Way) -> Result:
    """Link or copy files of the lake, under names without their generation.

    Raises DamagedError if one is not what was written, LakeUnwritableError if there are no links.
    """
    recorded = task.source.recorded()
    files = []
    with task.counter(len(paths)) as advance:
        for path in paths:
            file = recorded[path]
            target = task.folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = task.source.tree.root / path
            shutil.copyfile(source, target) if way is Way.COPY else _link(source, target)
            _require_whole(source, target, file, way)
            files.append(file)
            advance(1)
    return Result(files, task.source.followed(task.series))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        hint = "links of it are not possible, or not for you: use --copy"
        raise LakeUnwritableError(f"linking {source}: {error}", hint=hint) from error


def _require_whole(source: Path, target: Path, file: Written, way: Way) -> None:
    """Raise DamagedError if a file is not what was recorded; what is copied is read anyway."""
    is_whole = target.stat().st_size == file.size_bytes and ends_whole(target)
    if not is_whole or (way is Way.COPY and file.sha256 and sha256_of(target) != file.sha256):
        raise DamagedError(f"exporting {source}: it is not what was written")
