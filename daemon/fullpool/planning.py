"""Which archives a series needs, and which of them are to be listed or asked for. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.attempts import FIRST_WAIT, next_try
from fullpool.model import (
    Archive,
    Cadence,
    Identity,
    Known,
    Period,
    Series,
    Span,
    Status,
    period_of,
    periods,
)

# More new names than this are looked up in one listing instead of asked for one by one.
MAX_COMPUTED: Final = 3
# Not sooner than this, or a series that stopped would be listed again in every pass.
RELIST_AFTER: Final = timedelta(hours=1)
# A symbol without any archive may be about to be listed, or be misspelled.
LOOK_FOR_NEW: Final = timedelta(days=1)

Listing = Mapping[Period, Identity]


@dataclass(frozen=True, slots=True)
class Want:
    """A series the configuration asks for, and the span asked for, but for what is *left_out*.

    *is_known*: the series existed at the start of the span, so that what is not listed from there
    on is missing; otherwise its life begins with the first archive listed.
    """

    series: Series
    span: Span
    is_known: bool = False
    left_out: tuple[Span, ...] = ()

    @property
    def parts(self) -> list[Span]:
        """The spans that are asked for, oldest first; none of them touches another."""
        at, found = self.span.start, []
        for out in self.left_out:
            if at < min(out.start, self.span.end):
                found.append(Span(at, min(out.start, self.span.end)))
            at = max(at, out.end)
        return [*found, Span(at, self.span.end)] if at < self.span.end else found

    def overlaps(self, span: Span) -> bool:
        """Whether any of *span* is asked for."""
        return any(part.overlaps(span) for part in self.parts)

    def covers(self, span: Span) -> bool:
        """Whether all of *span* is asked for."""
        return any(part.covers(span) for part in self.parts)


def want_of(series: Series, spans: Iterable[Span]) -> Want:
    """Return what several datasets ask of one series."""
    first, *others = sorted(spans)
    left_out: list[Span] = []
    end = first.end
    for span in others:
        if span.start > end:
            left_out.append(Span(end, span.start))
        end = max(end, span.end)
    return Want(series, Span(first.start, end), left_out=tuple(left_out))


@dataclass(frozen=True, slots=True)
class Listed:
    """What the state holds of a series' last listing.

    *span* is what was asked for but for what was *left_out*, *at* when; all periods of it before
    *until* are recorded. *until* is None if the vendor had no archive of the series.
    """

    series: Series
    span: Span
    at: datetime
    until: datetime | None
    left_out: tuple[Span, ...] = ()


def months_wanted(want: Want, now: datetime) -> list[Period]:
    """Return the closed months that lie wholly in the wanted span, oldest first."""
    if not vendor.has_monthly(want.series):
        return []
    span = _possible(want, now)
    months = (m for m in periods(span, Cadence.MONTH) if span.covers(m.span))
    return [month for month in months if want.covers(month.span)]


def first_day_to_list(want: Want, monthly: Listing, now: datetime) -> Period | None:
    """Return the first wanted day that no listed monthly archive covers; None if there is none."""
    if not vendor.has_daily(want.series):
        return None
    earliest = _possible(want, now).start
    if monthly and earliest == vendor.beginning():
        earliest = min(monthly).span.start  # its life began there: no need to list years of nothing
    for month in periods(Span(earliest, max(earliest, now)), Cadence.MONTH):
        if not want.overlaps(month.span):
            continue
        if month not in monthly or not want.covers(month.span):
            return period_of(max(earliest, month.span.start).date(), Cadence.DAY)
    return None


def lacks_days(want: Want, daily: Listing, now: datetime) -> bool:
    """Whether wanted days are not listed whose month may be out by now: that may have them."""
    if want.span.start == vendor.beginning() or not vendor.has_monthly(want.series):
        return False
    span = _possible(want, now)
    for month in periods(span, Cadence.MONTH):
        if vendor.first_ask(want.series, month) > now:
            continue
        days = periods(span.meet(month.span), Cadence.DAY)
        if any(want.overlaps(day.span) and day not in daily for day in days):
            return True
    return False


def choose(want: Want, monthly: Listing, daily: Listing, now: datetime) -> list[Known]:
    """Return the archives a series needs: closed months by monthly, the rest by daily archive.

    Days and months inside the series' life that the vendor does not list are `not_published`, or
    `absent` once they are overdue. What is before the first and after the last archive listed is
    not returned.
    """
    listed = [*monthly, *daily]
    if not listed:
        return []
    birth = want.span.start if want.is_known else min(p.span.start for p in listed)
    life = Span(birth, max(p.span.end for p in listed))
    span = _possible(want, now).meet(life)
    chosen: list[Known] = []
    for month in periods(span, Cadence.MONTH):
        if want.overlaps(month.span):
            chosen += _chosen_in(month, want, span, (monthly, daily), now)
    return chosen


def _chosen_in(
    month: Period, want: Want, span: Span, listings: tuple[Listing, Listing], now: datetime
) -> list[Known]:
    """Return the archive of a month, or those of its days in *span*; both where a day is absent."""
    series, (monthly, daily) = want.series, listings
    has_month = month in monthly
    whole = [_listed(series, month, monthly[month])] if has_month else []
    is_wanted_whole = span.covers(month.span) and want.covers(month.span)
    if has_month and (is_wanted_whole or not vendor.has_daily(series)):
        return whole
    days = _days_of(series, month, span, daily, now, has_month=has_month)
    wanted = [known for known in days if want.overlaps(known.archive.period.span)]
    is_absent = any(known.status is Status.ABSENT for known in wanted)
    return [*whole, *wanted] if is_absent else wanted


def _days_of(  # noqa: PLR0913 - a month of a series, by what is known of it
    series: Series, month: Period, span: Span, daily: Listing, now: datetime, *, has_month: bool
) -> Iterator[Known]:
    inside = month.span.meet(span)
    days = list(periods(inside, Cadence.DAY))
    is_whole = inside == month.span and vendor.has_monthly(series) and not has_month
    if is_whole and vendor.is_overdue(month, now) and not any(day in daily for day in days):
        yield _not_listed(series, month, now)
        return
    if not vendor.has_daily(series):
        return
    for day in days:
        yield _listed(series, day, daily[day]) if day in daily else _not_listed(series, day, now)


def _listed(series: Series, period: Period, identity: Identity) -> Known:
    return Known(Archive(series, period), Status.LISTED, "listed by the vendor", identity)


def _not_listed(series: Series, period: Period, now: datetime) -> Known:
    status = Status.ABSENT if vendor.is_overdue(period, now) else Status.NOT_PUBLISHED
    archive = Archive(series, period)
    reason = "not in the vendor's listing"
    return Known(archive, status, reason, next_try_at=next_try(status, 0, now))


def one_of_each(found: Iterable[Known]) -> list[Known]:
    """Return each archive once, as listed where it is: parts of a series can share a month."""
    ordered = sorted(found, key=lambda known: known.status is Status.LISTED)
    return list({known.archive: known for known in ordered}.values())


def unrecorded(chosen: Iterable[Known], known: Sequence[Known]) -> list[Known]:
    """Return the listed archives that are not on record and not in the lake by others.

    Not months of which all days are in the lake, nor days of a month that is: should that have a
    hole, they are asked for because of it.
    """
    recorded = {one.archive for one in known}
    in_lake = {one.archive for one in known if one.is_held}
    held = {archive.period for archive in in_lake}
    return [
        one
        for one in chosen
        if one.status is Status.LISTED
        and one.archive not in recorded
        and not has_month_of(in_lake, one.archive)
        and not held.issuperset(periods(one.archive.period.span, Cadence.DAY))
    ]


def has_month_of(in_lake: AbstractSet[Archive], archive: Archive) -> bool:
    """Whether the archive of its month is in the lake: only holes have a day asked for then."""
    month = period_of(archive.period.first, Cadence.MONTH)
    return archive.period != month and Archive(archive.series, month) in in_lake


def known_until(chosen: Sequence[Known]) -> datetime | None:
    """Return the end of the last archive chosen; None if there is none."""
    return max((known.archive.period.span.end for known in chosen), default=None)


def newly_expected(want: Want, listed: Listed, now: datetime) -> list[Known]:
    """Return the archives that should have appeared since the last listing, by computed name."""
    if listed.until is None or not vendor.still_trades(want.series, listed.until, listed.at):
        return []
    cadence = vendor.shortest(want.series)
    end = min(want.span.end, now)
    # What was due but not listed is late: it gets some time before it is asked for by name.
    patience = listed.at + FIRST_WAIT
    return [
        Known(Archive(want.series, period), Status.EXPECTED, "due by the vendor's usual delay")
        for period in periods(Span(listed.until, max(listed.until, end)), cadence)
        if period.span.start >= listed.until
        and want.overlaps(period.span)
        and max(vendor.first_ask(want.series, period), patience) <= now
    ]


def caught_up(listed: Listed, recent: Iterable[Known]) -> Listed:
    """Return a listing brought forward to the last archive that has come since, by its name."""
    ends = [known.archive.period.span.end for known in recent if known.status is Status.PRESENT]
    if listed.until is None or not ends:
        return listed
    return replace(listed, until=max(listed.until, *ends))


def is_back(before: Listed, now: Listed) -> bool:
    """Whether a series that had stopped has archives again, by what came since its listing."""
    if before.until is None or before.until == now.until:
        return False
    return not vendor.still_trades(before.series, before.until, before.at)


def needs_listing(want: Want, listed: Listed | None, dormant_age: timedelta, now: datetime) -> bool:
    """Whether the series must be listed before it can be planned."""
    if listed is None or want.span.start < listed.span.start:
        return True
    if min(want.span.end, listed.at) > listed.span.end:
        return True
    if any(want.overlaps(out) for out in listed.left_out):
        return True
    if listed.until is None:
        return now - listed.at >= min(dormant_age, LOOK_FOR_NEW)
    if not vendor.still_trades(want.series, listed.until, listed.at):
        return now - listed.at >= dormant_age
    is_behind = len(newly_expected(want, listed, now)) > MAX_COMPUTED
    return is_behind and now - listed.at >= RELIST_AFTER


def _possible(want: Want, now: datetime) -> Span:
    """Return the part of the wanted span that can have archives at *now*: whole days that ended."""
    today = period_of(now.date(), Cadence.DAY).span.start
    start = want.span.start
    return Span(start, max(start, min(want.span.end, today)))
