"""Queries that must not burden the machine: bounded in time, memory, threads and rows."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from fullpool.errors import BusyError, NoLakeError, QueryError
from fullpool.store import duck
from fullpool.store.catalogue.reader import QueryResult, Reader, path_of
from fullpool.store.catalogue.session import Session
from fullpool.store.tree import Tree

_OLDER: Final = "older"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take, and a result have of *rows*.

    Of all sessions that share limits *at_once* queries run beside each other; the next one waits
    for *wait_s* at most.
    """

    seconds: float = 10.0
    memory_mb: int = 384
    spill_mb: int = 1024
    threads: int = 2
    rows: int = 20_000
    at_once: int = 2
    wait_s: float = 20.0

    @property
    def settings(self) -> dict[str, str | int]:
        """The same as settings of DuckDB."""
        return {
            "memory_limit": f"{self.memory_mb}MB",
            "max_temp_directory_size": f"{self.spill_mb}MB",
            "temp_directory": tempfile.gettempdir(),
            "threads": self.threads,
        }

    def turns(self) -> threading.BoundedSemaphore:
        """Return what the sessions that share these limits take turns by."""
        return threading.BoundedSemaphore(self.at_once)


class BoundedSession:
    """Reads a lake for many at once, from any thread, without a burden on the daemon.

    It reads the newest generation, or always the one of *as_of*. Raises NoLakeError, UsageError.
    """

    def __init__(
        self,
        tree: Tree,
        limits: Limits,
        as_of: str | None = None,
        turns: threading.BoundedSemaphore | None = None,
    ) -> None:
        self.tree = tree
        self._limits = limits
        self._turns = turns or limits.turns()
        self._as_of = as_of
        self._session = Session(tree, as_of, limits.settings)

    def query(self, sql: str, values: Sequence[Any] = ()) -> QueryResult:
        """Return all rows of one statement. Raises QueryError, BusyError, NoLakeError."""
        with self._turn(), self._session.cursor() as cursor:
            return self._run(cursor, sql, values)

    def with_rows(self, rows: int) -> "BoundedSession":
        """Return the same for results that may have so many rows."""
        other = copy(self)
        other._limits = replace(self._limits, rows=rows)  # noqa: SLF001 - our own
        return other

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Read with the queries of the state, all together within the limits of one query."""
        with self._turn(), self._session.cursor() as cursor, self._timed(cursor):
            yield Reader(cursor)

    def compare(self, older: str, sql: str) -> QueryResult:
        """Run a statement in which `older` is the generation that was current then.

        Raises what `query` does, and UsageError.
        """
        paths = path_of(self.tree, self._as_of), path_of(self.tree, older)
        with self._turn(), self._both(*paths) as connection:
            duck.configure(connection)
            connection.execute("USE newer")
            connection.execute(f"SET VARIABLE lake_root = {duck.quoted(self.tree.root)}")
            return self._run(connection, sql, ())

    @contextmanager
    def _both(self, newer: Path, older: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open two generations. Raises NoLakeError if one is damaged, or was removed."""
        try:
            opened = duck.attached(newer, "newer", self._limits.settings)
            opened.execute(f"ATTACH {duck.quoted(older)} AS {_OLDER} (READ_ONLY)")
        except duckdb.Error as error:
            raise NoLakeError(f"comparing generations: {duck.summary(error)}") from error
        with opened:
            yield opened

    def published_at(self) -> datetime:
        """Return when the generation was published that is read now."""
        ((at,),) = self.query("SELECT published_at FROM sync.published").rows
        published: datetime = at.replace(tzinfo=UTC)
        return published

    def close(self) -> None:
        """Let go of the files."""
        self._session.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._limits.wait_s):
            raise BusyError(f"querying {self.tree.root}: too many queries are running")
        try:
            yield
        finally:
            self._turns.release()

    @contextmanager
    def _timed(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt a connection when its time is up. Raises QueryError."""
        timer = threading.Timer(self._limits.seconds, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.Error as error:
            raise self._failed(error) from error
        finally:
            timer.cancel()

    def _run(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any]
    ) -> QueryResult:
        with self._timed(cursor):
            result = cursor.execute(sql, list(values))
            rows = result.fetchmany(self._limits.rows + 1)
            columns = tuple(column[0] for column in result.description or ())
        if len(rows) > self._limits.rows:
            raise QueryError(f"querying: there are more than {self._limits.rows:,} rows")
        return QueryResult(columns, rows)

    def _failed(self, error: duckdb.Error) -> QueryError:
        if isinstance(error, duckdb.InterruptException):
            return QueryError(
                f"querying: it took longer than {self._limits.seconds:g} s", hint="ask for less"
            )
        return QueryError(f"querying: {duck.summary(error)}", hint="see `fullpool verify`")
