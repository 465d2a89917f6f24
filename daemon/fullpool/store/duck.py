"""DuckDB connections, and translation of its errors."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb

from fullpool.errors import (
    DiskFullError,
    FilesError,
    FullpoolError,
    LakeUnwritableError,
    StateDamagedError,
    refused,
)
from fullpool.store.tree import SPILL

_NO_ROOM_WORDS: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "failed to offload",
    "max_temp",
)

_NO_FILES_WORDS: Final = "Too many open files"

# DuckDB 2.0.1 takes the keys of one folder for those of another, where `x = max(x) OVER (...)` is
# asked of some of a view's files: no rows, or wrong ones. DuckDB 1 has no such optimizer.
_WRONG_OPTIMIZER: Final = "window_self_join"

# What it raises of a file: where a column's name is garbled, its message is no text.
ERRORS: Final = (duckdb.Error, UnicodeDecodeError)

Settings = dict[str, str | bool | int | float | list[str]]
_ALONE: Final[Settings] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def connect(root: Path | None, **settings: str | int | bool) -> duckdb.DuckDBPyConnection:
    """Open a database in memory: UTC, no extensions, no files but those below *root*.

    Its configuration is locked then, whatever SQL it is given.
    """
    connection = duckdb.connect(":memory:", config={**_ALONE, **settings})
    configure(connection)
    folders = listed([f"{root}/"]) if root else "[]"
    connection.execute(f"SET allowed_directories = {folders}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@functools.lru_cache(maxsize=1)
def of_worker(root: Path, staging: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Return the one connection of this worker process: opening one costs 15 ms a build.

    What does not fit into its memory it writes below *staging*.
    """
    return connect(
        root,
        threads=threads,
        memory_limit=f"{memory_mb}MB",
        temp_directory=str(staging / SPILL),
        preserve_insertion_order=True,
    )


def connect_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a published catalogue."""
    connection = duckdb.connect(str(path), read_only=True, config=_ALONE)
    configure(connection)
    _avoid_wrong_optimizer(connection)
    return connection


def attached(path: Path, name: str, settings: Mapping[str, str | int]) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with a published catalogue attached.

    Unlike one that is opened by its path it shares nothing with others of this process.
    """
    # A name of a query is no variable of the program.
    alone: Settings = {**_ALONE, "python_enable_replacements": False, **settings}
    connection = duckdb.connect(":memory:", config=alone)
    connection.execute(f"ATTACH {quoted(path)} AS {name} (READ_ONLY)")
    _avoid_wrong_optimizer(connection)
    return connection


def _avoid_wrong_optimizer(connection: duckdb.DuckDBPyConnection) -> None:
    known = connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
    if (_WRONG_OPTIMIZER,) in known:
        connection.execute(f"SET disabled_optimizers = '{_WRONG_OPTIMIZER}'")


def configure(connection: duckdb.DuckDBPyConnection) -> None:
    """Show times in UTC, and no progress: DuckDB draws it on the program's own output."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Make what the block does one transaction; undo it if that fails."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
            connection.execute("ROLLBACK")
        raise


def quoted(value: str | Path) -> str:
    """Return *value* as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def listed(values: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    """Return an SQL list of string literals."""
    return "[" + ", ".join(quoted(value) for value in values) + "]"


def summary(error: Exception) -> str:
    """Return the part of a DuckDB message that says what happened, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])[:400]


@contextmanager
def map_errors(doing: str) -> Iterator[None]:
    """Turn what DuckDB and the disk raise while *doing* something into our errors."""
    try:
        yield
    except FullpoolError:
        raise
    except duckdb.OutOfMemoryException as error:
        if any(words in str(error) for words in _NO_ROOM_WORDS):
            raise DiskFullError(f"{doing}: {summary(error)}") from error
        raise StateDamagedError(
            f"{doing}: {summary(error)}", hint="raise limits.builder_memory_mb in the config"
        ) from error
    except (*ERRORS, OSError) as error:
        raise _error_of(error, doing) from error


def _error_of(error: Exception, doing: str) -> FullpoolError:
    if isinstance(error, OSError):
        return refused(error, doing)
    if not isinstance(error, duckdb.Error):
        return StateDamagedError(f"{doing}: {summary(error)}")
    return of_the_disk(error, doing) or StateDamagedError(f"{doing}: {summary(error)}")


# DuckDB's words for a file that is no Parquet, cut short, or garbled inside.
_GARBLED: Final = (
    "magic bytes", "footer", "too small", "ecompress", "corrupt", "Failed to read Parquet",
    "attempted to read", "DECIMAL",
)  # fmt: skip


def is_damage(error: Exception) -> bool:
    """Whether an error of reading a file may be the file's own, and not the disk's."""
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.InternalException):
        return False
    if isinstance(error, duckdb.IOException):
        return any(words in str(error) for words in _GARBLED)
    return not isinstance(error, duckdb.Error) or of_the_disk(error, "") is None


def of_the_disk(error: duckdb.Error, doing: str) -> FullpoolError | None:
    """Return what DuckDB says of the disk as our error; None if it says something else."""
    text = summary(error)
    if any(words in text for words in _NO_ROOM_WORDS):
        return DiskFullError(f"{doing}: {text}")
    if _NO_FILES_WORDS in text:
        return FilesError(f"{doing}: {text}")
    if "Permission denied" in text or "Read-only file" in text:
        return LakeUnwritableError(f"{doing}: {text}")
    return None
