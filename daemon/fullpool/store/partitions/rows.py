"""The SQL that puts rows of text and kept Parquet together, in order, each once.

Every branch yields the same columns in the same order, ending with `source`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fullpool.grid import Grid
from fullpool.kinds import Column, Derived, Kind
from fullpool.model import ANOTHER_LIFE, Span
from fullpool.store.duck import quoted
from fullpool.store.partitions.csv_rows import ARCHIVE, DAILY, REST, SOURCE_COLUMN
from fullpool.store.partitions.holes import missing_of, number_of, spacing_of

_IS_ARCHIVED: Final = f"{SOURCE_COLUMN} <> {quoted(REST)}"
_ANOTHER_LIFE: Final = f"INTERVAL {ANOTHER_LIFE.days} DAY"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How branches are put together, and which of its rows then contradict that order.

    *is_strict*: rows of a CSV that are not in order are an error.
    """

    select: Callable[[Kind, Sequence[str]], str]
    disorder: Callable[[Kind], str]
    is_strict: bool = False


def from_parquet(
    kind: Kind, path: Path, replaced: Sequence[Span], fills: Sequence[Span], left_out: str = "false"
) -> str:
    """Select the rows of a partition file that stay on top of what is older or fills holes.

    Not those in spans that are rewritten; where a day fills holes of its month, the month's. Nor
    those of which *left_out* is true.
    """
    is_filled = f"{SOURCE_COLUMN} <> {quoted(ARCHIVE)} AND {in_any(kind.time, fills)}"
    return _held(
        kind, path, f"NOT {in_any(kind.time, replaced)} AND NOT ({is_filled}) AND NOT {left_out}"
    )


def _held(kind: Kind, path: Path, which: str, source: str = SOURCE_COLUMN) -> str:
    """Select those rows of a partition file of which *which* is true."""
    return f"SELECT {_names(kind)}, {source} FROM {parquet(path)} WHERE {which}"


def repeated(kind: Kind, span: Span, beside: Sequence[Path]) -> str:
    """Return the condition that a row of a file lies outside its *span* and in one *beside* it."""
    if not beside or not kind.key:
        return "false"
    key = key_of(kind)
    keys = " UNION ALL ".join(f"SELECT {key} FROM {parquet(other)}" for other in beside)
    return f"(NOT {within(kind.time, span)} AND {key} IN ({keys}))"


def repeated_in(kind: Kind, path: Path, span: Span, beside: Sequence[Path]) -> str:
    """Select number and time of the rows of a file that one next to it has too."""
    return (
        f"SELECT {_identity(kind)}, {kind.time} FROM {parquet(path)}"
        f" WHERE {repeated(kind, span, beside)} ORDER BY ALL"
    )


def patched_in(kind: Kind, path: Path, spans: Sequence[Span]) -> str:
    """Select the rows of a partition file that are from REST, in any of *spans*."""
    return _held(kind, path, f"{SOURCE_COLUMN} = {quoted(REST)} AND {in_any(kind.time, spans)}")


def at_edges(kind: Kind, path: Path, edges: Sequence[Span]) -> str:
    """Select the rows of archives in *edges*, which are of the archive before what is rewritten."""
    return _held(kind, path, f"{_IS_ARCHIVED} AND {in_any(kind.time, edges)}")


def archived_in(kind: Kind, path: Path, spans: Sequence[Span], others: Sequence[Span]) -> str:
    """Select the rows of archives in *spans* that the days *others* may have.

    What of them the month lacks that is rewritten is a day's.
    """
    which = f"{_IS_ARCHIVED} AND {in_any(kind.time, spans)} AND {in_any(kind.time, others)}"
    return _held(kind, path, which, f"{quoted(DAILY)} AS {SOURCE_COLUMN}")


def among(branch: str, kind: Kind, spans: Sequence[Span]) -> str:
    """Select the rows of a branch that lie in one of *spans*."""
    return f"SELECT * FROM ({branch}) WHERE {in_any(kind.time, spans)}"


def beneath(branch: str, kind: Kind, spans: Sequence[Span]) -> str:
    """Select the same as rows that fill the holes of another archive."""
    filling = f"SELECT * REPLACE ({quoted(DAILY)} AS {SOURCE_COLUMN}) FROM ({branch})"
    return among(filling, kind, spans)


def outside(branch: str, kind: Kind, spans: Sequence[Span]) -> str:
    """Select the rows of a branch that lie in none of *spans*."""
    return f"SELECT * FROM ({branch}) WHERE NOT {in_any(kind.time, spans)}"


def in_any(column: str, spans: Sequence[Span]) -> str:
    """Return the condition that *column* lies in one of *spans*."""
    inside = " OR ".join(within(column, span) for span in merged(spans)) or "false"
    return f"({inside})"


def _names(kind: Kind) -> str:
    return ", ".join(kind.names)


def _identity(kind: Kind, table: str = "") -> str:
    """Return the SQL of the number that a row is told by."""
    return number_of(kind, is_counted=bool(kind.counter), table=table)


def keys_of(kind: Kind, table: str = "") -> list[str]:
    """Return the SQL of what identifies a row; *table* is an alias with its dot."""
    return [
        _time_key(kind, f"{table}{name}") if name == kind.time else f"{table}{name}"
        for name in kind.key
    ]


def _time_key(kind: Kind, time: str) -> str:
    """Return the SQL of what of a time identifies its row: the minute, where times jitter."""
    return f"date_trunc('minute', {time})" if kind.jitter else time


def key_of(kind: Kind) -> str:
    """Return the SQL of what identifies a row, as one value."""
    keys = ", ".join(keys_of(kind))
    return keys if len(kind.key) == 1 else f"row({keys})"


def _same_row(kind: Kind, one: str, other: str) -> str:
    """Return the condition that two rows are one; *one* and *other* are aliases."""
    pairs = zip(keys_of(kind, f"{one}."), keys_of(kind, f"{other}."), strict=True)
    return " AND ".join(f"{left} = {right}" for left, right in pairs)


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
    befores = ", ".join(f"lag({name}) OVER () AS {name}_before_" for name in _ordered(kind))
    refusal = f"error('a row is out of order: ' || {_identity(kind)}::VARCHAR)"
    return (
        f"SELECT {_names(kind)}, {SOURCE_COLUMN} FROM (SELECT *, {befores} FROM ({branch}))"
        f" WHERE CASE WHEN coalesce({_falls(kind)}, false) THEN {refusal} ELSE true END"
    )


def _ordered(kind: Kind) -> list[str]:
    """Return the columns that tell whether rows are in order."""
    return list(dict.fromkeys((kind.time, *kind.key)))


def _falls(kind: Kind) -> str:
    """Return the condition that a row does not follow the one before it, as archives have them.

    The times of rows with ids of their own may be equal; of others with the same time, what else
    tells them apart rises.
    """
    if kind.key and kind.time not in kind.key:
        (key,) = kind.key
        return f"({key} <= {key}_before_ OR {kind.time} < {kind.time}_before_)"
    return _is_not_after(kind)


def _is_not_after(kind: Kind) -> str:
    """Return the condition that a row of a sorted file does not come after the one before it."""
    earlier = f"{kind.time} < {kind.time}_before_"
    others = [name for name in kind.key if name != kind.time]
    if not others:
        last = f"{kind.time}_before_"
        return f"{_time_key(kind, kind.time)} <= {_time_key(kind, last)}" if kind.key else earlier
    rest = f"row({', '.join(others)})"
    before = f"row({', '.join(f'{name}_before_' for name in others)})"
    same = f"{kind.time} = {kind.time}_before_"
    return f"({earlier} OR ({same} AND {rest} <= {before}))"


def _as_they_come(_kind: Kind, branches: Sequence[str]) -> str:
    return " UNION ALL ".join(f"({branch})" for branch in branches)


def _sorted_once(kind: Kind, branches: Sequence[str]) -> str:
    # Of two archives of one branch, the later one's row stays: it is of that archive's own period.
    line = "row_number() OVER ()" if meets_within(kind) else "0"
    ranked = [
        f"SELECT *, {rank} AS branch, {line} AS line FROM ({branch})"
        for rank, branch in enumerate(branches)
    ]
    rows = " UNION ALL ".join(f"({branch})" for branch in ranked)
    if not kind.key:
        return _days_of_one_branch(kind, rows, len(branches))
    lives, life = with_lives(kind, rows)
    key = f"{', '.join(keys_of(kind))}{life}"
    once = f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY branch DESC, line DESC) = 1"
    dropped = f"branch, line{life}"
    return f"SELECT * EXCLUDE ({dropped}) FROM ({lives}) {once} ORDER BY {order_of(kind)}"


def meets_within(kind: Kind) -> bool:
    """Whether the last row of an archive may be the first one of the next, with other values."""
    return bool(kind.slack) and kind.time in kind.key


def _days_of_one_branch(kind: Kind, rows: str, branches: int) -> str:
    """Select all rows of each day from the branch that has most of them, of equals the later one.

    Rows that nothing identifies cannot be merged one by one.
    """
    day = f"date_trunc('day', {kind.time})"
    ranked = f"count(*) OVER (PARTITION BY branch, {day}) * {branches} + branch AS rank_"
    best = "max(rank_) OVER (PARTITION BY day_)"
    return (
        f"SELECT * EXCLUDE (branch, line, rank_, day_) FROM"
        f" (SELECT *, {day} AS day_, {ranked} FROM ({rows})) QUALIFY rank_ = {best}"
        f" ORDER BY {order_of(kind)}"
    )


def with_lives(kind: Kind, rows: str) -> tuple[str, str]:
    """Return rows with the column that tells two of one id apart, and its name after a comma.

    The ids of a symbol that is used again start again: rows of one id that are more than a day from
    each other are two. A key that has the time in it needs no such column.
    """
    if kind.time in kind.key:
        return rows, ""
    key = ", ".join(kind.key)
    apart = f"({kind.time} > lag({kind.time}) OVER (PARTITION BY {key} ORDER BY {kind.time})"
    turn = f"coalesce({apart} + {_ANOTHER_LIFE})::INTEGER, 0) AS turn"
    numbered = f"sum(turn) OVER (PARTITION BY {key} ORDER BY {kind.time}) AS life"
    return (
        f"SELECT * EXCLUDE (turn), {numbered} FROM (SELECT *, {turn} FROM ({rows}))",
        ", life",
    )


# In the order of the branches: right for nearly every file, and fast. Keys that rise are unique.
AS_THEY_COME: Final = Arrangement(_as_they_come, _falls)
# Sorted, each key once; of equal keys the row of the later branch stays. Rows without a key are all
# kept, of the branch that has most of their day.
SORTED_ONCE: Final = Arrangement(_sorted_once, _is_not_after, is_strict=True)
# The same of archives that were looked at one by one: their rows need not be in order.
EXAMINED: Final = replace(SORTED_ONCE, is_strict=False)
# What is in the lake already was in order when it was built.
HELD: Final = Arrangement(_sorted_once, lambda _: "false")


def order_of(kind: Kind) -> str:
    """Return the columns that rows are sorted by: without a key all, so that it is the same."""
    return ", ".join(dict.fromkeys((kind.time, *(kind.key or kind.names))))


def check_of(kind: Kind, grid: Grid | None, path: Path, arranged: Arrangement) -> str:
    """Select what a finished file holds, in one pass over its keys, times and sources.

    How many rows contradict the arrangement, the number of rows, how many are from REST, first and
    last instant in microseconds, first and last number, and how many pairs of neighbours have rows
    missing between them. lag() without an order follows the file, in a stream.
    """
    number = number_of(kind, is_counted=grid is None)
    columns = [f"{name}, lag({name}) OVER () AS {name}_before_" for name in _ordered(kind)]
    return (
        f"SELECT count(*) FILTER ({arranged.disorder(kind)}), count(*),"
        f" count(*) FILTER ({SOURCE_COLUMN} = {quoted(REST)}),"
        f" epoch_us(min({kind.time})), epoch_us(max({kind.time})), min(number_), max(number_),"
        f" count(*) FILTER ({missing_of(kind, grid, 'number_')} > 0)"
        f" FROM (SELECT {SOURCE_COLUMN}, {', '.join(columns)},"
        f" {number} AS number_, lag({number}) OVER () AS before_{spacing_of(kind)}"
        f" FROM {parquet(path)})"
    )


def verdict_of(kind: Kind, branch: str, span: Span) -> str:
    """Select how many rows lie outside *span*, how many keys have rows that differ, and all.

    Then the first and the last instant in microseconds.
    """
    span = kind.around(span)
    differing = "0"
    if kind.key:
        lives, life = with_lives(kind, f"SELECT DISTINCT * FROM ({branch})")
        keys = f"SELECT DISTINCT {', '.join(kind.key)}{life} FROM ({lives})"
        every = f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({branch}))"
        differing = f"({every}) - (SELECT count(*) FROM ({keys}))"
    return (
        f"SELECT count(*) FILTER (NOT {within(kind.time, span)}), {differing}, count(*),"
        f" epoch_us(min({kind.time})), epoch_us(max({kind.time})) FROM ({branch})"
    )


def conflicts_of(kind: Kind, kept: Path, losers: Sequence[str], limit: int) -> str:
    """Select every value of *losers* that *kept* has otherwise.

    Number, time, column, then source and value in the lake and elsewhere.
    """
    pairs = ", ".join(
        f"{{name: {quoted(column.name)}, kept: k.{column.name}::VARCHAR,"
        f" other: {_or_kept(column)}::VARCHAR}}"
        for column in kind.kept
        if column.name not in kind.key
    )
    others = " UNION ALL ".join(f"({loser})" for loser in losers)
    return (
        f"SELECT number_, time_, d.name, kept_source, d.kept, other_source, d.other FROM (SELECT"
        f" {_identity(kind, 'k.')} AS number_, k.{kind.time} AS time_, k.source AS kept_source,"
        f" o.source AS other_source, unnest(list_filter([{pairs}],"
        " lambda x: x.kept IS DISTINCT FROM x.other)) AS d"
        f" FROM {parquet(kept)} AS k JOIN ({others}) AS o ON {_same_row(kind, 'k', 'o')})"
        f" ORDER BY ALL LIMIT {limit}"
    )


def _or_kept(column: Column | Derived) -> str:
    """Return the SQL of a value of the loser o, or of the kept row k if it has none to tell."""
    name = column.name
    return f"coalesce(o.{name}, k.{name})" if column.is_nullable else f"o.{name}"


def changes_of(kind: Kind, old: str, new: str) -> str:
    """Select how many rows of *new* are not in *old*, how many are gone, and how many changed.

    Of rows without a key none can be told to be another one with other values.
    """
    if not kind.key:
        names = _names(kind)
        more, less = (
            f"(SELECT count(*) FROM (SELECT {names} FROM ({one}) EXCEPT ALL"
            f" SELECT {names} FROM ({other})))"
            for one, other in ((new, old), (old, new))
        )
        return f"SELECT {more}, {less}, 0"
    differs = " OR ".join(
        f"o.{name} IS DISTINCT FROM n.{name}" for name in kind.names if name not in kind.key
    )
    first = kind.key[0]
    same = _same_row(kind, "o", "n")
    return (
        f"SELECT count(*) FILTER (o.{first} IS NULL), count(*) FILTER (n.{first} IS NULL),"
        f" count(*) FILTER (o.{first} IS NOT NULL AND n.{first} IS NOT NULL AND ({differs}))"
        f" FROM ({old}) AS o FULL JOIN ({new}) AS n ON {same}"
    )
