"""Publishes relations of a generation: views of Parquet files, and tables where there are no rows.

A file whose rows are those of the generation before is that one's, under a second name: what a
publication costs depends on what changed.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import duckdb

from fullpool.store.catalogue.paths import root_of
from fullpool.store.duck import quoted
from fullpool.store.tree import ends_whole, link_or_copy

# So many rows of a relation share a file, by their symbol: as many are written if one changed.
ROWS_A_FILE: Final = 16_384
_ROWS: Final = "relation_rows"
# What the name of a file says of its rows: how many, and the sum of their hashes.
_CONTENT: Final = re.compile(r"-(?P<rows>\d+)-[0-9a-f]{8}(?P<sum>[0-9a-f]{16})\.parquet$")


@dataclass(frozen=True, slots=True)
class Relation:
    """What is published as *name*: the rows of *select*, SQL, in its order unless they are many.

    *is_of_symbols*: it has a column of symbols, by which its files are told.
    """

    name: str
    select: str
    is_of_symbols: bool = True


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the Parquet files of a generation lie, of *root*, and those of the one *before*.

    Those are linked only if the whole generation before *is_trusted*.
    """

    root: Path
    folder: Path
    before: Path
    is_trusted: bool = True


def publish_table(connection: duckdb.DuckDBPyConnection, shelf: Shelf, one: Relation) -> str:
    """Create a relation in the catalogue that the connection uses; return the SQL of its rows.

    A table that has any takes at least 256 kB of it, a file of them 3. And no view finds a table
    that DuckDB 1.1 attached under another name.
    """
    found = connection.execute(f"SELECT count(*) FROM ({one.select})").fetchone()
    assert found is not None
    if not found[0]:
        connection.execute(f"CREATE TABLE {one.name} AS {one.select}")
        return one.name
    files = _files(connection, shelf, one, _parts(one, found[0]))
    paths = ", ".join(f"{root_of(shelf.root)} || {quoted('/' + path)}" for path in files)
    source = f"read_parquet([{paths}])"
    connection.execute(f"CREATE VIEW {one.name} AS SELECT * FROM {source}")
    return source


def publish_result(connection: duckdb.DuckDBPyConnection, shelf: Shelf, one: Relation) -> None:
    """Create a relation whose rows take long to select."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ROWS} AS {one.select}")
    publish_table(connection, shelf, replace(one, select=f"FROM temp.{_ROWS}"))
    connection.execute(f"DROP TABLE temp.{_ROWS}")


def _parts(one: Relation, rows: int) -> int:
    """Return how many files a relation is cut into: twice as many, if need be, not one more."""
    return 1 << (rows // ROWS_A_FILE).bit_length() if one.is_of_symbols else 1


def _files(
    connection: duckdb.DuckDBPyConnection, shelf: Shelf, one: Relation, parts: int
) -> list[str]:
    """Write the files of a relation, or take those of the generation before; return their paths."""
    part = f"hash(symbol) % {parts}" if parts > 1 else "0"
    shape = connection.execute(f"SELECT * FROM ({one.select}) LIMIT 0").description or []
    columns = crc32(str([column[:2] for column in shape]).encode())
    sums = connection.execute(
        f"SELECT {part} AS part, count(*), sum(hash(r)::HUGEINT) FROM ({one.select}) AS r"
        " GROUP BY part ORDER BY part"
    ).fetchall()
    found = []
    for number, rows, total in sums:
        stem = one.name.rpartition(".")[2]
        name = f"{stem}-{number}of{parts}-{rows}-{columns:08x}{_sum_of(total)}.parquet"
        target, known = shelf.folder / name, shelf.before / name
        if shelf.is_trusted and known.exists() and ends_whole(known):
            link_or_copy(known, target)
        else:
            which = f" WHERE {part} = {number}" if parts > 1 else ""
            connection.execute(
                f"COPY (SELECT * FROM ({one.select}){which})"
                f" TO {quoted(target)} (FORMAT parquet, COMPRESSION zstd)"
            )
        found.append(str(target.relative_to(shelf.root)))
    return found


def _sum_of(total: int) -> str:
    return f"{total % (1 << 64):016x}"


def is_as_named(rows: Callable[[str], Sequence[tuple[Any, ...]]], file: Path) -> bool:
    """Whether a file of a generation holds what its name says; *rows* answers SQL.

    Raises what that raises where the file cannot be read.
    """
    named = _CONTENT.search(file.name)
    if named is None:
        return True
    source = f"read_parquet({quoted(file)}, hive_partitioning=false)"
    sql = f"SELECT count(*), coalesce(sum(hash(r)::HUGEINT), 0) FROM {source} AS r"
    ((count, total),) = rows(sql)
    return (named["rows"], named["sum"]) == (str(count), _sum_of(total))
