"""Writes, checks, splits and names the files of a build."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb

from fullpool.errors import ArchiveError, MalformedError
from fullpool.kinds import Kind, grid_of, kind_of
from fullpool.model import Hole, Partition, PartitionFile, Run, Series, Span, instant
from fullpool.store import duck
from fullpool.store.partitions import rows
from fullpool.store.partitions.csv_rows import SOURCE_COLUMN, field_ids
from fullpool.store.partitions.holes import holes_in, runs_in
from fullpool.store.partitions.messages import Conflict, Order
from fullpool.store.partitions.provenance import Origin, metadata, origin_of
from fullpool.store.tree import give_name, partition_path

# As many conflicts are kept of one build; a source that is wrong altogether has millions.
MAX_CONFLICTS: Final = 10_000
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Checked:
    """A finished file: what it holds, in order and without doubles."""

    path: Path
    rows: int
    patched_rows: int
    first_time: datetime
    last_time: datetime
    first_key: int
    last_key: int
    holes: tuple[Hole, ...]
    runs: tuple[Run, ...]


def copy(
    connection: duckdb.DuckDBPyConnection, kind: Kind, select: str, target: Path, origin: Origin
) -> None:
    connection.execute(
        f"COPY ({select}) TO {duck.quoted(target)} (FORMAT parquet, COMPRESSION zstd,"
        f" PARQUET_VERSION V2, ROW_GROUP_SIZE 122880, FIELD_IDS {field_ids(kind, SOURCE_COLUMN)},"
        f" KV_METADATA {metadata(origin)})"
    )


def checked(
    connection: duckdb.DuckDBPyConnection, series: Series, path: Path, arranged: rows.Arrangement
) -> Checked | None:
    """Return what a file holds; None if nothing. Raises MalformedError if it is out of order."""
    kind, grid = kind_of(series), grid_of(series, ())
    found = connection.execute(rows.check_of(kind, grid, path, arranged)).fetchone()
    assert found is not None
    disordered, count, patched, first_us, last_us, first_key, last_key, holes = found
    if disordered:
        raise MalformedError(f"{disordered} rows are out of order or duplicated")
    if not count:
        return None
    if first_us is None:
        raise MalformedError("its rows have no times")
    return Checked(
        path=path,
        rows=count,
        patched_rows=patched,
        first_time=instant(first_us),
        last_time=instant(last_us),
        first_key=first_key,
        last_key=last_key,
        holes=tuple(holes_in(connection, kind, grid, [path])[path]) if holes else (),
        runs=tuple(runs_in(connection, kind, grid, path)) if patched else (),
    )


def scanned(
    connection: duckdb.DuckDBPyConnection, root: Path, file: PartitionFile
) -> PartitionFile:
    """Return a file that is in the lake already, with its holes and its rows of REST."""
    found = checked(connection, file.partition.series, root / file.path, rows.HELD)
    assert found is not None
    return replace(
        file,
        patched_rows=found.patched_rows,
        first_key=found.first_key,
        last_key=found.last_key,
        holes=found.holes,
        runs=found.runs,
    )


def name_files(
    connection: duckdb.DuckDBPyConnection, order: Order, whole: Checked, scratch: Path
) -> tuple[PartitionFile, ...]:
    """Give every partition of the step its part of *whole*, under its name in the lake."""
    partitions = order.step.partitions
    if len(partitions) == 1:
        return (_in_the_lake(order, partitions[0], whole),)
    spans = _cuts([partition.period.span for partition in partitions])
    parts = (
        (one, _part(connection, one, span, whole.path, scratch))
        for one, span in zip(partitions, spans, strict=True)
    )
    return tuple(_in_the_lake(order, partition, part) for partition, part in parts if part)


def _cuts(spans: Sequence[Span]) -> list[Span]:
    """Return what goes into each partition: into the first and last also what lies beyond them."""
    first, last = spans[0], spans[-1]
    return [Span(_FIRST, first.end), *spans[1:-1], Span(last.start, _LAST)]


def _part(
    connection: duckdb.DuckDBPyConnection,
    partition: Partition,
    span: Span,
    whole: Path,
    scratch: Path,
) -> Checked | None:
    kind, part = kind_of(partition.series), scratch / f"{partition.period}.parquet"
    inside = rows.within(kind.time, span)
    select = f"SELECT * FROM {rows.parquet(whole)} WHERE {inside}"
    origin = origin_of(connection, [whole]).inside(partition.period.span)
    copy(connection, kind, select, part, origin)
    return checked(connection, partition.series, part, rows.SORTED_ONCE)


def _in_the_lake(order: Order, partition: Partition, part: Checked) -> PartitionFile:
    path = partition_path(partition, order.generation)
    described = file_of(partition, path, order.generation, part)
    name_file(part.path, order.root, path)
    return described


def name_file(staged: Path, root: Path, path: str) -> None:
    """Give a built file its name. Raises ArchiveError if another file has it: that costs a step."""
    try:
        give_name(staged, root, path)
    except FileExistsError as error:
        raise ArchiveError(f"naming {path}: another file has that name") from error


def file_of(
    partition: Partition, path: str, generation: int, part: Checked, sha256: str = ""
) -> PartitionFile:
    """Return the record of a finished file that is, or will be, at *path* below the root.

    *sha256* is the hash of its bytes, if that is known.
    """
    return PartitionFile(
        partition=partition,
        path=path,
        generation=generation,
        rows=part.rows,
        size_bytes=part.path.stat().st_size,
        first_time=part.first_time,
        last_time=part.last_time,
        patched_rows=part.patched_rows,
        first_key=part.first_key,
        last_key=part.last_key,
        holes=part.holes,
        runs=part.runs,
        sha256=sha256 or sha256_of(part.path),
    )


def sha256_of(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def conflicts(
    connection: duckdb.DuckDBPyConnection, series: Series, kept: Path, losers: Sequence[str]
) -> tuple[Conflict, ...]:
    """Return every value of *losers*, SQL of rows, that *kept* has otherwise."""
    kind = kind_of(series)
    if not kind.key:
        return ()
    sql = rows.conflicts_of(kind, kept, losers, MAX_CONFLICTS)
    return tuple(
        Conflict(series, key, moment.replace(tzinfo=UTC), *values)
        for key, moment, *values in connection.execute(sql).fetchall()
    )
