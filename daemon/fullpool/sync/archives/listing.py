"""Lists one series at the vendor."""

from collections.abc import Sequence
from datetime import datetime

from fullpool import logs, planning, vendor
from fullpool.model import Cadence, Identity, Known, Period, Series, period_of
from fullpool.planning import Listing, Want
from fullpool.sync.work import Work
from fullpool.vision import list_keys

log = logs.get_logger()


def list_series(
    work: Work, want: Want, now: datetime, known: Sequence[Known] = ()
) -> tuple[Listing, Listing]:
    """List the monthly archives of a series, then the daily ones of the days they leave out.

    Those that are *known* already are among them.
    """
    opener, base_url = work.opener(), work.config.network.listing_url
    monthly: dict[Period, Identity] = {}
    daily: dict[Period, Identity] = {}
    months, days = (_firsts(known, cadence) for cadence in (Cadence.MONTH, Cadence.DAY))
    may_have_months = bool(months or planning.months_wanted(want, now))
    is_by_month = may_have_months or not vendor.has_daily(want.series)
    if is_by_month:
        first = min([period_of(want.span.start.date(), Cadence.MONTH), *months])
        monthly = list_keys(opener, base_url, want.series, first)
        daily = _before_first_month(work, want, monthly)
    first_day = planning.first_day_to_list(want, monthly, now)
    if first_day is not None:
        days.append(first_day)
    if days:
        daily |= list_keys(opener, base_url, want.series, min(days))
    if not is_by_month and planning.lacks_days(want, daily, now):
        month = period_of(want.span.start.date(), Cadence.MONTH)
        monthly = list_keys(opener, base_url, want.series, month)
    return monthly, daily


def _firsts(known: Sequence[Known], cadence: Cadence) -> list[Period]:
    """Return the first period of that length; nothing if there is none."""
    periods = (
        record.archive.period for record in known if record.archive.period.cadence is cadence
    )
    return sorted(periods)[:1]


def _before_first_month(work: Work, want: Want, monthly: Listing) -> dict[Period, Identity]:
    """List the days before the first monthly archive: some series began with days alone.

    One page, which nearly always holds days of that month already.
    """
    if not monthly or want.span.start != vendor.beginning() or not vendor.has_daily(want.series):
        return {}
    first = min(monthly).first
    start = period_of(want.span.start.date(), Cadence.DAY)
    base_url = work.config.network.listing_url
    listed = list_keys(work.opener(), base_url, want.series, start, end=first)
    return {period: identity for period, identity in listed.items() if period.first < first}


def note_listing_failure(series: Series, reason: str, failed: dict[str, str]) -> None:
    """Add a series that could not be listed to *failed*, and say so, but a reason only once."""
    if reason not in failed.values():
        log.warning("series.listing_failed", series=str(series), reason=reason)
    failed[str(series)] = reason
