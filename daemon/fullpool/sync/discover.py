"""Finding out which series there are and which archives the vendor has of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fullpool import logs, planning, vendor
from fullpool.config import Dataset
from fullpool.errors import FullpoolError, UnreachableError, UntrustedError
from fullpool.model import Cadence, Identity, Known, Period, Series, Span, Status, period_of
from fullpool.planning import Listed, Want
from fullpool.store.memory import Memory
from fullpool.sync.work import Work
from fullpool.vision import list_keys, list_symbols

log = logs.get_logger()


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the vendor was found to have: to be recorded, then planned.

    *symbols* are lists of symbols asked for anew, by market and kind; *failed* are series that
    could not be listed, with the reason.
    """

    wants: tuple[Want, ...]
    symbols: tuple[tuple[Dataset, tuple[str, ...]], ...]
    listings: tuple[Listed, ...]
    found: tuple[Known, ...]
    failed: tuple[tuple[Series, str], ...]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one series was found to have."""

    listed: Listed
    chosen: tuple[Known, ...]


def discover(work: Work, memory: Memory) -> Discovered:
    """List what is not known yet or not believed any more. Raises if nothing could be listed."""
    now = work.now()
    config = work.config
    wants, symbols = wants_of(work, memory, now)
    listings = memory.listings()
    dormant = timedelta(hours=config.discovery.dormant_max_age_h)
    stale = [w for w in wants if planning.needs_listing(w, listings.get(w.series), dormant, now)]
    shelves, failed = _list_all(work, [_rest_of(w, listings.get(w.series)) for w in stale], now)
    known = {one.archive: one for one in memory.known([shelf.listed.series for shelf in shelves])}
    found = [new for s in shelves for new in s.chosen if _is_news(new, known.get(new.archive))]
    asked = {want.series for want in stale}
    fresh, advanced = _computed([w for w in wants if w.series not in asked], listings, now)
    listed = [_joined(shelf.listed, listings.get(shelf.listed.series)) for shelf in shelves]
    return Discovered(
        tuple(wants), tuple(symbols), (*listed, *advanced), (*found, *fresh), tuple(failed)
    )


def wants_of(
    work: Work, memory: Memory, now: datetime
) -> tuple[list[Want], list[tuple[Dataset, tuple[str, ...]]]]:
    """Return the series the configuration asks for, and lists of symbols asked for anew."""
    spans: dict[Series, Span] = {}
    asked: list[tuple[Dataset, tuple[str, ...]]] = []
    for dataset in work.config.dataset:
        names = dataset.literal_symbols
        if names is None:
            names, is_new = _symbols(work, memory, dataset, now)
            asked += [(dataset, names)] if is_new else []
            names = tuple(name for name in names if dataset.wants(name))
        for series in (one for name in names for one in dataset.series(name)):
            spans[series] = _hull(spans.get(series), dataset.span)
    return [Want(series, span) for series, span in sorted(spans.items())], asked


def _symbols(
    work: Work, memory: Memory, dataset: Dataset, now: datetime
) -> tuple[tuple[str, ...], bool]:
    since = now - timedelta(hours=work.config.discovery.symbols_max_age_h)
    held = memory.symbols(dataset.market, dataset.kind, since)
    if held:
        return tuple(held), False
    base_url = work.config.network.listing_url
    names: set[str] = set()
    for cadence in (Cadence.DAY, Cadence.MONTH):
        prefix = vendor.symbols_prefix(dataset.market, dataset.kind, cadence)
        names.update(list_symbols(work.opener(), base_url, prefix))
    return tuple(sorted(names)), True


def _hull(one: Span | None, other: Span) -> Span:
    if one is None:
        return other
    return Span(min(one.start, other.start), max(one.end, other.end))


def _rest_of(want: Want, listed: Listed | None) -> Want:
    """Return what is left to list: only what came since, unless more of the past is wanted now."""
    if listed is None or listed.until is None or want.span.start < listed.span.start:
        return want
    return Want(want.series, Span(listed.until, max(listed.until, want.span.end)), is_known=True)


def _list_all(
    work: Work, wants: Sequence[Want], now: datetime
) -> tuple[list[_Shelf], list[tuple[Series, str]]]:
    shelves: list[_Shelf] = []
    failed: list[tuple[Series, str]] = []
    error: FullpoolError | None = None
    work.watcher.listing(len(wants))
    for done in work.fetch_map(lambda want: _list_one(work, want, now), wants, lambda _: 1):
        work.watcher.listed()
        if done.value is not None:
            shelves.append(done.value)
            continue
        error = done.error
        if isinstance(error, UntrustedError):
            raise error
        log.warning("series.unlisted", series=str(done.item.series), reason=str(error))
        failed.append((done.item.series, str(error)))
    if error is not None and not shelves and isinstance(error, UnreachableError):
        raise error
    return shelves, failed


def _list_one(work: Work, want: Want, now: datetime) -> _Shelf:
    """List the monthly archives of a series, then the daily ones of the days they leave out."""
    opener, base_url = work.opener(), work.config.network.listing_url
    monthly: dict[Period, Identity] = {}
    daily: dict[Period, Identity] = {}
    first_month = period_of(want.span.start.date(), Cadence.MONTH)
    if planning.months_wanted(want, now) or not vendor.has_daily(want.series):
        monthly = list_keys(opener, base_url, want.series, first_month)
    first_day = planning.first_day_to_list(want, monthly, now)
    if first_day is not None:
        daily = list_keys(opener, base_url, want.series, first_day)
    chosen = planning.choose(want, monthly, daily, now)
    until = planning.known_until(chosen)
    return _Shelf(Listed(want.series, want.span, now, until), tuple(chosen))


def _joined(new: Listed, old: Listed | None) -> Listed:
    """Return a listing that also stands for what an earlier one covered."""
    if old is None or old.until is None or new.span.start < old.until:
        return new
    span = Span(old.span.start, new.span.end)
    return replace(new, span=span, until=new.until or old.until)


def _is_news(new: Known, old: Known | None) -> bool:
    """Whether a listed archive is to be recorded: unknown so far, or changed at the vendor's."""
    if old is None:
        return True
    if new.status is Status.ABSENT:
        return False
    if old.status in (Status.ABSENT, Status.NOT_PUBLISHED, Status.EXPECTED):
        return True
    return (
        old.identity is not None
        and new.identity is not None
        and (old.identity.etag != new.identity.etag)
    )


def _computed(
    wants: Sequence[Want], listings: dict[Series, Listed], now: datetime
) -> tuple[list[Known], list[Listed]]:
    """Return the archives that are due by now under names computed, not listed."""
    fresh: list[Known] = []
    advanced: list[Listed] = []
    for want in wants:
        listed = listings[want.series]
        new = planning.newly_expected(want, listed, now)
        if new:
            fresh += new
            advanced.append(replace(listed, until=planning.known_until(new)))
    return fresh, advanced
