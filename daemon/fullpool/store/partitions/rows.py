"""The SQL that turns the vendor's text and kept Parquet into rows of the lake.

Every branch yields the same columns in the same order, ending with `source`. Decimals are exact.
Amounts are written DECIMAL(18,8), and DECIMAL(38,8) in those files where one does not fit: the wide
type halves the speed of writing and triples the CPU of scanning, so it is paid for only there.
DuckDB rounds text with more decimals than its type without a word, in every way it can be asked to
read it; so text is read with a ninth decimal, which has to be zero. (It would miss a file all of
whose longer numbers round to a zero there; to look at every digit costs a third of the whole work.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from fullpool.decode import Layout
from fullpool.kinds import Column, Kind, Type
from fullpool.model import ANOTHER_LIFE, Span
from fullpool.store.duck import quoted
from fullpool.store.partitions.holes import key_of

EXACT: Final = "DECIMAL(18,8)"
EXACT_WIDE: Final = "DECIMAL(38,8)"
# From an archive, from that of a day where the one of its month lacks the row, or from the API.
SOURCE_COLUMN: Final = "source"
ARCHIVE: Final = "archive"
DAILY: Final = "daily"
REST: Final = "rest"


class Width(StrEnum):
    """How wide the amounts of a file are, and its numbers while they are read."""

    NARROW = EXACT
    WIDE = EXACT_WIDE


_READ_AS: Final = {Width.NARROW: "DECIMAL(18,9)", Width.WIDE: "DECIMAL(38,9)"}
_DECIMALS: Final = (Type.PRICE, Type.AMOUNT)
_ANOTHER_LIFE: Final = f"INTERVAL {ANOTHER_LIFE.days} DAY"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How branches are put together, and which of its rows then contradict that order.

    *is_strict*: rows of a CSV that are not in order are an error.
    """

    select: Callable[[Kind, Sequence[str]], str]
    disorder: str
    is_strict: bool = False


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


def from_csv(kind: Kind, layout: Layout, path: Path, width: Width, source: str = ARCHIVE) -> str:
    """Select the rows of one CSV without header, which came from *source*."""
    present = {column.name for column in layout.columns}
    values = [_value(column, layout.unit, present, width) for column in kind.kept]
    columns = ", ".join(f"{quoted(c.name)}: {quoted(_text_type(c, width))}" for c in layout.columns)
    return (
        f"SELECT {', '.join(values)}, {quoted(source)} AS {SOURCE_COLUMN}"
        f" FROM read_csv({quoted(path)},"
        f" columns={{{columns}}}, header=false, auto_detect=false, delim=',', quote='', escape='')"
        f" WHERE {_sound([column for column in kind.kept if column.name in present])}"
    )


def _text_type(column: Column, width: Width) -> str:
    if column.type in _DECIMALS:
        return _READ_AS[width]
    return "BIGINT" if column.type is Type.TIME else sql_type(column.type, width)


def _value(column: Column, unit: str, present: set[str], width: Width) -> str:
    if column.name not in present:
        return f"NULL::{sql_type(column.type, width)} AS {column.name}"
    value = column.name
    if column.type in _DECIMALS:
        value = f"{value}::{sql_type(column.type, width)}"
    if column.type is Type.TIME:
        value = f"make_timestamp({value if unit == 'us' else f'{value} * 1000'})"
    return f"{value} AS {column.name}"


def _sound(columns: Sequence[Column]) -> str:
    """Return a condition that is true, or an error that shows the row: one test for all columns."""
    tests = [
        f"{column.name} % 0.00000001 = 0"  # not true of NULL either
        if column.type in _DECIMALS
        else f"{column.name} IS NOT NULL"
        for column in columns
    ]
    row = f"row({', '.join(column.name for column in columns)})::VARCHAR"
    refusal = f"error('a value is empty (NULL) or has more than 8 decimals: ' || {row})"
    return f"CASE WHEN {' AND '.join(tests)} THEN true ELSE {refusal} END"


def from_parquet(
    kind: Kind, path: Path, replaced: Sequence[Span], fills: Sequence[Span], left_out: str = "false"
) -> str:
    """Select the rows of a partition file that stay on top of what is older or fills holes.

    Not those in spans that are rewritten; where a day fills holes of its month, the month's. Nor
    those of which *left_out* is true.
    """
    is_filled = f"{SOURCE_COLUMN} <> {quoted(ARCHIVE)} AND {in_any(kind.time, fills)}"
    return (
        f"SELECT {_names(kind)}, {SOURCE_COLUMN} FROM {parquet(path)}"
        f" WHERE NOT {in_any(kind.time, replaced)} AND NOT ({is_filled}) AND NOT {left_out}"
    )


def repeated(kind: Kind, span: Span, beside: Sequence[Path]) -> str:
    """Return the condition that a row of a file lies outside its *span* and in one *beside* it."""
    if not beside:
        return "false"
    keys = " UNION ALL ".join(f"SELECT {kind.key} FROM {parquet(other)}" for other in beside)
    return f"(NOT {within(kind.time, span)} AND {kind.key} IN ({keys}))"


def repeated_in(kind: Kind, path: Path, span: Span, beside: Sequence[Path]) -> str:
    """Select key and time of the rows of a file that one next to it has too."""
    return (
        f"SELECT {kind.key}, {kind.time} FROM {parquet(path)}"
        f" WHERE {repeated(kind, span, beside)} ORDER BY ALL"
    )


def patched_in(kind: Kind, path: Path, spans: Sequence[Span]) -> str:
    """Select the rows of a partition file that are from REST, in any of *spans*."""
    return (
        f"SELECT {_names(kind)}, {SOURCE_COLUMN} FROM {parquet(path)}"
        f" WHERE {SOURCE_COLUMN} = {quoted(REST)} AND {in_any(kind.time, spans)}"
    )


def archived_in(kind: Kind, path: Path, spans: Sequence[Span], others: Sequence[Span]) -> str:
    """Select the rows of archives in *spans* that the days *others* may have.

    What of them the month lacks that is rewritten is a day's.
    """
    return (
        f"SELECT {_names(kind)}, {quoted(DAILY)} AS {SOURCE_COLUMN} FROM {parquet(path)}"
        f" WHERE {SOURCE_COLUMN} <> {quoted(REST)} AND {in_any(kind.time, spans)}"
        f" AND {in_any(kind.time, others)}"
    )


def in_any(column: str, spans: Sequence[Span]) -> str:
    """Return the condition that *column* lies in one of *spans*."""
    inside = " OR ".join(within(column, span) for span in merged(spans)) or "false"
    return f"({inside})"


def _names(kind: Kind) -> str:
    return ", ".join(column.name for column in kind.kept)


def parquet(path: Path) -> str:
    """Return a table function that reads one file and takes no column from the folders' names."""
    return f"read_parquet({quoted(path)}, hive_partitioning=false)"


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


def in_order(kind: Kind, branch: str) -> str:
    """Select the rows of a CSV, or raise an error if their keys or times do not rise.

    Then they are sound: the first and the last row of each archive lie in its span, and what is
    sorted between them does too.
    """
    key, time = kind.key, kind.time
    sound = f"before_ IS NULL OR ({key} > before_ AND {time} >= time_before_)"
    refusal = f"error('a row is out of order: ' || {key}::VARCHAR)"
    return (
        f"SELECT * EXCLUDE (before_, time_before_) FROM (SELECT *, lag({key}) OVER () AS before_,"
        f" lag({time}) OVER () AS time_before_ FROM ({branch}))"
        f" WHERE CASE WHEN {sound} THEN true ELSE {refusal} END"
    )


def _as_they_come(_kind: Kind, branches: Sequence[str]) -> str:
    return " UNION ALL ".join(f"({branch})" for branch in branches)


def _sorted_once(kind: Kind, branches: Sequence[str]) -> str:
    ranked = [f"SELECT *, {rank} AS branch FROM ({branch})" for rank, branch in enumerate(branches)]
    rows = " UNION ALL ".join(f"({branch})" for branch in ranked)
    lives, life = with_lives(kind, rows)
    once = f"QUALIFY row_number() OVER (PARTITION BY {kind.key}{life} ORDER BY branch DESC) = 1"
    dropped = f"branch{life}"
    return f"SELECT * EXCLUDE ({dropped}) FROM ({lives}) {once} ORDER BY {order_of(kind)}"


def with_lives(kind: Kind, rows: str) -> tuple[str, str]:
    """Return rows with the column that tells two of one id apart, and its name after a comma.

    The ids of a symbol that is used again start again: rows of one id that are more than a day from
    each other are two. A time that identifies a row needs no such column.
    """
    if kind.key == kind.time:
        return rows, ""
    apart = f"({kind.time} > lag({kind.time}) OVER (PARTITION BY {kind.key} ORDER BY {kind.time})"
    turn = f"coalesce({apart} + {_ANOTHER_LIFE})::INTEGER, 0) AS turn"
    numbered = f"sum(turn) OVER (PARTITION BY {kind.key} ORDER BY {kind.time}) AS life"
    return (
        f"SELECT * EXCLUDE (turn), {numbered} FROM (SELECT *, {turn} FROM ({rows}))",
        ", life",
    )


# In the order of the branches: right for nearly every file, and fast. Keys that rise are unique.
AS_THEY_COME: Final = Arrangement(_as_they_come, "key_ <= before_ OR time_ < time_before_")
# Sorted, each key once; of equal keys the row of the later branch stays.
SORTED_ONCE: Final = Arrangement(
    _sorted_once,
    "time_ < time_before_ OR (time_ = time_before_ AND key_ <= before_)",
    is_strict=True,
)
# The same of archives that were looked at one by one: their rows need not be in order.
EXAMINED: Final = replace(SORTED_ONCE, is_strict=False)


def order_of(kind: Kind) -> str:
    """Return the columns that rows are sorted by."""
    return ", ".join(dict.fromkeys((kind.time, kind.key)))


def check_of(kind: Kind, path: Path, arranged: Arrangement, missing: str) -> str:
    """Select what a finished file holds, in one pass over its keys, times and sources.

    How many rows contradict the arrangement, the number of rows, how many are from REST, first and
    last instant in microseconds, first and last key, and how many pairs of neighbours have rows
    *missing* between them. lag() without an order follows the file, in a stream.
    """
    key = key_of(kind)
    return (
        f"SELECT count(*) FILTER ({arranged.disorder}), count(*),"
        f" count(*) FILTER ({SOURCE_COLUMN} = {quoted(REST)}),"
        " epoch_us(min(time_)), epoch_us(max(time_)), min(key_), max(key_),"
        f" count(*) FILTER ({missing} > 0) FROM (SELECT {SOURCE_COLUMN},"
        f" {key} AS key_, lag({key}) OVER () AS before_,"
        f" {kind.time} AS time_, lag({kind.time}) OVER () AS time_before_ FROM {parquet(path)})"
    )


def verdict_of(kind: Kind, branch: str, span: Span) -> str:
    """Select how many rows lie outside *span*, how many keys have rows that differ, and all."""
    span = kind.around(span)
    lives, life = with_lives(kind, f"SELECT DISTINCT * FROM ({branch})")
    keys = f"SELECT DISTINCT {kind.key}{life} FROM ({lives})"
    return (
        f"SELECT count(*) FILTER (NOT {within(kind.time, span)}),"
        f" (SELECT count(*) FROM (SELECT DISTINCT * FROM ({branch})))"
        f" - (SELECT count(*) FROM ({keys})), count(*) FROM ({branch})"
    )


def conflicts_of(kind: Kind, kept: Path, losers: Sequence[str], limit: int) -> str:
    """Select every value of *losers* that *kept* has otherwise.

    Key, time, column, then source and value in the lake and elsewhere.
    """
    values = [column.name for column in kind.kept if column.name != kind.key]
    pairs = ", ".join(
        f"{{name: {quoted(name)}, kept: k.{name}::VARCHAR, other: o.{name}::VARCHAR}}"
        for name in values
    )
    others = " UNION ALL ".join(f"({loser})" for loser in losers)
    return (
        f"SELECT key_, time_, d.name, kept_source, d.kept, other_source, d.other FROM (SELECT"
        f" {key_of(kind, 'k.')} AS key_, k.{kind.time} AS time_, k.source AS kept_source,"
        f" o.source AS other_source, unnest(list_filter([{pairs}],"
        " lambda x: x.kept IS DISTINCT FROM x.other)) AS d"
        f" FROM {parquet(kept)} AS k JOIN ({others}) AS o USING ({kind.key}))"
        f" ORDER BY ALL LIMIT {limit}"
    )
