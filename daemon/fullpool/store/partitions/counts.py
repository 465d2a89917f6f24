"""Counts the rows of partition files that lie in a span."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import duckdb

from fullpool.cuts import CutRows
from fullpool.kinds import Kind
from fullpool.model import Span
from fullpool.store import duck
from fullpool.store.duck import listed, quoted
from fullpool.store.partitions.csv_rows import REST, SOURCE_COLUMN
from fullpool.store.partitions.rows import within


def count_inside(
    connection: duckdb.DuckDBPyConnection, kind: Kind, root: Path, paths: Iterable[str], span: Span
) -> dict[str, CutRows]:
    """Return how many rows of each file lie in *span*; files that cannot be read are left out."""
    asked = {str(root / path): path for path in paths}
    try:
        found = _counted(connection, kind, list(asked), span)
    except duck.ERRORS:  # of one of them: the others count
        found = {}
        for path in asked:
            with suppress(*duck.ERRORS):
                found |= _counted(connection, kind, [path], span)
    return {asked[path]: count for path, count in found.items()}


def _counted(
    connection: duckdb.DuckDBPyConnection, kind: Kind, paths: list[str], span: Span
) -> dict[str, CutRows]:
    inside = within(kind.time, span)
    sql = (
        f"SELECT filename, count(*) FILTER ({inside}),"
        f" count(*) FILTER ({inside} AND {SOURCE_COLUMN} = {quoted(REST)}) FROM"
        f" read_parquet({listed(paths)}, hive_partitioning=false, filename=true) GROUP BY ALL"
    )
    return {path: CutRows(*counts) for path, *counts in connection.execute(sql).fetchall()}
