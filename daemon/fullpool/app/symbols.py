"""`fullpool symbols`: what the vendor has, before anything is configured."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from fullpool import logs, vendor
from fullpool.app import pools
from fullpool.app.assembly import opened_client, openers
from fullpool.app.configuration import tls_context
from fullpool.config import Config
from fullpool.errors import RestError, UsageError
from fullpool.kinds import KINDS, has_archives, offers
from fullpool.model import (
    Cadence,
    Identity,
    Interval,
    Market,
    Period,
    Series,
    Stop,
    period_of,
)
from fullpool.patterns import fits
from fullpool.rest import ask_instruments
from fullpool.vision import Opener, list_folders, list_keys, list_symbols

log = logs.get_logger()

_AHEAD: Final = 256
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: symbols of a kind that match a *pattern*; bars at one *interval*."""

    market: Market
    kind: str
    pattern: str
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Found:
    """One symbol, and what a sync would download of it: *archives*, days included, in bytes.

    *status* is what the API says; "" if it does not list the symbol, or was not to be had.
    """

    series: Series
    status: str
    intervals: tuple[str, ...]
    first_day: date | None
    last_day: date | None
    archives: int
    size_bytes: int


def wanted_in(text: str) -> Wanted:
    """Read `um/*USDT`, `um/fundingRate/*` or `spot/klines/BTC*/1m`. Raises UsageError."""
    market, *rest = text.split("/")
    kind = rest.pop(0) if rest and rest[0] in KINDS else "klines"
    if market not in set(Market) or len(rest) not in (1, 2):
        raise _unclear(f"{text!r} is not MARKET/[KIND/]PATTERN[/INTERVAL]")
    pattern, name = rest[0], "".join(rest[1:])
    interval = _interval_in(name or ("1d" if KINDS[kind].intervals else ""), text)
    if not offers(KINDS[kind], Market(market), interval):
        raise _unclear(f"the vendor has no {kind} of {market}" + (f" at {name}" if name else ""))
    return Wanted(Market(market), kind, pattern, interval)


def _interval_in(name: str, text: str) -> Interval | None:
    if name and name not in set(Interval):
        raise _unclear(f"in {text!r}, {name!r} is not an interval, or what is before it no kind")
    return Interval(name) if name else None


def _unclear(what: str) -> UsageError:
    hint = "give a market and a pattern, such as 'um/*USDT', 'um/fundingRate/*' or 'spot/BTC*/1m'"
    return UsageError(f"looking for symbols: {what}", hint=hint)


def found_symbols(config: Config, wanted: Wanted, stop: Stop) -> list[Found]:
    """Return what the vendor has. Raises UsageError if no symbol matches, UnreachableError."""
    context, base_url = tls_context(config.network), config.network.listing_url
    with (
        openers(config.network, context, stop) as opener,
        pools.threads(config.network.connections, _AHEAD, stop) as fetch_map,
    ):
        names = _names(opener(), base_url, wanted)
        if not names:
            raise UsageError(
                f"looking for symbols: the vendor has no {wanted.kind} of {wanted.market} that"
                f" match {wanted.pattern!r}",
                hint="patterns are matched with the case of letters: 'BTC*', '*USDT', '*'",
            )
        statuses = _statuses(config, wanted.market, stop)
        series = [Series(wanted.market, wanted.kind, name, wanted.interval) for name in names]
        found = []
        for done in fetch_map(
            lambda one: _look(opener(), base_url, one, statuses), series, lambda _: 1
        ):
            if done.error is not None:
                raise done.error
            if done.value is not None:
                found.append(done.value)
    return sorted(found, key=lambda one: one.series)


def _names(opener: Opener, base_url: str, wanted: Wanted) -> list[str]:
    names = list_symbols(opener, base_url, wanted.market, wanted.kind)
    return [name for name in names if fits(name, [wanted.pattern])]


def _statuses(config: Config, market: Market, stop: Stop) -> dict[str, str]:
    """Return the status of each symbol; nothing if the API is not to be asked, or has none."""
    if not config.rest.enabled or market not in vendor.REST_URL:
        return {}
    try:
        with opened_client(config, stop) as client:
            return {one.symbol: one.status for one in ask_instruments(client, market)}
    except RestError as error:
        log.warning("instruments.failed", market=str(market), reason=str(error))
        return {}


def _look(opener: Opener, base_url: str, series: Series, statuses: dict[str, str]) -> Found:
    months = _listed(opener, base_url, series, Cadence.MONTH)
    days = _listed(opener, base_url, series, Cadence.DAY)
    archives: dict[Period, Identity] = months | {
        day: identity
        for day, identity in days.items()
        if period_of(day.first, Cadence.MONTH) not in months
    }
    ends = [period.span for period in archives]
    return Found(
        series=series,
        status=statuses.get(series.symbol, ""),
        intervals=tuple(_intervals(opener, base_url, series)),
        first_day=min((span.start.date() for span in ends), default=None),
        last_day=max(((span.end - _DAY).date() for span in ends), default=None),
        archives=len(archives),
        size_bytes=sum(identity.size_bytes for identity in archives.values()),
    )


def _listed(
    opener: Opener, base_url: str, series: Series, cadence: Cadence
) -> dict[Period, Identity]:
    if not has_archives(series, cadence):
        return {}
    first = period_of(vendor.beginning().date(), cadence)
    return list_keys(opener, base_url, series, first)


def _intervals(opener: Opener, base_url: str, series: Series) -> Iterator[str]:
    """Yield the intervals that a symbol has archives of, the shortest first."""
    if series.interval is None:
        return
    folders: set[str] = set()
    for cadence in Cadence.DAY, Cadence.MONTH:
        prefix = vendor.symbols_prefix(series.market, series.kind, cadence)
        folders.update(list_folders(opener, base_url, f"{prefix}{series.symbol}/"))
    yield from (str(interval) for interval in Interval if interval in folders)
