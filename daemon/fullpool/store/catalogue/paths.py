"""The SQL of lists of files, from one short text of all files of a kind.

A line a series, `spot/1m/BTCUSDT:20;23.7,24.9|2025-;01.12,02.12`: its keys, then groups of
partitions. A group has what the names of its periods begin with, then of each period the last two
digits and the generation. One text plans ten times as fast as a list of as many expressions, and is
a twentieth of its size. None of the signs between can stand in a symbol.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fullpool.kinds import HIVE_KEYS, Kind
from fullpool.store.duck import quoted

# While the writer creates a view this names the only file that DuckDB looks at. Readers never set
# it.
FILES_VARIABLE: Final = "fullpool_files"
# Selects each kind with the lines of its series, in order.
LINES: Final = (
    "SELECT kind, concat_ws('/', market, nullif(interval, ''), symbol) || ':'"
    " || string_agg(stem || ';' || files, '|' ORDER BY stem) AS line FROM"
    " (SELECT kind, market, interval, symbol, left(period, length(period) - 2) AS stem,"
    " string_agg(right(period, 2) || '.' || generation, ',' ORDER BY period) AS files"
    " FROM state.internal.partitions GROUP BY ALL)"
    " GROUP BY kind, market, interval, symbol ORDER BY line"
)
# Selects each kind with the files of followed rows, after their market and interval.
TAILS: Final = (
    "SELECT kind, concat_ws('/', market, nullif(interval, '')) || ':' || path"
    " FROM state.internal.tail_files ORDER BY ALL"
)
_NEW_LINE: Final = "chr(10)"
# The SQL of names inside lists: of a line l, of a group g of it, of a file f of that; d is the
# folder of the line, and s that with what the group's periods begin with.
_GROUPS: Final = "string_split(split_part(l, ':', 2), '|')"
_STEM: Final = "split_part(g, ';', 1)"
_FILES: Final = "string_split(split_part(g, ';', 2), ',')"
_PERIOD: Final = "left(f, 2)"
_GENERATION: Final = "substr(f, 4)"
_NUMBER: Final = f"right('00000' || {_GENERATION}, greatest(6, length({_GENERATION})))"
_NAME: Final = f"s || {_PERIOD} || '.g' || {_NUMBER} || '.parquet'"


def hive_keys(kind: Kind) -> tuple[str, ...]:
    """Return the columns that come from the folders' names."""
    return tuple(key for key in HIVE_KEYS if kind.intervals or key != "interval")


def market_keys(kind: Kind) -> tuple[str, ...]:
    """Return those of a whole market: files of followed rows have all of its symbols."""
    return tuple(key for key in hive_keys(kind) if key != "symbol")


def root_of(root: Path) -> str:
    """Return the SQL of the lake's root: SET VARIABLE lake_root if it was moved."""
    return f"coalesce(getvariable('lake_root'), {quoted(root)})"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a kind below *root*, by the lines of its series, after the file *first*.

    *tails* are its files of followed rows.
    """

    kind: Kind
    root: Path
    lines: Sequence[str]
    first: str
    tails: Sequence[str] = ()

    def by_interval(self) -> Iterator[tuple[str, "Files"]]:
        """Yield the intervals that there are, each with its files."""
        of_lines = [line.split("/", 2)[1] for line in self.lines]
        of_tails = [tail.partition(":")[0].partition("/")[2] for tail in self.tails]
        for interval in sorted({*of_lines, *of_tails}):
            lines = _those_of(interval, self.lines, of_lines)
            tails = _those_of(interval, self.tails, of_tails)
            yield interval, replace(self, lines=lines, tails=tails)

    def newest(self) -> "Files":
        """Return the newest file of each series."""
        return replace(self, lines=[_newest_in(line) for line in self.lines])

    def all(self) -> str:
        """Return the SQL of the list of all files."""
        return self._of_lines(self._split())

    def of_market(self) -> str:
        """Return the SQL of the files of the market, and the interval, of a macro's parameters."""
        return self._of_lines(self._lines_of_market())

    def of_series(self) -> str:
        """Return the SQL of the files of the series that a macro's parameters name."""
        keys = _parameters(hive_keys(self.kind))
        pattern = f"{_NEW_LINE} || regexp_escape({keys}) || ':([^\\n]*)'"
        line = f"{keys} || ':' || regexp_extract({self._text()}, {pattern}, 1)"
        return self._of_lines(f"[{line}]", of_file="f <> ''")

    def between(self, start: str, end: str) -> str:
        """Return the SQL of the files of all series that may have rows between two times.

        *start* and *end* are SQL of the days of the first and the last of these, as 2024-03-01.
        """
        length = f"length({_STEM})"
        first, last = f"left({start}, {length})", f"left({end}, {length})"
        # Not if(): what DuckDB 2 keeps of that is nothing to DuckDB 1.
        lowest = f"CASE WHEN {first} < {_STEM} THEN '00' ELSE substr({start}, {length} + 1, 2) END"
        highest = f"CASE WHEN {_STEM} < {last} THEN '99' ELSE substr({end}, {length} + 1, 2) END"
        return self._of_lines(
            self._lines_of_market(),
            of_group=f"{first} <= {_STEM} AND {_STEM} <= {last}",
            of_file=f"{_PERIOD} BETWEEN b[1] AND b[2]",
            bounds=f"[{lowest}, {highest}]",
        )

    def tail(self) -> str:
        """Return the SQL of all files of followed rows; "" if there are none."""
        paths = "\n".join(tail.partition(":")[2] for tail in self.tails)
        split = f"string_split({quoted(paths)}, {_NEW_LINE})"
        return f"[{root_of(self.root)} || '/' || p for p in {split}]" if self.tails else ""

    def tail_of_market(self) -> str:
        """Return the SQL of those of the market, and the interval, of a macro's parameters."""
        if not self.tails:
            return ""
        split = f"string_split({quoted(chr(10).join(self.tails))}, {_NEW_LINE})"
        path = f"{root_of(self.root)} || '/' || split_part(t, ':', 2)"
        return f"[{path} for t in {split} if starts_with(t, {self._market()} || ':')]"

    def _of_lines(
        self, lines: str, *, of_group: str = "true", of_file: str = "true", bounds: str = ""
    ) -> str:
        """Return the list of the files of *lines*, which are SQL, as are the conditions.

        *bounds* are values b of a group, for the condition on its files. What stands in a list of
        one is computed once, not for each file.
        """
        first = f"[{root_of(self.root)} || {quoted('/' + self.first)}]"
        if not self.lines:
            return first
        names = f"[{_NAME} for f in {_FILES} if {of_file}]"
        names = f"flatten([{names} for s in [d || {_STEM}]])"
        names = f"flatten([{names} for b in [{bounds}]])" if bounds else names
        names = f"flatten([{names} for g in {_GROUPS} if {of_group}])"
        names = f"flatten([{names} for d in [{self._folder()}]])"
        return f"list_concat({first}, flatten([{names} for l in {lines}]))"

    def _lines_of_market(self) -> str:
        # DuckDB 1.1 takes a letter that stands alone for a text.
        return f"[l || '' for l in {self._split()} if starts_with(l, {self._market()} || '/')]"

    def _market(self) -> str:
        return _parameters(market_keys(self.kind))

    def _split(self) -> str:
        return f"string_split(trim({self._text()}, {_NEW_LINE}), {_NEW_LINE})"

    def _text(self) -> str:
        """Return all lines, each between two ends of a line."""
        return quoted("\n" + "\n".join(self.lines) + "\n")

    def _folder(self) -> str:
        """Return the SQL of the folder of a line's series, with a slash."""
        keys = "split_part(l, ':', 1)"
        folders = " || ".join(
            f"'/{key}=' || split_part({keys}, '/', {number})"
            for number, key in enumerate(hive_keys(self.kind), 1)
        )
        return f"{root_of(self.root)} || {quoted('/' + self.kind.table)} || {folders} || '/'"


def _parameters(keys: Sequence[str]) -> str:
    """Return the SQL of a line's keys, as a macro's parameters name them."""
    return " || '/' || ".join(f"{key}_" for key in keys)


def _those_of(wanted: str, texts: Sequence[str], own: Sequence[str]) -> list[str]:
    return [text for text, interval in zip(texts, own, strict=True) if interval == wanted]


def _newest_in(line: str) -> str:
    """Return a line of the newest file of its series alone."""
    keys, _, groups = line.partition(":")
    stem, _, files = groups.rpartition("|")[2].partition(";")
    return f"{keys}:{stem};{files.rpartition(',')[2]}"
