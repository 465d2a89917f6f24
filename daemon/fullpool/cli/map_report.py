"""Draws the coverage map in the terminal: a line for each series, a sign for each month."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from fullpool.overview.coverage_map import Columns, MapRow, Unit, all_months, coverage_map
from fullpool.overview.states import OUTSIDE, STATES, cells_in
from fullpool.store.catalogue.reader import Reader

_WIDTH: Final = 80
_NAME: Final = 18
_SHOWN: Final = 40
_YEAR: Final = 4
_IN_LINE: Final = 4
_MONTHS: Final = _WIDTH - _NAME - 3
_HALF: Final = "▄"
_SIGNS: Final = {"N": "▒", "L": "░"}
_FULL: Final = "█"
_COLOURS: Final = {
    "A": "blue", "P": "magenta", "F": "green", "E": "yellow", "O": "bright_red",
    "N": "bright_black", "L": "bright_black", ".": "default",
}  # fmt: skip


def show(reader: Reader, symbol: str) -> None:
    """Print the map of the last months; in letters where there are no colours."""
    columns = _last(all_months(reader))
    rows = [row for row in coverage_map(reader, columns).rows if symbol in {"", row.symbol}]
    console = Console(width=_WIDTH, highlight=False)
    wide = 2 if columns.count * 2 <= _MONTHS and console.is_terminal else 1
    for line in _lines(rows, columns, wide, is_plain=not console.is_terminal):
        console.print(line, soft_wrap=True)


def _last(columns: Columns) -> Columns:
    """Return as many of the last months as a terminal has room for."""
    skipped = max(columns.count - _MONTHS, 0)
    months = columns.first.year * 12 + columns.first.month - 1 + skipped
    first = columns.first.replace(year=months // 12, month=months % 12 + 1)
    return Columns(Unit.MONTH, first, columns.count - skipped)


def _lines(
    rows: Sequence[MapRow], columns: Columns, wide: int, *, is_plain: bool
) -> Iterator[Text]:
    for group, own in groupby(rows, key=lambda row: row.group):
        # Those with something to see come first where there are many.
        ranked = sorted(own, key=lambda row: (-row.missing_rows, -row.explained_rows))
        shown = sorted(ranked[:_SHOWN], key=lambda row: row.symbol)
        yield Text(group, style="bold")
        yield Text(f"{'':{_NAME}} {_years(columns, wide)}".rstrip(), style="bold")
        for row in shown:
            line = Text(f"  {row.symbol:<{_NAME - 2}.{_NAME - 2}} ")
            for code in cells_in(row.cells):
                line.append(_sign(code, wide, is_plain=is_plain))
            yield line
        if len(ranked) > _SHOWN:
            yield Text(f"  and {len(ranked) - _SHOWN:,} more: `fullpool web` shows all")
    yield _legend(is_plain=is_plain)


def _years(columns: Columns, wide: int) -> str:
    """Return the years above the months that begin them; the first one if there is room for it."""
    line, before = "", columns.first.month - 1
    for number in range(columns.count):
        year, month = divmod(before + number, 12)
        has_room = (12 - before) * wide > _YEAR or before + columns.count <= 12
        if month == 0 or (number == 0 and has_room):
            line = f"{line.ljust(number * wide)}{columns.first.year + year}"
    return line


def _sign(code: str, wide: int, *, is_plain: bool) -> Text:
    """Return one cell: the colour of what most of it is, below it that of its mark."""
    base, mark = code[0], code[1:].upper()
    if is_plain:
        return Text((mark.lower() or base).ljust(wide, base))
    if base == OUTSIDE.letter:
        return Text(" " * wide)
    if not mark:
        return Text(_SIGNS.get(base, _FULL) * wide, style=_COLOURS[base])
    return Text(_HALF * wide, style=f"{_COLOURS[mark]} on {_COLOURS[base]}")


def _legend(*, is_plain: bool) -> Text:
    line = Text()
    for number, state in enumerate(STATES[:-1]):
        line.append("\n" if number == _IN_LINE else "  " if number else "")
        sign = state.letter if is_plain else _SIGNS.get(state.letter, _FULL)
        line.append(sign, style="" if is_plain else _COLOURS[state.letter])
        line.append(f" {state.label}")
    if is_plain:
        line.append("; a small letter: some of it")
    return line
