"""Finds missing rows between neighbours, in one pass over the keys."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb

from fullpool.grid import Grid
from fullpool.kinds import Kind
from fullpool.model import Hole, Run, instant
from fullpool.store.duck import listed, quoted

# In microseconds.
_MINUTE: Final = 60_000_000
_HOUR: Final = 60 * _MINUTE


def number_of(kind: Kind, *, is_counted: bool, table: str = "") -> str:
    """Return the SQL of a row's number: of its counter, or of its microseconds since 1970.

    *table* is an alias with its dot.
    """
    return table + kind.counter if is_counted else f"epoch_us({table}{kind.time})"


def missing_between(grid: Grid | None, before: str, after: str) -> str:
    """Return the SQL of how many places are missing between two keys.

    As `Grid.between` has it, for rows off the grid too. Where one file does not tell where the grid
    begins, as of three-day bars, the lengths of time are counted.
    """
    if grid is None:
        return f"({after} - {before} - 1)"
    slack = grid.slack // timedelta(microseconds=1)
    if grid.step is None:
        month = "date_part('year', {0}) * 12 + date_part('month', {0})"
        until = after if grid.is_by_period else f"{after} - 1"
        earlier, later = (month.format(f"make_timestamp({k})") for k in (before, until))
        return f"(({later}) - ({earlier}){' - 1' if grid.is_by_period else ''})"
    step, offset = grid.step // timedelta(microseconds=1), grid.offset // timedelta(microseconds=1)
    if not grid.is_placed:
        return f"(({after} - {before} - 1) // {step})"
    if grid.is_by_period:
        first = f"({before} - {offset + slack}) // {step}"
        return f"(({after} - {offset}) // {step} - {first} - 1)"
    leeway = grid.leeway // timedelta(microseconds=1)
    last, first = f"({after} - {leeway} - 1 - {offset})", f"({before} + {leeway} - {offset})"
    opening = f"{last} // {step} - {first} // {step}"
    return f"least({opening}, ({after} - {before} - 1) // {step})"


def spacing_of(kind: Kind, over: str = "OVER ()") -> str:
    """Return the SQL of the columns that tell how far a row is from the one before; or nothing.

    In hours, by its label and by that of the row before; and, unless a file begins or ends there,
    the longer distance of these two to their other neighbours.
    """
    if not kind.spacing:
        return ""
    key = number_of(kind, is_counted=False)
    before, after = f"lag({key}) {over} - lag({key}, 2) {over}", f"lead({key}) {over} - {key}"
    longer = f"if({before} > {after}, {before}, {after})"
    beside = f"CASE WHEN {before} IS NOT NULL AND {after} IS NOT NULL THEN {longer} END"
    return (
        f", {kind.spacing} AS spacing_, lag({kind.spacing}) {over} AS spacing_before_,"
        f" {beside} / {_HOUR} AS spacing_beside_"
    )


def missing_of(kind: Kind, grid: Grid | None, after: str) -> str:
    """Return the SQL of whether, and how many, places are missing between `before_` and *after*.

    Rows that tell how far they are apart lack one if they are further: by the longer distance,
    where it changes. Rows from the API do not tell: two of them lack one if they are further apart
    than both are from their other neighbours.
    """
    if not kind.spacing or kind.step is None:
        return missing_between(grid, "before_", after)
    usual = kind.step // timedelta(hours=1)
    hours = f"coalesce(greatest(spacing_, spacing_before_), spacing_beside_, {usual})"
    return f"({after} - before_ > {hours} * {_HOUR} + {_MINUTE})::INTEGER"


def holes_in(
    connection: duckdb.DuckDBPyConnection, kind: Kind, grid: Grid | None, paths: Sequence[Path]
) -> dict[Path, list[Hole]]:
    """Return the holes inside each file, oldest first.

    Rows stand in the order of their times. Trades, which are told by their ids, nearly do: where
    two have their times the wrong way round, the order of the file would show a hole that is none.
    """
    key = number_of(kind, is_counted=grid is None)
    over = f"OVER (PARTITION BY filename ORDER BY {key})" if grid is None else "OVER ()"
    missing = missing_of(kind, grid, "key_")
    found = connection.execute(
        "SELECT filename, before_, key_, epoch_us(time_before_), epoch_us(time_) FROM"
        f" (SELECT filename, {key} AS key_, lag({key}) {over} AS before_,"
        f" {kind.time} AS time_, lag({kind.time}) {over} AS time_before_,"
        f" lag(filename) {over} AS file_before{spacing_of(kind, over)}"
        f" FROM read_parquet({listed([str(path) for path in paths])},"
        " hive_partitioning=false, filename=true))"
        f" WHERE filename = file_before AND {missing} > 0 ORDER BY filename, key_"
    ).fetchall()
    holes: dict[Path, list[Hole]] = {path: [] for path in paths}
    for name, before, after, before_us, after_us in found:
        hole = Hole(before, after, instant(before_us), instant(after_us))
        holes[Path(name)].append(hole)
    return holes


def runs_in(
    connection: duckdb.DuckDBPyConnection, kind: Kind, grid: Grid | None, path: Path
) -> list[Run]:
    """Return the runs of rows in a file that are from REST, oldest first; a hole ends a run."""
    key, missing = number_of(kind, is_counted=grid is None), missing_of(kind, grid, "key_")
    turn = f"(source IS DISTINCT FROM source_before OR {missing} > 0)::INTEGER"
    found = connection.execute(
        "SELECT epoch_us(min(time_)), epoch_us(max(time_)), count(*) FROM"
        f" (SELECT *, sum({turn}) OVER (ROWS UNBOUNDED PRECEDING) AS run_ FROM"
        f" (SELECT {kind.time} AS time_, source, lag(source) OVER () AS source_before,"
        f" {key} AS key_, lag({key}) OVER () AS before_{spacing_of(kind)}"
        f" FROM read_parquet({quoted(path)}, hive_partitioning=false)))"
        " WHERE source = 'rest' GROUP BY run_ ORDER BY run_"
    ).fetchall()
    return [Run(instant(first), instant(last), rows) for first, last, rows in found]
