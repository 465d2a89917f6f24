"""The state's one connection, and its transactions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from fullpool.store import duck


class Session:
    """The state's one connection, and its transactions. *connect* opens the database."""

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        # Called before each transaction: raises if another machine writes the lake by now.
        self.require_ours: Callable[[], None] = lambda: None
        self._connect = connect
        self.connection = connect()

    def close(self) -> None:
        self.connection.close()

    def renew(self) -> None:
        """Open the database again, which also writes what its log holds into it.

        DuckDB keeps, for as long as a database is open, handles of up to 32,768 blocks long gone
        in each of its eviction queues: the daemon's memory grew by 0.7 MB a minute of a soak.
        """
        with duck.map_errors("reopening the state"):
            self.connection.close()
            self.connection = self._connect()

    def next_value(self, counter: str) -> int:
        """Return a number that was never handed out before, nor will be again."""
        with self.transaction():
            self.run("UPDATE sync.counters SET value = value + 1 WHERE name = ?", [counter])
            return self.last_value(counter)

    def last_value(self, counter: str) -> int:
        """Return the number that was handed out last."""
        found = self.rows("SELECT value FROM sync.counters WHERE name = ?", [counter])
        return int(found[0][0])

    def run(self, sql: str, values: list[Any]) -> None:
        self.connection.execute(sql, values)

    def rows(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        with duck.map_errors("reading the state"):
            return self.connection.execute(sql, values or []).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.require_ours()
        with duck.map_errors("writing the state"), duck.transaction(self.connection):
            yield
