"""Windows of the API, their answers, and what all answers are held to.

Rows come out as lines of the vendor's own CSV, so that they go the way of an archive's from here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.errors import RestError
from fullpool.grid import Places
from fullpool.kinds import Api, api_of, kind_of
from fullpool.model import EPOCH, Interval, Market, Series, Span, instant

# Statistics are asked for beside the API of their market.
STATISTICS: Final = "/futures/data"
LONGEST_WINDOW: Final = timedelta(days=199)  # COIN-M refuses 200 days
MILLISECOND: Final = timedelta(milliseconds=1)
MICROSECONDS_ABOVE: Final = 10**14
LARGEST: Final = 10**17
# At most eight decimals, and zeros: what more the lake cannot hold exactly.
_DECIMAL: Final = r"-?\d{1,30}(?:\.\d{1,8}0*)?"
NUMBER: Final = re.compile(_DECIMAL)
ALL_NUMBERS: Final = re.compile(f"{_DECIMAL}(?:,{_DECIMAL})*+")


@dataclass(frozen=True, slots=True)
class Window:
    """One request: so many places of a series. Of trades, *places* are ids.

    *around* is the gap that is asked for, by which rows beyond it are told from its own. With
    *since*, the first trades from then on are asked for, whatever their ids.
    """

    series: Series
    places: Places
    around: "Surroundings | None" = None
    since: datetime | None = None


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


def path_of(series: Series) -> str:
    """Return where a series is asked for, below what its market has in common or whole."""
    return STATISTICS if api_of(series) is Api.STATISTICS else series.kind


def query_of(series: Series) -> dict[str, str | int]:
    """Return what is asked for a series, without the bounds."""
    if api_of(series) is Api.STATISTICS:
        return _statistics_of(series)
    query: dict[str, str | int] = {kind_of(series).rest_symbol: series.symbol}
    if series.interval is not None:
        query["interval"] = "1M" if series.interval is Interval.MO1 else str(series.interval)
    return query


def _statistics_of(series: Series) -> dict[str, str | int]:
    """Return what is asked for statistics; of cm those of a pair's perpetual."""
    if series.market is not Market.CM:
        return {"symbol": series.symbol, "period": "5m"}
    pair = series.symbol.removesuffix("_PERP")
    return {"pair": pair, "contractType": "PERPETUAL", "period": "5m"}


def milliseconds(moment: datetime) -> int:
    """Return an instant as the API takes it."""
    return (moment - EPOCH) // MILLISECOND


def integers(values: Sequence[Any], window: Window) -> Sequence[int]:
    """Return *values* if all are times or counts."""
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) < LARGEST:
        return values
    odd = next(value for value in values if type(value) is not int or not 0 <= value < LARGEST)
    raise wrong(window, f"{str(odd)[:40]!r} is not a time or a count")


def number(value: Any, window: Window) -> str:
    """Return a decimal number that is given as text."""
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise wrong(window, f"{str(value)[:40]!r} is not a decimal number")
    return value


def listed(found: Any, window: Window, limit: int) -> list[Any]:
    """Return an answer that is a list of at most *limit* rows."""
    if not isinstance(found, list):
        raise wrong(window, f"it is not a list: {str(found)[:80]}")
    if len(found) > limit:
        raise wrong(window, f"it has {len(found)} rows, but {limit} were requested")
    return found


def require_rising(keys: Sequence[int], window: Window) -> None:
    """Raise RestError unless the keys of an answer rise."""
    if list(keys) != sorted(set(keys)):
        raise wrong(window, "its rows are out of order or duplicated")


def wrong(window: Window, what: str) -> RestError:
    """Return what is raised for an answer that cannot be used."""
    return RestError(f"reading the API's answer for {window.series}: {what}")
