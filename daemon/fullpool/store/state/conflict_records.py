"""Records where sources give different values, as long as the lake has the value that was kept."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from fullpool.kinds import kind_of
from fullpool.store import duck
from fullpool.store.partitions.csv_rows import ARCHIVE, DAILY, SOURCE_COLUMN
from fullpool.store.partitions.holes import number_of
from fullpool.store.partitions.messages import Built
from fullpool.store.partitions.rows import parquet
from fullpool.store.state.bulk import insert
from fullpool.store.state.tables import CONFLICT_COLUMNS, SERIES_NAME, conflict_row, naive

# That a row stands in two archives names no column of it.
_PERIOD: Final = "period"
_SAME: Final = " AND ".join(
    f"old.{name} IS NOT DISTINCT FROM c.{name}" for name in CONFLICT_COLUMNS if name != "found_at"
)


def write_conflicts(
    connection: duckdb.DuckDBPyConnection, root: Path, built: Sequence[Built], at: datetime
) -> None:
    """Write the conflicts of builds; forget those of before whose kept value was rewritten."""
    if connection.execute("SELECT 1 FROM sync.conflicts LIMIT 1").fetchone():
        for build in built:
            _forget_rewritten(connection, root, build)
    rows = [conflict_row(conflict, at) for build in built for conflict in build.conflicts]
    if not rows:
        return
    insert(connection, "sync.conflicts", CONFLICT_COLUMNS, rows)
    connection.execute(
        "DELETE FROM sync.conflicts AS c WHERE found_at = $at AND EXISTS (SELECT 1 FROM"
        f" sync.conflicts AS old WHERE old.found_at < $at AND {_SAME})",
        {"at": naive(at)},
    )


def _forget_rewritten(connection: duckdb.DuckDBPyConnection, root: Path, build: Built) -> None:
    """Forget the conflicts of what a build wrote whose kept value the lake has no more."""
    if build.files and all((root / file.path).exists() for file in build.files):
        for column in _known_columns(connection, build):
            _forget_untrue(connection, root, build, column)


def _known_columns(connection: duckdb.DuckDBPyConnection, build: Built) -> list[str]:
    found = connection.execute(
        f"SELECT DISTINCT column_name FROM sync.conflicts WHERE {_OF_UNIT} AND column_name <> ?",
        [*_unit(build), _PERIOD],
    ).fetchall()
    return [column for (column,) in found]


_OF_UNIT: Final = f"{SERIES_NAME} = ? AND row_time >= ? AND row_time < ?"


def _unit(build: Built) -> list[Any]:
    """Return the parameters of _OF_UNIT."""
    span = build.step.unit.span
    return [str(build.step.series), naive(span.start), naive(span.end)]


def _forget_untrue(
    connection: duckdb.DuckDBPyConnection, root: Path, build: Built, column: str
) -> None:
    """Forget conflicts in a column where the files have another value than the one kept."""
    kind = kind_of(build.step.series)
    source = f"replace(r.{SOURCE_COLUMN}, {duck.quoted(DAILY)}, {duck.quoted(ARCHIVE)})"
    kept = f"replace(c.kept_source, {duck.quoted(DAILY)}, {duck.quoted(ARCHIVE)})"
    number = number_of(kind, is_counted=bool(kind.counter), table="r.")
    rows = " UNION ALL ".join(f"FROM {parquet(root / file.path)}" for file in build.files)
    connection.execute(
        f"DELETE FROM sync.conflicts AS c WHERE {_OF_UNIT} AND column_name = ? AND NOT EXISTS"
        f" (SELECT 1 FROM ({rows}) AS r WHERE {number} = c.key AND r.{kind.time} = c.row_time"
        f" AND r.{column}::VARCHAR = c.kept_value AND {source} = {kept})",
        [*_unit(build), column],
    )
