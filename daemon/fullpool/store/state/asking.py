"""Runs one query of the `sync` tables, and has its errors translated."""

from typing import Any, Final

import duckdb

from fullpool.store import duck
from fullpool.store.state.bulk import AMONG
from fullpool.store.state.tables import SERIES_NAME

OF_SERIES: Final = f"WHERE {SERIES_NAME}{AMONG}"


def rows_of(
    connection: duckdb.DuckDBPyConnection, sql: str, values: list[Any] | None = None
) -> list[Any]:
    """Return the rows of a query. Safe next to a writer, whose newest records it may lack."""
    with duck.map_errors("reading what is known"):
        return connection.execute(sql, values or []).fetchall()
