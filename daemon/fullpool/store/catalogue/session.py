"""Connections to a lake for a program that keeps it open: each sees what is newest then."""

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import duckdb

from fullpool.errors import NoLakeError, QueryError, UsageError
from fullpool.store import duck
from fullpool.store.catalogue.older import add_internal
from fullpool.store.catalogue.reader import available, fetched, generations, path_of, require_one
from fullpool.store.tree import Tree

_NAME: Final = "lake"
_TRIES: Final = 3
# What DuckDB says where a library is missing.
_REQUIRED: Final = re.compile(r"'(\w+)' is required")
_LIBRARIES: Final = ("numpy", "pandas", "polars", "pyarrow")


class Session:
    """Reads a lake, from many threads, and also in a process that was forked since.

    Each query runs on the generation that is the newest then; with *as_of* always on that one.
    *settings* are DuckDB's. Raises what `path_of` does, as soon as it is made, and UsageError for
    settings that DuckDB does not take.
    """

    def __init__(self, tree: Tree, as_of: str | None, settings: Mapping[str, str | int]) -> None:
        self.tree = tree
        self._as_of = as_of
        self._settings = {"temp_directory": tempfile.gettempdir(), **settings}
        self._fixed = path_of(tree, as_of) if as_of is not None else None
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        _SESSIONS.add(self)
        self._newest()

    def __reduce__(self) -> tuple[type["Session"], tuple[Tree, str | None, dict[str, str | int]]]:
        return Session, (self.tree, self._as_of, self._settings)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one query. Raises NoLakeError if nothing can be read any more."""
        with self._lock:
            cursor = self._newest().cursor()
        duck.configure(cursor)
        cursor.execute(f"USE {_NAME}")
        cursor.execute(f"SET VARIABLE lake_root = {duck.quoted(self.tree.root)}")
        return cursor

    def _newest(self) -> duckdb.DuckDBPyConnection:
        """Return what is open, or the newest generation: one may be removed as it is opened."""
        failure: Exception | None = None
        for _ in range(_TRIES):
            path = self._path()
            try:
                identity = _identity(path)
                if self._opened is None or self._opened.identity != identity:
                    opened = duck.attached(path, _NAME, self._settings)
                    add_internal(opened, _NAME, self.tree.root)
                    self._opened = _Opened(identity, opened)
            except (duckdb.Error, OSError) as error:
                failure = error
            else:
                return self._opened.connection
        assert failure is not None
        _require_known(self._settings)
        raise NoLakeError(f"opening {path}: {duck.summary(failure)}") from failure

    def _path(self) -> Path:
        if self._fixed is None:
            return path_of(self.tree)
        if not self._fixed.exists():
            raise NoLakeError(
                f"reading the lake {self.tree.root} as of {self._as_of}: it was removed",
                hint=available(generations(self.tree)),
            )
        return self._fixed

    def close(self) -> None:
        """Let go of what is open."""
        with self._lock:
            self._opened = None

    def forget(self) -> None:
        """Open everything again: this is a forked process, without the threads of the other.

        What the other has open is never closed: that would wait for its threads.
        """
        if self._opened is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened.connection))
        self._opened, self._lock = None, threading.Lock()


def _require_known(settings: Mapping[str, str | int]) -> None:
    """Raise UsageError for settings that DuckDB does not know, or values that they cannot have."""
    try:
        duckdb.connect(config={**settings}).close()
    except duckdb.Error as error:
        raise UsageError(
            f"opening a lake with settings: {duck.summary(error)}",
            hint="settings are DuckDB's, such as memory_limit and threads",
        ) from error


@dataclass(frozen=True, slots=True)
class _Opened:
    """A generation that is open, and by what its file is known."""

    identity: tuple[Path, int, int, int]
    connection: duckdb.DuckDBPyConnection


def _identity(path: Path) -> tuple[Path, int, int, int]:
    """Return what tells a file from another one of its name."""
    found = path.stat()
    return path, found.st_dev, found.st_ino, found.st_mtime_ns


_SESSIONS: Final[WeakSet[Session]] = WeakSet()


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
        if missing and missing[1] in _LIBRARIES:
            raise _not_installed(missing[1], error) from error
        raise QueryError(f"running the query: {error}", hint=f"it was: {sql[:500]}") from error
    except ImportError as error:
        raise _not_installed(error.name or str(error), error) from error


def _not_installed(name: str, error: Exception) -> QueryError:
    return QueryError(f"returning the rows: {error}", hint=f"pip install {name}")


def result_of(session: Session, sql: str, values: Mapping[str, object]) -> duckdb.DuckDBPyRelation:
    """Return what a query selects; it runs as all of it is fetched. QueryError if it selects none.

    Whoever keeps the result keeps its connection.
    """
    cursor = session.cursor()
    require_one(cursor, sql)
    relation = cursor.sql(sql, params=dict(values) or None)
    if relation is None:
        raise QueryError("running the query: it selects nothing", hint="use a SELECT")
    return relation


def tuples_of(
    session: Session, sql: str, values: Mapping[str, object]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, without holding all of them."""
    cursor = session.cursor()
    require_one(cursor, sql)
    yield from fetched(cursor.execute(sql, dict(values) or None))
