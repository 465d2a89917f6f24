"""Opens the state: creates, migrates or refuses it."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from fullpool.errors import LakeNewerError, LakeOlderError, StateDamagedError
from fullpool.store import duck
from fullpool.store.state.migrations import MIGRATIONS
from fullpool.store.state.tables import naive
from fullpool.store.state.writer import State
from fullpool.store.tree import sync_file, sync_folder

STORAGE_VERSION: Final = "v1.5.0"


def open_state(path: Path, spill: Path, now: datetime) -> State:
    """Open the state, made or brought up to date if need be.

    *spill* is a folder for what does not fit into memory. Raises LakeNewerError if a newer version
    wrote it, StateDamagedError if it cannot be opened.
    """
    if not path.exists():
        _create(path, now)
    state = State(partial(_connected, path, spill))
    with duck.map_errors(f"opening the state {path}"):
        _migrate(state.connection, path, now)
    return state


def open_state_to_look(path: Path) -> State:
    """Open the state without changing it.

    Raises StateDamagedError if it cannot be opened, LakeOlderError if it has to be migrated first.
    """

    def connect() -> duckdb.DuckDBPyConnection:
        with duck.map_errors(f"opening the state {path}"):
            return duck.connect_read_only(path)

    state = State(connect)
    with duck.map_errors(f"opening the state {path}"):
        done = _applied(state.connection)
    if set(done) < {name for name, _ in MIGRATIONS}:
        state.close()
        raise LakeOlderError(f"opening the state {path}: an older version wrote it")
    return state


def _connected(path: Path, spill: Path) -> duckdb.DuckDBPyConnection:
    if not path.exists():  # or it would be made, without a table
        raise StateDamagedError(f"opening the state {path}: it is missing")
    connection = duck.connect(
        path.parent.parent, memory_limit="512MB", threads=1, temp_directory=str(spill)
    )
    with duck.map_errors(f"opening the state {path}"):
        try:
            _attach(connection, path)
        except duckdb.IOException as error:
            if "version number" in str(error):
                raise LakeNewerError(f"opening the state {path}: {duck.summary(error)}") from error
            raise
    return connection


def _attach(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    version = duck.quoted(STORAGE_VERSION)
    connection.execute(f"ATTACH {duck.quoted(path)} AS state (STORAGE_VERSION {version})")
    connection.execute("USE state")


def _create(path: Path, now: datetime) -> None:
    """Make an empty state under another name first: half of one could not be opened again."""
    new = path.with_name(path.name + ".new")
    with duck.map_errors(f"making the state {path}"):
        for left in (new, new.with_name(new.name + ".wal")):
            left.unlink(missing_ok=True)
        with duck.connect(path.parent.parent, threads=1) as connection:
            _attach(connection, new)
            _migrate(connection, path, now)
            connection.execute("USE memory")
            connection.execute("DETACH state")
        sync_file(new)
        new.rename(path)
        sync_folder(path.parent)


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path, now: datetime) -> None:
    done = _applied(connection)
    unknown = [name for name in done if name not in dict(MIGRATIONS)]
    if unknown:
        raise LakeNewerError(f"opening the state {path}: it has the unknown change {unknown[-1]}")
    for name, migration in MIGRATIONS:
        if name not in done:
            connection.execute("BEGIN")
            migration(connection)
            connection.execute("INSERT INTO sync.migrations VALUES (?, ?)", [name, naive(now)])
            connection.execute("COMMIT")


def _applied(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database()"
        " AND table_name = 'migrations'"
    ).fetchall()
    if not found:
        return []
    return [name for (name,) in connection.execute("SELECT name FROM sync.migrations").fetchall()]
