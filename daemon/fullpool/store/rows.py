"""SQL that turns vendor text and kept Parquet into the rows of the lake.

Every branch yields the same columns in the same order, ending with `source`. Decimals are exact.
Amounts are written DECIMAL(18,8), and DECIMAL(38,8) in those files where one does not fit: the wide
type halves the speed of writing and triples the CPU of scanning, so it is paid for only there.
DuckDB rounds text with more decimals than its type without a word, in every way it can be asked to
read it; so text is read with a ninth decimal, which has to be zero.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from fullpool.decode import Layout
from fullpool.kinds import Column, Kind, Type
from fullpool.model import Span
from fullpool.store.duck import listed, quoted

EXACT: Final = "DECIMAL(18,8)"
EXACT_WIDE: Final = "DECIMAL(38,8)"
SOURCE_COLUMN: Final = "source"


class Width(StrEnum):
    """How wide the amounts of a file are, and its numbers while they are read."""

    NARROW = EXACT
    WIDE = EXACT_WIDE


_READ_AS: Final = {Width.NARROW: "DECIMAL(18,9)", Width.WIDE: "DECIMAL(38,9)"}
_DECIMALS: Final = (Type.PRICE, Type.AMOUNT)


Arrangement = Callable[[Kind, Sequence[str]], str]


def sql_type(column_type: Type, amount: str) -> str:
    """Return the type a column has in a Parquet file whose amounts are *amount*."""
    return {
        Type.TIME: "TIMESTAMP",
        Type.PRICE: EXACT,
        Type.AMOUNT: amount,
        Type.COUNT: "BIGINT",
        Type.FLAG: "BOOLEAN",
        Type.IGNORED: "VARCHAR",
    }[column_type]


def from_csv(kind: Kind, layout: Layout, path: Path, width: Width) -> str:
    """Select the rows of one CSV without header."""
    present = {column.name for column in layout.columns}
    values = [_value(column, layout.unit, present, width) for column in kind.kept]
    columns = ", ".join(f"{quoted(c.name)}: {quoted(_text_type(c, width))}" for c in layout.columns)
    return (
        f"SELECT {', '.join(values)}, 'archive' AS {SOURCE_COLUMN} FROM read_csv({quoted(path)},"
        f" columns={{{columns}}}, header=false, auto_detect=false, delim=',', quote='', escape='')"
    )


def _text_type(column: Column, width: Width) -> str:
    if column.type in _DECIMALS:
        return _READ_AS[width]
    return "BIGINT" if column.type is Type.TIME else sql_type(column.type, width)


def _value(column: Column, unit: str, present: set[str], width: Width) -> str:
    if column.name not in present:
        return f"NULL::{sql_type(column.type, width)} AS {column.name}"
    if column.type in _DECIMALS:
        return _exactly(column.name, sql_type(column.type, width))
    if column.type is not Type.TIME:
        return column.name
    us = column.name if unit == "us" else f"{column.name} * 1000"
    return f"make_timestamp({us}) AS {column.name}"


def _exactly(name: str, target: str) -> str:
    refusal = f"error('{name} has more than 8 decimals, near ' || {name})"
    return f"CASE WHEN {name} % 0.00000001 <> 0 THEN {refusal} ELSE {name}::{target} END AS {name}"


def from_parquet(kind: Kind, paths: Sequence[Path], replaced: Sequence[Span]) -> str:
    """Select the rows of partition files, without those in spans that are written anew."""
    names = ", ".join(column.name for column in kind.kept)
    files = listed([str(path) for path in paths])
    outside = " AND ".join(f"NOT {within(kind.time, span)}" for span in merged(replaced)) or "true"
    return (
        f"SELECT {names}, {SOURCE_COLUMN} FROM read_parquet({files}, hive_partitioning=false)"
        f" WHERE {outside}"
    )


def within(column: str, span: Span) -> str:
    """Return the condition that *column* lies in *span*."""
    start, end = (quoted(f"{moment:%Y-%m-%d %H:%M:%S.%f}") for moment in (span.start, span.end))
    return f"({column} >= TIMESTAMP {start} AND {column} < TIMESTAMP {end})"


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return *spans* sorted, with those that touch or overlap made one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def as_they_come(_kind: Kind, branches: Sequence[str]) -> str:
    """Select the rows in the order of the branches: right for nearly every file, and fast."""
    return " UNION ALL ".join(f"({branch})" for branch in branches)


def sorted_once(kind: Kind, branches: Sequence[str]) -> str:
    """Select the rows sorted, each key once; of equal keys the row of the later branch stays."""
    ranked = [f"SELECT *, {rank} AS branch FROM ({branch})" for rank, branch in enumerate(branches)]
    once = f"QUALIFY row_number() OVER (PARTITION BY {kind.key} ORDER BY branch DESC) = 1"
    rows = " UNION ALL ".join(f"({branch})" for branch in ranked)
    return f"SELECT * EXCLUDE (branch) FROM ({rows}) {once} ORDER BY {order_of(kind)}"


def order_of(kind: Kind) -> str:
    """Return the columns that rows are sorted by."""
    return ", ".join(dict.fromkeys((kind.time, kind.key)))


def summary_of(kind: Kind, path: Path) -> str:
    """Select count, first and last time, and how many rows do not come after the one before them.

    lag() without an order follows the file, in a stream: it costs a pass over two columns.
    """
    return (
        f"SELECT count(*), min({kind.time}), max({kind.time}),"
        " count(*) FILTER (key_ <= before_ OR time_ < time_before_) FROM ("
        f"SELECT {kind.time}, {kind.key} AS key_, lag({kind.key}) OVER () AS before_,"
        f" {kind.time} AS time_, lag({kind.time}) OVER () AS time_before_"
        f" FROM read_parquet({quoted(path)}, hive_partitioning=false))"
    )


def verdict_of(kind: Kind, branch: str, span: Span) -> str:
    """Select how many rows lie outside *span*, and how many keys have rows that differ."""
    return (
        f"SELECT count(*) FILTER (NOT {within(kind.time, span)}),"
        f" (SELECT count(*) FROM (SELECT DISTINCT * FROM ({branch}))) - count(DISTINCT {kind.key})"
        f" FROM ({branch})"
    )
