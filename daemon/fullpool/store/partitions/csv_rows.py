"""The SQL that reads the rows of a vendor's CSV, exactly.

Amounts are written DECIMAL(18,8), and DECIMAL(38,8) in those files where one does not fit: the wide
type halves the speed of writing and triples the CPU of scanning, so it is paid for only there.
DuckDB rounds text with more decimals than its type without a word, in every way it can be asked to
read it; so text is read with one decimal more, which has to be zero. (It would miss a file all of
whose longer numbers round to a zero there; to look at every digit costs a third of the whole work.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from fullpool.decode import CHUNK_BYTES, WRITTEN, Layout
from fullpool.errors import MalformedError
from fullpool.kinds import Column, Derived, Kind, Type
from fullpool.store.duck import quoted

EXACT: Final = "DECIMAL(18,8)"
EXACT_WIDE: Final = "DECIMAL(38,8)"
EXACT_FINE: Final = "DECIMAL(38,16)"
# From an archive, from that of a day where the one of its month lacks the row, or from the API.
SOURCE_COLUMN: Final = "source"
ARCHIVE: Final = "archive"
DAILY: Final = "daily"
REST: Final = "rest"


# Columns of files that are of no kind, by the numbers that engines know them by.
OWN_FIELDS: Final = {
    SOURCE_COLUMN: 2001, "symbol": 2002, "is_void": 2003, "market": 2004, "interval": 2005,
}  # fmt: skip


class Width(StrEnum):
    """How wide the amounts of a file are, and its numbers while they are read."""

    NARROW = EXACT
    WIDE = EXACT_WIDE


_READ_AS: Final = {Width.NARROW: "DECIMAL(18,9)", Width.WIDE: "DECIMAL(38,9)"}
_FINE_READ_AS: Final = "DECIMAL(38,17)"
# Read as whole numbers, 1.5 would be 2.
_COUNT_READ_AS: Final = {Width.NARROW: "DECIMAL(18,4)", Width.WIDE: "DECIMAL(38,4)"}
# The least that a number of that type can hold.
_LEAST: Final = {
    Type.PRICE: "0.00000001", Type.AMOUNT: "0.00000001", Type.FINE: "0.0000000000000001",
    Type.COUNT: "1",
}  # fmt: skip


def sql_type(column_type: Type, amount: str) -> str:
    """Return the type a column has in a Parquet file whose amounts are *amount*."""
    return {
        Type.TIME: "TIMESTAMP",
        Type.DATE: "DATE",
        Type.PRICE: EXACT,
        Type.AMOUNT: amount,
        Type.FINE: EXACT_FINE,
        Type.COUNT: "BIGINT",
        Type.FLAG: "BOOLEAN",
        Type.TEXT: "VARCHAR",
        Type.SYMBOL: "VARCHAR",
        Type.IGNORED: "VARCHAR",
    }[column_type]


def field_ids(kind: Kind, *own: str) -> str:
    """Return the FIELD_IDS of a COPY of the kind's columns, and of its *own* besides."""
    numbers = kind.field_ids | {name: OWN_FIELDS[name] for name in own}
    return "{" + ", ".join(f"{name}: {number}" for name, number in numbers.items()) + "}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV without header: its kind and layout, where it is, and the symbol of its series.

    With *beside*, its last column is that one, the symbol of each row.
    """

    kind: Kind
    layout: Layout
    path: Path
    symbol: str
    beside: str = ""


def has_blank_line(path: Path) -> bool:
    """Whether a CSV has a line without anything in it, which DuckDB passes over."""
    last = b""
    with path.open("rb") as file:  # not every file system can map a file into memory
        while chunk := file.read(CHUNK_BYTES):
            if b"\n\n" in chunk or chunk[:1] == b"\n" == last:
                return True
            last = chunk[-1:]
    return False


def require_rows_in_all(lines: int, rows: int) -> None:
    """Raise MalformedError if there are fewer rows than lines: some were blank then."""
    if blank := lines - rows:
        raise MalformedError("a line is blank" if blank == 1 else f"{blank} lines are blank")


def from_csv(sheet: Sheet, width: Width, source: str = ARCHIVE) -> str:
    """Select the rows of a CSV, which came from *source*. Of another symbol's it is an error."""
    kind, layout = sheet.kind, sheet.layout
    present = {column.name for column in layout.columns}
    values = [_value(column, layout.unit, present, width) for column in kind.kept]
    types = [f"{quoted(c.name)}: {quoted(_text_type(c, layout, width))}" for c in layout.columns]
    if sheet.beside:
        types.append(f"{quoted(sheet.beside)}: 'VARCHAR'")
        values.append(sheet.beside)
    mark = quoted('"') if kind.has_empty_fields else "''"
    return (
        f"SELECT {', '.join(values)}, {quoted(source)} AS {SOURCE_COLUMN}"
        f" FROM read_csv({quoted(sheet.path)}, columns={{{', '.join(types)}}}, header=false,"
        f" auto_detect=false, delim=',', quote={mark}, escape={mark})"
        f" WHERE {_sound(layout.columns, sheet.beside or quoted(sheet.symbol))}"
    )


def _text_type(column: Column, layout: Layout, width: Width) -> str:
    if column.type is Type.FINE:
        return _FINE_READ_AS
    if column.type is Type.COUNT:
        return _COUNT_READ_AS[width]
    if column.type in _LEAST:
        return _READ_AS[width]
    if column.type is Type.TIME:
        return "TIMESTAMP" if layout.unit == WRITTEN else "BIGINT"
    return sql_type(column.type, width)


def _value(column: Column | Derived, unit: str, present: set[str], width: Width) -> str:
    if isinstance(column, Derived):
        return f"{column.sql} AS {column.name}"
    if column.name not in present:
        return f"NULL::{sql_type(column.type, width)} AS {column.name}"
    value = column.name
    if column.type in _LEAST:
        value = f"{value}::{sql_type(column.type, width)}"
    if column.type is Type.TIME and unit != WRITTEN:
        value = f"make_timestamp({value if unit == 'us' else f'{value} * 1000'})"
    return f"{value} AS {column.name}"


def _sound(columns: Sequence[Column], symbol: str) -> str:
    """Return a condition that is true, or an error that shows the row: one test for all columns."""
    kept = [column for column in columns if column.type is not Type.IGNORED]
    tests = " AND ".join(_test(column, symbol) for column in kept)
    row = f"row({', '.join(column.name for column in kept)})::VARCHAR"
    decimals = 16 if any(column.type is Type.FINE for column in columns) else 8
    refusal = f"a value is empty (NULL), has more than {decimals} decimals, or is no whole number"
    if any(column.type is Type.SYMBOL for column in columns):
        refusal += f", or the row is not of {symbol.strip(chr(39))}"
    return f"CASE WHEN {tests} THEN true ELSE error({quoted(refusal + ': ')} || {row}) END"


def _test(column: Column, symbol: str) -> str:
    if column.type is Type.SYMBOL:
        return f"{column.name} = {symbol}"
    if column.type not in _LEAST:
        return "true" if column.is_nullable else f"{column.name} IS NOT NULL"
    exact = f"{column.name} % {_LEAST[column.type]} = 0"  # not true of NULL either
    return f"({column.name} IS NULL OR {exact})" if column.is_nullable else exact
