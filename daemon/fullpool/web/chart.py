"""The chart of a series: bars or a line, in as many points as a screen has, and its gaps."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.grid import bars
from fullpool.kinds import Kind, Type
from fullpool.lake.selection import instant_of
from fullpool.model import Interval
from fullpool.store.catalogue.bounded import BoundedSession
from fullpool.web.asked import Asked
from fullpool.web.series_page import coverage_of
from fullpool.web.site import Site

_POINTS: Final = 1000
_MINUTE: Final = 60
_DAY: Final = 86_400
# How long a point may be: a bar of the vendor's, or a length that people know.
_LENGTHS_S: Final = (
    1, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 3600, 4 * 3600, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY,
)  # fmt: skip
_GAPS_SHOWN: Final = 2000
# What a chart shows at first, by how far the rows are from each other.
_SPANS: Final = ((Interval.H1, timedelta(days=30)), (Interval.D1, timedelta(days=365)))
_OF_TRADES: Final = timedelta(days=1)
_OF_LINES: Final = timedelta(days=90)
# The column that a line shows; of other kinds the first that is a number.
_LINES: Final = {"fundingRate": "last_funding_rate", "metrics": "sum_open_interest"}
_NUMBERS: Final = (Type.PRICE, Type.AMOUNT, Type.FINE, Type.COUNT)


def page(site: Site, query: Mapping[str, str], asked: Asked) -> dict[str, Any]:
    """Return the points of a chart. Raises UsageError, QueryError."""
    session = site.session(query.get("as_of", ""))
    now = site.now().astimezone(UTC).replace(tzinfo=None)
    coverage = coverage_of(session, asked, now)
    start, end = _span(query, asked.kind, coverage)
    length_s = _length_s(start, end, asked.interval)
    column = query.get("column") or _column(asked.kind)
    if column not in _columns(asked.kind):
        raise UsageError(
            f"drawing {column!r} of {asked.kind.name}: there is no such number",
            hint=f"its numbers are {', '.join(_columns(asked.kind))}",
        )
    sql, names = _sql(asked, length_s, column)
    return {
        "start": start,
        "end": end,
        "last": coverage["last_time"],
        "length_s": length_s,
        "column": column,
        "columns": _columns(asked.kind),
        "is_candles": _is_candles(asked.kind),
        "names": names,
        "points": session.query(sql, [start, end]).rows,
        "gaps": _gaps(session, asked, start, end),
    }


def _span(
    query: Mapping[str, str], kind: Kind, coverage: Mapping[str, Any]
) -> tuple[datetime, datetime]:
    """Return what is to be shown: what is asked for, or the newest part."""
    last = coverage["last_time"] or coverage["expected_until"] or datetime(1970, 1, 1)  # noqa: DTZ001
    end = _moment(query.get("to", ""), last + timedelta(seconds=1))
    asked = query.get("from", "")
    if asked == "first":
        start = coverage["first_time"] or last
    else:
        start = _moment(asked, end - _shown_at_first(kind, coverage["interval"]))
    if start >= end:
        raise UsageError(f"drawing from {start} to {end}: that is no time", hint="exchange the two")
    return start, end


def _moment(text: str, default: datetime) -> datetime:
    return instant_of(text).astimezone(UTC).replace(tzinfo=None) if text else default


def _shown_at_first(kind: Kind, interval: str | None) -> timedelta:
    if kind.priced or kind.counter:
        return _OF_TRADES
    if not interval:
        return _OF_LINES
    step = bars(Interval(interval)).step
    for below, span in _SPANS:
        if step is not None and step < (bars(below).step or span):
            return span
    return timedelta(days=36_500)


def _length_s(start: datetime, end: datetime, interval: str) -> int:
    """Return how long a point is: at least a bar, and so long that all fit on the screen."""
    step = bars(Interval(interval)).step if interval else timedelta(seconds=1)
    least_s = 30 * _DAY if step is None else step.total_seconds()
    needed_s = (end - start).total_seconds() / _POINTS
    wide = [length for length in _LENGTHS_S if length >= max(needed_s, least_s)]
    return int(max(least_s, needed_s) if not wide else least_s if needed_s <= least_s else wide[0])


def _is_candles(kind: Kind) -> bool:
    return bool(kind.intervals) or "price" in kind.names


def _columns(kind: Kind) -> list[str]:
    return [column.name for column in kind.kept if column.type in _NUMBERS]


def _column(kind: Kind) -> str:
    return _LINES.get(kind.name) or _columns(kind)[0]


def _sql(asked: Asked, length_s: int, column: str) -> tuple[str, list[str]]:
    """Return the SQL of the points, and what their numbers are; the first is seconds since 1970."""
    kind = asked.kind
    time = kind.time
    if kind.intervals:
        numbers = {
            "open": f"arg_min(open, {time})", "high": "max(high)", "low": "min(low)",
            "close": f"arg_max(close, {time})",
        }  # fmt: skip
    elif _is_candles(kind):
        numbers = {
            "open": f"arg_min(price, {time})", "high": "max(price)", "low": "min(price)",
            "close": f"arg_max(price, {time})",
        }  # fmt: skip
    else:
        numbers = {"value": f"avg({column})::DOUBLE"}
    volume = next((name for name in ("volume", "quantity") if name in kind.names), "")
    numbers |= {"volume": f"sum({volume})"} if volume else {}
    shown = ", ".join(f"{sql} AS {name}" for name, sql in numbers.items())
    bucket = f"time_bucket(INTERVAL {length_s} SECOND, {time})"
    sql = f"""SELECT epoch({bucket})::BIGINT AS t, {shown}, bool_or(source = 'rest') AS is_patched
        FROM {asked.macro} WHERE {time} >= ?::TIMESTAMP AND {time} < ?::TIMESTAMP
        GROUP BY t ORDER BY t"""
    return sql, ["time", *numbers, "is_patched"]


def _gaps(
    session: BoundedSession, asked: Asked, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    sql = f"""SELECT gap_start, gap_end, status, explanation, row_count FROM sync.gaps
        WHERE {asked.where} AND gap_start < ?::TIMESTAMP AND gap_end > ?::TIMESTAMP
        ORDER BY gap_start LIMIT {_GAPS_SHOWN}"""
    return session.query(sql, [end, start]).as_dicts()
