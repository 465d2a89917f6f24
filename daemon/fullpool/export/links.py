"""Gives files of the lake a second name, or copies them: as they are, in a plain tree."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fullpool.errors import UsageError
from fullpool.export.choice import Held
from fullpool.export.order import Choice
from fullpool.export.source import Source
from fullpool.export.target import Written
from fullpool.store.duck import listed
from fullpool.store.tree import link_or_copy


def files_of(source: Source, choice: Choice, series: Sequence[Held]) -> list[str]:
    """Return the files of the series that have rows of what is wanted, by their paths."""
    return [path for one in series for path in source.files(one, choice.span)]


def require_one_type(source: Source, paths: Sequence[str]) -> None:
    """Raise UsageError if a column has other types in some files than in others of its table."""
    tables = {path.partition("/")[0] for path in paths}
    for table in sorted(tables):
        own = [str(source.tree.root / path) for path in paths if path.startswith(f"{table}/")]
        found = source.reader.query(
            "SELECT name, count(DISTINCT (type, precision, scale)) AS types,"
            " arg_min(file_name, precision), arg_max(file_name, precision)"
            f" FROM parquet_schema({listed(own)}) WHERE type IS NOT NULL"
            " GROUP BY name HAVING types > 1 ORDER BY name LIMIT 1"
        ).rows
        for name, _, narrow, wide in found:
            files = " and ".join(
                str(Path(one).relative_to(source.tree.root)) for one in (narrow, wide)
            )
            raise UsageError(
                f"linking {table}: {name} has decimals of different widths in {files}, which other"
                " engines refuse to read together",
                hint="leave --link and --copy out to write rows of one type, or add --types stored",
            )


def place(
    source: Source,
    paths: Sequence[str],
    folder: Path,
    tell: Callable[[int], object],
    *,
    is_copied: bool,
) -> Iterator[Written]:
    """Yield each file of the lake as it is below *folder*, under a name without its generation."""
    put: Callable[[Path, Path], object] = shutil.copyfile if is_copied else link_or_copy
    known = source.recorded()
    for path in paths:
        plain = folder / _plain(path)
        plain.parent.mkdir(parents=True, exist_ok=True)
        put(source.tree.root / path, plain)
        tell(1)
        yield Written(_plain(path), *known[path])


def _plain(path: str) -> str:
    """Return `.../2024-03.parquet` for `.../2024-03.g000123.parquet`."""
    stem, _, _ = path.removesuffix(".parquet").rpartition(".g")
    return f"{stem}.parquet"
