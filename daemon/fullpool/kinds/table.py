"""One row per kind of data: columns, types, key, archives, markets, where rows are expected.

A new kind is a new row here and a fixture. Columns are in the order of the vendor's headerless
files. Source: the published files themselves (spot without a header, futures with one since 2022).
"""

from datetime import timedelta
from typing import Final

from fullpool.kinds.kind import Api, Column, Derived, Kind, Type
from fullpool.model import Cadence, Interval, Market

_SPOT_AND_FUTURES: Final = frozenset({Market.SPOT, Market.UM, Market.CM})
_FUTURES: Final = frozenset({Market.UM, Market.CM})
_OPTION: Final = frozenset({Market.OPTION})
_BY_DAY: Final = frozenset({Cadence.DAY})
_BY_MONTH: Final = frozenset({Cadence.MONTH})


def _kline(name: str, table: str, markets: frozenset[Market], counted: str) -> Kind:
    return Kind(
        name=name,
        table=table,
        markets=markets,
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
        key=("open_time",),
        intervals=tuple(Interval),
        api=Api.BARS,
        # Index prices belong to a pair: BTCUSD, not BTCUSD_PERP.
        rest_symbol="pair" if name == "indexPriceKlines" else "symbol",
        is_traded=name != "indexPriceKlines",
    )


_AGG_TRADES: Final = Kind(
    name="aggTrades",
    table="agg_trades",
    markets=_SPOT_AND_FUTURES,
    columns=(
        Column("agg_trade_id", "agg_trade_id", Type.COUNT),
        Column("price", "price", Type.PRICE),
        Column("quantity", "quantity", Type.AMOUNT),
        Column("first_trade_id", "first_trade_id", Type.COUNT),
        Column("last_trade_id", "last_trade_id", Type.COUNT),
        Column("transact_time", "transact_time", Type.TIME),
        Column("is_buyer_maker", "is_buyer_maker", Type.FLAG),
        Column("is_best_match", "is_best_match", Type.FLAG, is_optional=True),
    ),
    time="transact_time",
    key=("agg_trade_id",),
    counter="agg_trade_id",
    counted_in=_SPOT_AND_FUTURES,
    # A trade at midnight ends one day's file and begins the next one's.
    # Source: binance-public-data, issue 353.
    slack=timedelta(minutes=1),
    # Price and quantity are 0 then. Source: binance-spot-api-docs, CHANGELOG 2022-04-12.
    void="first_trade_id = -1",
    priced=frozenset({"price"}),
    api=Api.TRADES,
)

_TRADES: Final = Kind(
    name="trades",
    table="trades",
    markets=_SPOT_AND_FUTURES,
    columns=(
        Column("id", "trade_id", Type.COUNT),
        Column("price", "price", Type.PRICE),
        Column("qty", "quantity", Type.AMOUNT),
        # Of cm it is the quantity in the base asset, as in the klines of cm.
        Column("quote_qty", "quote_quantity", Type.AMOUNT, aliases=("base_qty",)),
        Column("time", "trade_time", Type.TIME),
        Column("is_buyer_maker", "is_buyer_maker", Type.FLAG),
        Column("is_best_match", "is_best_match", Type.FLAG, is_optional=True),
    ),
    time="trade_time",
    key=("trade_id",),
    counter="trade_id",
    # Trades of the insurance fund and of auto-deleveraging are left out of futures: their ids skip.
    counted_in=frozenset({Market.SPOT}),
    slack=timedelta(minutes=1),
    void="price = 0 AND quantity = 0",
    priced=frozenset({"price"}),
)

_BOOK_TICKER: Final = Kind(
    name="bookTicker",
    table="book_ticker",
    markets=_FUTURES,
    columns=(
        Column("update_id", "update_id", Type.COUNT),
        Column("best_bid_price", "best_bid_price", Type.PRICE),
        Column("best_bid_qty", "best_bid_quantity", Type.AMOUNT),
        Column("best_ask_price", "best_ask_price", Type.PRICE),
        Column("best_ask_qty", "best_ask_quantity", Type.AMOUNT),
        Column("transaction_time", "transaction_time", Type.TIME),
        Column("event_time", "event_time", Type.TIME),
    ),
    time="transaction_time",
    key=(),
    slack=timedelta(minutes=1),
)

_BOOK_DEPTH: Final = Kind(
    name="bookDepth",
    table="book_depth",
    markets=_FUTURES,
    columns=(
        Column("timestamp", "snapshot_time", Type.TIME),
        Column("percentage", "percentage", Type.PRICE),
        Column("depth", "depth", Type.AMOUNT),
        Column("notional", "notional", Type.AMOUNT),
    ),
    time="snapshot_time",
    key=("snapshot_time", "percentage"),
    cadences=_BY_DAY,
    slack=timedelta(minutes=1),
)

_METRICS: Final = Kind(
    name="metrics",
    table="metrics",
    markets=_FUTURES,
    columns=(
        Column("create_time", "create_time", Type.TIME),
        Column("symbol", "symbol_", Type.SYMBOL),
        Column("sum_open_interest", "sum_open_interest", Type.FINE, is_nullable=True),
        Column("sum_open_interest_value", "sum_open_interest_value", Type.FINE, is_nullable=True),
        *(
            Column(name, name, Type.FINE, is_nullable=True)
            for name in (
                "count_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio",
                "count_long_short_ratio", "sum_taker_long_short_vol_ratio",
            )
        ),
    ),
    time="create_time",
    # Files of 2020-09 to 2021-05 have every row twice, by mistake.
    key=("create_time",),
    cadences=_BY_DAY,
    partition=Cadence.MONTH,
    step=timedelta(minutes=5),
    # The last row of a day is of 00:00:00 or 00:00:01 of the next one, in the files of 2026.
    slack=timedelta(minutes=1),
    first_row=timedelta(minutes=5),
    jitter=True,
    api=Api.STATISTICS,
    # The API does not tell contracts of cm that are delivered from each other.
    api_endings=((Market.CM, "_PERP"),),
)  # fmt: skip

_FUNDING_RATE: Final = Kind(
    name="fundingRate",
    table="funding_rate",
    markets=_FUTURES,
    columns=(
        Column("calc_time", "calc_time", Type.TIME),
        Column("funding_interval_hours", "funding_interval_hours", Type.COUNT, is_nullable=True),
        Column("last_funding_rate", "last_funding_rate", Type.PRICE),
    ),
    time="calc_time",
    key=("calc_time",),
    cadences=_BY_MONTH,
    partition=Cadence.YEAR,
    # Every 8, 4 or 1 hours, by symbol and time.
    step=timedelta(hours=8),
    spacing="funding_interval_hours",
    slack=timedelta(minutes=1),
    # Some milliseconds after the hour, in some months, in archives and API alike or not.
    jitter=True,
    api=Api.FUNDING,
    is_current=True,
)

_LIQUIDATION_SNAPSHOT: Final = Kind(
    name="liquidationSnapshot",
    table="liquidation_snapshot",
    markets=_FUTURES,
    columns=(
        Column("time", "order_time", Type.TIME),
        Column("side", "side", Type.TEXT),
        Column("order_type", "order_type", Type.TEXT),
        Column("time_in_force", "time_in_force", Type.TEXT),
        Column("original_quantity", "original_quantity", Type.AMOUNT),
        Column("price", "price", Type.PRICE),
        Column("average_price", "average_price", Type.PRICE),
        Column("order_status", "order_status", Type.TEXT),
        Column("last_fill_quantity", "last_fill_quantity", Type.AMOUNT),
        Column("accumulated_fill_quantity", "accumulated_fill_quantity", Type.AMOUNT),
    ),
    time="order_time",
    # Each line twice is normal in some files, and nothing tells a repeated one from another order.
    key=(),
    cadences=_BY_DAY,
    slack=timedelta(minutes=1),
)

_BVOL_INDEX: Final = Kind(
    name="BVOLIndex",
    table="bvol_index",
    markets=_OPTION,
    columns=(
        Column("calc_time", "calc_time", Type.TIME),
        Column("symbol", "symbol_", Type.SYMBOL),
        Column("base_asset", "base_asset", Type.TEXT),
        Column("quote_asset", "quote_asset", Type.TEXT),
        Column("index_value", "index_value", Type.PRICE),
    ),
    time="calc_time",
    key=("calc_time",),
    cadences=_BY_DAY,
    step=timedelta(seconds=1),
    slack=timedelta(minutes=1),
    is_traded=False,
)

_EOH_SUMMARY: Final = Kind(
    name="EOHSummary",
    table="eoh_summary",
    markets=_OPTION,
    columns=(
        Column("date", "date_", Type.IGNORED),
        Column("hour", "hour_", Type.IGNORED),
        Column("symbol", "contract", Type.TEXT),
        Column("underlying", "underlying", Type.SYMBOL),
        Column("type", "option_type", Type.TEXT),
        Column("strike", "expiry_strike", Type.TEXT),
        *(
            Column(vendor, name, Type.AMOUNT, is_nullable=True)
            for vendor, name in (
                ("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"),
                ("volume_contracts", "volume_contracts"), ("volume_usdt", "volume_usdt"),
                ("best_bid_price", "best_bid_price"), ("best_ask_price", "best_ask_price"),
                ("best_bid_qty", "best_bid_quantity"), ("best_ask_qty", "best_ask_quantity"),
                ("best_buy_iv", "best_buy_iv"), ("best_sell_iv", "best_sell_iv"),
                ("mark_price", "mark_price"), ("mark_iv", "mark_iv"), ("delta", "delta"),
                ("gamma", "gamma"), ("vega", "vega"), ("theta", "theta"),
                ("openinterest_contracts", "open_interest_contracts"),
                ("openinterest_usdt", "open_interest_usdt"),
            )
        ),
    ),
    # The strike holds expiry and strike, as 231229-34000.
    derived=(
        Derived("hour_time", Type.TIME, "date_::TIMESTAMP + to_hours(hour_::BIGINT)"),
        Derived(
            "expiry", Type.DATE,
            "try_strptime(split_part(expiry_strike, '-', 1), '%y%m%d')::DATE", is_nullable=True,
        ),
        Derived(
            "strike", Type.PRICE,
            "try_cast(split_part(expiry_strike, '-', 2) AS DECIMAL(18,8))", is_nullable=True,
        ),
    ),
    time="hour_time",
    stamp=("date_", "hour_"),
    key=("hour_time", "contract"),
    cadences=_BY_DAY,
    partition=Cadence.MONTH,
    is_traded=False,
)  # fmt: skip

KINDS: Final = {
    kind.name: kind
    for kind in (
        _kline("klines", "klines", _SPOT_AND_FUTURES, "trade_count"),
        _kline("markPriceKlines", "mark_price_klines", _FUTURES, "sample_count"),
        _kline("indexPriceKlines", "index_price_klines", _FUTURES, "sample_count"),
        _kline("premiumIndexKlines", "premium_index_klines", _FUTURES, "sample_count"),
        _AGG_TRADES,
        _TRADES,
        _BOOK_TICKER,
        _BOOK_DEPTH,
        _METRICS,
        _FUNDING_RATE,
        _LIQUIDATION_SNAPSHOT,
        _BVOL_INDEX,
        _EOH_SUMMARY,
    )
}
