"""Rows that no archive brought yet: up to where a series is followed, and what to ask next. Pure.

What is followed of a series are runs: neighbouring rows, with a hole between two of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.grid import Grid, Places, bars
from fullpool.kinds import KINDS, Api, api_of, kind_of
from fullpool.model import (
    EPOCH,
    Cadence,
    Interval,
    Partition,
    PartitionFile,
    Run,
    Series,
    Span,
    period_of,
)

# Archives of days come within two of them; before that the rows are for archives to bring.
_DAYS: Final = 2
_MICROSECOND: Final = timedelta(microseconds=1)
_HOURLY: Final = timedelta(minutes=5)
_FORMATS: Final = {13: "%Y-%m-%dT%H", 10: "%Y-%m-%d", 7: "%Y-%m"}


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be asked for a series: the places after its last row that are closed by now."""

    series: Series
    grid: Grid
    places: Places

    @property
    def behind_since(self) -> datetime:
        """When the first of these rows was closed."""
        return self.grid.opens(self.places.first + 1)


def is_followed(series: Series) -> bool:
    """Whether the rows of such a series can be followed."""
    return kind_of(series).can_follow and api_of(series) is not Api.NOTHING


def is_told_by_rows(series: Series) -> bool:
    """Whether only the rows of a series tell where they are expected."""
    return series.interval is Interval.D3 or bool(kind_of(series).spacing)


def next_of(series: Series, grid: Grid, last: datetime | None, now: datetime) -> Next | None:
    """Return what is to be asked next; nothing if no row was closed since *last*, the last one.

    A bar is closed when the next one opens; a row that tells of an instant is there at once.
    """
    if not grid.is_placed:
        return None
    first = grid.at(_start(series, now))
    if last is not None:
        first = max(first, grid.place_of(last) + 1)
    end = grid.at(now) + (0 if series.interval else 1)
    return Next(series, grid, Places(first, end)) if first < end else None


def _start(series: Series, now: datetime) -> datetime:
    """Return from when on rows are asked for that no archive had before."""
    cadence = vendor.shortest(series)
    period = period_of(now.date(), cadence)
    for _ in range(_DAYS if cadence is Cadence.DAY else 1):
        period = period.before()
    return period.span.start


def chosen(wanted: Iterable[tuple[Next, int]], room: int) -> list[Next]:
    """Return what can be asked with the weight there is, what lags most first.

    *wanted* are all of one market, each with its weight.
    """
    found: list[Next] = []
    for one, weight in sorted(wanted, key=lambda item: item[0].behind_since):
        if weight > room:
            break
        room -= weight
        found.append(one)
    return found


def extended(grid: Grid, runs: Sequence[Run], moments: Sequence[datetime]) -> list[Run]:
    """Return the runs with rows that come after them, oldest first."""
    found = list(runs)
    for moment in moments:
        last = found[-1] if found else None
        if last is not None and not grid.between(last.last_time, moment):
            found[-1] = Run(last.first_time, moment, last.rows + 1)
        else:
            found.append(Run(moment, moment, 1))
    return found


def beyond(grid: Grid | None, runs: Iterable[Run], files: Sequence[PartitionFile]) -> list[Run]:
    """Return what is left of the runs without what partition files have from first to last row."""
    left = list(runs)
    for file in files:
        left = without(grid, left, Span(file.first_time, file.last_time + _MICROSECOND))
    return left


def without(grid: Grid | None, runs: Iterable[Run], span: Span) -> list[Run]:
    """Return what is left of the runs outside a span."""
    assert grid is not None
    return [part for run in runs for part in _parts_outside(grid, run, span)]


def _parts_outside(grid: Grid, run: Run, span: Span) -> list[Run]:
    if span.end <= run.first_time or run.last_time < span.start:
        return [run]
    taken = Places(grid.place_of(span.start), grid.place_of(span.end - _MICROSECOND) + 1)
    whole = Places(grid.place_of(run.first_time), grid.place_of(run.last_time) + 1)
    before = Places(whole.first, min(taken.first, whole.end))
    after = Places(max(taken.end, whole.first), whole.end)
    return [
        Run(grid.opens(part.first), grid.opens(part.end - 1), len(part))
        for part in (before, after)
        if part
    ]


def files_of(series: Series, runs: Iterable[Run]) -> list[PartitionFile]:
    """Return the runs as files of the series, for those who look for gaps."""
    return [
        PartitionFile(
            partition=Partition(series, period_of(run.first_time.date(), Cadence.DAY)),
            path="",
            generation=0,
            rows=run.rows,
            size_bytes=0,
            first_time=run.first_time,
            last_time=run.last_time,
            first_key=_microseconds(run.first_time),
            last_key=_microseconds(run.last_time),
        )
        for run in runs
    ]


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def period_at(kind: str, interval: Interval | None, moment: datetime) -> str:
    """Return the name of the file that holds a followed row: of an hour, a day or a month.

    So that a file has some dozens of rows of each series: those of its period are written again
    with each row that comes.
    """
    return moment.strftime(_FORMATS[_length(kind, interval)])


def _length(kind: str, interval: Interval | None) -> int:
    step = bars(interval).step if interval else KINDS[kind].step
    if step is None or step >= timedelta(days=1):
        return len("2024-01")
    return len("2024-01-01T00") if step <= _HOURLY else len("2024-01-01")


def span_of(period: str) -> Span:
    """Return the span of a file of followed rows, by its name."""
    start = datetime.strptime(period, _FORMATS[len(period)]).replace(tzinfo=UTC)
    if len(period) == len("2024-01"):
        return period_of(start.date(), Cadence.MONTH).span
    return Span(start, start + timedelta(hours=1 if "T" in period else 24))
