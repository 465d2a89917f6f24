"""Writes many rows at once, as one JSON parameter.

DuckDB 1.5 takes 0.1 ms for every bound Python value, in lists as well, where 2.0 takes 3 us; one
text is quick in both. `from_json_strict` refuses what it cannot convert.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import duckdb

from fullpool.store.duck import quoted

Rows = Sequence[tuple[Any, ...]]


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], rows: Rows
) -> None:
    """Insert *rows*, whose values stand in the order of *columns*."""
    if not rows:
        return
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) {_select(connection, table, columns)}",
        [_json(columns, rows)],
    )


def update(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: str,
    columns: Sequence[str],
    rows: Rows,
) -> None:
    """Change the rows of *table* that have the *key* of one of *rows*."""
    if not rows:
        return
    changes = ", ".join(f"{name} = incoming.{name}" for name in columns if name != key)
    connection.execute(
        f"UPDATE {table} SET {changes} FROM ({_select(connection, table, columns)}) AS incoming"
        f" WHERE {table}.{key} = incoming.{key}",
        [_json(columns, rows)],
    )


def replace(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: Sequence[str],
    columns: Sequence[str],
    rows: Rows,
) -> None:
    """Rewrite *rows* by their *key*; columns that are not named keep their values."""
    if not rows:
        return
    names = ", ".join(columns)
    same = " AND ".join(f"{table}.{name} = incoming.{name}" for name in key)
    update = ", ".join(f"{name} = incoming.{name}" for name in columns if name not in key)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming AS SELECT {names} FROM {table} LIMIT 0"
    )
    insert(connection, "incoming", columns, rows)
    connection.execute(f"UPDATE {table} SET {update} FROM incoming WHERE {same}")
    connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})"
    )


# A condition that takes many values as one parameter, made by `values_of`: `name` + AMONG.
AMONG: Final = """ IN (SELECT unnest(from_json_strict(?::JSON, '["VARCHAR"]')))"""


def values_of(texts: Iterable[str]) -> str:
    """Return the parameter of AMONG, which is a join: list_contains compares each with each."""
    return json.dumps(list(texts))


def _json(columns: Sequence[str], rows: Rows) -> str:
    lists = dict(zip(columns, zip(*rows, strict=True), strict=True))
    return json.dumps(lists, default=str)


def _select(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> str:
    """Select the rows in one parameter made by `_json`, with the types of *table*."""
    types = _types(connection, table, columns)
    shape = {name: [kind] for name, kind in zip(columns, types, strict=True)}
    values = ", ".join(f"unnest(lists.{name}) AS {name}" for name in columns)
    return (
        f"SELECT {values} FROM"
        f" (SELECT from_json_strict(?::JSON, {quoted(json.dumps(shape))}) AS lists)"
    )


def _types(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> list[str]:
    found = connection.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 0").description
    return [str(column[1]) for column in found or ()]
