"""Records where sources give different values, as long as the lake has the value that was kept."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
from fullpool.store.state.bulk import AMONG, insert, values_of
from fullpool.store.state.tables import CONFLICT_COLUMNS, SERIES_NAME, at_utc, conflict_row, naive

# Of a row that is in two archives no column differs: its conflict has this in place of one.
_PERIOD: Final = "period"
_SAME: Final = " AND ".join(
    f"old.{name} IS NOT DISTINCT FROM c.{name}" for name in CONFLICT_COLUMNS if name != "found_at"
)
# What a conflict is told by, and what it says of the lake.
_COLUMNS: Final = "key, row_time, column_name, kept_source, kept_value"

Told = tuple[int, datetime, str, str, str | None]


def untrue_conflicts(
    connection: duckdb.DuckDBPyConnection, root: Path, built: Sequence[Built]
) -> dict[str, list[Told]]:
    """Return the conflicts on record whose kept value the files of *built* do not have, by series.

    Read before anything is recorded: a file that cannot be read is no fault of the state.
    """
    known = _known(connection, {str(build.step.series) for build in built if build.files})
    untrue: dict[str, list[Told]] = {}
    for build in built if known else ():
        own = list(_untrue_of(connection, root, build, _of_unit(build, known)))
        if own:
            untrue.setdefault(str(build.step.series), []).extend(own)
    return untrue


def _of_unit(build: Built, known: dict[str, list[Told]]) -> list[Told]:
    """Return the conflicts that are told of what a build has written."""
    span, own = build.step.unit.span, known.get(str(build.step.series), [])
    return [one for one in own if build.files and span.start <= at_utc(one[1]) < span.end]


def _known(connection: duckdb.DuckDBPyConnection, series: Iterable[str]) -> dict[str, list[Told]]:
    rows = connection.execute(
        f"SELECT {SERIES_NAME}, {_COLUMNS} FROM sync.conflicts WHERE {SERIES_NAME}{AMONG}"
        " AND column_name <> ?",
        [values_of(series), _PERIOD],
    ).fetchall()
    known: dict[str, list[Told]] = defaultdict(list)
    for name, *told in rows:
        known[name].append(tuple(told))
    return known


def _untrue_of(
    connection: duckdb.DuckDBPyConnection, root: Path, build: Built, told: Sequence[Told]
) -> Iterator[Told]:
    """Yield the conflicts whose row has another value by now, or is gone."""
    if not told:
        return
    slack, start = kind_of(build.step.series).slack, build.step.unit.span.start
    try:
        held = _values(connection, root, build, told)
    except duck.ERRORS:
        return  # whoever builds with these files next finds out what is wrong with them
    for one in told:
        key, time, column, source, value = one
        row = held.get((key, time))
        if row is None:
            # A row of midnight may be in the file before.
            if at_utc(time) >= start + slack:
                yield one
        elif (row[column], _plain(row[SOURCE_COLUMN])) != (value, _plain(source)):
            yield one


def _values(
    connection: duckdb.DuckDBPyConnection, root: Path, build: Built, told: Sequence[Told]
) -> dict[tuple[int, datetime], dict[str, Any]]:
    """Return the columns of those rows as text, with their sources, as the files have them."""
    kind = kind_of(build.step.series)
    names = [*sorted({column for _, _, column, _, _ in told}), SOURCE_COLUMN]
    values = ", ".join(f"r.{name}::VARCHAR" for name in names)
    number = number_of(kind, is_counted=bool(kind.counter), table="r.")
    files = " UNION ALL ".join(f"FROM {parquet(root / file.path)}" for file in build.files)
    rows = connection.execute(
        f"SELECT {number}, r.{kind.time}, {values} FROM ({files}) AS r"
        f" WHERE r.{kind.time} IN (SELECT unnest($times))",
        {"times": [time for _, time, _, _, _ in told]},
    ).fetchall()
    return {(key, time): dict(zip(names, own, strict=True)) for key, time, *own in rows}


def _plain(source: str) -> str:
    """Return a source as the views have it."""
    return ARCHIVE if source == DAILY else source


def write_conflicts(
    connection: duckdb.DuckDBPyConnection,
    built: Sequence[Built],
    untrue: dict[str, list[Told]],
    at: datetime,
) -> None:
    """Write the conflicts of builds, each once, and forget those that are *untrue* by now."""
    for series, told in untrue.items():
        connection.executemany(
            f"DELETE FROM sync.conflicts WHERE {SERIES_NAME} = ? AND key = ? AND row_time = ?"
            " AND column_name = ? AND kept_source = ? AND kept_value IS NOT DISTINCT FROM ?",
            [[series, *one] for one in told],
        )
    rows = [conflict_row(conflict, at) for build in built for conflict in build.conflicts]
    if not rows:
        return
    insert(connection, "sync.conflicts", CONFLICT_COLUMNS, rows)
    connection.execute(
        "DELETE FROM sync.conflicts AS c WHERE found_at = $at AND EXISTS (SELECT 1 FROM"
        f" sync.conflicts AS old WHERE old.found_at < $at AND {_SAME})",
        {"at": naive(at)},
    )
