"""How archives that are due are grouped into steps, by the partitions they go into. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Final

from fullpool import vendor
from fullpool.adjacent import Unit, files_beside
from fullpool.kinds import kind_of, lake_cadence
from fullpool.model import (
    Archive,
    Cadence,
    Known,
    Partition,
    PartitionFile,
    Period,
    Series,
    Step,
    period_of,
    periods,
)

_LENGTH_ORDER: Final = {Cadence.DAY: 0, Cadence.MONTH: 1, Cadence.YEAR: 2}


def steps(
    due: Iterable[Known],
    files: Sequence[PartitionFile],
    compared: AbstractSet[tuple[str, str]],
    now: datetime,
) -> Iterator[Step]:
    """Group the archives that are due by the partitions they go into, oldest series first.

    Also yields steps without archives: folds of a closed year's monthly files into one, and files
    that may have rows of the day next to them, unless the paths of the two are *compared* already.
    """
    now = cut_at(files, now)
    archives = _by_unit(due, now)
    held: dict[Unit, list[PartitionFile]] = defaultdict(list)
    for file in files:
        held[file.partition.series, _unit_of(file.partition, now)].append(file)
    wider = _merge_units(archives, held)
    beside = _alone(files_beside(held, compared), archives)
    work = {*archives, *beside, *(key for key in held if _folds(held[key], key, now))}
    for series, unit in sorted(work):
        due_here = archives.get((series, unit), [])
        step = _step(series, unit, due_here, wider[series, unit], now)
        if not due_here and (series, unit) in beside:
            reason = "remove rows the adjacent day also has"
            step = replace(step, beside=beside[series, unit], reason=reason)
        yield step


def _alone(
    beside: Mapping[Unit, tuple[PartitionFile, ...]], archives: Mapping[Unit, list[Known]]
) -> dict[Unit, tuple[PartitionFile, ...]]:
    """Return the days that are to be compared, but for those whose month is built anyway.

    Two steps would write the file of one day.
    """
    return {
        (series, unit): files
        for (series, unit), files in beside.items()
        if (series, period_of(unit.first, Cadence.MONTH)) not in archives
    }


def _by_unit(due: Iterable[Known], now: datetime) -> dict[Unit, list[Known]]:
    placed = [(known, known.archive.series, _unit_of(known.archive, now)) for known in due]
    units = {(series, unit) for _, series, unit in placed}
    archives: dict[Unit, list[Known]] = defaultdict(list)
    for known, series, unit in placed:
        month = period_of(unit.first, Cadence.MONTH)
        # A day goes with its month where that is due too, or both would write the day.
        archives[series, month if (series, month) in units else unit].append(known)
    return archives


def _merge_units(
    archives: Mapping[Unit, list[Known]],
    held: Mapping[Unit, list[PartitionFile]],
) -> Mapping[Unit, list[PartitionFile]]:
    """Return the files each unit replaces: a month's unit covers the units of its days."""
    wider: dict[Unit, list[PartitionFile]] = defaultdict(list, held)
    for series, unit in archives:
        if unit.cadence is not Cadence.DAY:
            days = periods(unit.span, Cadence.DAY)
            wider[series, unit] = [
                *held.get((series, unit), []),
                *(file for day in days for file in held.get((series, day), [])),
            ]
    return wider


def _unit_of(item: Archive | Partition, now: datetime) -> Period:
    """Return the period written in one go: the longer of the vendor's and the lake's."""
    lake = _lake_period(item.series, item.period, now)
    longer = _LENGTH_ORDER[item.period.cadence] > _LENGTH_ORDER[lake.cadence]
    return item.period if longer else lake


def cut_at(files: Iterable[PartitionFile], now: datetime) -> datetime:
    """Return *now*, but not before the years of *files* were closed, if a clock was set back.

    Else a month would be written beside the file of its year.
    """
    years = (file.partition.period.first.year for file in files if _is_folded(file.partition))
    return max([now, *map(vendor.closes_at, years)])


def _is_folded(one: Partition) -> bool:
    """Whether a file of a year was one for each month before the year was closed."""
    before = _lake_period(one.series, one.period, vendor.beginning())
    return one.period.cadence is Cadence.YEAR and before.cadence is Cadence.MONTH


def _lake_period(series: Series, period: Period, now: datetime) -> Period:
    closed = vendor.is_closed_year(period.span.start, now)
    cadence = lake_cadence(kind_of(series), series.interval, is_closed_year=closed)
    return period_of(period.first, cadence)


def _folds(files: list[PartitionFile], key: Unit, now: datetime) -> bool:
    """Whether files of shorter periods should become the one of the unit."""
    _, unit = key
    return any(file.partition.period != unit for file in files) and now >= unit.span.end


def _step(
    series: Series, unit: Period, due: list[Known], files: list[PartitionFile], now: datetime
) -> Step:
    lake = _lake_period(series, unit, now).cadence
    whole = _LENGTH_ORDER[lake] >= _LENGTH_ORDER[unit.cadence]
    targets = (unit,) if whole else tuple(periods(unit.span, lake))
    return Step(
        series=series,
        unit=unit,
        archives=tuple(sorted(due, key=lambda known: known.archive.period.span)),
        files=tuple(sorted(files, key=lambda file: file.first_time)),
        partitions=tuple(Partition(series, period) for period in targets),
        reason=_reason(due, files),
    )


def unit_at(series: Series, moment: datetime, now: datetime) -> Period:
    """Return the period that is written in one go for a row of that instant."""
    return _lake_period(series, period_of(moment.date(), Cadence.DAY), now)


def patch_step(series: Series, unit: Period, files: Iterable[PartitionFile]) -> Step:
    """Return the step that adds rows of REST to the partition of *unit*."""
    held = [file for file in files if unit.span.overlaps(file.partition.period.span)]
    return Step(
        series=series,
        unit=unit,
        archives=(),
        files=tuple(sorted(held, key=lambda file: file.first_time)),
        partitions=(Partition(series, unit),),
        reason="patch from the API",
    )


def _reason(due: list[Known], files: list[PartitionFile]) -> str:
    if not due:
        return "merge a closed year"
    if any(known.attempts for known in due):
        return "retry"
    return "add to existing rows" if files else "new"
