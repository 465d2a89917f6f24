"""The chart of a series: bars or a line, in as many points as a screen has, and its gaps."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.grid import bars
from fullpool.kinds import Kind, Type
from fullpool.lake.selection import instant_of
from fullpool.model import EVER, Interval
from fullpool.store.catalogue.bounded import BoundedSession
from fullpool.web.series_name import SeriesName
from fullpool.web.series_page import coverage_of
from fullpool.web.site import Site

_POINTS: Final = 1000
_MINUTE: Final = 60
_DAY: Final = 86_400
# How long a point may be, if that is so many whole bars.
_LENGTHS_S: Final = (
    1, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 3600, 4 * 3600, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY,
)  # fmt: skip
_GAPS_SHOWN: Final = 2000
# What a chart shows at first, by how far the rows are from each other; longer bars all.
_SPANS: Final = ((timedelta(hours=1), timedelta(days=30)), (timedelta(days=1), timedelta(days=365)))
_OF_TRADES: Final = timedelta(days=1)
_OF_LINES: Final = timedelta(days=90)
# The number that a line shows, and of which rows; of other kinds the first number.
_LINES: Final = {
    "fundingRate": ("last_funding_rate", ""),
    "metrics": ("sum_open_interest", ""),
    "bookDepth": ("depth", "abs(percentage) = 1"),
    "bookTicker": ("best_bid_price", ""),
    "EOHSummary": ("mark_iv", ""),
}
_NUMBERS: Final = (Type.PRICE, Type.AMOUNT, Type.FINE, Type.COUNT)


def page(site: Site, query: Mapping[str, str], series: SeriesName) -> dict[str, Any]:
    """Return the points of a chart. Raises UsageError, QueryError."""
    session = site.session(query.get("as_of", ""))
    coverage = coverage_of(session, series, _naive(site.now()))
    start, end = _span(query, series.kind, coverage)
    length_s = _length_s(start, end, series.interval)
    column = query.get("column") or _column(series.kind)
    if column not in _columns(series.kind):
        raise UsageError(
            f"drawing {column!r} of {series.kind.name}: there is no such number",
            hint=f"its numbers are {', '.join(_columns(series.kind))}",
        )
    sql, names = _sql(series, length_s, column)
    return {
        "start": start,
        "end": end,
        "last": coverage["last_time"],
        "archived_until": coverage["archived_until"],
        "length_s": length_s,
        "column": column,
        "columns": _columns(series.kind),
        "is_candles": _is_candles(series.kind),
        "names": names,
        "points": session.query(sql, [start, end]).rows,
        "gaps": _gaps(session, series, start, end),
    }


def _span(
    query: Mapping[str, str], kind: Kind, coverage: Mapping[str, Any]
) -> tuple[datetime, datetime]:
    """Return what is to be shown: what was requested, or the newest part."""
    last = coverage["last_time"] or coverage["expected_until"] or _naive(EVER.start)
    begin = query.get("from", "")
    if query.get("to"):
        end = _moment(query["to"])
    else:
        latest = max(last, coverage["expected_until"] or last) if begin == "first" else last
        end = latest + timedelta(seconds=1)
    first = coverage["first_time"] or last
    start = _start(begin, first, end, _shown_at_first(kind, coverage["interval"]))
    if start >= end:
        hint = "swap from and to" if query.get("to") else f"its last row is of {last}"
        raise UsageError(f"drawing from {start} to {end}: the span is empty", hint=hint)
    return start, end


def _start(begin: str, first: datetime, end: datetime, shown: timedelta | None) -> datetime:
    """Return where the picture starts: where *begin* says, or so far from its end as is *shown*."""
    if begin and begin != "first":
        return _moment(begin)
    return first if begin or shown is None else max(end - shown, first)


def _moment(text: str) -> datetime:
    moment = instant_of(text)
    if not EVER.start <= moment <= EVER.end:
        raise UsageError(
            f"reading the time {text!r}: no row can be of then", hint="write 2024-03-01"
        )
    return _naive(moment)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _shown_at_first(kind: Kind, interval: str | None) -> timedelta | None:
    """Return how much is shown at first; None is all."""
    if kind.counter or "price" in kind.names:
        return _OF_TRADES
    if not interval:
        return _OF_LINES
    step = bars(Interval(interval)).step
    return next((span for below, span in _SPANS if step is not None and step < below), None)


def _length_s(start: datetime, end: datetime, interval: str) -> int:
    """Return how long a point is: whole bars, and so many that all fit on the screen."""
    step = bars(Interval(interval)).step if interval else timedelta(seconds=1)
    if step is None:
        return 30 * _DAY  # a month: of these there are never too many
    bar_s = int(step.total_seconds())
    needed_s = (end - start).total_seconds() / _POINTS
    if needed_s <= bar_s:
        return bar_s
    fitting = (s for s in _LENGTHS_S if s >= needed_s and s % bar_s == 0)
    return next(fitting, bar_s * math.ceil(needed_s / bar_s))


def _is_candles(kind: Kind) -> bool:
    return bool(kind.intervals) or "price" in kind.names


def _columns(kind: Kind) -> list[str]:
    return [column.name for column in kind.kept if column.type in _NUMBERS]


def _column(kind: Kind) -> str:
    return _LINES.get(kind.name, ("", ""))[0] or _columns(kind)[0]


def _sql(series: SeriesName, length_s: int, column: str) -> tuple[str, list[str]]:
    """Return the SQL of the points, and what their numbers are; the first is seconds since 1970."""
    kind, time = series.kind, series.kind.time
    # Of trades of one time the id tells which was the last.
    order = f"({time}, {kind.counter})" if kind.counter else time
    if _is_candles(kind):
        first, high, low, last = (
            ("open", "high", "low", "close") if kind.intervals else ["price"] * 4
        )
        numbers = {
            "open": f"arg_min({first}, {order})", "high": f"max({high})", "low": f"min({low})",
            "close": f"arg_max({last}, {order})",
        }  # fmt: skip
    else:
        numbers = {"value": f"avg({column})::DOUBLE"}
    volume = next((name for name in ("volume", "quantity") if name in kind.names), "")
    numbers |= {"volume": f"sum({volume})"} if volume else {}
    shown = ", ".join(f"{sql} AS {name}" for name, sql in numbers.items())
    where = _LINES.get(kind.name, ("", ""))[1] or "true"
    sql = f"""SELECT epoch({_opens(series, length_s)})::BIGINT AS t, {shown},
          bool_or(source = 'rest') AS is_patched
        FROM {series.macro} WHERE {time} >= ?::TIMESTAMP AND {time} < ?::TIMESTAMP AND {where}
        GROUP BY t ORDER BY t"""
    return sql, ["time", *numbers, "is_patched"]


def _opens(series: SeriesName, length_s: int) -> str:
    """Return the SQL of when the point opens that a row is in; of one bar when that opens."""
    step = bars(Interval(series.interval)).step if series.interval else timedelta()
    if step is None or step.total_seconds() == length_s:
        return series.kind.time
    return f"time_bucket(INTERVAL {length_s} SECOND, {series.kind.time})"


def _gaps(
    session: BoundedSession, series: SeriesName, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    sql = f"""SELECT gap_start, gap_end, status, explanation, row_count FROM sync.gaps
        WHERE {series.where} AND gap_start < ?::TIMESTAMP AND gap_end > ?::TIMESTAMP
        ORDER BY gap_start LIMIT {_GAPS_SHOWN}"""
    return session.query(sql, [end, start]).as_dicts()
