"""Asks for klines between two times, and reads the answer by columns."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fullpool.grid import Grid
from fullpool.model import EPOCH, Market, instant
from fullpool.rest.client import Client
from fullpool.rest.windows import (
    ALL_NUMBERS,
    LARGEST,
    LONGEST_WINDOW,
    MICROSECONDS_ABOVE,
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

# Most rows for their weight: spot always takes 2, futures 2 up to 499 and 10 for 1500.
_MOST: Final = {Market.SPOT: 1000, Market.UM: 499, Market.CM: 499}
# Spot's archives hold microseconds from then on, and its API gives them if it is asked to.
MICROSECONDS_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)
_WIDTH: Final = 12


def most_klines(market: Market, grid: Grid) -> int:
    """Return how many bars are asked for in one request."""
    if market is not Market.CM:
        return _MOST[market]
    return min(_MOST[market], max(LONGEST_WINDOW // (grid.step or timedelta(days=31)), 1))


def klines_weight(market: Market, limit: int) -> int:
    if market is Market.SPOT:
        return 2
    return next((weight for rows, weight in ((99, 1), (499, 2), (1000, 5)) if limit <= rows), 10)


def ask_klines(client: Client, grid: Grid, window: Window) -> Answer:
    """Return the bars of a window that are closed."""
    series, places = window.series, window.places
    limit, (start, end) = len(places), _bounds(grid, window)
    query = query_of(series) | {
        "startTime": milliseconds(start),
        "endTime": milliseconds(end),
        "limit": limit,
    }
    is_recent = grid.opens(places.first) >= MICROSECONDS_FROM
    found = client.get(
        series.market, series.kind, query, klines_weight(series.market, limit),
        in_microseconds=series.market is Market.SPOT and is_recent,
    )  # fmt: skip
    answer = _klines(listed(found, window, limit), grid, window)
    closed = _closed(grid, answer, client.answered_at)
    return Answer(answer.places[:closed], answer.moments[:closed], answer.lines[:closed])


def _bounds(grid: Grid, window: Window) -> tuple[datetime, datetime]:
    """Return when the first and the last bar of a window open; the lake's may be off the grid."""
    start, end = grid.opens(window.places.first), grid.opens(window.places.end - 1)
    around = window.around
    if around is None:
        return start, end
    is_last = window.places.end == around.places.end + 1
    if is_last and around.after is not None and end < around.after < grid.opens(window.places.end):
        end = around.after
    return start, end


def _closed(grid: Grid, answer: Answer, now: datetime) -> int:
    """Return how many of the bars, oldest first, are closed."""
    if grid.step is None:
        return bisect_left(answer.places, grid.at(now))
    return bisect_right(answer.moments, (now - grid.step - EPOCH) // timedelta(microseconds=1))


def _placed(moments: Sequence[int], grid: Grid, window: Window) -> list[int]:
    """Return the places of bars. Raises RestError if they are off the grid, without proof.

    An answer of another time zone would be as well. One is believed that has a bar exactly where
    the lake has the row next to the gap.
    """
    places, around = grid.places_of(moments), window.around
    if not grid.is_regular(moments):
        held = {around.before, around.after} - {None} if around else set()
        if not held & {instant(moment) for moment in moments}:
            raise wrong(
                window, f"it has a bar that is not on the grid: {moments[0]}..{moments[-1]} us"
            )
    if around is None:
        return places
    return [around.place(moment, place) for moment, place in zip(moments, places, strict=True)]


def _klines(rows: list[Any], grid: Grid, window: Window) -> Answer:
    """Check all bars of an answer, by column: a row at a time takes five times as long."""
    if not rows:
        return Answer((), (), ())
    _require_width(rows, window)
    columns = list(zip(*rows, strict=True))
    opens, closes, counts = (integers(columns[index], window) for index in (0, 6, 8))
    texts = [_numbers(columns[index], window) for index in (1, 2, 3, 4, 5, 7, 9, 10)]
    unit = 1 if opens[0] >= MICROSECONDS_ABOVE else 1000
    moments = [opened * unit for opened in opens]
    require_rising(moments, window)
    places = _placed(moments, grid, window)
    if max(closes) * unit >= LARGEST:
        raise wrong(window, f"it has a bar that closes at {max(closes)}")
    if not window.places.first <= places[0] <= places[-1] < window.places.end:
        raise wrong(window, f"it has a bar of another time: {opens[0]}..{opens[-1]}")
    return Answer(tuple(places), tuple(moments), _lines(opens, closes, counts, texts))


def _require_width(rows: list[Any], window: Window) -> None:
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {_WIDTH}:
        odd = next(row for row in rows if type(row) is not list or len(row) != _WIDTH)
        raise wrong(window, f"a bar does not have {_WIDTH} values: {str(odd)[:80]}")


def _lines(
    opens: Sequence[int],
    closes: Sequence[int],
    counts: Sequence[int],
    texts: Sequence[Sequence[str]],
) -> tuple[str, ...]:
    """Return bars as lines of an archive; *texts* are prices, volume, and the three after close."""
    before, quote, after = texts[:5], texts[5], texts[6:]
    ignored = itertools.repeat("0", len(opens))
    values = zip(
        map(str, opens), *before, map(str, closes), quote, map(str, counts), *after, ignored,
        strict=True,
    )  # fmt: skip
    return tuple(map(",".join, values))


def _numbers(values: Sequence[Any], window: Window) -> Sequence[str]:
    """Return *values* if all are decimal numbers as text."""
    if set(map(type, values)) != {str} or not ALL_NUMBERS.fullmatch(",".join(values)):
        for value in values:
            number(value, window)
        raise wrong(window, "it has a value that is not a decimal number")
    return values
