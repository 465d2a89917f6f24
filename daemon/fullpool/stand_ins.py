"""Which archives to request in place of others: days for a month, the month for days. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.gaps import Gap
from fullpool.kinds import is_by_period, is_counted
from fullpool.model import (
    Archive,
    Cadence,
    Fault,
    Known,
    PartitionFile,
    Period,
    Series,
    Span,
    Status,
    period_of,
    periods,
)
from fullpool.planning import Want

_MOMENT: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)


def days_instead(month: Archive, recorded: Collection[Period], want: Want) -> list[Known]:
    """Return the days to ask for by name in place of a month that is unusable."""
    if not vendor.has_daily(month.series):
        return []
    days = (day for day in periods(month.period.span, Cadence.DAY) if day not in recorded)
    wanted = (day for day in days if want.overlaps(day.span))
    reason = "the archive of its month is unusable"
    return [Known(Archive(month.series, day), Status.EXPECTED, reason) for day in wanted]


def months_instead(
    months: Iterable[Archive], wants: Mapping[Series, Want], now: datetime
) -> list[Known]:
    """Return which of the *months* to ask for by name, of which a day could not be fetched."""
    return [
        Known(month, Status.EXPECTED, "the archive of one of its days is unavailable")
        for month in months
        if month.series in wants
        and vendor.has_monthly(month.series)
        and wants[month.series].overlaps(month.period.span)
        and vendor.first_ask(month.series, month.period) <= now
    ]


def archives_of(
    gaps: Iterable[Gap],
    known: Mapping[Series, Sequence[Known]],
    wants: Mapping[Series, Want],
    now: datetime,
) -> list[Known]:
    """Return the archives to ask for by name because rows are missing that they may have.

    Days of a month that the lake has, or that is unusable, and months that it has days of. One
    that is on record is not asked for again here.
    """
    named: dict[Archive, None] = {}
    for gap in gaps:
        if vendor.has_daily(gap.series) and vendor.has_monthly(gap.series):
            recorded = {record.archive.period: record for record in known.get(gap.series, ())}
            named |= dict.fromkeys(_not_on_record(gap, recorded, now))
    reason = "it may have missing rows"
    return [
        Known(archive, Status.EXPECTED, reason)
        for archive in named
        if wants[archive.series].overlaps(archive.period.span)
    ]


def _not_on_record(gap: Gap, recorded: Mapping[Period, Known], now: datetime) -> Iterator[Archive]:
    """Yield the months of a gap of which there are days, and the days of its months."""
    months = {period_of(period.first, Cadence.MONTH) for period in recorded}
    for month in periods(gap.span, Cadence.MONTH):
        record = recorded.get(month)
        if record is None:
            if month in months and vendor.first_ask(gap.series, month) <= now:
                yield Archive(gap.series, month)
        elif record.is_held or record.is_of_no_use:
            for day in periods(_beside(gap).meet(month.span), Cadence.DAY):
                if day not in recorded:
                    yield Archive(gap.series, day)


def short_months(held: Sequence[PartitionFile], ends: Iterable[Known]) -> list[Archive]:
    """Return the first and the last month of a series, if its rows begin or end within them.

    *ends* are its first archive and the last one that is in the lake. A month may lack days at its
    ends, and no row shows what is missing before the first row of a series and after the last.
    """
    archives = [known.archive for known in ends if known.is_held]
    months = [archive for archive in archives if archive.period.cadence is Cadence.MONTH]
    return [
        month for month in months if vendor.has_daily(month.series) and any(_outward(month, held))
    ]


def days_beyond(
    month: Archive, held: Sequence[PartitionFile], known: Iterable[Known], want: Want
) -> list[Known]:
    """Return the days to ask for by name beyond the rows that a month has.

    The next one alone; all of them, if the lake has a day of that month by now. Where gaps are
    known by day only, also the day of the first row: the month may begin within it.
    """
    recorded = {one.archive.period: one.is_held for one in known}
    found: list[Period] = []
    for side in _outward(month, held):
        found += side if _has_come(month, held, recorded) else side[:1]
    if found and is_by_period(month.series):
        found.append(_first_day(held))
    reason = "its month has no rows of it"
    return [
        Known(Archive(month.series, day), Status.EXPECTED, reason)
        for day in found
        if day not in recorded and want.overlaps(day.span)
    ]


def _has_come(
    month: Archive, held: Sequence[PartitionFile], recorded: Mapping[Period, bool]
) -> bool:
    """Whether the lake has a day of a month, but for that of the first row."""
    days = set(periods(month.period.span, Cadence.DAY)) - {_first_day(held)}
    return any(recorded.get(day) for day in days)


def _first_day(held: Sequence[PartitionFile]) -> Period:
    return period_of(held[0].first_time.date(), Cadence.DAY)


def _outward(month: Archive, held: Sequence[PartitionFile]) -> list[list[Period]]:
    """Return the days of a month before all rows of a series, and after them, the nearest first.

    What a month lacks after them is a gap, unless rows are counted by their ids alone.
    """
    if not held:
        return []
    days, after = list(periods(month.period.span, Cadence.DAY)), []
    before = [day for day in reversed(days) if day.span.end <= held[0].first_time]
    if is_counted(month.series):
        after = [day for day in days if day.span.start > held[-1].last_time]
    return [side for side in (before, after) if len(side) < len(days)]


def _beside(gap: Gap) -> Span:
    """Return the span of a gap; where only whole days are told, with those next to it.

    A month that lacks days may have a part of these.
    """
    if not is_by_period(gap.series):
        return gap.span
    return Span(gap.span.start - _DAY, gap.span.end + _DAY)


def failing(gap: Gap, known: Iterable[Known]) -> Known | None:
    """Return an archive that the vendor has, that rows of the gap are in, and that failed."""
    return next((archive for archive in known if is_in_failing(gap, archive)), None)


def is_in_failing(gap: Gap, archive: Known) -> bool:
    """Whether rows of the gap may be in an archive, which failed."""
    has_rows = archive.is_failing and archive.fault is not Fault.NO_ROWS
    return has_rows and archive.archive.period.span.overlaps(gap.span)


def archives_beside(gaps: Iterable[Gap], known: Mapping[Series, Sequence[Known]]) -> list[Known]:
    """Return the archives of the lake whose last rows before the gaps, or first after, are there.

    They are those that may have lacked the rows when they were published.
    """
    held: dict[Archive, Known] = {}
    for archives in known.values():
        held |= {one.archive: one for one in archives if one.status is Status.PRESENT}
    found: dict[Archive, Known] = {}
    for gap in gaps:
        for moment in (gap.span.start, max(gap.span.start, gap.span.end - _MOMENT)):
            for cadence in (Cadence.DAY, Cadence.MONTH):
                archive = Archive(gap.series, period_of(moment.date(), cadence))
                if archive in held:
                    found[archive] = held[archive]
    return list(found.values())
