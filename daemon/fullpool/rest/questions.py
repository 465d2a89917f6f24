"""What is asked about a gap, and strict parsing of the answers.

Rows come out as lines of the vendor's own CSV, so that they go the way of an archive's from here.
Source: the API's documentation, and recorded answers of it.
"""

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fullpool import vendor
from fullpool.errors import RestError
from fullpool.grid import Grid, Places
from fullpool.kinds import KINDS
from fullpool.model import ANOTHER_LIFE, EPOCH, Interval, Market, Series, Span, instant
from fullpool.rest.client import PREFIX, Client

# Most rows for their weight: spot always takes 2, futures 2 up to 499 and 10 for 1500.
_KLINES: Final = {Market.SPOT: 1000, Market.UM: 499, Market.CM: 499}
_TRADES: Final = 1000
_TRADES_WEIGHT: Final = {Market.SPOT: 4, Market.UM: 20, Market.CM: 20}
_LONGEST_WINDOW: Final = timedelta(days=199)  # COIN-M refuses 200 days
# Spot's archives hold microseconds from then on, and its API gives them if it is asked to.
_MICROSECONDS_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)
# Futures keep trades for a year by one document, for 48 hours by a later one.
_TRADES_KEPT: Final = timedelta(hours=47)

# How far the times of trades may be from those of their neighbours by id.
_LEEWAY: Final = timedelta(hours=1)

# First and last id of a trade that the vendor took back: it keeps its own id, without a price.
# Source: binance-spot-api-docs, CHANGELOG of 2022-04-12.
_VOID: Final = -1

_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECONDS_ABOVE: Final = 10**14
_LARGEST: Final = 10**17
# At most eight decimals, and zeros: what more the lake cannot hold exactly.
_DECIMAL: Final = r"-?\d{1,30}(?:\.\d{1,8}0*)?"
_NUMBER: Final = re.compile(_DECIMAL)
_ALL_NUMBERS: Final = re.compile(f"{_DECIMAL}(?:,{_DECIMAL})*+")
_WIDTH: Final = 12


@dataclass(frozen=True, slots=True)
class Window:
    """One request: so many places of a series. Of trades, *places* are ids.

    *around* is the gap that is asked for, by which rows beyond it are told from its own.
    """

    series: Series
    places: Places
    around: "Surroundings | None" = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A gap, and when the rows are that the lake has before and after it, if there are any.

    *span* is where the rows between the two must be.
    """

    places: Places
    span: Span
    before: datetime | None = None
    after: datetime | None = None

    def place(self, moment: int, place: int) -> int:
        """Return the place of a bar, of the lake's own rows on their side of the gap."""
        if self.before is not None and instant(moment) <= self.before:
            return min(place, self.places.first - 1)
        if self.after is not None and instant(moment) >= self.after:
            return max(place, self.places.end)
        return place


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one window, oldest first: places, microseconds, lines of the vendor's CSV."""

    places: tuple[int, ...]
    moments: tuple[int, ...]
    lines: tuple[str, ...]


def windows(
    series: Series, grid: Grid | None, places: Places, around: Surroundings | None = None
) -> Iterator[Window]:
    """Cut *places* into windows that the API answers in one request each, oldest first."""
    at = places.first
    while at < places.end:
        end = min(places.end, at + _window_rows(series, grid))
        if grid is not None and series.market is Market.SPOT:
            turn = grid.at(_MICROSECONDS_FROM - _MILLISECOND) + 1
            end = turn if at < turn < end else end
        yield Window(series, Places(at, end), around)
        at = end


def _window_rows(series: Series, grid: Grid | None) -> int:
    if grid is None:
        return _TRADES
    rows = _KLINES[series.market]
    if series.market is Market.CM:
        step = grid.step or timedelta(days=31)
        rows = min(rows, max(_LONGEST_WINDOW // step, 1))
    return rows


def is_too_old(series: Series, until: datetime, now: datetime) -> bool:
    """Whether the API has forgotten what was before *until*."""
    if series.interval is not None or series.market is Market.SPOT:
        return False
    return until < now - _TRADES_KEPT


def ask(client: Client, grid: Grid | None, window: Window) -> Answer:
    """Return the rows of a window that are closed. Raises RestError and its kinds."""
    if grid is None:
        return _ask_trades(client, window)
    return _ask_klines(client, grid, window)


def existed_before(client: Client, grid: Grid, series: Series, place: int) -> bool:
    """Whether the API has a bar of the series in the half year before *place*."""
    end = grid.opens(place) - _MILLISECOND
    query = _query(series) | {
        "startTime": _ms(end - _LONGEST_WINDOW), "endTime": _ms(end), "limit": 1
    }  # fmt: skip
    return _has_rows(client, series, query)


def _has_rows(client: Client, series: Series, query: dict[str, str | int]) -> bool:
    found = client.get(series.market, series.kind, query, 2)
    if not isinstance(found, list):
        raise RestError(f"asking for {series}: the answer is not a list")
    return bool(found)


def existed_after(client: Client, grid: Grid, series: Series, place: int) -> bool:
    """Whether the API has a bar of the series in the half year from *place* on."""
    start = grid.opens(place)
    query = _query(series) | {
        "startTime": _ms(start), "endTime": _ms(start + _LONGEST_WINDOW), "limit": 1
    }  # fmt: skip
    return _has_rows(client, series, query)


def is_trading(client: Client, series: Series) -> bool:
    """Whether the API lists the symbol as trading."""
    return client.status_of(series.market, series.symbol) == vendor.TRADING


def address(client: Client, series: Series) -> str:
    """Return what is asked for a series, without the bounds."""
    query = "&".join(f"{name}={value}" for name, value in _query(series).items())
    return f"{client.settings.url(series.market)}{PREFIX[series.market]}/{series.kind}?{query}"


def _query(series: Series) -> dict[str, str | int]:
    query: dict[str, str | int] = {KINDS[series.kind].rest_symbol: series.symbol}
    if series.interval is not None:
        query["interval"] = "1M" if series.interval is Interval.MO1 else str(series.interval)
    return query


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


def _klines_weight(market: Market, limit: int) -> int:
    if market is Market.SPOT:
        return 2
    return next((weight for rows, weight in ((99, 1), (499, 2), (1000, 5)) if limit <= rows), 10)


def _ask_klines(client: Client, grid: Grid, window: Window) -> Answer:
    series, places = window.series, window.places
    limit, (start, end) = len(places), _bounds(grid, window)
    query = _query(series) | {"startTime": _ms(start), "endTime": _ms(end), "limit": limit}
    is_recent = grid.opens(places.first) >= _MICROSECONDS_FROM
    found = client.get(
        series.market, series.kind, query, _klines_weight(series.market, limit),
        in_microseconds=series.market is Market.SPOT and is_recent,
    )  # fmt: skip
    answer = _klines(_listed(found, window), grid, window)
    closed = _closed(grid, answer, client.now())
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
            raise _wrong(
                window, f"it has a bar that is not on the grid: {moments[0]}..{moments[-1]} us"
            )
    if around is None:
        return places
    return [around.place(moment, place) for moment, place in zip(moments, places, strict=True)]


def _klines(rows: list[Any], grid: Grid, window: Window) -> Answer:
    """Check all bars of an answer, by column: a row at a time takes five times as long."""
    if not rows:
        return Answer((), (), ())
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {_WIDTH}:
        wrong = next(row for row in rows if type(row) is not list or len(row) != _WIDTH)
        raise _wrong(window, f"a bar does not have {_WIDTH} values: {str(wrong)[:80]}")
    columns = list(zip(*rows, strict=True))
    opens, closes, counts = (_integers(columns[index], window) for index in (0, 6, 8))
    texts = [_numbers(columns[index], window) for index in (1, 2, 3, 4, 5, 7, 9, 10)]
    unit = 1 if opens[0] >= _MICROSECONDS_ABOVE else 1000
    moments = [opened * unit for opened in opens]
    _check_order(moments, window)
    places = _placed(moments, grid, window)
    if max(closes) * unit >= _LARGEST:
        raise _wrong(window, f"it has a bar that closes at {max(closes)}")
    if not window.places.first <= places[0] <= places[-1] < window.places.end:
        raise _wrong(window, f"it has a bar of another time: {opens[0]}..{opens[-1]}")
    before, quote, after = texts[:5], texts[5], texts[6:]
    ignored = itertools.repeat("0", len(rows))
    lines = map(
        ",".join,
        zip(
            map(str, opens), *before, map(str, closes), quote, map(str, counts), *after, ignored,
            strict=True,
        ),
    )  # fmt: skip
    return Answer(tuple(places), tuple(moments), tuple(lines))


def _integers(values: Sequence[Any], window: Window) -> Sequence[int]:
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) < _LARGEST:
        return values
    wrong = next(value for value in values if type(value) is not int or not 0 <= value < _LARGEST)
    raise _wrong(window, f"{str(wrong)[:40]!r} is not a time or a count")


def _numbers(values: Sequence[Any], window: Window) -> Sequence[str]:
    """Return *values* if all are decimal numbers as text."""
    if set(map(type, values)) != {str} or not _ALL_NUMBERS.fullmatch(",".join(values)):
        for value in values:
            _number(value, window)
        raise _wrong(window, "it has a value that is not a decimal number")
    return values


def _ask_trades(client: Client, window: Window) -> Answer:
    series, places = window.series, window.places
    query = _query(series) | {"fromId": places.first, "limit": len(places)}
    found = client.get(
        series.market, series.kind, query, _TRADES_WEIGHT[series.market],
        in_microseconds=series.market is Market.SPOT,
    )  # fmt: skip
    rows = [_trade(item, window) for item in _listed(found, window)]
    _check_order([row[0] for row in rows], window)
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
        raise _wrong(window, f"a trade lacks values: {str(item)[:80]}")
    numbers = [item[name] for name in "aflT"]
    if item["f"] == item["l"] == _VOID:
        numbers = [item["a"], item["T"]]
    if any(type(number) is not int or not 0 <= number < _LARGEST // 10 for number in numbers):
        raise _wrong(window, f"a trade has invalid ids or time: {str(item)[:80]}")
    flags = [item[name] for name in "mM" if name in item]
    if any(type(flag) is not bool for flag in flags):
        raise _wrong(window, f"a trade has an invalid flag: {str(item)[:80]}")
    if item["a"] < window.places.first:
        raise _wrong(window, f"it has the trade {item['a']}")
    moment = item["T"] * (1 if item["T"] >= _MICROSECONDS_ABOVE else 1000)
    if window.around is not None and item["a"] < window.places.end - 1:
        span = window.around.span
        earliest, latest = span.start - _LEEWAY, span.end + _LEEWAY
        is_later = instant(moment) > span.end + ANOTHER_LIFE
        if not earliest <= instant(moment) <= latest and not is_later:
            raise _wrong(window, f"trade {item['a']} is out of order in time")
    price, quantity = _number(item["p"], window), _number(item["q"], window)
    values = (item["a"], price, quantity, item["f"], item["l"], moment, *flags)
    return item["a"], moment, ",".join(map(str, values))


def _number(value: Any, window: Window) -> str:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise _wrong(window, f"{str(value)[:40]!r} is not a decimal number")
    return value


def _listed(found: Any, window: Window) -> list[Any]:
    if not isinstance(found, list):
        raise _wrong(window, f"it is not a list: {str(found)[:80]}")
    if len(found) > len(window.places):
        raise _wrong(window, f"it has {len(found)} rows, but {len(window.places)} were requested")
    return found


def _check_order(keys: list[int], window: Window) -> None:
    if keys != sorted(set(keys)):
        raise _wrong(window, "its rows are out of order or duplicated")


def _wrong(window: Window, what: str) -> RestError:
    return RestError(f"reading the API's answer for {window.series}: {what}")
