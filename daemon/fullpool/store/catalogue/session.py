"""Connections to a lake for a program that keeps it open: each sees what is newest then."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import duckdb

from fullpool.errors import NoLakeError, QueryError
from fullpool.store import duck
from fullpool.store.catalogue.reader import path_of
from fullpool.store.tree import Tree

_NAME: Final = "lake"
_TRIES: Final = 3
_TUPLES: Final = 10_000
# What DuckDB says where a library is missing.
_REQUIRED: Final = re.compile(r"'(\w+)' is required")


class Session:
    """Reads a lake, from many threads, and also in a process that was forked since.

    Each query is asked of the generation that is the newest then; with *as_of* always of that one.
    Raises what `path_of` does, as soon as it is made.
    """

    def __init__(self, tree: Tree, as_of: str | None = None) -> None:
        self.tree = tree
        self._fixed = path_of(tree, as_of) if as_of is not None else None
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        _SESSIONS.add(self)
        self._newest()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one query."""
        with self._lock:
            connection = self._newest()
            cursor = connection.cursor()
        duck.configure(cursor)
        cursor.execute(f"USE {_NAME}")
        cursor.execute(f"SET VARIABLE lake_root = {duck.quoted(self.tree.root)}")
        return cursor

    def _newest(self) -> duckdb.DuckDBPyConnection:
        """Return what is open, or the newest generation: one may be removed as it is opened."""
        for _ in range(_TRIES):
            path = self._fixed or path_of(self.tree)
            if self._connection is not None and path == self._path:
                return self._connection
            try:
                self._connection, self._path = duck.attached(path, _NAME), path
            except duckdb.Error as error:
                failure = error
            else:
                return self._connection
        raise NoLakeError(f"opening {path}: {duck.summary(failure)}") from failure

    def forget(self) -> None:
        """Open everything again: this is a forked process, without the threads of the other."""
        if self._connection is not None:
            _OF_THE_PARENT.append(self._connection)
        self._connection, self._path, self._lock = None, None, threading.Lock()


_SESSIONS: Final[WeakSet[Session]] = WeakSet()
# Closing one would wait for threads that are not here.
_OF_THE_PARENT: Final[list[duckdb.DuckDBPyConnection]] = []


def _forget_all() -> None:
    for session in list(_SESSIONS):
        session.forget()


os.register_at_fork(after_in_child=_forget_all)


@contextmanager
def mapped(sql: str) -> Iterator[None]:
    """Raise what DuckDB says to a query, and what a library that is missing says, as QueryError."""
    try:
        yield
    except duckdb.Error as error:
        missing = _REQUIRED.search(str(error))
        if missing:
            raise _not_installed(missing[1], error) from error
        raise QueryError(f"running the query: {error}", hint=f"it was: {sql[:500]}") from error
    except ImportError as error:
        raise _not_installed(error.name or str(error), error) from error


def _not_installed(name: str, error: Exception) -> QueryError:
    return QueryError(f"returning the rows: {error}", hint=f"pip install {name}")


def result_of(session: Session, sql: str, values: dict[str, Any]) -> duckdb.DuckDBPyRelation:
    """Return what a query selects; it runs as all of it is fetched. QueryError if it selects none.

    Whoever keeps the result keeps its connection.
    """
    found = session.cursor().sql(sql, params=values or None)
    if found is None:
        raise QueryError("running the query: it selects nothing", hint="ask with SELECT")
    return found


def tuples_of(session: Session, sql: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, without holding all of them."""
    cursor = session.cursor()
    cursor.execute(sql, values or None)
    while some := cursor.fetchmany(_TUPLES):
        yield from some
