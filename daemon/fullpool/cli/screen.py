"""Progress bars, tables, CSV and JSON."""

import csv
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Protocol, Self

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from fullpool.app.service import progress
from fullpool.model import Archive, Known, Status, Step
from fullpool.store.catalogue.reader import QueryStream
from fullpool.sync.watcher import Watcher

_MB: Final = 1_000_000
_WIDEST: Final = 100_000  # characters: as wide as a table wants to be
_ASKED: Final = "API requests"
_LINE_EVERY_S: Final = 5.0


class Screen(Watcher, Protocol):
    """A watcher of passes that is open for as long as the pass runs."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class _Console(Console):
    """A console that reports a closed pipe as any other output does."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Amount(DownloadColumn):
    """Bytes of a download, and requests of what is asked."""

    def render(self, task: Task) -> Text:
        if task.description == _ASKED:
            return Text(f"{task.completed:,.0f}/{task.total or 0:,.0f}")
        return super().render(task)


class _Told:
    """What was said already: a host that is away is one line, not one for each of its archives."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._failed: set[Archive] = set()

    def line(self, known: Known) -> str:
        """Return what is to be said of an archive; "" if nothing is."""
        is_failed = known.status is Status.FAILED
        if known.status is Status.PRESENT:
            return f"imported on retry: {known.archive}" if known.archive in self._failed else ""
        if is_failed and known.reason in self._reasons:
            return ""
        self._reasons.add(known.reason)
        if is_failed:
            self._failed.add(known.archive)
        return f"{known.status}: {known.archive}: {known.reason}"


class Bars:
    """Progress bars for a terminal: bytes, archives, rate, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            _Amount(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._asked: TaskID | None = None
        self._archives, self._done = 0, 0
        self._told = _Told()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def listing(self, series: int) -> None:
        if series:
            self._progress.console.print(f"listing {series} series at the vendor")

    def listed(self) -> None:
        """Say nothing: there are many in the time of a line."""

    def discovered(self, series: int) -> None:
        """Say nothing: the table of `status` has them."""

    def planned(self, steps: Sequence[Step]) -> None:
        self._archives, self._done = sum(len(step.archives) for step in steps), 0
        size_bytes = sum(step.size_bytes for step in steps)
        self._task = self._progress.add_task(
            "archives", total=size_bytes or None, count=f"0/{self._archives}"
        )

    def requested(self, host: str, status: int | None) -> None: ...

    def received(self, size_bytes: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, size_bytes)

    def recorded(self, known: Known) -> None:
        self._done += 1
        if self._task is not None:
            self._progress.update(self._task, count=f"{self._done}/{self._archives}")
        if line := self._told.line(known):
            self._progress.console.print(line)

    def published(self, generation: int) -> None:
        self._progress.console.print(f"published generation {generation}")

    def asking(self, gaps: int, requests: int) -> None:
        self._asked = self._progress.add_task(
            _ASKED, total=requests, count=progress.counted(gaps, "gap")
        )

    def answered(self) -> None:
        if self._asked is not None:
            self._progress.advance(self._asked)


class Lines:
    """The same as plain lines, for logs and pipes: one every few seconds."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._archives, self._done, self._size, self._received = 0, 0, 0, 0
        self._started = self._last = time.monotonic()
        self._told = _Told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._size:  # else what was asked for last was not even listed
            self._line()

    def listing(self, series: int) -> None:
        if series:
            self._write(f"listing {series} series at the vendor\n")

    def listed(self) -> None:
        """Say nothing: there are many in the time of a line."""

    def discovered(self, series: int) -> None:
        """Say nothing: the table of `status` has them."""

    def planned(self, steps: Sequence[Step]) -> None:
        archives = sum(len(step.archives) for step in steps)
        size_bytes = sum(step.size_bytes for step in steps)
        self._archives, self._done, self._size, self._received = archives, 0, size_bytes, 0
        self._started = time.monotonic()
        size = f", {size_bytes / _MB:,.1f} MB" if size_bytes else ""  # names computed: not listed
        self._write(f"fetching {progress.counted(archives, 'archive')}{size}\n")

    def requested(self, host: str, status: int | None) -> None: ...

    def received(self, size_bytes: int) -> None:
        with self._lock:
            self._received += size_bytes

    def recorded(self, known: Known) -> None:
        self._done += 1
        if line := self._told.line(known):
            self._write(f"{line}\n")
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._line()

    def published(self, generation: int) -> None:
        self._write(f"published generation {generation}\n")

    def asking(self, gaps: int, requests: int) -> None:
        asked = progress.counted(gaps, "gap")
        self._write(f"asking the API for {asked} in {progress.counted(requests, 'request')}\n")

    def answered(self) -> None:
        """Say nothing: there are twenty in the time of a line."""

    def _line(self) -> None:
        self._last = time.monotonic()
        rate = self._received / max(self._last - self._started, 0.001)
        left_s = (
            max(self._size - self._received, 0) / rate
            if rate and self._done < self._archives
            else 0
        )
        self._write(
            f"{self._done}/{self._archives} archives,"
            f" {self._received / _MB:,.1f} of {max(self._size, self._received) / _MB:,.1f} MB,"
            f" {rate / _MB:,.1f} MB/s, {left_s:,.0f} s left\n"
        )


def watcher() -> Screen:
    """Return bars on a terminal and lines elsewhere; both on standard error."""
    if sys.stderr.isatty():
        return Bars(_Console(stderr=True))
    return Lines(sys.stderr.write)


def bytes_counter(what: str) -> AbstractContextManager[Callable[[int], None]]:
    """Open what is told of bytes as they are done; shown on a terminal only."""
    return _counter(what, None, DownloadColumn(), TransferSpeedColumn())


def steps_counter(what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Open what is told of steps as they are done; shown on a terminal only."""
    return _counter(what, total, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


@contextmanager
def _counter(
    what: str, total: int | None, *columns: ProgressColumn
) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = (TextColumn("{task.description}"), *columns)
    with Progress(*shown, console=_Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def clear() -> None:
    """Clear a terminal; elsewhere leave a line free."""
    sys.stdout.write("\x1b[H\x1b[2J" if sys.stdout.isatty() else "\n")


def show_json(value: Any) -> None:
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2) + "\n")


def show_stream(answer: QueryStream, form: str, most: int) -> None:
    """Print rows as they come: as csv, json or ndjson; else a table of at most so many."""
    match form:
        case "csv":
            show_csv(answer.columns, answer.rows)
        case "json":
            _show_list(answer.dicts())
        case "ndjson":
            for row in answer.dicts():
                sys.stdout.write(f"{_cell(row)}\n")
        case _:
            show_table("", answer.columns, list(islice(answer.rows, most)))
            if next(answer.rows, None) is not None:
                text = f"these are the first {most:,} rows; --csv, --json and --ndjson print all\n"
                sys.stderr.write(text)


def _show_list(rows: Iterable[dict[str, Any]]) -> None:
    """Print a list as JSON, a row a line."""
    before = "["
    for row in rows:
        sys.stdout.write(f"{before}\n  {_cell(row)}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def show_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) for value in row])


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers to the right, nothing cut off when it goes to a file.

    A terminal that is too narrow for a row gets a line for every value.
    """
    is_terminal = sys.stdout.isatty()
    console = _Console(width=None if is_terminal else 400, highlight=False)
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        is_number = any(isinstance(row[index], int | float | Decimal) for row in rows[:50])
        table.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))  # vendor's words are no markup
    is_narrow = is_terminal and _width(console, table) > console.width
    console.print(_records(title, columns, rows) if is_narrow else table)


def show_lines(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns, without lines between: the first to the left."""
    widths = [max(map(len, own)) for own in zip(columns, *rows, strict=True)]
    sys.stdout.write(f"{title}\n")
    for row in (columns, *rows):
        first, *others = (str.ljust(row[0], widths[0]), *map(str.rjust, row[1:], widths[1:]))
        sys.stdout.write(f"{first} {' '.join(others)}\n")


def _width(console: Console, table: Table) -> int:
    """Return how wide a table wants to be."""
    return Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum


def _records(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.title, table.title_justify, table.title_style = title or None, "left", "bold"
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for number, row in enumerate(rows, start=1):
        table.add_row(f"row {number}", "", style="bold")
        for column, value in zip(columns, row, strict=True):
            table.add_row(Text(column), Text(_text(value)))
    return table


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return repr(value)
        case datetime():
            return _instant(value)
        case _:
            return str(_cell(value))


def _cell(value: Any) -> Any:
    """Return what a cell of CSV holds: truth, lists and structs as JSON, NaN as it is."""
    match value:
        case bool() | list() | tuple() | dict():
            return json.dumps(_plain(value), ensure_ascii=False)
        case datetime() | float() | int() | str() | None:
            return value
        case _:
            return _plain(value)


def _instant(value: datetime) -> str:
    moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return moment.isoformat(sep=" ")


def _plain(value: Any) -> Any:
    """Return *value* as JSON has it."""
    match value:
        case dict():
            return {str(_cell(key)): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case None | bool() | int() | str():
            return value
        case _:
            return _spelled(value)


def _spelled(value: Any) -> Any:
    """Return a value that JSON has no word for: decimals in full, bytes in hex, null for NaN."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return _instant(value).replace(" ", "T") + "Z"
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case bytes():
            return value.hex()
        case _:
            return str(value)
