"""An independent reader of archives of any kind: zipfile, csv and decimal, nothing of ours.

A table says, by hand, what becomes of each column of the vendor's files.
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(text: str) -> datetime:
    if not text.isdigit():
        return datetime.fromisoformat(text)
    value = int(text)
    moment = _EPOCH + timedelta(microseconds=value if value >= 10**14 else value * 1000)
    return moment.replace(tzinfo=None)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_TRADES = (
    ("id", "trade_id", _whole), ("price", "price", _number), ("qty", "quantity", _number),
    ("quote_qty", "quote_quantity", _number), ("time", "trade_time", _time),
    ("is_buyer_maker", "is_buyer_maker", _flag),
)  # fmt: skip
_BEST = ("is_best_match", "is_best_match", _flag)
_SAME = (
    "delta", "gamma", "vega", "theta", "mark_price", "mark_iv", "open", "high", "low", "close",
    "volume_contracts", "volume_usdt", "best_bid_price", "best_ask_price", "best_buy_iv",
    "best_sell_iv",
)  # fmt: skip
# By kind: the vendor's column, the lake's, and what the text means.
COLUMNS: Mapping[str, tuple[tuple[str, str, Callable[[str], Any]], ...]] = {
    "trades": _TRADES,
    "bookTicker": (
        ("update_id", "update_id", _whole),
        ("best_bid_price", "best_bid_price", _number),
        ("best_bid_qty", "best_bid_quantity", _number),
        ("best_ask_price", "best_ask_price", _number),
        ("best_ask_qty", "best_ask_quantity", _number),
        ("transaction_time", "transaction_time", _time),
        ("event_time", "event_time", _time),
    ),
    "bookDepth": (
        ("timestamp", "snapshot_time", _time), ("percentage", "percentage", _number),
        ("depth", "depth", _number), ("notional", "notional", _number),
    ),
    "metrics": (
        ("create_time", "create_time", _time), ("symbol", "symbol", str),
        *(
            (name, name, _number)
            for name in (
                "sum_open_interest", "sum_open_interest_value", "count_toptrader_long_short_ratio",
                "sum_toptrader_long_short_ratio", "count_long_short_ratio",
                "sum_taker_long_short_vol_ratio",
            )
        ),
    ),
    "fundingRate": (
        ("calc_time", "calc_time", _time),
        ("funding_interval_hours", "funding_interval_hours", _whole),
        ("last_funding_rate", "last_funding_rate", _number),
    ),
    "liquidationSnapshot": (
        ("time", "order_time", _time),
        *((name, name, str) for name in ("side", "order_type", "time_in_force", "order_status")),
        *(
            (name, name, _number)
            for name in (
                "original_quantity", "price", "average_price", "last_fill_quantity",
                "accumulated_fill_quantity",
            )
        ),
    ),
    "BVOLIndex": (
        ("calc_time", "calc_time", _time), ("symbol", "symbol", str),
        ("base_asset", "base_asset", str), ("quote_asset", "quote_asset", str),
        ("index_value", "index_value", _number),
    ),
    "EOHSummary": (
        ("symbol", "contract", str), ("underlying", "symbol", str), ("type", "option_type", str),
        ("strike", "expiry_strike", str),
        *((name, name, _number) for name in _SAME),
        ("best_bid_qty", "best_bid_quantity", _number),
        ("best_ask_qty", "best_ask_quantity", _number),
        ("openinterest_contracts", "open_interest_contracts", _number),
        ("openinterest_usdt", "open_interest_usdt", _number),
    ),
}  # fmt: skip


def rows_in(path: Path, kind: str) -> tuple[list[str], Counter[Row]]:
    """Return the lake's columns and the rows of one archive, each as often as it is there."""
    with zipfile.ZipFile(path) as opened:
        (name,) = opened.namelist()
        lines = list(csv.reader(io.StringIO(opened.read(name).decode())))
    columns = COLUMNS[kind]
    if lines[0][0][:1].isdigit():
        columns = (*columns, _BEST) if len(lines[0]) > len(columns) else columns
        header = [vendor for vendor, _, _ in columns]
    else:
        header, lines = lines[0], lines[1:]
    found: Counter[Row] = Counter()
    for line in lines:
        row = dict(zip(header, line, strict=True))
        found[*(read(row[vendor]) for vendor, _, read in columns), *_derived(row, kind)] += 1
    return [*(name for _, name, _ in columns), *_DERIVED.get(kind, ())], found


_DERIVED = {"EOHSummary": ("hour_time", "expiry", "strike")}


def _derived(row: Mapping[str, str], kind: str) -> Row:
    if kind not in _DERIVED:
        return ()
    day, (expiry, strike) = date.fromisoformat(row["date"]), row["strike"].split("-")
    at = datetime(day.year, day.month, day.day, int(row["hour"]), tzinfo=UTC).replace(tzinfo=None)
    return at, datetime.strptime(expiry, "%y%m%d").replace(tzinfo=UTC).date(), Decimal(strike)
