"""Asks for the five statistics that make up a row of metrics, and joins them.

Source: the API's documentation of `/futures/data`, which has the last 30 days. It rounds ratios to
fewer digits than the archives have; of cm it has no ratio of takers: that stays empty.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from fullpool.grid import Grid
from fullpool.model import Market, Series, instant
from fullpool.rest.client import Client
from fullpool.rest.windows import (
    Answer,
    Window,
    integers,
    listed,
    milliseconds,
    path_of,
    query_of,
    wrong,
)

# The last 30 days, and the row before those that are asked for as well.
STATISTICS_KEPT: Final = timedelta(days=29, hours=23)
MOST_STATISTICS: Final = 500
# Such requests weigh nothing and have a limit of their own, 1000 in five minutes.
STATISTICS_WEIGHT: Final = 12
_OPEN_INTEREST: Final = "openInterestHist"
# In the order of the archives' columns: accounts and positions of top traders, all accounts,
# takers.
_RATIOS: Final = (
    ("topLongShortAccountRatio", "longShortRatio"),
    ("topLongShortPositionRatio", "longShortRatio"),
    ("globalLongShortAccountRatio", "longShortRatio"),
    ("takerlongshortRatio", "buySellRatio"),
)
_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,16}0*)?")


def ask_statistics(client: Client, grid: Grid, window: Window) -> Answer:
    """Return the rows of a window: where there is open interest, with the ratios known of it."""
    held = _column(client, grid, window, _OPEN_INTEREST)
    ratios = [
        _texts(_column(client, grid, window, path) if _has(window, path) else {}, name, window)
        for path, name in _RATIOS
    ]
    interest = _texts(held, "sumOpenInterest", window)
    value = _texts(held, "sumOpenInterestValue", window)
    times = tuple(sorted(held))
    lines = []
    for time in times:
        own = ",".join(ratio.get(time, "") for ratio in ratios)
        lines.append(f"{time},{window.series.symbol},{interest[time]},{value[time]},{own}")
    micros = tuple(time * 1000 for time in times)
    return Answer(tuple(grid.places_of(micros)), micros, tuple(lines))


def _has(window: Window, path: str) -> bool:
    return window.series.market is not Market.CM or path != "takerlongshortRatio"


def questions_of(series: Series) -> int:
    """Return how many requests a window takes."""
    return len(_RATIOS) + (series.market is not Market.CM)


def _column(client: Client, grid: Grid, window: Window, path: str) -> dict[int, Mapping[str, Any]]:
    """Return the answer to one of the questions, by its milliseconds."""
    span = grid.span(window.places)
    query = query_of(window.series) | {
        "startTime": milliseconds(span.start),
        "endTime": milliseconds(span.end) - 1,
        "limit": MOST_STATISTICS,
    }
    answer = client.get(
        window.series.market, f"{path_of(window.series)}/{path}", query, STATISTICS_WEIGHT
    )
    found: dict[int, Mapping[str, Any]] = {}
    for item in listed(answer, window, MOST_STATISTICS):
        if not isinstance(item, dict) or "timestamp" not in item:
            raise wrong(window, f"a row of {path} lacks values: {str(item)[:80]}")
        (time,) = integers([_whole(item["timestamp"])], window)
        if not span.start <= instant(time * 1000) < span.end:
            raise wrong(window, f"it has a row of another time: {time}")
        found[time] = item
    return found


def _whole(value: Any) -> Any:
    """Return a number that may be given as text."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _texts(found: Mapping[int, Mapping[str, Any]], name: str, window: Window) -> dict[int, str]:
    texts = {}
    for time, item in found.items():
        text = item.get(name)
        if not isinstance(text, str) or not _NUMBER.fullmatch(text):
            raise wrong(window, f"{name} is no decimal number: {str(text)[:40]!r}")
        texts[time] = text
    return texts
