"""Text to one frozen configuration, or every error at once.

The keys, their defaults and units are explained in `config/fullpool.toml`; a test compares that
file with this module.
"""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from fullpool import vendor
from fullpool.errors import ConfigError
from fullpool.kinds import KINDS, offers
from fullpool.model import Interval, Market, Series, Span, is_symbol

_STRICT: Final = ConfigDict(extra="forbid")
_FIRST_YEAR, _LAST_YEAR = 2009, 2199
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PATTERN_SIGNS: Final = str.maketrans("", "", "*?")


def _is_pattern(text: str) -> str:
    name = text.removeprefix("!").translate(_PATTERN_SIGNS)
    if name and not is_symbol(name):
        raise ValueError(
            "a symbol is letters, digits and _ (with * and ? as wildcards, ! to leave out)"
        )
    if name != name.upper():
        raise ValueError(f"the vendor's symbols are in capitals: {text.upper()}")
    if not text.removeprefix("!"):
        raise ValueError("a symbol pattern may not be empty")
    return text


def _is_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be an address like https://data.binance.vision")
    if parts.query or parts.fragment or text.endswith("/"):
        raise ValueError("must have no query and no slash at the end")
    return text


def _is_day(day: date) -> date:
    if isinstance(day, datetime) or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"must be a day between {_FIRST_YEAR} and {_LAST_YEAR}, like 2024-01-31")
    return day


def _is_lake_path(text: str) -> str:
    if not text or "|" in text or "\0" in text:
        raise ValueError("must be the path of a folder and may not hold the sign |")
    return text


def _is_kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}{_nearest(text, KINDS)}")
    return text


Url = Annotated[str, AfterValidator(_is_url)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]
LakePath = Annotated[str, AfterValidator(_is_lake_path)]
Day = Annotated[date, Field(strict=True), AfterValidator(_is_day)]
KindName = Annotated[str, AfterValidator(_is_kind)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


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

    @property
    def span(self) -> Span:
        """The configured days; a missing start is before the vendor's first archive."""
        start = _midnight(self.start) if self.start else vendor.beginning()
        end = _midnight(self.end + timedelta(days=1)) if self.end else _FAR
        return Span(start, end)

    @property
    def literal_symbols(self) -> tuple[str, ...] | None:
        """The symbols, if none of the patterns needs the vendor's list of them."""
        if any(p.startswith("!") or set(p) & {"*", "?"} for p in self.symbols):
            return None
        return self.symbols

    def wants(self, symbol: str) -> bool:
        """Whether *symbol* fits one pattern and no exclusion."""
        excluded = [p[1:] for p in self.symbols if p.startswith("!")]
        included = [p for p in self.symbols if not p.startswith("!")]
        return _fits(symbol, included or ["*"]) and not _fits(symbol, excluded)

    def series(self, symbol: str) -> tuple[Series, ...]:
        """Return the series of *symbol*, one an interval."""
        if not self.intervals:
            return (Series(self.market, self.kind, symbol),)
        return tuple(Series(self.market, self.kind, symbol, i) for i in self.intervals)


def _fits(symbol: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_FAR: Final = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """Where the lake is and how long what was replaced stays readable."""

    __pydantic_config__ = _STRICT

    path: LakePath = "~/fullpool-lake"
    retain_hours: Annotated[float, Field(ge=0, le=24 * 366)] = 24.0
    min_free_gb: Annotated[float, Field(ge=0)] = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the vendor is asked."""

    __pydantic_config__ = _STRICT

    archive_url: Url = vendor.ARCHIVE_URL
    listing_url: Url = vendor.LISTING_URL
    allow_http: bool = False
    ca_file: str = ""
    connections: Annotated[int, Field(ge=1, le=64)] = 32
    read_timeout_s: Seconds = 30.0
    deadline_s: Seconds = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one pass may use."""

    __pydantic_config__ = _STRICT

    builders: Annotated[int, Field(ge=1, le=64)] = 2
    builder_memory_mb: Annotated[int, Field(ge=128, le=1 << 20)] = 256
    staging_mb: Annotated[int, Field(ge=64)] = 4096
    archive_mb: Annotated[int, Field(ge=1)] = 8192
    inflated_mb: Annotated[int, Field(ge=1)] = 65536
    rounds: Annotated[int, Field(ge=1, le=10)] = 3
    publish_every_s: Seconds = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """How long what the vendor listed is believed."""

    __pydantic_config__ = _STRICT

    symbols_max_age_h: Annotated[float, Field(ge=0)] = 24.0
    dormant_max_age_h: Annotated[float, Field(ge=0)] = 168.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How gaps that no archive fills are asked for at the vendor's API."""

    __pydantic_config__ = _STRICT

    enabled: bool = True
    spot_url: Url = vendor.REST_URL[Market.SPOT]
    um_url: Url = vendor.REST_URL[Market.UM]
    cm_url: Url = vendor.REST_URL[Market.CM]
    max_keepalive_connections: Annotated[int, Field(ge=1, le=64)] = 20
    max_connections: Annotated[int, Field(ge=1, le=128)] = 30
    keepalive_expiry: Seconds = 30.0
    timeout_s: Seconds = 10.0
    weight_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    requests_per_pass: Annotated[int, Field(ge=1, le=1_000_000)] = 5000

    def url(self, market: Market) -> str:
        return {Market.SPOT: self.spot_url, Market.UM: self.um_url, Market.CM: self.cm_url}[market]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user can set."""

    __pydantic_config__ = _STRICT

    lake: Lake = field(default_factory=Lake)
    network: Network = field(default_factory=Network)
    limits: Limits = field(default_factory=Limits)
    discovery: Discovery = field(default_factory=Discovery)
    rest: Rest = field(default_factory=Rest)
    dataset: Annotated[tuple[Dataset, ...], Field(min_length=1)]


def parse(text: str, source: str) -> Config:
    """Return the configuration in *text*. Raises ConfigError naming every mistake in it."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, (f"not TOML: {error}",)) from error
    try:
        config = TypeAdapter(Config).validate_python(raw)
    except ValidationError as error:
        found = (*sorted(_problems(error, text), key=_line_in), *_contradictions(raw))
        raise ConfigError(source, tuple(dict.fromkeys(found))) from error
    found = (*_contradictions(raw), *_insecure(config), *_narrow(config.rest))
    if found:
        raise ConfigError(source, found)
    return config


def _problems(error: ValidationError, text: str) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # nothing valid was left of what was given; those mistakes are named already
        loc = tuple(part for part in detail["loc"] if isinstance(part, int | str))
        yield f"{_where(loc, text)}: {_what(detail, loc)}"


def _line_in(problem: str) -> int:
    found = re.match(r"line (\d+)", problem)
    return int(found[1]) if found else 0


def _where(loc: tuple[int | str, ...], text: str) -> str:
    name = ""
    for part in loc:
        # Counted from 1, as a person counts the [[dataset]] tables of the file.
        name += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if name else part
    line = _line_of(loc, text)
    return f"line {line}, {name}" if line else name


def _line_of(loc: tuple[int | str, ...], text: str) -> int | None:
    """Return the line of a key, or of its table's heading; None if neither is written out."""
    heading, seen, found = "", 0, None
    table = str(loc[0]) if loc else ""
    wanted = loc[1] + 1 if len(loc) > 1 and isinstance(loc[1], int) else 1
    key = next((p for p in loc[1:] if isinstance(p, str)), None)
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#", 1)[0].strip()
        if stripped.startswith("["):
            heading = stripped.strip("[] ")
            seen += heading == table
            found = number if heading == table and seen == wanted else found
        elif heading in (table, "") and seen in (wanted, 0):
            name = stripped.split("=", 1)[0].strip()
            if (heading == table and seen == wanted and name == key) or (
                not heading and name == table
            ):
                return number
    return found


def _what(detail: Any, loc: tuple[int | str, ...]) -> str:
    given = repr(detail["input"])[:80]
    match detail["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            allowed = _keys_at(loc[:-1])
            return (
                f"unknown key; allowed here: {', '.join(allowed)}{_nearest(str(loc[-1]), allowed)}"
            )
        case "missing" | "missing_argument":
            return "missing; it has no default"
        case "enum":
            expected = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            hint = _nearest(str(detail["input"]), expected.split(", "))
            return f"must be one of {expected}, not {given}{hint}"
        case "too_short":
            return "must have at least one"
        case "value_error":
            return f"{detail['ctx']['error']}, not {given}"
        case _:
            message = str(detail["msg"])
            return f"{message[:1].lower()}{message[1:]}, not {given}"


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at *loc* may have."""
    shape: Any = Config
    for part in loc:
        if isinstance(part, int):
            continue
        shape = _dataclass_in(typing.get_type_hints(shape)[part])
    return [f.name for f in fields(shape)]


def _dataclass_in(hint: Any) -> Any:
    while not is_dataclass(hint):
        inner = typing.get_args(hint)
        hint = next(i for i in inner if i is not Ellipsis and not isinstance(i, types.NoneType))
    return hint


def _nearest(text: str, allowed: typing.Iterable[str]) -> str:
    if text == "1M":  # the API's spelling of a month
        return " (did you mean 1mo?)"
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(text.lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {names[close[0]]}?)" if close else ""


def _contradictions(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong between the keys of each dataset, whatever else is wrong."""
    datasets = raw.get("dataset")
    found: list[str] = []
    for number, table in enumerate(datasets if isinstance(datasets, list) else (), start=1):
        if isinstance(table, dict):
            found += (f"dataset[{number}].{text}" for text in _contradictions_in(table))
    return tuple(found)


def _contradictions_in(table: Mapping[str, Any]) -> Iterator[str]:
    start, end = table.get("start"), table.get("end")
    if type(start) is date and type(end) is date and end < start:
        yield f"end: {end} is before start, {start}"
    kind, intervals = KINDS.get(str(table.get("kind"))), table.get("intervals", [])
    if kind is None or not isinstance(intervals, list) or table.get("market") not in set(Market):
        return
    market = Market(table["market"])
    if market not in kind.markets:
        where = ", ".join(sorted(kind.markets))
        yield f"kind: the vendor has no {kind.name} of {market}; it has them of {where}"
    elif kind.intervals and not intervals:
        yield f"intervals: missing; {kind.name} need at least one of {', '.join(kind.intervals)}"
    elif not kind.intervals and intervals:
        yield f"intervals: {kind.name} have none; leave the key out"
    elif "1s" in intervals and not offers(kind, market, Interval.S1):
        yield "intervals: 1s is published for spot only"


def _insecure(config: Config) -> Iterator[str]:
    places: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
        ("network", config.network, ("archive_url", "listing_url")),
        ("rest", config.rest, ("spot_url", "um_url", "cm_url")),
    )
    for section, settings, keys in places:
        for key in keys:
            parts = urlsplit(getattr(settings, key))
            is_here = parts.hostname in _LOOPBACK
            if parts.scheme == "http" and not is_here and not config.network.allow_http:
                yield f"{section}.{key}: must be https, or set network.allow_http = true"


def _narrow(rest: Rest) -> Iterator[str]:
    if rest.max_connections < rest.max_keepalive_connections:
        yield (
            f"rest.max_connections: {rest.max_connections} is less than max_keepalive_connections,"
            f" {rest.max_keepalive_connections}"
        )
