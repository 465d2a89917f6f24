"""One row per kind of data: columns, types, key, partition length, markets, intervals.

A new kind is a new row here and a fixture. Columns are in the order of the vendor's headerless
files; `vendor` is the name in the files that have a header.
Source: the published files themselves (spot without a header, futures with one since 2022).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from fullpool.model import Cadence, Interval, Market, Span


class Type(Enum):
    """What a column holds; `store` knows how each is written."""

    TIME = "instant, UTC, microseconds"
    PRICE = "decimal with 8 places, below 1e10"
    AMOUNT = "decimal with 8 places, below 1e30"
    COUNT = "64-bit integer"
    FLAG = "true or false"
    IGNORED = "not kept"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a vendor's file and its name in the lake."""

    vendor: str
    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Kind:
    """What the program knows of one kind of data.

    *time* names the column that must be in the archive's span and that rows are sorted by;
    *key* the one that identifies a row in its series. *optional* columns are absent from some
    markets' files and then NULL. Rows of an archive may lie outside its span by *slack*. *void* is
    the SQL of whether the vendor took a row back: the columns *priced* then hold no price. The API
    has the kind under the same name, and takes the symbol as *rest_symbol*.
    """

    name: str
    table: str
    markets: frozenset[Market]
    columns: tuple[Column, ...]
    time: str
    key: str
    intervals: tuple[Interval, ...] = ()
    optional: frozenset[str] = frozenset()
    slack: timedelta = timedelta()
    void: str = ""
    priced: frozenset[str] = frozenset()
    rest_symbol: str = "symbol"

    def around(self, span: Span) -> Span:
        """Return where the rows of an archive of *span* may lie."""
        return Span(span.start - self.slack, span.end + self.slack)

    @property
    def kept(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.type is not Type.IGNORED)


# Folders of the lake are called `market=spot`, `interval=1m`, `symbol=BTCUSDT`.
HIVE_KEYS: Final = ("market", "interval", "symbol")


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
    if not kind.intervals or interval is Interval.S1:
        return Cadence.DAY
    if interval in _MONTHLY and not is_closed_year:
        return Cadence.MONTH
    return Cadence.YEAR


_MONTHLY: Final = frozenset({Interval.M1, Interval.M3, Interval.M5})

_ALL: Final = tuple(Interval)


def _kline(name: str, table: str, markets: set[Market], counted: str) -> Kind:
    return Kind(
        name=name,
        table=table,
        markets=frozenset(markets),
        columns=(
            Column("open_time", "open_time", Type.TIME),
            Column("open", "open", Type.PRICE),
            Column("high", "high", Type.PRICE),
            Column("low", "low", Type.PRICE),
            Column("close", "close", Type.PRICE),
            Column("volume", "volume", Type.AMOUNT),
            Column("close_time", "close_time", Type.TIME),
            Column("quote_volume", "quote_volume", Type.AMOUNT),
            Column("count", counted, Type.COUNT),
            Column("taker_buy_volume", "taker_buy_volume", Type.AMOUNT),
            Column("taker_buy_quote_volume", "taker_buy_quote_volume", Type.AMOUNT),
            Column("ignore", "ignore", Type.IGNORED),
        ),
        time="open_time",
        key="open_time",
        intervals=_ALL,
        # Index prices belong to a pair: BTCUSD, not BTCUSD_PERP.
        rest_symbol="pair" if name == "indexPriceKlines" else "symbol",
    )


_FUTURES: Final = {Market.UM, Market.CM}

KINDS: Final = {
    kind.name: kind
    for kind in (
        _kline("klines", "klines", {Market.SPOT, *_FUTURES}, "trade_count"),
        _kline("markPriceKlines", "mark_price_klines", _FUTURES, "sample_count"),
        _kline("indexPriceKlines", "index_price_klines", _FUTURES, "sample_count"),
        _kline("premiumIndexKlines", "premium_index_klines", _FUTURES, "sample_count"),
        Kind(
            name="aggTrades",
            table="agg_trades",
            markets=frozenset({Market.SPOT, *_FUTURES}),
            columns=(
                Column("agg_trade_id", "agg_trade_id", Type.COUNT),
                Column("price", "price", Type.PRICE),
                Column("quantity", "quantity", Type.AMOUNT),
                Column("first_trade_id", "first_trade_id", Type.COUNT),
                Column("last_trade_id", "last_trade_id", Type.COUNT),
                Column("transact_time", "transact_time", Type.TIME),
                Column("is_buyer_maker", "is_buyer_maker", Type.FLAG),
                Column("is_best_match", "is_best_match", Type.FLAG),
            ),
            time="transact_time",
            key="agg_trade_id",
            optional=frozenset({"is_best_match"}),
            # A trade at midnight ends one day's file and begins the next one's.
            # Source: binance-public-data, issue 353.
            slack=timedelta(minutes=1),
            # Price and quantity are 0 then. Source: binance-spot-api-docs, CHANGELOG 2022-04-12.
            void="first_trade_id = -1",
            priced=frozenset({"price"}),
        ),
    )
}


def offers(kind: Kind, market: Market, interval: Interval | None) -> bool:
    """Whether the vendor has that kind there at that interval (1s is spot's alone)."""
    if market not in kind.markets or (interval is None) != (not kind.intervals):
        return False
    return interval is None or interval is not Interval.S1 or market is Market.SPOT
