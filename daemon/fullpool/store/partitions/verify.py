"""Checks one file completely: bytes, rows, order, duplicates, gaps.

Runs in worker processes.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from fullpool.errors import MalformedError
from fullpool.kinds import kind_of
from fullpool.model import PartitionFile
from fullpool.store import duck
from fullpool.store.partitions import finish, rows
from fullpool.store.partitions.held import damage_of
from fullpool.store.partitions.provenance import origin_of
from fullpool.store.tree import Tree


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file to be looked at, below *root*."""

    file: PartitionFile
    root: Path
    memory_mb: int
    is_scanned: bool = True


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found wrong with a file; nothing if *problems* is empty.

    *is_unread*: it could not be looked at, for want of rights, memory or files: that is no damage.
    """

    file: PartitionFile
    problems: tuple[str, ...]
    size_bytes: int
    is_unread: bool = False


def inspect(order: Inspection) -> Inspected:
    """Compare a partition file with its record."""
    path = order.root / order.file.path
    try:
        problems = _problems(order, path)
        size_bytes = path.stat().st_size if path.is_file() else 0
    except MalformedError as error:
        return Inspected(order.file, (str(error),), 0)
    except (duckdb.Error, OSError) as error:
        # Its bytes are those that were written, as far as known.
        return Inspected(order.file, (f"cannot be read: {duck.summary(error)}",), 0, is_unread=True)
    return Inspected(order.file, tuple(problems), size_bytes)


def _problems(order: Inspection, path: Path) -> list[str]:
    """Return what is wrong; what a wrong length explains is not told again by the rows."""
    if damage := damage_of(order.root, order.file):
        return [str(damage)]
    return [*_wrong_rows(order, path), *_wrong_origin(order, path)]


def _wrong_rows(order: Inspection, path: Path) -> list[str]:
    file, series = order.file, order.file.partition.series
    connection = _connection(order)
    found = finish.checked(connection, series, path, rows.SORTED_ONCE)
    if found is None:
        return ["has no rows"]
    problems = []
    for what, seen, recorded in (
        ("rows", found.rows, file.rows),
        ("as its first time", found.first_time, file.first_time),
        ("as its last time", found.last_time, file.last_time),
        ("holes", len(found.holes), len(file.holes)),
    ):
        if seen != recorded and (order.is_scanned or what != "holes"):
            problems.append(f"has {seen} {what}, not {recorded}")
    kind = kind_of(series)
    span = kind.around(file.partition.period.span)
    (outside,) = connection.execute(
        f"SELECT count(*) FILTER (NOT {rows.within(kind.time, span)}) FROM {rows.parquet(path)}"
    ).fetchone() or (0,)
    if outside:
        problems.append(f"has {outside} rows outside {span}")
    return problems


def _wrong_origin(order: Inspection, path: Path) -> list[str]:
    """Return whether its metadata names archives of another series: it was put there by hand."""
    found = origin_of(_connection(order), [path]).why_not_of(order.file.partition.series)
    return [found] if found else []


def _connection(order: Inspection) -> duckdb.DuckDBPyConnection:
    return duck.of_worker(order.root, Tree(order.root).staging, order.memory_mb, 1)
