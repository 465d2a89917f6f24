"""Rows that no archive brought yet: up to where a series is followed, and what to ask next. Pure.

What is followed of a series are runs: neighbouring rows, with a hole between two of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.grid import Grid, Places, bars, distance_in, is_alike, rows_before
from fullpool.kinds import KINDS, Api, api_of, grid_of, is_counted, kind_of
from fullpool.model import (
    ANOTHER_LIFE,
    EPOCH,
    EVER,
    Cadence,
    Interval,
    Market,
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
_MILLISECOND: Final = timedelta(milliseconds=1)
_MINUTE: Final = timedelta(minutes=1)
_FINISHED: Final = timedelta(minutes=30)
_HOURLY: Final = timedelta(minutes=5)
# More ids than will ever be asked for at once: where they end only the answer tells.
_ALL_IDS: Final = 1 << 40
_FORMATS: Final = {13: "%Y-%m-%dT%H", 10: "%Y-%m-%d", 7: "%Y-%m"}


@dataclass(frozen=True, slots=True)
class LastRow:
    """The newest row that is held of a series; *id* if rows are counted."""

    time: datetime
    id: int | None = None


def newest(rows: Sequence[LastRow], *, is_counted: bool) -> LastRow | None:
    """Return the newest of *rows*: by time; of counted ones by id, among those of its life."""
    last = max(rows, key=lambda row: row.time, default=None)
    if last is None or not is_counted:
        return last
    near = (row for row in rows if row.time + ANOTHER_LIFE >= last.time)
    return max(near, key=lambda row: -1 if row.id is None else row.id)


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be asked for a series: the places after its last row that are closed by now.

    Only rows later than *after* are new. Of counted rows, which have no *grid*, all ids after the
    last one are asked for; from *since* on, if that is not known or long ago.
    """

    series: Series
    grid: Grid | None
    places: Places
    after: datetime | None = None
    since: datetime | None = None

    @property
    def behind_since(self) -> datetime:
        """When the first of these rows was closed; of counted rows, up to when all are there."""
        if self.grid is not None:
            return self.grid.opens(self.places.first + 1)
        return max(filter(None, (self.since, self.after)))


def is_followed(series: Series) -> bool:
    """Whether the rows of such a series can be followed."""
    return api_of(series) is not Api.NOTHING


def is_told_by_rows(series: Series) -> bool:
    """Whether only the rows of a series tell where they are expected."""
    return series.interval is Interval.D3 or bool(kind_of(series).spacing)


def is_time(series: Series, asked_at: datetime | None, now: datetime) -> bool:
    """Whether it is time to ask for a series: each minute, but for rows that come by the hour.

    They are due some milliseconds after it, and which hour it is only they tell.
    """
    if not kind_of(series).spacing or asked_at is None:
        return True
    return asked_at < _hour(now) + 2 * _MINUTE


def next_of(  # noqa: PLR0913, PLR0917 - what is known of the series, and what is wanted of it
    series: Series,
    grid: Grid,
    last: datetime | None,
    now: datetime,
    since: datetime | None = None,
    wanted_from: datetime = EVER.start,
) -> Next | None:
    """Return what is to be asked next; nothing if no row was closed since *last*, the last one.

    A bar is closed when the next one opens; a row that tells of an instant is there at once. Before
    *since* the API has none, and before *wanted_from* none is wanted. Rows that tell how far they
    are apart may come at any hour.
    """
    if not grid.is_placed:
        return None
    is_spaced = bool(kind_of(series).spacing)
    first, after = _first_place(series, grid, now, since, wanted_from), last
    if last is not None:
        first = max(first, grid.place_of(last) + (0 if is_spaced else 1))
    if last is not None and is_spaced:
        if last >= _hour(now):
            return None
        after = last + _MINUTE
    end = grid.at(now) + (0 if series.interval else 1)
    return Next(series, grid, Places(first, end), after) if first < end else None


def _first_place(
    series: Series, grid: Grid, now: datetime, since: datetime | None, wanted_from: datetime
) -> int:
    start = _start(series, now)
    place = grid.at(start if since is None else max(start, since))
    if wanted_from < start:
        return place
    first_row = wanted_from + kind_of(series).first_row
    return max(place, grid.places(Span(first_row, max(first_row, now))).first)


def next_ids(
    series: Series,
    last: LastRow | None,
    asked_at: datetime | None,
    now: datetime,
    since: datetime | None = None,
) -> Next:
    """Return what is to be asked next of a series whose rows have ids; *last* is its last one.

    A row that was last asked for at *asked_at* and did not come may not be there yet: how long a
    series has had no trade does not tell how far it is behind. The API has none before *since*.
    """
    start = _start(series, now)
    if last is None or last.id is None or last.time < max(start, now - ANOTHER_LIFE):
        # Its ids may have started again: what comes tells.
        start = max(filter(None, (start, since, last.time + _MILLISECOND if last else None)))
        return Next(series, None, Places(0, _ALL_IDS), asked_at, start)
    return ids_after(series, last, asked_at)


def ids_after(series: Series, last: LastRow, asked_at: datetime | None) -> Next:
    """Return what is to be asked after a row whose id still counts."""
    assert last.id is not None
    after = max(last.time, asked_at) if asked_at else last.time
    return Next(series, None, Places(last.id + 1, last.id + 1 + _ALL_IDS), after)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _start(series: Series, now: datetime) -> datetime:
    """Return from when on rows are asked for that no archive had before."""
    cadence = vendor.shortest(series)
    period = period_of(now.date(), cadence)
    for _ in range(_DAYS if cadence is Cadence.DAY else 1):
        period = period.before()
    return period.span.start


def chosen(wanted: Iterable[tuple[Next, int]], room: int) -> list[Next]:
    """Return what can be asked with the weight there is, what lags most first.

    *wanted* are all of one market, each with its weight. The first is asked for whatever it weighs.
    """
    found: list[Next] = []
    for one, weight in sorted(wanted, key=lambda item: item[0].behind_since):
        if weight <= room or (room > 0 and not found):
            room -= weight
            found.append(one)
    return found


def finished_rows(
    series: Series, moments: Sequence[int], lines: Sequence[str], now: datetime
) -> int:
    """Return how many of the rows that came, oldest first, are taken now.

    The five answers that make up a row of statistics do not come at once: a young row that lacks a
    value is asked for again. *moments* are microseconds.
    """
    if api_of(series) is not Api.STATISTICS:
        return len(lines)
    empty = 1 if series.market is Market.CM else 0  # which has no ratio of takers
    young = _microseconds(now - _FINISHED)
    for count, (moment, line) in enumerate(zip(moments, lines, strict=True)):
        if moment > young and line.split(",").count("") > empty:
            return count
    return len(lines)


def extended(
    grid: Grid | None, runs: Sequence[Run], rows: Sequence[tuple[datetime, int]]
) -> list[Run]:
    """Return the runs with rows that come after them, in their order: each its time and place.

    A row that is in the last run already is passed over. Times of counted rows may be a little out
    of order.
    """
    found = list(runs)
    for moment, place in rows:
        last = found[-1] if found else None
        longer = last and (_by_time(grid, last, moment) if grid else _by_id(last, moment, place))
        if longer:
            found[-1] = longer
        else:
            own = None if grid else place
            found.append(Run(moment, moment, 1, own, own))
    return found


def _by_time(grid: Grid, run: Run, moment: datetime) -> Run | None:
    """Return a run with a row that comes next or is in it; None if the row begins another one."""
    if moment <= run.last_time:
        return run
    if grid.between(run.last_time, moment):
        return None
    distance = distance_in(run) if grid.longest else None
    # A run has one distance, so that its rows can be counted from its ends.
    if distance and not is_alike(moment - run.last_time, distance):
        return None
    return Run(run.first_time, moment, run.rows + 1)


def _by_id(run: Run, moment: datetime, number: int) -> Run | None:
    """Return the same for a row with an id: a day later ids may have started again."""
    assert run.last_id is not None
    if moment > run.last_time + ANOTHER_LIFE or number > run.last_id + 1:
        return None
    if number <= run.last_id:
        return run
    first, last = min(run.first_time, moment), max(run.last_time, moment)
    return Run(first, last, run.rows + 1, run.first_id, number)


def beyond(grid: Grid | None, runs: Iterable[Run], files: Sequence[PartitionFile]) -> list[Run]:
    """Return what is left of the runs without what partition files have from first to last row."""
    left = list(runs)
    for file in files:
        left = without(grid, left, span_in(file), ids_in(file))
    return left


def ids_in(file: PartitionFile) -> Places | None:
    """Return the ids whose followed rows are in a file, in its time; None if rows have none."""
    return Places(file.first_key, file.last_key + 1) if is_counted(file.partition.series) else None


def span_in(file: PartitionFile) -> Span:
    """Return the span whose followed rows are in a file: with jitter to the whole minute."""
    start, end = file.first_time, file.last_time + _MICROSECOND
    if kind_of(file.partition.series).jitter:
        start, end = _minute(start), _minute(file.last_time) + _MINUTE
    return Span(start, end)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def without(
    grid: Grid | None, runs: Iterable[Run], span: Span, ids: Places | None = None
) -> list[Run]:
    """Return what is left of the runs outside a span, of counted rows outside *ids* in it."""
    if grid is not None:
        return [part for run in runs for part in _parts_outside(grid, run, span)]
    assert ids is not None
    return [part for run in runs for part in _parts_beside(run, span, ids)]


def _parts_beside(run: Run, span: Span, ids: Places) -> list[Run]:
    """Return what is left of a run of counted rows; they are told by their ids, in their time."""
    assert run.first_id is not None
    assert run.last_id is not None
    first, last = run.first_id, run.last_id
    is_far = span.end + ANOTHER_LIFE < run.first_time or run.last_time + ANOTHER_LIFE < span.start
    if is_far or ids.end <= first or last < ids.first:
        return [run]
    found = []
    if first < ids.first:
        until = min(span.start, run.last_time)
        found.append(Run(run.first_time, until, ids.first - first, first, ids.first - 1))
    if ids.end <= last:
        start = max(run.first_time, min(span.end - _MICROSECOND, run.last_time))
        found.append(Run(start, run.last_time, last - ids.end + 1, ids.end, last))
    return found


def _parts_outside(grid: Grid, run: Run, span: Span) -> list[Run]:
    if span.end <= run.first_time or run.last_time < span.start:
        return [run]
    if grid.longest:
        return _evenly_outside(run, span)
    taken = Places(grid.place_of(span.start), grid.at(span.end - _MICROSECOND) + 1)
    whole = Places(grid.place_of(run.first_time), grid.place_of(run.last_time) + 1)
    before = Places(whole.first, min(taken.first, whole.end))
    after = Places(max(taken.end, whole.first), whole.end)
    found = []
    if before:
        found.append(Run(run.first_time, grid.opens(before.end - 1), len(before)))
    if after:
        found.append(Run(grid.opens(after.first), run.last_time, len(after)))
    return found


def _evenly_outside(run: Run, span: Span) -> list[Run]:
    """Return what is left of a run, by its own distance: the series may have another one."""
    distance = distance_in(run) or timedelta()
    before, after = rows_before(run, span.start), rows_before(run, span.end)
    found = []
    if before:
        found.append(Run(run.first_time, run.first_time + (before - 1) * distance, before))
    if after < run.rows:
        found.append(Run(run.first_time + after * distance, run.last_time, run.rows - after))
    return found


def begun(runs: Sequence[Run]) -> datetime | None:
    """Return when the last run begins: up to there rows are expected, a hole before it is a gap.

    Its own rows are no news for those who look for gaps, or they would look each minute.
    """
    return runs[-1].first_time if runs else None


def grid_with(series: Series, held: Sequence[PartitionFile], runs: Iterable[Run]) -> Grid | None:
    """Return the grid that gaps of a series lie on, by its files and what is followed.

    Rates that are followed may be nearer to each other than those of the archives.
    """
    followed = files_of(series, runs) if kind_of(series).spacing else []
    return grid_of(series, [*held, *followed])


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
            first_key=_microseconds(run.first_time) if run.first_id is None else run.first_id,
            last_key=_microseconds(run.last_time) if run.last_id is None else run.last_id,
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
    if KINDS[kind].counter:
        return len("2024-01-01T00")
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
