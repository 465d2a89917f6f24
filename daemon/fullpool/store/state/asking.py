"""The base of all queries of the `sync` tables."""

from typing import Any, Final

import duckdb

from fullpool.store import duck
from fullpool.store.state.bulk import AMONG
from fullpool.store.state.tables import SERIES_NAME

OF_SERIES: Final = f"WHERE {SERIES_NAME}{AMONG}"


class Queries:
    """What asks one connection. Safe beside a writer, whose newest records it may not have yet."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def _rows(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        with duck.map_errors("reading what is known"):
            return self._connection.execute(sql, values or []).fetchall()
