"""Asks for aggregate trades from an id on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.model import ANOTHER_LIFE, Market, instant
from fullpool.rest.client import Client
from fullpool.rest.windows import (
    LARGEST,
    MICROSECONDS_ABOVE,
    Answer,
    Window,
    listed,
    milliseconds,
    number,
    query_of,
    require_rising,
    wrong,
)

MOST_TRADES: Final = 1000
# Futures are asked for so long at a time: a longer one is refused if both its ends are told.
_SINCE: Final = timedelta(hours=1)
TRADES_WEIGHT: Final = {Market.SPOT: 4, Market.UM: 20, Market.CM: 20}
# How far the times of trades may be from those of their neighbours by id.
_LEEWAY: Final = timedelta(hours=1)
# First and last id of a trade that the vendor took back: it keeps its own id, without a price.
# Source: binance-spot-api-docs, CHANGELOG of 2022-04-12.
_VOID: Final = -1
# Futures keep trades for a year by one document, for 48 hours by a later one.
TRADES_KEPT: Final = timedelta(hours=47)


def until_of(window: Window) -> datetime | None:
    """Return before when a window asks for trades, if it asks by time and that is limited."""
    if window.since is None or window.series.market is Market.SPOT:
        return None
    return window.since + _SINCE


def ask_trades(client: Client, window: Window) -> Answer:
    """Return the trades of a window of ids, and what comes after it."""
    series, places = window.series, window.places
    query = query_of(series) | {"limit": len(places)}
    if window.since is None:
        query["fromId"] = places.first
    else:
        query["startTime"] = milliseconds(window.since)
        if (until := until_of(window)) is not None:
            query["endTime"] = milliseconds(until) - 1
    found = client.get(
        series.market, series.kind, query, TRADES_WEIGHT[series.market],
        in_microseconds=series.market is Market.SPOT,
    )  # fmt: skip
    rows = [_trade(item, window) for item in listed(found, window, len(places))]
    require_rising([row[0] for row in rows], window)
    rows = [_of_its_life(row, window) for row in rows]
    return Answer(*map(tuple, zip(*rows, strict=True))) if rows else Answer((), (), ())


def _of_its_life(row: tuple[int, int, str], window: Window) -> tuple[int, int, str]:
    """Return a trade by its place; one long after the gap, in a symbol used again, is beyond it."""
    key, moment, line = row
    around = window.around
    if around is not None and instant(moment) > around.span.end + ANOTHER_LIFE:
        return max(key, around.places.end), moment, line
    return row


def _trade(item: Any, window: Window) -> tuple[int, int, str]:
    if not isinstance(item, dict) or not {*"apqflTm"} <= set(item):
        raise wrong(window, f"a trade lacks values: {str(item)[:80]}")
    _require_numbers(item, window)
    flags = [item[name] for name in "mM" if name in item]
    if any(type(flag) is not bool for flag in flags):
        raise wrong(window, f"a trade has an invalid flag: {str(item)[:80]}")
    moment = item["T"] * (1 if item["T"] >= MICROSECONDS_ABOVE else 1000)
    _require_place(item["a"], instant(moment), window)
    price, quantity = number(item["p"], window), number(item["q"], window)
    values = (item["a"], price, quantity, item["f"], item["l"], moment, *flags)
    return item["a"], moment, ",".join(map(str, values))


def _require_numbers(item: Mapping[str, Any], window: Window) -> None:
    is_void = item["f"] == item["l"] == _VOID
    for name in "aT" if is_void else "aflT":
        if type(item[name]) is not int or not 0 <= item[name] < LARGEST // 10:
            raise wrong(window, f"a trade has invalid ids or time: {str(item)[:80]}")


def _require_place(key: int, moment: datetime, window: Window) -> None:
    """Raise RestError for a trade that was not asked for, by its id or by its time."""
    if key < window.places.first:
        raise wrong(window, f"it has the trade {key}")
    if window.around is None or key >= window.places.end - 1:
        return
    span = window.around.span
    is_later = moment > span.end + ANOTHER_LIFE
    if not span.start - _LEEWAY <= moment <= span.end + _LEEWAY and not is_later:
        raise wrong(window, f"trade {key} is out of order in time")
