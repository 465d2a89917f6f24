"""What a lake holds of real archives, to be compared with the files themselves."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from fullpool.store.catalogue.reader import Reader
from real_reader import Content

DECIMALS = {
    "klines": ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume",
               "taker_buy_quote_volume"),
    "aggTrades": ("price", "quantity"),
}  # fmt: skip

DATASETS = """
[[dataset]]
market = "spot"
kind = "klines"
symbols = ["*"]
intervals = ["1m", "5m", "15m", "1h", "4h", "1d"]
[[dataset]]
market = "um"
kind = "klines"
symbols = ["*"]
intervals = ["1m", "1h"]
[[dataset]]
market = "cm"
kind = "klines"
symbols = ["*"]
intervals = ["1m"]
[[dataset]]
market = "um"
kind = "aggTrades"
symbols = ["*"]
[[dataset]]
market = "cm"
kind = "aggTrades"
symbols = ["*"]
"""


def in_lake(reader: Reader, one: Content) -> tuple[Any, ...]:
    """Return what the lake holds of one archive's period."""
    time, table = (
        ("open_time", "klines") if one.kind == "klines" else ("transact_time", "agg_trades")
    )
    sums = ", ".join(f"sum({name})" for name in DECIMALS[one.kind])
    key = f"market_ := '{one.market}'" + (
        f", interval_ := '{one.interval}'" if one.interval else ""
    )
    days = 1 if len(one.period) == 10 else 31
    start = one.first.replace(hour=0, minute=0, second=0, microsecond=0)
    start = start if days == 1 else start.replace(day=1)
    end = start + timedelta(days=1) if days == 1 else (start + timedelta(days=32)).replace(day=1)
    row = reader.query(
        f"SELECT count(*), min({time}), max({time}), {sums}"
        f" FROM {table}_of_exact('{one.symbol}', {key})"
        f" WHERE {time} >= '{start:%Y-%m-%d}' AND {time} < '{end:%Y-%m-%d}'"
    ).rows[0]
    utc = one.first.tzinfo
    return (
        row[0],
        row[1].replace(tzinfo=utc),
        row[2].replace(tzinfo=utc),
        tuple(map(Decimal, row[3:])),
    )
