"""Finds which series exist and which archives the vendor has."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from fullpool import logs, planning, unknown, vendor
from fullpool.config import Dataset
from fullpool.errors import FullpoolError, UnreachableError, UntrustedError
from fullpool.kinds import KINDS
from fullpool.model import Archive, Known, Market, Series, Span, Status
from fullpool.planning import Listed, Want
from fullpool.store.state.queries import StateQueries
from fullpool.sync.archives.listing import list_series, note_listing_failure
from fullpool.sync.steps.step import AWAY_AFTER
from fullpool.sync.work import Work
from fullpool.vision import list_symbols

log = logs.get_logger()

_NOT_THERE_YET: Final = (Status.ABSENT, Status.NOT_PUBLISHED, Status.EXPECTED)


@dataclass(frozen=True, slots=True)
class SymbolList:
    """All symbols the vendor has of one market and kind, as just listed."""

    market: Market
    kind: str
    symbols: tuple[str, ...]


@dataclass(slots=True)
class Discovered:
    """What the vendor was found to have: to be recorded, then planned.

    *failed* holds what could not be listed, with the reason; *unknown* the series
    that are named and the vendor has no archive of in the time asked for, *remarks* describes
    them and the patterns that no symbol matches; *new* are series that were listed for the first
    time, as a whole. *has_series*: the vendor may have some of what is configured. *hint* says what
    to do about a host that is away. *remarks* and *has_series* are whole once `describe_unknown`
    was called.
    """

    wants: list[Want] = field(default_factory=list)
    symbols: list[SymbolList] = field(default_factory=list)
    listings: dict[Series, Listed] = field(default_factory=dict)
    found: list[Known] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: list[Series] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    new: set[Series] = field(default_factory=set)
    has_series: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one series was found to have."""

    listed: Listed
    chosen: tuple[Known, ...]


def discover(work: Work, queries: StateQueries) -> Discovered:
    """List what is not known yet or not believed any more; compute the names of what is due since.

    Raises UnreachableError if nothing could be listed and nothing was known before.
    """
    now, found = work.now(), Discovered()
    found.wants = _wants(work, queries, found, now)
    recent: dict[Series, list[Known]] = defaultdict(list)
    for known in queries.since_listing():
        recent[known.archive.series].append(known)
    held = queries.listings()
    listings = {series: planning.caught_up(one, recent[series]) for series, one in held.items()}
    # Recorded, because following reads the listing on record, not this one.
    found.listings = {s: one for s, one in listings.items() if planning.is_back(held[s], one)}
    _list_stale(work, queries, found, listings, now)
    found.new = found.listings.keys() - listings.keys()
    newest = listings | found.listings
    _add_computed(found, newest, recent, now)
    found.unknown = list(dict.fromkeys([*found.unknown, *_without_archive(work, found, newest)]))
    return found


def _without_archive(
    work: Work, found: Discovered, newest: Mapping[Series, Listed]
) -> Iterator[Series]:
    """Yield the series that are named and have no archive."""
    # A pattern may well take in symbols that lack an interval.
    named = {series for dataset in work.config.dataset for series in dataset.named_series}
    for series in (want.series for want in found.wants):
        if series in named and series in newest and not newest[series].until:
            yield series


def _list_stale(
    work: Work,
    queries: StateQueries,
    found: Discovered,
    listings: Mapping[Series, Listed],
    now: datetime,
) -> None:
    """List the series whose listing is not known, or too old to compute names from."""
    dormant = timedelta(hours=work.config.discovery.dormant_max_age_h)
    parts: list[Want] = []
    for want in found.wants:
        listed = listings.get(want.series)
        if planning.needs_listing(want, listed, dormant, now):
            parts += _parts(want, listed)
    shelves = _list_all(work, parts, found, now)
    listed_now = [shelf.listed.series for shelf in shelves]
    held = {record.archive: record for record in queries.known(listed_now)}
    found.found += _news([known for shelf in shelves for known in shelf.chosen], held)
    for shelf in shelves:
        series = shelf.listed.series
        earlier = found.listings.get(series) or listings.get(series)
        found.listings[series] = _joined(shelf.listed, earlier)


def describe_unknown(
    work: Work,
    queries: StateQueries,
    found: Discovered,
    trading: Mapping[Market, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Note what is to be said of the symbols of series that have no archive.

    *trading* are symbols that trade, beside those on record.
    """
    wanted = {want.series: want.span for want in found.wants}
    work.watcher.discovered(len(wanted.keys() - set(found.unknown)))
    symbols = _symbols_beside(work, queries, found, work.now())
    for (market, kind), names in symbols.items():
        if KINDS[kind].is_traded:
            symbols[market, kind] = [*names, *trading.get(market, ())]
    spans = {series: wanted[series] for series in found.unknown if series in wanted}
    alive = queries.symbols.trading(symbols)
    early = unknown.awaited(queries.symbols.since(spans), alive, work.now())
    found.unknown = [series for series in found.unknown if series not in early]
    now, follows = work.now(), work.config.follows
    found.remarks += unknown.not_due([series for series in early if not follows(series, now)])
    found.remarks += unknown.told(found.unknown, symbols)
    strange = set(unknown.strange(found.unknown, symbols))
    found.has_series = not wanted.keys() <= strange


def _symbols_beside(
    work: Work, queries: StateQueries, found: Discovered, now: datetime
) -> dict[tuple[Market, str], Sequence[str]]:
    """Return the symbols of the kinds that lack some: one of them may be meant.

    They are listed as often as the unknown series are.
    """
    just = {(series.market, series.kind) for series in found.unknown if series in found.listings}
    kinds = dict.fromkeys((series.market, series.kind) for series in found.unknown)
    symbols: dict[tuple[Market, str], Sequence[str]] = {
        pair: queries.symbols.listed(*pair, vendor.beginning()) for pair in kinds
    }
    for market, kind in just:
        failed = dict(found.failed)
        with suppress(FullpoolError):
            symbols[market, kind] = _symbols(work, queries, market, kind, found, now)
        found.failed = failed  # it is only a hint
    symbols |= {(listed.market, listed.kind): listed.symbols for listed in found.symbols}
    known = {pair: names for pair, names in symbols.items() if names}
    return {pair: queries.symbols.with_trading(*pair, names) for pair, names in known.items()}


def _wants(work: Work, queries: StateQueries, found: Discovered, now: datetime) -> list[Want]:
    """Return the series the configuration asks for."""
    spans: dict[Series, list[Span]] = defaultdict(list)
    for dataset in work.config.dataset:
        names = dataset.literal_symbols or _matching(work, queries, dataset, found, now)
        for series in (series_ for name in names for series_ in dataset.series(name)):
            spans[series].append(dataset.span)
    return [planning.want_of(series, own) for series, own in sorted(spans.items())]


def _matching(
    work: Work, queries: StateQueries, dataset: Dataset, found: Discovered, now: datetime
) -> list[str]:
    """Return the symbols that fit patterns; to be followed, or named, also without an archive."""
    listed = _symbols(work, queries, dataset.market, dataset.kind, found, now)
    trading = queries.symbols.with_trading(dataset.market, dataset.kind, listed)
    known = {*listed, *(trading if dataset.follow else dataset.named)}
    found.unknown += dataset.not_among(listed)
    found.remarks += [
        unknown.unfit_pattern(dataset.market, dataset.kind, pattern)
        for pattern in dataset.unfit(trading)
    ]
    return [name for name in trading if name in known and dataset.wants(name)]


def _symbols(  # noqa: PLR0913, PLR0917 - what is asked for, of whom, and where it is noted
    work: Work, queries: StateQueries, market: Market, kind: str, found: Discovered, now: datetime
) -> Sequence[str]:
    """Return the symbols of a market and kind: as held if that is recent, else listed again."""
    just = (
        listed.symbols for listed in found.symbols if (listed.market, listed.kind) == (market, kind)
    )
    if (names_now := next(just, None)) is not None:
        return names_now
    max_age = timedelta(hours=work.config.discovery.symbols_max_age_h)
    held = queries.symbols.listed(market, kind, now - max_age)
    if held:
        return held
    try:
        names = list_symbols(work.opener(), work.config.network.listing_url, market, kind)
    except UnreachableError as error:
        older = queries.symbols.listed(market, kind, vendor.beginning())
        if not older:
            raise
        found.failed[f"symbols of {market}/{kind}"] = str(error)
        return older
    found.symbols.append(SymbolList(market, kind, tuple(names)))
    return names


def _parts(want: Want, listed: Listed | None) -> Iterator[Want]:
    """Yield what is left to list: more of the past if that is wanted now, and what came since."""
    if listed is None or listed.until is None:
        yield want
        return
    if want.span.start < listed.span.start:
        yield replace(want, span=Span(want.span.start, listed.span.start))
    for out in listed.left_out:
        if want.overlaps(out):
            yield replace(want, span=out, is_known=True)
    since = Span(listed.until, max(listed.until, want.span.end))
    yield replace(want, span=since, is_known=True)


def _list_all(work: Work, wants: Sequence[Want], found: Discovered, now: datetime) -> list[_Shelf]:
    shelves: list[_Shelf] = []
    error: FullpoolError | None = None
    if wants:
        work.build_map.start()  # there will be something to build: let them start meanwhile
    work.watcher.listing(len(wants))
    away = 0
    for done in work.fetch_map(lambda want: _list_one(work, want, now), wants, lambda _: 1):
        work.watcher.listed()
        if done.value is not None:
            shelves.append(done.value)
            away = 0
            continue
        error = done.error
        if _note_error(done.item.series, error, found):
            away += 1
        if away >= AWAY_AFTER:
            break
    is_first = len(wants) == len(found.wants)
    is_lost = not shelves and (is_first or away >= AWAY_AFTER)
    if is_lost and isinstance(error, UnreachableError):
        raise error
    return shelves


def _note_error(series: Series, error: FullpoolError | None, found: Discovered) -> bool:
    """Note why a series could not be listed; return whether the vendor could not be reached.

    Raises UntrustedError, which would be the same for all others.
    """
    if isinstance(error, UntrustedError):
        raise error
    note_listing_failure(series, str(error), found.failed)
    if not isinstance(error, UnreachableError):
        return False
    found.hint = error.hint
    return True


def _list_one(work: Work, want: Want, now: datetime) -> _Shelf:
    monthly, daily = list_series(work, want, now)
    chosen = planning.choose(want, monthly, daily, now)
    until = planning.known_until(chosen)
    return _Shelf(Listed(want.series, want.span, now, until, want.left_out), tuple(chosen))


def _joined(new: Listed, old: Listed | None) -> Listed:
    """Return a listing that also stands for what an earlier one covered."""
    if old is None or old.until is None:
        return new
    if old.until > new.span.end and new.span.start >= old.span.start:
        return replace(old, left_out=new.left_out)  # what was left out between
    if new.span.start < old.span.start:
        span = Span(new.span.start, old.span.end)
        return replace(old, span=span, left_out=new.left_out)
    span = Span(old.span.start, new.span.end)
    return replace(new, span=span, until=new.until or old.until)


def _news(chosen: Sequence[Known], held: Mapping[Archive, Known]) -> list[Known]:
    """Return what is to be recorded of the archives that some series need."""
    in_lake = {archive for archive, known in held.items() if known.is_held}
    news = (one for one in chosen if _is_news(one, held.get(one.archive)))
    return [one for one in news if not planning.has_month_of(in_lake, one.archive)]


def _is_news(new: Known, old: Known | None) -> bool:
    """Whether a listed archive is to be recorded: unknown so far, or not there so far."""
    if old is None:
        return True
    return new.status is Status.LISTED and old.status in _NOT_THERE_YET


def _add_computed(
    found: Discovered,
    listings: dict[Series, Listed],
    recent: dict[Series, list[Known]],
    now: datetime,
) -> None:
    """Add the archives that are due by now under names computed, not listed."""
    for want in found.wants:
        listed = listings.get(want.series)
        if listed is not None:
            asked = {known.archive for known in recent[want.series]}
            new = planning.newly_expected(want, listed, now)
            found.found += [known for known in new if known.archive not in asked]
