"""Files of followed rows: of one market, kind and interval, all symbols, an hour or longer each.

A file is never changed: with each row that comes its period is written again, under a new name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb

from fullpool.decode import sniff
from fullpool.errors import MalformedError
from fullpool.grid import Places
from fullpool.kinds import KINDS, Kind
from fullpool.model import Interval, Market, Run, Series, Span, instant
from fullpool.store import duck
from fullpool.store.partitions import csv_rows, rows
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.tree import Tree, ends_whole, give_name

FOLDER: Final = "tail"
SYMBOL: Final = "symbol"


@dataclass(frozen=True, slots=True, order=True)
class TailKey:
    """What a file of followed rows is of; *period* is an hour, a day or a month, by its name."""

    market: Market
    kind: str
    interval: Interval | None
    period: str

    def series(self, symbol: str) -> Series:
        """Return the series of a symbol in the file."""
        return Series(self.market, self.kind, symbol, self.interval)

    def fits(self, series: Series) -> bool:
        """Whether a file holds rows of a series, if there are any of its period."""
        return self.series(series.symbol) == series

    @property
    def of_all_periods(self) -> "TailKey":
        """What all files of the same market, kind and interval share."""
        return replace(self, period="")

    @property
    def stem(self) -> str:
        """The path below the root, without generation and ending."""
        interval = f"interval={self.interval}/" if self.interval else ""
        folder = f"{FOLDER}/{KINDS[self.kind].table}/market={self.market}/{interval}"
        return f"{folder}{self.period}"


@dataclass(frozen=True, slots=True)
class TailFile:
    """A file of followed rows, by its path below the root; *sha256* is "" where none is known."""

    key: TailKey
    path: str
    generation: int
    rows: int
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What of the followed rows of a series partitions have: those in a span, by ids if counted."""

    span: Span
    ids: Places | None = None

    def condition(self, kind: Kind) -> str:
        """Return the SQL of whether a row is one of these."""
        inside = rows.within(kind.time, self.span)
        if self.ids is None:
            return inside
        return f"{inside} AND {kind.counter} BETWEEN {self.ids.first} AND {self.ids.end - 1}"


def append(
    connection: duckdb.DuckDBPyConnection,
    tree: Tree,
    old: TailFile | None,
    new: TailFile,
    lines: Mapping[str, Sequence[str]],
) -> TailFile:
    """Write the rows of *old* and new ones as the file *new*; return that with what it holds.

    *lines* are those of the vendor's CSV, by symbol.
    """
    kind = KINDS[new.key.kind]
    key = ", ".join([SYMBOL, *rows.keys_of(kind)])
    once = f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY age) = 1"
    with _written(tree, kind, lines) as text:
        branches = [f"SELECT *, 1 AS age FROM ({text})"]
        branches += [f"SELECT *, 2 AS age FROM {rows.parquet(tree.root / old.path)}"] if old else []
        select = f"SELECT * FROM ({' UNION ALL BY NAME '.join(branches)}) {once}"
        try:
            found = _write(connection, tree, new, select)
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            raise MalformedError(duck.summary(error)) from error
    assert found is not None
    return found


@contextmanager
def _written(tree: Tree, kind: Kind, lines: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Write the lines of all symbols to one sheet, each with its symbol; yield what selects them.

    Raises MalformedError if they are no rows of that kind.
    """
    layout, _ = sniff(f"{next(iter(lines.values()))[0]}\n".encode(), kind)
    sheet = csv_rows.Sheet(kind, layout, tree.staging / "followed.csv", "", beside=SYMBOL)
    try:
        with sheet.path.open("w", encoding="utf-8") as text:
            for symbol, own in lines.items():
                text.writelines(f"{line},{symbol}\n" for line in own)
        yield csv_rows.from_csv(sheet, csv_rows.Width.WIDE, csv_rows.REST)
    finally:
        sheet.path.unlink(missing_ok=True)


def is_sound(
    connection: duckdb.DuckDBPyConnection,
    tree: Tree,
    kind: Kind,
    symbol: str,
    lines: Sequence[str],
) -> bool:
    """Whether the lines of a symbol can be written."""
    try:
        with _written(tree, kind, {symbol: lines}) as text:
            connection.execute(f"SELECT max(hash(r)) FROM ({text}) AS r").fetchone()
    except (MalformedError, duckdb.DataError, duckdb.InvalidInputException):
        return False
    return True


def symbols_in(connection: duckdb.DuckDBPyConnection, tree: Tree, file: TailFile) -> set[str]:
    """Return the symbols that a file has rows of."""
    rows_of = f"SELECT DISTINCT {SYMBOL} FROM {rows.parquet(tree.root / file.path)}"
    return {str(symbol) for (symbol,) in connection.execute(rows_of).fetchall()}


def is_whole(tree: Tree, file: TailFile) -> bool:
    """Whether a file is there, as long as it was written, with the end of a Parquet file."""
    path = tree.root / file.path
    return path.exists() and path.stat().st_size == file.size_bytes and ends_whole(path)


def is_as_written(tree: Tree, file: TailFile) -> bool:
    """Whether a file has the bytes that were written, which takes reading all of them."""
    if not is_whole(tree, file):
        return False
    return not file.sha256 or sha256_of(tree.root / file.path) == file.sha256


def without(
    connection: duckdb.DuckDBPyConnection,
    tree: Tree,
    old: TailFile,
    new: TailFile,
    taken: Mapping[str, Sequence[Taken]],
) -> TailFile | None:
    """Write the rows of *old* that are not taken, by symbol, as *new*; None if none is left."""
    kind = KINDS[old.key.kind]
    inside = " OR ".join(
        f"({SYMBOL} = {duck.quoted(symbol)} AND {one.condition(kind)})"
        for symbol, own in taken.items()
        for one in own
    )
    kept = f"FROM {rows.parquet(tree.root / old.path)} WHERE NOT ({inside})"
    return _write(connection, tree, new, kept)


def _write(
    connection: duckdb.DuckDBPyConnection, tree: Tree, new: TailFile, select: str
) -> TailFile | None:
    kind, staged = KINDS[new.key.kind], tree.staging / "followed.parquet"
    connection.execute(
        f"COPY (SELECT {SYMBOL}, {', '.join(kind.names)}, {csv_rows.SOURCE_COLUMN} FROM ({select})"
        f" ORDER BY {SYMBOL}, {rows.order_of(kind)}) TO {duck.quoted(staged)}"
        " (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2,"
        f" FIELD_IDS {csv_rows.field_ids(kind, csv_rows.SOURCE_COLUMN, SYMBOL)})"
    )
    found = connection.execute(f"SELECT count(*) FROM {rows.parquet(staged)}").fetchone()
    assert found is not None
    if not found[0]:
        staged.unlink()
        return None
    size_bytes, sha256 = staged.stat().st_size, sha256_of(staged)
    give_name(staged, tree.root, new.path)
    return TailFile(new.key, new.path, new.generation, found[0], size_bytes, sha256)


def counted_runs(
    connection: duckdb.DuckDBPyConnection, tree: Tree, files: Sequence[TailFile]
) -> dict[str, list[Run]]:
    """Return the runs of counted rows that files of one market and kind have, by symbol."""
    found: dict[str, list[Run]] = {}
    if not files:
        return found
    kind = KINDS[files[0].key.kind]
    time, counter = kind.time, kind.counter
    islands = connection.execute(
        f"SELECT {SYMBOL}, epoch_us(min({time})), epoch_us(max({time})), count(*), min({counter}),"
        f" max({counter}) FROM (SELECT {SYMBOL}, {time}, {counter}, {counter} - row_number() OVER"
        f" (PARTITION BY {SYMBOL} ORDER BY {counter}) AS island FROM read_parquet("
        f"{duck.listed([str(tree.root / file.path) for file in files])}, hive_partitioning=false))"
        f" GROUP BY {SYMBOL}, island ORDER BY ALL"
    ).fetchall()
    for symbol, first, last, *counts in islands:
        found.setdefault(symbol, []).append(Run(instant(first), instant(last), *counts))
    return found


def named(key: TailKey, generation: int) -> TailFile:
    """Return the file that *generation* writes of a key, before it is there."""
    return TailFile(key, f"{key.stem}.g{generation:06d}.parquet", generation, 0, 0)


def select_of(kind: Kind, symbol: str, paths: Sequence[Path], span: Span) -> str:
    """Select the followed rows of a symbol in *span*, as a branch of a build."""
    names = duck.listed([str(path) for path in paths])
    return (
        f"SELECT {', '.join(kind.names)}, {csv_rows.SOURCE_COLUMN}"
        f" FROM read_parquet({names}, hive_partitioning=false)"
        f" WHERE {SYMBOL} = {duck.quoted(symbol)} AND {rows.within(kind.time, span)}"
    )
