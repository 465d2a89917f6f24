"""Reads a published generation without disturbing anyone."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import duckdb

from fullpool.errors import LakeUnwritableError, NoLakeError, QueryError, UsageError
from fullpool.kinds import is_hive_key
from fullpool.store import duck
from fullpool.store.state.queries import StateQueries
from fullpool.store.tree import Tree, link_or_copy

Row = tuple[Any, ...]
_FILE_GONE: Final = (
    "a file of this generation is gone; `fullpool sync` fetches the newest one's again, but what"
    " `verify --repair` took out of an older one is in .quarantine/damaged for good"
)
_WRITABLE: Final = 0o222
_AT_A_TIME: Final = 10_000
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
        hint = _FILE_GONE if "No files found" in str(error) else None
        raise QueryError(f"running the query: {error}", hint=hint) from error


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
        copy = f"COPY ({sql.strip().rstrip(';')}\n) TO {duck.quoted(staged)} (FORMAT parquet)"
        try:
            with _mapped():
                ((count,),) = self._connection.execute(copy).fetchall()
            staged.rename(target)
        except OSError as error:
            raise LakeUnwritableError(f"writing {target}: {error}", hint=_WRITE) from error
        finally:
            staged.unlink(missing_ok=True)
        return int(count)


@contextmanager
def reading(tree: Tree, as_of: str | None = None) -> Iterator[Reader]:
    """Open the newest generation, or the one that was current at *as_of*: a number or an instant.

    Raises NoLakeError if there is none, UsageError if *as_of* is neither.
    """
    path = path_of(tree, as_of)
    try:
        connection = duck.connect_read_only(path)
    except duckdb.Error as error:
        raise NoLakeError(f"opening {path}: {duck.summary(error)}") from error
    with connection:
        connection.execute("SET VARIABLE lake_root = " + duck.quoted(tree.root))
        yield Reader(connection)


def path_of(tree: Tree, as_of: str | None = None) -> Path:
    """Return the newest generation, or the one that was current at *as_of*.

    Raises what `reading` does.
    """
    path = tree.current.resolve() if as_of is None else _as_of(tree, as_of)
    if not tree.root.is_dir():
        raise NoLakeError(
            f"opening the lake {tree.root}: there is no such folder", hint="check the path"
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
        if not path.exists() or path.stat().st_mode & _WRITABLE:
            continue  # it is being written, or a process was killed while it was
        try:
            with duck.attached(path, "one", {}) as connection:
                row = connection.execute("SELECT published_at FROM one.sync.published").fetchone()
        except duckdb.Error:
            continue  # it is damaged
        assert row is not None
        at = row[0].replace(tzinfo=UTC)
        found.append(Generation(number, at, path == current))
    return found


def _as_of(tree: Tree, text: str) -> Path:
    kept = generations(tree)
    if text.isdigit():
        matching = [one for one in kept if one.number == int(text)]
    else:
        moment = _moment(text)
        matching = [one for one in kept if one.published_at <= moment][-1:]
    if not matching:
        raise NoLakeError(
            f"opening the lake {tree.root} as of {text}: no such generation",
            hint=available(kept),
        )
    return tree.catalogue(matching[0].number)


def available(kept: Iterable[Generation]) -> str:
    """Return which generations can be read, as a hint."""
    numbers = ", ".join(str(one.number) for one in kept) or "none"
    return f"available: {numbers}; lake.retain_hours sets how long they are kept"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"reading --as-of {text}: not a generation or a time",
            hint="give a number from `fullpool generations` or a UTC time like 2026-11-22T10:00",
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_INSIDE: Final = "name a folder that does not exist yet, outside the lake and on its own disk"


def export(tree: Tree, target: Path, as_of: str | None) -> int:
    """Hard-link one generation's files into a plain hive tree; return how many.

    The files' names are those of the partitions, without the generation. Takes no room and no time,
    but where the file system has no hard links: there they are copied. The tree stays whole when
    the lake goes on. Raises UsageError if *target* is there or inside the lake, LakeUnwritableError
    if it cannot be written; then nothing is left of *target*.
    """
    if target.exists() or target.is_symlink():
        raise UsageError(f"exporting to {target}: it already exists", hint=_INSIDE)
    if wrong := next((name for name in target.absolute().parts if is_hive_key(name)), None):
        raise UsageError(
            f"exporting to {target}: engines would read the folder {wrong} as a column",
            hint="name a folder that is not called market=, interval= or symbol=",
        )
    if target.resolve().is_relative_to(tree.root.resolve()):
        raise UsageError(f"exporting to {target}: that is inside the lake", hint=_INSIDE)
    with reading(tree, as_of) as reader:
        paths = [row[0] for row in reader.query("SELECT path FROM sync.files ORDER BY path").rows]
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise LakeUnwritableError(f"exporting to {target}: {error}", hint=_INSIDE) from error
    try:
        for path in paths:
            plain = target / _plain(path)
            plain.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(tree.root / path, plain)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        hint = _FILE_GONE if isinstance(error, FileNotFoundError) else _INSIDE
        raise LakeUnwritableError(f"exporting to {target}: {error}", hint=hint) from error
    return len(paths)


def _plain(path: str) -> str:
    """Return `.../2024-03.parquet` for `.../2024-03.g000123.parquet`."""
    stem, _, _ = path.removesuffix(".parquet").rpartition(".g")
    return f"{stem}.parquet"
