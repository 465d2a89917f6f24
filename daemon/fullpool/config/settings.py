"""Every setting, as frozen values.

The keys, their defaults and units are explained in `config/fullpool.toml`; a test compares that
file with this module.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field

from fullpool import vendor
from fullpool.config.addresses import (
    LOOPBACK,
    host_and_port,
    is_address,
    is_bucket,
    is_scheduler,
    is_url,
)
from fullpool.config.spelling import nearest
from fullpool.kinds import KINDS, is_hive_key, misread_signs
from fullpool.model import Interval, Market, Series, Span, is_symbol
from fullpool.patterns import fits, is_plain, parted
from fullpool.proxies import ENVIRONMENT, NONE, proxy_in
from fullpool.timing import Timing, timing_from

_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)
_FIRST_YEAR, _LAST_YEAR = 2009, 2199
_PATTERN_SIGNS: Final = str.maketrans("", "", "*?")
# What other programs write between base and quote asset.
_SEPARATORS: Final = str.maketrans("", "", "/-: ")


def _is_pattern(text: str) -> str:
    name = text.removeprefix("!").translate(_PATTERN_SIGNS)
    if name and not is_symbol(name):
        joined = text.translate(_SEPARATORS).upper()
        hint = f" (did you mean {joined}?)" if is_symbol(joined) else ""
        raise ValueError(
            f"a symbol is letters, digits and _ (with * and ? as wildcards, ! to exclude){hint}"
        )
    if name != name.upper():
        raise ValueError(f"the vendor's symbols are in upper case: {text.upper()}")
    if not text.removeprefix("!"):
        raise ValueError("a symbol pattern must not be empty")
    return text


def _is_day(day: date) -> date:
    if isinstance(day, datetime) or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"must be a day between {_FIRST_YEAR} and {_LAST_YEAR}, like 2024-01-31")
    return day


def _is_lake_path(text: str) -> str:
    if not text or "\0" in text or "://" in text or text.startswith("$"):
        raise ValueError("must be the path of a folder of this machine, without variables")
    if signs := misread_signs(text):
        raise ValueError(f"may not hold {signs}: DuckDB would not find the files there")
    if wrong := next((name for name in Path(text).parts if is_hive_key(name)), None):
        raise ValueError(
            f"may not lie below a folder called {wrong}: DuckDB would read it as a column"
        )
    return text


def _is_kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}{nearest(text, KINDS)}")
    return text


def _is_timing(text: str) -> str:
    timing_from(text)
    return text


def _is_proxy(text: str) -> str:
    if text in (ENVIRONMENT, NONE):
        return text
    if text.lower() in (ENVIRONMENT, NONE):
        raise ValueError(f'must be "{text.lower()}", in lower case')
    proxy_in(text)
    return text


def _is_metrics_file(text: str) -> str:
    if text and not (text.endswith(".prom") and Path(text).stem):
        raise ValueError(
            "must end with .prom, as the textfile collector wants it: the file is written over"
        )
    return text


# pydantic would take "24" for a number and "no" for false.
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Url = Annotated[str, AfterValidator(is_url)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]
LakePath = Annotated[str, AfterValidator(_is_lake_path)]
MetricsFile = Annotated[str, AfterValidator(_is_metrics_file)]
Day = Annotated[date, Field(strict=True), AfterValidator(_is_day)]
KindName = Annotated[str, AfterValidator(_is_kind)]
TimingText = Annotated[str, AfterValidator(_is_timing)]
Bucket = Annotated[str, AfterValidator(is_bucket)]
Scheduler = Annotated[str, AfterValidator(is_scheduler)]
Listen = Annotated[str, AfterValidator(is_address)]
ProxyText = Annotated[str, AfterValidator(_is_proxy)]
Seconds = Annotated[Number, Field(gt=0, le=86_400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What to keep: every series of one market and kind whose symbol fits the patterns."""

    __pydantic_config__ = _STRICT

    market: Market
    kind: KindName
    symbols: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    intervals: tuple[Interval, ...] = ()
    start: Day | None = None
    end: Day | None = None
    follow: Flag = False

    @property
    def span(self) -> Span:
        """The configured days; a missing start is before the vendor's first archive."""
        start = _midnight(self.start) if self.start else vendor.beginning()
        end = _midnight(self.end + timedelta(days=1)) if self.end else _FAR
        return Span(start, end)

    def follows(self, series: Series, now: datetime) -> bool:
        """Whether a series is one of these, and its rows of *now* are wanted before archives."""
        if not self.follow or not self.span.start <= now < self.span.end:
            return False
        same = (series.market, series.kind) == (self.market, self.kind)
        fits = series.interval is None or series.interval in self.intervals
        return same and fits and self.wants(series.symbol)

    @property
    def literal_symbols(self) -> tuple[str, ...] | None:
        """The symbols, if none of the patterns needs the vendor's list of them."""
        return self.symbols if self.named == self.symbols else None

    @property
    def named(self) -> tuple[str, ...]:
        """The symbols that are named, and not excluded."""
        included, excluded = parted(self.symbols)
        return tuple(p for p in included if is_plain(p) and not fits(p, excluded))

    def wants(self, symbol: str) -> bool:
        """Whether *symbol* fits one pattern and no exclusion."""
        included, excluded = parted(self.symbols)
        return fits(symbol, included or ["*"]) and not fits(symbol, excluded)

    def not_among(self, symbols: Collection[str]) -> list[Series]:
        """Return the series of symbols that are named and not among *symbols*."""
        known = set(symbols)
        return [series for name in self.named if name not in known for series in self.series(name)]

    def unfit(self, symbols: Iterable[str]) -> list[str]:
        """Return the patterns that match none of *symbols*, and excluded symbols not among them.

        An exclusion by pattern may well match none: "!*UPUSDT" is of use in several markets.
        """
        names = list(symbols)
        unsure = [
            text
            for text in self.symbols
            if (is_plain(text[1:]) if text.startswith("!") else not is_plain(text))
        ]
        return [text for text in unsure if not _fits_any(names, text.removeprefix("!"))]

    @property
    def named_series(self) -> list[Series]:
        """The series of the symbols that are named."""
        return [series for symbol in self.named for series in self.series(symbol)]

    def series(self, symbol: str) -> tuple[Series, ...]:
        """Return the series of *symbol*, one an interval."""
        if not self.intervals:
            return (Series(self.market, self.kind, symbol),)
        return tuple(Series(self.market, self.kind, symbol, i) for i in self.intervals)


def _fits_any(symbols: Iterable[str], pattern: str) -> bool:
    return any(fits(symbol, [pattern]) for symbol in symbols)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_FAR: Final = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """Where the lake is and how long what was replaced stays readable."""

    __pydantic_config__ = _STRICT

    path: LakePath = "~/fullpool-lake"
    retain_hours: Annotated[Number, Field(ge=0, le=24 * 366)] = 24.0
    min_free_gb: Annotated[Number, Field(ge=0)] = 2.0
    control_group: str = ""

    @property
    def grace(self) -> timedelta:
        """How long what was replaced stays readable."""
        return timedelta(hours=self.retain_hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the vendor is asked."""

    __pydantic_config__ = _STRICT

    archive_url: Url = vendor.ARCHIVE_URL
    listing_url: Url = vendor.LISTING_URL
    allow_http: Flag = False
    ca_file: str = ""
    proxy: ProxyText = ENVIRONMENT
    connections: Annotated[Whole, Field(ge=1, le=64)] = 32
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 30.0
    deadline_s: Seconds = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one pass may use."""

    __pydantic_config__ = _STRICT

    builders: Annotated[Whole, Field(ge=1, le=64)] = 2
    builder_memory_mb: Annotated[Whole, Field(ge=128, le=1 << 20)] = 256
    staging_mb: Annotated[Whole, Field(ge=64)] = 4096
    archive_mb: Annotated[Whole, Field(ge=1)] = 8192
    inflated_mb: Annotated[Whole, Field(ge=1)] = 65536
    rounds: Annotated[Whole, Field(ge=1, le=10)] = 3
    publish_every_s: Seconds = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """How long what the vendor listed is believed."""

    __pydantic_config__ = _STRICT

    symbols_max_age_h: Annotated[Number, Field(ge=0)] = 24.0
    dormant_max_age_h: Annotated[Number, Field(ge=0)] = 168.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How gaps that no archive fills are asked for at the vendor's API."""

    __pydantic_config__ = _STRICT

    enabled: Flag = True
    spot_url: Url = vendor.REST_URL[Market.SPOT]
    um_url: Url = vendor.REST_URL[Market.UM]
    cm_url: Url = vendor.REST_URL[Market.CM]
    max_keepalive_connections: Annotated[Whole, Field(ge=1, le=64)] = 20
    max_connections: Annotated[Whole, Field(ge=1, le=128)] = 30
    keepalive_expiry: Seconds = 30.0
    timeout_s: Seconds = 10.0
    weight_share: Annotated[Number, Field(gt=0, le=1)] = 0.5
    requests_per_pass: Annotated[Whole, Field(ge=1, le=1_000_000)] = 5000

    def url(self, market: Market) -> str:
        return {Market.SPOT: self.spot_url, Market.UM: self.um_url, Market.CM: self.cm_url}[market]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What is accepted although the vendor's CHECKSUM does not vouch for it."""

    __pydantic_config__ = _STRICT

    accept_wrong_checksum: Flag = False
    accept_missing_checksum: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the daemon does what."""

    __pydantic_config__ = _STRICT

    tick: TimingText = "5m"
    patch: TimingText = "15m"
    audit: TimingText = "17 4 * * *"
    publish: TimingText = "1h"
    follow: TimingText = "* * * * *"
    housekeeping: TimingText = "1h"
    jitter_s: Annotated[Number, Field(ge=0, le=86_400)] = 1800.0

    def timing(self, job: str) -> Timing:
        """Return when the job of that name runs."""
        text: str = getattr(self, job)
        return timing_from(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where the daemon's figures are for Prometheus to read."""

    __pydantic_config__ = _STRICT

    file: MetricsFile = "fullpool.prom"
    listen: Listen = ""
    anyone: Flag = False

    @property
    def is_beyond(self) -> bool:
        """Whether other machines may read the figures."""
        return bool(self.listen) and host_and_port(self.listen)[0] not in LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Where the lake is published for readers on other machines."""

    __pydantic_config__ = _STRICT

    to: Bucket = ""
    delta: Flag = False
    every_s: Seconds = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What does the steps of a sync, if not this machine."""

    __pydantic_config__ = _STRICT

    scheduler: Scheduler = ""
    exchange: Bucket = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user can set."""

    __pydantic_config__ = _STRICT

    lake: Lake = field(default_factory=Lake)
    network: Network = field(default_factory=Network)
    limits: Limits = field(default_factory=Limits)
    discovery: Discovery = field(default_factory=Discovery)
    rest: Rest = field(default_factory=Rest)
    checks: Checks = field(default_factory=Checks)
    schedule: Schedule = field(default_factory=Schedule)
    metrics: Metrics = field(default_factory=Metrics)
    publish: Publish = field(default_factory=Publish)
    cluster: Cluster = field(default_factory=Cluster)
    dataset: Annotated[tuple[Dataset, ...], Field(min_length=1)]

    def wants(self, series: Series) -> bool:
        """Whether any dataset asks for a series."""
        return any(
            series in one.series(series.symbol) and one.wants(series.symbol) for one in self.dataset
        )

    def follows(self, series: Series, now: datetime) -> bool:
        """Whether the rows of *now* of a series are wanted before archives come."""
        return self.followed_from(series, now) is not None

    def followed_from(self, series: Series, now: datetime) -> datetime | None:
        """Return the start of what is followed of a series *now*; None if it is not followed."""
        if not self.rest.enabled:
            return None
        following = [one.span.start for one in self.dataset if one.follows(series, now)]
        return min(following, default=None)
