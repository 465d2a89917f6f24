"""Asks for funding rates between two times.

Source: the API's documentation of `fundingRate` of um and cm. It has all of the history, and tells
no interval: that stays empty until the month's archive is there.
"""

from typing import Any, Final

from fullpool.grid import Grid
from fullpool.model import instant
from fullpool.rest.client import Client
from fullpool.rest.windows import (
    MILLISECOND,
    Answer,
    Window,
    integers,
    listed,
    milliseconds,
    number,
    query_of,
    require_rising,
    wrong,
)

_LIMIT: Final = 1000
# If each place is of eight hours a symbol may be funded eight times in it.
MOST_PERIODS: Final = _LIMIT // 8
# Such requests have a limit of their own, 500 in five minutes, beside the weight of 1: as much as
# the weight of a minute allows to others is 100 of these.
WEIGHT: Final = 24


def ask_funding(client: Client, grid: Grid, window: Window) -> Answer:
    """Return the funding rates of a window."""
    series, span = window.series, grid.span(window.places)
    query = query_of(series) | {
        "startTime": milliseconds(span.start),
        "endTime": milliseconds(span.end - MILLISECOND),
        "limit": _LIMIT,
    }
    found = listed(client.get(series.market, series.kind, query, WEIGHT), window, _LIMIT)
    rows = [_rate(item, window) for item in found]
    times = integers([time for time, _ in rows], window) if rows else ()
    require_rising(times, window)
    places = tuple(grid.place_of(instant(time * 1000)) for time in times)
    if places and not window.places.first <= places[0] <= places[-1] < window.places.end:
        raise wrong(window, f"it has a rate of another time: {times[0]}..{times[-1]}")
    lines = tuple(f"{time},,{rate}" for time, rate in rows)
    return Answer(places, tuple(time * 1000 for time in times), lines)


def _rate(item: Any, window: Window) -> tuple[Any, str]:
    if not isinstance(item, dict) or not {"fundingTime", "fundingRate", "symbol"} <= item.keys():
        raise wrong(window, f"a funding rate lacks values: {str(item)[:80]}")
    if item["symbol"] != window.series.symbol:
        raise wrong(window, f"it is of {str(item['symbol'])[:40]!r}")
    return item["fundingTime"], number(item["fundingRate"], window)
