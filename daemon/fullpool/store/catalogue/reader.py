"""Reads a published generation without disturbing anyone."""

import functools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import duckdb

from fullpool.errors import LakeUnwritableError, NoLakeError, QueryError, UsageError
from fullpool.store import duck
from fullpool.store.catalogue.older import add_internal, has_internal
from fullpool.store.state.queries import StateQueries
from fullpool.store.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

Row = tuple[Any, ...]
FILE_GONE: Final = (
    "a file of this generation is gone; `fullpool sync` fetches the newest one's again, but what"
    " `verify --repair` took out of an older one is in .quarantine/damaged for good"
)
_WRITABLE: Final = 0o222
_AT_A_TIME: Final = 10_000
# The first format that has all that exports and pages read.
_OLDEST: Final = 10
# What the path of a partition file has.
_KEY: Final = "/market="
_DAMAGED: Final = "`fullpool verify` looks for files that are damaged"
# What a sort of an export may take; a larger one spills.
_MEMORY_MB: Final = 2000
_WRITE: Final = "name a file in a folder that you may write to"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returned: names of its columns, and its rows."""

    columns: tuple[str, ...]
    rows: Sequence[Row]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows by column; a second `close` is `close_1`."""
        return list(QueryStream(self.columns, iter(self.rows)).dicts())


@dataclass(frozen=True, slots=True)
class QueryStream:
    """What a query returns: names of its columns, and its rows as they are read."""

    columns: tuple[str, ...]
    rows: Iterator[Row]

    def dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the rows by column; a second `close` is `close_1`."""
        names = _once(self.columns)
        for row in self.rows:
            yield dict(zip(names, row, strict=True))


class Queries(Protocol):
    """What runs one statement: a reader of a generation, or a session."""

    def query(self, sql: str, values: Sequence[Any] = ()) -> QueryResult: ...


def require_whole(source: Queries) -> None:
    """Raise NoLakeError for a generation of so old a format that only `sql` can read it."""
    try:
        ((number,),) = source.query("SELECT format FROM sync.published").rows
    except QueryError:
        number = 0
    if number < _OLDEST:
        raise NoLakeError(
            "reading a generation: an older version published it",
            hint="`fullpool sync` publishes the newest one again; `fullpool sql` reads any",
        )


def require_one(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise QueryError unless there is one statement."""
    count = len(connection.extract_statements(sql))
    if count != 1:
        raise QueryError(
            f"running the query: it has {count} statements",
            hint="give exactly one; run several in the DuckDB CLI",
        )


def fetched(result: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    """Yield the rows of a result, without holding all of them."""
    while some := result.fetchmany(_AT_A_TIME):
        yield from some


def _rows_of(result: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    with _mapped():
        yield from fetched(result)


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _failed(error) from error


def _failed(error: duckdb.Error) -> QueryError:
    return QueryError(f"running the query: {error}", hint=_hint(error))


def _hint(error: duckdb.Error) -> str | None:
    """Return what to do about an error of a query; None for names that there are not."""
    text = str(error)
    if "No files found" in text:
        return FILE_GONE
    if "read-only" in text:
        return "a lake is only read; write to a file with COPY, or --parquet"
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return None
    # Thrift's errors, of Parquet's metadata, have no class of their own.
    if type(error) is duckdb.Error or (isinstance(error, duckdb.IOException) and _KEY in text):
        return _DAMAGED
    return "the message is DuckDB's own: correct the SQL"


def _unread(error: duckdb.Error) -> QueryError:
    """Return what is said of files that cannot be read by SQL of ours."""
    hint = FILE_GONE if "No files found" in str(error) else _DAMAGED
    return QueryError(f"reading the lake: {duck.summary(error)}", hint=hint)


def _half_of_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2_000_000


def _once(names: Sequence[str]) -> list[str]:
    """Return *names* with those that come again numbered, so that each stands once."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        taken = {*found, *names} if name in found else set(found)
        found.append(next(one for one in chain((name,), numbered) if one not in taken))
    return found


@dataclass(frozen=True, slots=True)
class Generation:
    """A published state of the lake that can still be read."""

    number: int
    published_at: datetime
    is_current: bool


class Reader:
    """A read-only connection to one generation."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.queries = StateQueries(connection)

    def query(self, sql: str, values: Sequence[Any] = ()) -> QueryResult:
        """Run one statement. Raises QueryError with DuckDB's own words."""
        answer = self.stream(sql, values)
        return QueryResult(answer.columns, list(answer.rows))

    def stream(self, sql: str, values: Sequence[Any] = ()) -> QueryStream:
        """Run one statement whose rows are read as they are needed. Raises QueryError."""
        with _mapped():
            require_one(self._connection, sql)
            result = self._connection.execute(sql, list(values))
            columns = tuple(column[0] for column in result.description or ())
            return QueryStream(columns, _rows_of(result))

    def write(self, sql: str, target: Path) -> int:
        """Write what a query selects to a new Parquet file; return the number of rows.

        Nothing is left of the file if that fails. Raises QueryError, LakeUnwritableError.
        """
        with _mapped():
            require_one(self._connection, sql)
        staged = target.with_name(f".{target.name}.part")
        try:
            count = self._copy(sql.strip().rstrip(";"), staged, "FORMAT parquet")
            staged.rename(target)
        except duckdb.Error as error:
            raise duck.of_the_disk(error, f"writing {target}") or _failed(error) from error
        except OSError as error:
            raise LakeUnwritableError(f"writing {target}: {error}", hint=_WRITE) from error
        finally:
            staged.unlink(missing_ok=True)
        return count

    def interrupt(self) -> None:
        """End the statement that runs on another thread."""
        self._connection.interrupt()

    def copy(self, select: str, target: Path, options: str) -> int:
        """Write what is selected to a file, with options of COPY; return the number of rows.

        Raises QueryError, DiskFullError, LakeUnwritableError.
        """
        try:
            return self._copy(select, target, options)
        except duckdb.Error as error:
            doing = f"writing {target}" if str(target) in str(error) else "reading the lake"
            raise duck.of_the_disk(error, doing) or _unread(error) from error

    def _copy(self, select: str, target: Path, options: str) -> int:
        copy = f"COPY ({select}\n) TO {duck.quoted(target)} ({options})"
        ((count,),) = self._connection.execute(copy).fetchall()
        return int(count)

    def batches(self, select: str, rows: int) -> "pa.RecordBatchReader":
        """Return what is selected in pyarrow's batches of about so many rows. Raises QueryError."""
        try:
            return self._connection.sql(select).to_arrow_reader(rows)
        except duckdb.Error as error:
            raise duck.of_the_disk(error, "reading the lake") or _unread(error) from error

    def spill_into(self, folder: Path) -> None:
        """Have DuckDB keep there what does not fit into memory, not in the lake."""
        self._connection.execute(f"SET temp_directory = {duck.quoted(folder)}")
        limit_mb = min(_MEMORY_MB, _half_of_memory_mb())
        self._connection.execute(f"SET memory_limit = '{limit_mb}MB'")


@contextmanager
def reading(tree: Tree, as_of: str | None = None) -> Iterator[Reader]:
    """Open the newest generation, or the one that was current at *as_of*: a number or an instant.

    Raises NoLakeError if there is none, UsageError if *as_of* is neither.
    """
    path = path_of(tree, as_of)
    try:
        connection = _opened(path, tree.root)
    except duckdb.Error as error:
        raise NoLakeError(f"opening {path}: {duck.summary(error)}") from error
    with connection:
        connection.execute("SET VARIABLE lake_root = " + duck.quoted(tree.root))
        yield Reader(connection)


def _opened(path: Path, root: Path) -> duckdb.DuckDBPyConnection:
    connection = duck.connect_read_only(path)
    if has_internal(connection, path.stem):
        return connection
    connection.close()
    connection = duck.attached(path, path.stem, {})
    add_internal(connection, path.stem, root)
    connection.execute(f"USE {path.stem}")
    duck.configure(connection)
    return connection


def path_of(tree: Tree, as_of: str | None = None) -> Path:
    """Return the newest generation, or the one that was current at *as_of*.

    Raises what `reading` does.
    """
    path = tree.current.resolve() if as_of is None else _as_of(tree, as_of)
    if not tree.root.is_dir():
        raise NoLakeError(
            f"opening the lake {tree.root}: there is no such folder",
            hint="run `fullpool sync`, which makes it, or check the path",
        )
    if not path.exists():
        raise NoLakeError(f"opening the lake {tree.root}: nothing is published there yet")
    return path


def generations(tree: Tree) -> list[Generation]:
    """Return the generations that can be read, oldest first."""
    current = tree.current.resolve()
    found: list[Generation] = []
    for number in tree.generations():
        path = tree.catalogue(number)
        with suppress(FileNotFoundError):  # it was removed meanwhile
            if not _is_published(path):
                continue
            at = _published_at(path, path.stat().st_mtime_ns)
            found += [Generation(number, at, path == current)] if at else []
    return found


def _is_published(path: Path) -> bool:
    """Whether a catalogue is whole: nobody is writing it, or was killed while it was written."""
    return path.exists() and not path.stat().st_mode & _WRITABLE


@functools.lru_cache(maxsize=10_000)
def _published_at(path: Path, _changed_ns: int) -> datetime | None:
    """Return when a generation was published; None if it is damaged."""
    try:
        with duck.attached(path, "one", {}) as connection:
            row = connection.execute("SELECT published_at FROM one.sync.published").fetchone()
    except duckdb.Error:
        return None
    assert row is not None
    at: datetime = row[0].replace(tzinfo=UTC)
    return at


def _as_of(tree: Tree, text: str) -> Path:
    return tree.catalogue(generation_at(tree, text))


def generation_at(tree: Tree, text: str) -> int:
    """Return the generation that a number or an instant names. Raises what `reading` does."""
    if is_number(text) and _is_published(tree.catalogue(int(text))):
        return int(text)
    moment = None if is_number(text) else _moment(text)
    kept = generations(tree)
    matching = [one for one in kept if moment is not None and one.published_at <= moment]
    if not matching:
        raise NoLakeError(
            f"opening the lake {tree.root} as of {text}: no such generation",
            hint=available(kept),
        )
    return matching[-1].number


def available(kept: Iterable[Generation]) -> str:
    """Return which generations can be read, as a hint."""
    numbers = ", ".join(str(one.number) for one in kept) or "none"
    return f"available: {numbers}; lake.retain_hours sets how long they are kept"


def is_number(text: str) -> bool:
    """Whether a text can be the number of a generation."""
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"reading --as-of {text}: not a generation or a time",
            hint="give a number from `fullpool generations` or a UTC time like 2026-11-22T10:00",
        ) from error
