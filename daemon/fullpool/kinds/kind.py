"""What the program knows of a kind of data, and what follows from that. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from fullpool.model import Cadence, Interval, Market, Span

# What the field ids of computed columns count from.
_COMPUTED: Final = 1001


class Type(Enum):
    """What a column holds; `store` knows how each is written."""

    TIME = "instant, UTC, microseconds"
    DATE = "day, UTC"
    PRICE = "decimal with 8 places, below 1e10"
    AMOUNT = "decimal with 8 places, below 1e30"
    FINE = "decimal with 16 places, below 1e22"
    COUNT = "64-bit integer"
    FLAG = "true or false"
    TEXT = "text"
    SYMBOL = "the symbol of the series: checked, and not kept"
    IGNORED = "not kept"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a vendor's file and its name in the lake.

    *aliases* are other names the vendor has for it. A column *is_optional* if the files of some
    markets lack it, which is NULL then, and *is_nullable* if a row may have no value.
    """

    vendor: str
    name: str
    type: Type
    aliases: tuple[str, ...] = ()
    is_optional: bool = False
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that is computed, by *sql*, from those of a vendor's file."""

    name: str
    type: Type
    sql: str
    is_nullable: bool = False


class Api(Enum):
    """What the vendor's API has of a kind, and how it is asked for."""

    NOTHING = "no such kind, or not without a key"
    BARS = "klines, between two times"
    TRADES = "trades, from an id on"
    FUNDING = "funding rates, between two times"
    STATISTICS = "five answers, joined into one row, of the last 30 days"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of data.

    *time* names the column that must be in the archive's span and that rows are sorted by;
    it is read from the vendor's columns *stamp*. *key* names the columns that identify a row in its
    series; a kind without any has rows that repeat, and all of them are kept. Rows of an archive
    may lie outside its span by *slack*.

    Where rows are expected: with *intervals*, on their grids; else every *step*; else, in the
    markets *counted_in*, at every number of the column *counter*; else in each archive, of which a
    day or a month has at least one row. The column *spacing* has the hours that a row is after the
    one before it: then *step* is the longest.

    *void* is the SQL of whether the vendor took a row back: the columns *priced* then hold no
    price. *first_row* is how long after its start the first row of an archive may be. With
    *jitter*, rows of the same minute are one, whatever the milliseconds.

    The API takes the symbol as *rest_symbol*, and has only symbols with the *api_endings* of their
    market. Its symbols are instruments if it *is_traded*. *is_current*: it is asked at once for
    rows of days that ended, of which an archive comes much later.
    """

    name: str
    table: str
    markets: frozenset[Market]
    columns: tuple[Column, ...]
    time: str
    key: tuple[str, ...]
    derived: tuple[Derived, ...] = ()
    stamp: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    cadences: frozenset[Cadence] = frozenset({Cadence.DAY, Cadence.MONTH})
    partition: Cadence = Cadence.DAY
    step: timedelta | None = None
    spacing: str = ""
    counter: str = ""
    counted_in: frozenset[Market] = frozenset()
    slack: timedelta = timedelta()
    first_row: timedelta = timedelta()
    void: str = ""
    priced: frozenset[str] = frozenset()
    jitter: bool = False
    api: Api = Api.NOTHING
    api_endings: tuple[tuple[Market, str], ...] = ()
    is_current: bool = False
    rest_symbol: str = "symbol"
    is_traded: bool = True

    def around(self, span: Span) -> Span:
        """Return where the rows of an archive of *span* may lie."""
        return Span(span.start - self.slack, span.end + self.slack)

    @property
    def kept(self) -> tuple[Column | Derived, ...]:
        """The columns of the lake."""
        unkept = (Type.IGNORED, Type.SYMBOL)
        return (*self.derived, *(one for one in self.columns if one.type not in unkept))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of the lake."""
        return tuple(column.name for column in self.kept)

    @property
    def field_ids(self) -> dict[str, int]:
        """The number of each column of the lake, for engines that know columns by number.

        It never changes: the vendor's columns count from 1 as they are declared, so a new one is
        declared last; those that are computed count from 1,001.
        """
        vendors = {one.name: number for number, one in enumerate(self.columns, 1)}
        computed = {one.name: number for number, one in enumerate(self.derived, _COMPUTED)}
        numbers = vendors | computed
        return {name: numbers[name] for name in self.names}

    @property
    def has_empty_fields(self) -> bool:
        """Whether a field may be empty, in quotes or without."""
        return any(column.is_nullable for column in self.columns)

    @property
    def default_market(self) -> Market:
        """The first market of the vendor that has the kind."""
        return next(market for market in Market if market in self.markets)

    def api_of(self, market: Market, symbol: str) -> Api:
        """Return what the API has of a series."""
        endings = [ending for of, ending in self.api_endings if of is market]
        return self.api if all(symbol.endswith(ending) for ending in endings) else Api.NOTHING

    @property
    def can_follow(self) -> bool:
        """Whether the API can be asked for the newest rows."""
        return self.api is not Api.NOTHING

    def is_counted(self, market: Market) -> bool:
        """Whether rows are expected at every number of the counter."""
        return market in self.counted_in


# Folders of the lake are called `market=spot`, `interval=1m`, `symbol=BTCUSDT`.
HIVE_KEYS: Final = ("market", "interval", "symbol")

# Files of these are of a month each, folded into one of a year once that is closed.
_MONTHLY: Final = frozenset({Interval.M1, Interval.M3, Interval.M5})
# Spot has no daily files of these at all, futures of half their symbols.
BY_MONTH_ONLY: Final = frozenset({Interval.D3, Interval.W1, Interval.MO1})


def misread_signs(path: str) -> str:
    """Return the signs of a path that DuckDB, or the views of the lake, take for something else."""
    return " ".join(sign for sign in "|?*[\\" if sign in path)


def is_hive_key(folder: str) -> bool:
    """Whether a folder's name would be read as one of the lake's own keys."""
    key, sign, _ = folder.partition("=")
    return bool(sign) and key.lower() in HIVE_KEYS


def lake_cadence(kind: Kind, interval: Interval | None, *, is_closed_year: bool) -> Cadence:
    """Return how long a partition of that series is.

    A day for trade-like kinds and 1s klines, which a month would make too large to rewrite; a year
    for 15m and longer, which a month would make too small; between them a month, folded into one
    file once its year is closed.
    """
    if interval is Interval.S1:
        return Cadence.DAY
    cadence = kind.partition if interval is None else Cadence.YEAR
    cadence = Cadence.MONTH if interval in _MONTHLY else cadence
    return Cadence.YEAR if cadence is Cadence.MONTH and is_closed_year else cadence


def offers(kind: Kind, market: Market, interval: Interval | None) -> bool:
    """Whether the vendor has that kind there at that interval (1s is spot's alone)."""
    if market not in kind.markets or (interval is None) != (not kind.intervals):
        return False
    return interval is None or interval is not Interval.S1 or market is Market.SPOT
