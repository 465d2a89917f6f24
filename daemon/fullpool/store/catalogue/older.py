"""Lets generations of an older version be read by the queries of this one."""

from pathlib import Path
from typing import Final

import duckdb

from fullpool.store.duck import quoted
from fullpool.store.state.tables import qualified

_SCHEMA: Final = "internal"


def add_internal(connection: duckdb.DuckDBPyConnection, name: str, root: Path) -> None:
    """Give tables of the catalogue attached as *name* their names in `internal`.

    Before format 12 they were in `sync`. Does nothing for a catalogue that has them. Needs a
    connection that may attach a database in memory. *root* is where the lake is by now.
    """
    if has_internal(connection, name):
        return
    tables = connection.execute(
        f"SELECT table_name FROM information_schema.tables WHERE table_catalog = {quoted(name)}"
        " AND table_schema = 'sync'"
    ).fetchall()
    connection.execute(f"SET VARIABLE lake_root = {quoted(root)}")
    connection.execute(f"ATTACH ':memory:' AS {_SCHEMA}")
    for (table,) in tables:
        if qualified(table).startswith(_SCHEMA):
            connection.execute(f"CREATE VIEW {_SCHEMA}.main.{table} AS FROM {name}.sync.{table}")


def has_internal(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the catalogue attached as *name* has its schema `internal`."""
    sql = "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?"
    return connection.execute(sql, [name, _SCHEMA]).fetchone() is not None
