"""Writes rows that were followed to their files, and records them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fullpool import following
from fullpool.errors import MalformedError
from fullpool.following import LastRow, Next
from fullpool.grid import Grid
from fullpool.kinds import KINDS
from fullpool.model import Series, instant
from fullpool.rest import Answer
from fullpool.store.partitions import tails
from fullpool.store.partitions.tails import TailFile, TailKey
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.tails import set_aside_damaged_of


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as a line of the vendor's CSV, with its time and its place."""

    time: datetime
    place: int
    line: str


def _by_symbol() -> dict[str, list[_Row]]:
    return defaultdict(list)


@dataclass(slots=True)
class NewRows:
    """Rows that came, by the file of followed rows they belong to and by symbol."""

    rows: dict[TailKey, dict[str, list[_Row]]] = field(
        default_factory=lambda: defaultdict(_by_symbol)
    )
    grids: dict[Series, Grid | None] = field(default_factory=dict)
    count: int = 0

    def add(
        self, one: Next, answer: Answer, newest: LastRow | None, now: datetime
    ) -> LastRow | None:
        """Add those of an answer that are later than *newest*; return the newest one then."""
        series = one.series
        self.grids[series] = one.grid
        taken = following.finished_rows(series, answer.moments, answer.lines, now)
        triples = zip(answer.moments, answer.places, answer.lines, strict=True)
        for microseconds, place, line in list(triples)[:taken]:
            moment = instant(microseconds)
            if moment > now:
                break  # what comes after it would leave a hole
            if not _is_new(one, moment, place, newest):
                continue
            period = following.period_at(series.kind, series.interval, moment)
            key = TailKey(series.market, series.kind, series.interval, period)
            self.rows[key][series.symbol].append(_Row(moment, place, line))
            self.count += 1
            newest = LastRow(moment, None if one.grid else place)
        return newest


@dataclass(slots=True)
class _Written:
    """What one writing has written so far, in place of which of the files *held*."""

    generation: int
    held: Mapping[TailKey, TailFile]
    files: list[TailFile] = field(default_factory=list)
    replaced: list[TailFile] = field(default_factory=list)
    rows: dict[Series, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    troubles: dict[str, str] = field(default_factory=dict)


def _lines(rows: Sequence[_Row]) -> list[str]:
    return [row.line for row in rows]


def _in_order(rows: Sequence[_Row]) -> list[tuple[datetime, int]]:
    """Return time and place of rows, by place: that of counted rows is their id."""
    return [(row.time, row.place) for row in sorted(rows, key=lambda row: row.place)]


def _is_new(one: Next, moment: datetime, place: int, newest: LastRow | None) -> bool:
    """Whether a row comes after those that are there: by its id, or by its time."""
    if one.grid is None:
        return newest is None or newest.id is None or place > newest.id
    return one.after is None or moment > one.after


class TailWriter:
    """Writes new rows to the files of followed rows."""

    def __init__(self, state: State, tree: Tree) -> None:
        self._state = state
        self._tree = tree

    def write(self, new: NewRows, now: datetime) -> dict[str, str]:
        """Write the files that the rows belong to; record them and the runs together, at last.

        A run whose rows are in no file would hide a hole, and rows of no run would be shown beside
        those of their archive. Returns the series whose values do not fit, and why.
        """
        set_aside_damaged_of(self._state, self._tree, new.rows.keys(), now)
        written = _Written(self._state.next_value("generation"), self._state.tails.files())
        try:
            for key in sorted(new.rows, key=lambda one: one.period):
                self._write_one(key, new.rows[key], written)
        except BaseException:  # on a signal too: nobody else knows of these files
            for file in written.files:
                (self._tree.root / file.path).unlink(missing_ok=True)
            raise
        runs = self._state.tails.runs()
        after = {
            series: following.extended(new.grids[series], runs.get(series, ()), _in_order(own))
            for series, own in written.rows.items()
        }
        self._state.tails.record(written.files, written.replaced, after, now)
        return written.troubles

    def _write_one(
        self, key: TailKey, rows: Mapping[str, Sequence[_Row]], written: _Written
    ) -> None:
        """Write one file; note it and its rows, or what is wrong with them."""
        old = written.held.get(key)
        lines = {symbol: _lines(own) for symbol, own in rows.items()}
        target = tails.named(key, written.generation)
        file = self._appended(old, target, lines, written.troubles)
        if file is None:
            return
        written.files.append(file)
        written.replaced += [old] if old else []
        for symbol in lines:
            written.rows[key.series(symbol)] += rows[symbol]

    def _appended(
        self,
        old: TailFile | None,
        target: TailFile,
        lines: dict[str, list[str]],
        troubles: dict[str, str],
    ) -> TailFile | None:
        """Write a file; take from *lines*, and tell, the symbols whose values do not fit."""
        connection = self._state.connection
        try:
            return tails.append(connection, self._tree, old, target, lines)
        except MalformedError as error:
            for symbol in lines.keys() - self._sound(target.key, lines).keys():
                troubles[str(target.key.series(symbol))] = str(error)
                del lines[symbol]
        return tails.append(connection, self._tree, old, target, lines) if lines else None

    def _sound(self, key: TailKey, lines: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """Return the lines of the symbols whose values fit."""
        kind, connection = KINDS[key.kind], self._state.connection
        return {
            symbol: own
            for symbol, own in lines.items()
            if tails.is_sound(connection, self._tree, kind, symbol, own)
        }
