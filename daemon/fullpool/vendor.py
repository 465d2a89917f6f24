"""The vendor's paths, hosts and publication delays. Pure.

Sources: github.com/binance/binance-public-data (README, python/enums.py) for the grammar, listings
of the bucket and the Last-Modified of 714 published days for the delays.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from fullpool.kinds import KINDS, has_archives
from fullpool.model import (
    Archive,
    Cadence,
    Interval,
    Market,
    Period,
    Series,
    is_symbol,
    period_from,
)

ARCHIVE_URL: Final = "https://data.binance.vision"
# The bucket's own address: data.binance.vision answers a listing request with a web page.
LISTING_URL: Final = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"

# The API's hosts; that of options is not asked. Spot's is the one for market data alone: it needs
# no key and serves every place.
REST_URL: Final = {
    Market.SPOT: "https://data-api.binance.vision",
    Market.UM: "https://fapi.binance.com",
    Market.CM: "https://dapi.binance.com",
}

# The status of a symbol that can be traded, in exchangeInfo.
TRADING: Final = "TRADING"

# A CHECKSUM is one line of 64 hex digits, two blanks and a name: 89 to 150 bytes were seen.
CHECKSUM_MAX_BYTES: Final = 1024

# The folder of the bucket that all archives are in.
ROOT: Final = "data"
_FOLDER: Final = {
    Market.SPOT: "spot",
    Market.UM: "futures/um",
    Market.CM: "futures/cm",
    Market.OPTION: "option",
}
_PERIOD_FOLDER: Final = {Cadence.DAY: "daily", Cadence.MONTH: "monthly"}

# Daily files of spot appear 1.8 to 5.6 h after the day (90 %), of futures 6 to 9 h after it.
_DAILY_DELAY: Final = {
    Market.SPOT: timedelta(hours=3),
    Market.UM: timedelta(hours=7),
    Market.CM: timedelta(hours=7),
    Market.OPTION: timedelta(hours=7),
}
# Until then a daily archive that is not there is on its way: 90 % of spot's came within 5.6 h. What
# was really seen of a market and kind takes the place of these.
_USUAL_DELAY: Final = {
    (Market.SPOT, Cadence.DAY): timedelta(hours=6),
    (Market.UM, Cadence.DAY): timedelta(hours=10),
    (Market.CM, Cadence.DAY): timedelta(hours=10),
    (Market.OPTION, Cadence.DAY): timedelta(hours=10),
}
_USUAL_MONTHLY_DELAY: Final = timedelta(days=15)
# Monthly files were seen from the 2nd to the 15th of the next month.
_MONTHLY_DELAY: Final = timedelta(days=1, hours=6)
# After this an archive that is still not there is a hole, not a delay: the longest delay in 714
# days of spot was 146 h, the latest monthly file came on the 15th.
_UNTIL_CLOSED: Final = timedelta(days=31)
_PATIENCE: Final = {Cadence.DAY: timedelta(days=7), Cadence.MONTH: timedelta(days=20)}

# A series whose last archive ended longer than this before it was listed no longer trades. Monthly
# archives come up to 15 days after a month of 31.
STOPPED_AFTER: Final = {Cadence.DAY: timedelta(days=14), Cadence.MONTH: timedelta(days=60)}


def symbols_prefix(market: Market, kind: str, cadence: Cadence) -> str:
    """Return the bucket prefix whose folders are the symbols."""
    return f"{ROOT}/{_FOLDER[market]}/{_PERIOD_FOLDER[cadence]}/{kind}/"


def series_prefix(series: Series, cadence: Cadence) -> str:
    """Return the bucket prefix that holds one series' archives of one length."""
    folder = symbols_prefix(series.market, series.kind, cadence) + f"{series.symbol}/"
    return folder + f"{series.interval}/" if series.interval else folder


def archive_name(archive: Archive) -> str:
    """Return the file's name without its ending; the four kline kinds share one spelling."""
    series = archive.series
    return f"{series.symbol}-{series.interval or series.kind}-{archive.period}"


def archive_key(archive: Archive) -> str:
    """Return the key of the ZIP in the bucket."""
    prefix = series_prefix(archive.series, archive.period.cadence)
    return f"{prefix}{archive_name(archive)}.zip"


def checksum_key(archive: Archive) -> str:
    return archive_key(archive) + ".CHECKSUM"


def member_name(archive: Archive) -> str:
    """Return the name of the one file inside the ZIP."""
    return archive_name(archive) + ".csv"


def marker_before(series: Series, period: Period) -> str:
    """Return the listing marker after which the first key is the one of *period*, or later."""
    return series_prefix(series, period.cadence) + archive_name(Archive(series, period))


def period_in(series: Series, key: str) -> Period | None:
    """Return the period of *key* if it names a ZIP of *series*; None for anything else."""
    name = key.rpartition("/")[2]
    start = f"{series.symbol}-{series.interval or series.kind}-"
    if not name.startswith(start) or not name.endswith(".zip"):
        return None
    try:
        period = period_from(name[len(start) : -len(".zip")])
    except ValueError:
        return None
    return period if key == archive_key(Archive(series, period)) else None


def archive_in(key: str) -> Archive | None:
    """Return the archive that *key* names; None if it names none."""
    for market, folder in _FOLDER.items():
        start, _, rest = key.partition(f"{ROOT}/{folder}/")
        parts = rest.split("/")
        if start or len(parts) not in (4, 5) or not is_symbol(parts[2]):
            continue
        kind = KINDS.get(parts[1])
        if kind is None or market not in kind.markets:
            return None
        try:
            interval = Interval(parts[3]) if len(parts) == 5 else None
        except ValueError:
            return None
        series = Series(market, parts[1], parts[2], interval)
        period = period_in(series, key)
        return Archive(series, period) if period else None
    return None


def symbol_in(prefix: str) -> str | None:
    """Return the symbol of a common prefix of the listing; None if it cannot be one."""
    symbol = prefix.rstrip("/").rpartition("/")[2]
    return symbol if is_symbol(symbol) else None


def url(base: str, key: str) -> str:
    """Return the address of *key*; names beyond ASCII are percent-encoded UTF-8."""
    return f"{base}/{quote(key)}"


def has_daily(series: Series) -> bool:
    """Whether the series is to be had by daily archives, as far as it tells."""
    return has_archives(series, Cadence.DAY)


def has_monthly(series: Series) -> bool:
    """Whether the series is to be had by monthly archives."""
    return has_archives(series, Cadence.MONTH)


def shortest(series: Series) -> Cadence:
    """Return the length of the shortest archives that a series has."""
    return Cadence.DAY if has_daily(series) else Cadence.MONTH


def still_trades(series: Series, until: datetime, listed_at: datetime) -> bool:
    """Whether the last archive, which ended at *until*, was recent when it was listed."""
    return listed_at - until <= STOPPED_AFTER[shortest(series)]


def first_ask(series: Series, period: Period) -> datetime:
    """Return when it is worth asking for that archive the first time."""
    delay = _DAILY_DELAY[series.market] if period.cadence is Cadence.DAY else _MONTHLY_DELAY
    return period.span.end + delay


def usual_delay(market: Market, cadence: Cadence) -> timedelta:
    """Return how long after a period its archive is on its way rather than late."""
    return _USUAL_DELAY.get((market, cadence), _USUAL_MONTHLY_DELAY)


def is_overdue(period: Period, now: datetime) -> bool:
    """Whether an archive that is not published by now is a hole rather than a delay."""
    return now > period.span.end + _PATIENCE[period.cadence]


def first_open_year(now: datetime) -> int:
    """Return the year that goes on, or whose December may still be published."""
    return (now - _UNTIL_CLOSED).year


def closes_at(year: int) -> datetime:
    """Return when a year is over and its December had time to be published."""
    return datetime(year + 1, 1, 1, tzinfo=UTC) + _UNTIL_CLOSED


def is_closed_year(moment: datetime, now: datetime) -> bool:
    """Whether the year of *moment* is over and its December had time to be published."""
    return moment.year < first_open_year(now)


def beginning() -> datetime:
    """Return an instant before the vendor's first archive (spot BTCUSDT, 2017-08-17)."""
    return datetime(2017, 1, 1, tzinfo=UTC)
