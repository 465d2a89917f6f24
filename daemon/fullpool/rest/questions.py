"""What is asked about a gap: windows of its rows, and what is around it.

Source: the API's documentation, and recorded answers of it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.errors import RestError
from fullpool.grid import Grid, Places
from fullpool.kinds import Api, api_of
from fullpool.model import Market, Series, Span
from fullpool.rest.client import Client
from fullpool.rest.funding import MOST_PERIODS, WEIGHT, ask_funding
from fullpool.rest.klines import MICROSECONDS_FROM, ask_klines, klines_weight, most_klines
from fullpool.rest.statistics import (
    MOST_STATISTICS,
    STATISTICS_KEPT,
    STATISTICS_WEIGHT,
    ask_statistics,
    questions_of,
)
from fullpool.rest.trades import MOST_TRADES, TRADES_KEPT, TRADES_WEIGHT, ask_trades
from fullpool.rest.windows import (
    LONGEST_WINDOW,
    MILLISECOND,
    Answer,
    Surroundings,
    Window,
    milliseconds,
    path_of,
    query_of,
)

# Source: its first archives and answers of the API are of 2020.
_COIN_M_BEGAN: Final = datetime(2020, 1, 1, tzinfo=UTC)


def windows(
    series: Series, grid: Grid | None, places: Places, around: Surroundings | None = None
) -> Iterator[Window]:
    """Cut *places* into windows that the API answers in one request each, oldest first."""
    at = places.first
    while at < places.end:
        end = min(places.end, at + _window_rows(series, grid))
        if grid is not None and series.market is Market.SPOT:
            turn = grid.at(MICROSECONDS_FROM - MILLISECOND) + 1
            end = turn if at < turn < end else end
        yield Window(series, Places(at, end), around)
        at = end


def window_since(series: Series, since: datetime) -> Window:
    """Return what asks for the first trades from an instant on."""
    return Window(series, Places(0, MOST_TRADES), since=since)


def _window_rows(series: Series, grid: Grid | None) -> int:
    if grid is None:
        return MOST_TRADES
    match api_of(series):
        case Api.FUNDING:
            return MOST_PERIODS
        case Api.STATISTICS:
            return MOST_STATISTICS
        case _:
            return most_klines(series.market, grid)


def kept_for(series: Series) -> timedelta | None:
    """Return how long the API keeps the rows of a series; None if for ever."""
    api = api_of(series)
    if api is Api.STATISTICS:
        return STATISTICS_KEPT
    return TRADES_KEPT if api is Api.TRADES and series.market is not Market.SPOT else None


def requests_of(series: Series) -> int:
    """Return how many requests the rows of one window take."""
    return questions_of(series) if api_of(series) is Api.STATISTICS else 1


def weight_of(window: Window) -> int:
    """Return what it costs to ask for a window."""
    series = window.series
    match api_of(series):
        case Api.FUNDING:
            return WEIGHT
        case Api.STATISTICS:
            return STATISTICS_WEIGHT * questions_of(series)
        case Api.TRADES:
            return TRADES_WEIGHT[series.market]
        case _:
            return klines_weight(series.market, len(window.places))


def tells_history(series: Series) -> bool:
    """Whether the API can be asked if a series existed long before or after a gap."""
    return api_of(series) is not Api.STATISTICS


def is_too_old(series: Series, until: datetime, now: datetime) -> bool:
    """Whether the API has forgotten what was before *until*."""
    kept = kept_for(series)
    return kept is not None and until <= now - kept


def ask(client: Client, grid: Grid | None, window: Window) -> Answer:
    """Return the rows of a window that are closed. Raises RestError and its kinds."""
    if grid is None:
        return ask_trades(client, window)
    match api_of(window.series):
        case Api.FUNDING:
            return ask_funding(client, grid, window)
        case Api.STATISTICS:
            return ask_statistics(client, grid, window)
        case _:
            return ask_klines(client, grid, window)


def existed_before(client: Client, grid: Grid, series: Series, place: int) -> bool:
    """Whether the API has a bar of the series before *place*."""
    end = grid.opens(place) - MILLISECOND
    begins = _COIN_M_BEGAN if series.market is Market.CM else vendor.beginning()
    spans = _askable(series, Span(min(begins, end), end))
    return any(_has_rows(client, series, span) for span in reversed(spans))


def existed_after(client: Client, grid: Grid, series: Series, place: int, now: datetime) -> bool:
    """Whether the API has a bar of the series from *place* on."""
    start = grid.opens(place)
    spans = _askable(series, Span(start, max(start, now)))
    return any(_has_rows(client, series, span) for span in spans)


def _askable(series: Series, span: Span) -> list[Span]:
    """Cut a span into those that one request may be about: COIN-M takes no long ones."""
    if series.market is not Market.CM:
        return [span]
    count = (span.end - span.start) // LONGEST_WINDOW + 1
    starts = [span.start + number * LONGEST_WINDOW for number in range(count)]
    return [Span(start, min(start + LONGEST_WINDOW, span.end)) for start in starts]


def _has_rows(client: Client, series: Series, span: Span) -> bool:
    bounds = {"startTime": milliseconds(span.start), "endTime": milliseconds(span.end)}
    query = {**query_of(series), **bounds, "limit": 1}
    weight = WEIGHT if api_of(series) is Api.FUNDING else 2
    found = client.get(series.market, series.kind, query, weight)
    if not isinstance(found, list):
        raise RestError(f"asking for {series}: the answer is not a list")
    return bool(found)


def is_trading(client: Client, series: Series) -> bool:
    """Whether the API lists the symbol as trading."""
    return client.status_of(series.market, series.symbol) == vendor.TRADING


def address(client: Client, series: Series) -> str:
    """Return what is asked for a series, without the bounds."""
    query = "&".join(f"{name}={value}" for name, value in query_of(series).items())
    return f"{client.url_of(series.market, path_of(series))}?{query}"
