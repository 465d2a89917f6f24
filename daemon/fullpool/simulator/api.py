"""The vendor's REST API, served from a folder of archives.

Sources: github.com/binance/binance-spot-api-docs (rest-api.md, errors.md), the futures'
documentation, and recorded answers. Bounds are inclusive and on the open time; with both of them
the oldest rows come first; weights, limits and error texts are the API's own.
"""

import json
import threading
import time
import zipfile
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fullpool.simulator.generate import FOLDERS
from fullpool.simulator.symbols import symbol_info

_PREFIXES = {"/api/v3/": "spot", "/fapi/v1/": "um", "/dapi/v1/": "cm", "/futures/data/": ""}
_KLINE_KINDS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
_DEFAULT_LIMIT = 500
_MAX_LIMIT = {"spot": 1000, "um": 1500, "cm": 1500}
_TRADES_WEIGHT = {"spot": 4, "um": 20, "cm": 20}
_INFO_WEIGHT = {"spot": 20, "um": 1, "cm": 1}
_CM_WINDOW_MS = 200 * 86_400_000
_MICROSECONDS_ABOVE = 10**14
# By question: what the answer calls the columns of a row of metrics.
_STATISTICS = {
    "openInterestHist": {"sumOpenInterest": 2, "sumOpenInterestValue": 3},
    "topLongShortAccountRatio": {"longShortRatio": 4},
    "topLongShortPositionRatio": {"longShortRatio": 5},
    "globalLongShortAccountRatio": {"longShortRatio": 6},
    "takerlongshortRatio": {"buySellRatio": 7},
}
_INTERVALS = (
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1mo",
)  # fmt: skip

Row = list[str]


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An answer with an HTTP status, a code and the API's words."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Api:
    """Answers from the archives below *folder*. *ended* are symbols that trade no more.

    What the archives have of later than *now* has not happened yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        weight_limit: int | None = None,
        now: Callable[[], float] = time.time,
        ended: frozenset[str] = frozenset(),
    ) -> None:
        self.folder = folder
        self.weights = {"spot": 6000, "um": 2400, "cm": 2400}
        if weight_limit is not None:
            self.weights = dict.fromkeys(self.weights, weight_limit)
        self.ended = ended
        self._now = now
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], tuple[list[int], list[str]]] = {}
        self._used: dict[tuple[str, int], int] = {}

    def refresh(self) -> None:
        """Forget the rows read so far: the folder has changed."""
        with self._lock:
            self._series.clear()

    @staticmethod
    def serves(path: str) -> bool:
        return path.startswith(tuple(_PREFIXES))

    def answer(self, path: str, query: Mapping[str, str], *, in_microseconds: bool) -> Reply:
        prefix = next(prefix for prefix in _PREFIXES if path.startswith(prefix))
        market, name = _PREFIXES[prefix], path.removeprefix(prefix)
        market = market or ("cm" if "pair" in query else "um")
        used = self._use(market, _weight(market, name, query))
        headers = {"x-mbx-used-weight-1m": str(used)}
        if market == "spot":
            headers["x-mbx-used-weight"] = str(used)
        if used > self.weights[market]:
            text = f"Too much request weight used; current limit is {self.weights[market]} request"
            seconds = 60 - int(self._now()) % 60
            headers["Retry-After"] = str(seconds)
            return Reply(429, _error(-1003, f"{text} weight per 1 MINUTE."), headers)
        try:
            micro = in_microseconds and market == "spot"
            return Reply(200, self._value(market, name, query, micro).encode(), headers)
        except ApiError as error:
            return Reply(error.status, _error(error.code, error.message), headers)

    def _use(self, market: str, weight: int) -> int:
        minute = int(self._now()) // 60
        with self._lock:
            self._used[market, minute] = self._used.get((market, minute), 0) + weight
            return self._used[market, minute]

    def _value(self, market: str, name: str, query: Mapping[str, str], micro: bool) -> str:  # noqa: FBT001
        """Return the JSON of a good answer."""
        if name == "ping":
            return "{}"
        if name == "time":
            return json.dumps({"serverTime": int(self._now() * 1000)})
        if name == "exchangeInfo":
            return json.dumps(self._info(market, query.get("symbol")))
        if name == "aggTrades":
            return self._trades(market, query, micro)
        if name in _KLINE_KINDS:
            return self._klines(market, name, query, micro)
        if market != "spot" and name in ("fundingRate", *_STATISTICS):
            is_funding = name == "fundingRate"
            return self._funding(market, query) if is_funding else self._statistics(name, query)
        raise ApiError(404, -1000, "no such path")

    def _info(self, market: str, symbol: str | None) -> Any:
        root = self.folder / "data" / FOLDERS[market]
        names = sorted({path.name for path in root.glob("*/*/*") if path.is_dir()})
        if symbol is not None and symbol not in names and symbol != "BTCUSDT":
            raise ApiError(400, -1121, "Invalid symbol.")
        asked = [name for name in names if symbol in (None, name)]
        return {
            "timezone": "UTC",
            "serverTime": int(self._now() * 1000),
            "exchangeFilters": [],
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                 "limit": self.weights[market]},
            ],
            "symbols": [symbol_info(market, name, ended=name in self.ended) for name in asked],
        }  # fmt: skip

    def _klines(self, market: str, kind: str, query: Mapping[str, str], micro: bool) -> str:  # noqa: FBT001
        symbol = _required(query, "pair" if kind == "indexPriceKlines" else "symbol")
        interval = "1mo" if query.get("interval") == "1M" else _required(query, "interval")
        if interval not in _INTERVALS:
            raise ApiError(400, -1120, "Invalid interval.")
        times, texts = self._rows(market, kind, symbol, interval, micro)
        start, end = self._span(query)
        asked_end = _bound(query, "endTime", 1 << 62)
        if market == "cm" and "startTime" in query and asked_end - start > _CM_WINDOW_MS:
            raise ApiError(400, -4088, "Maximum time interval is 200 days.")
        first, last = bisect_left(times, start), bisect_right(times, end)
        is_newest = "startTime" not in query
        return _joined(texts[first:last], _limit(query, _MAX_LIMIT[market]), is_newest=is_newest)

    def _trades(self, market: str, query: Mapping[str, str], micro: bool) -> str:  # noqa: FBT001
        ids, texts = self._rows(market, "aggTrades", _required(query, "symbol"), "", micro)
        texts = texts[: bisect_right(texts, self._now() * 1000, key=_traded_at)]
        if "fromId" in query:
            texts = texts[bisect_left(ids, _whole(query, "fromId", 0)) :]
        elif query.keys() & {"startTime", "endTime"}:
            start, end = self._span(query)
            texts = [text for text in texts if start <= _traded_at(text) <= end]
        is_newest = not query.keys() & {"fromId", "startTime"}
        return _joined(texts, _limit(query, 1000), is_newest=is_newest)

    def _funding(self, market: str, query: Mapping[str, str]) -> str:
        symbol = _required(query, "symbol")
        times, rows = self._load(market, "fundingRate", symbol, "")
        start, end = self._span(query)
        shown = [
            {"symbol": symbol, "fundingTime": time, "fundingRate": row[2], "markPrice": ""}
            for time, row in zip(times, rows, strict=True)
            if start <= time <= end
        ]
        texts = [json.dumps(rate) for rate in shown]
        most = min(_whole(query, "limit", 100), 1000)
        return _joined(texts, most, is_newest="startTime" not in query)

    def _statistics(self, name: str, query: Mapping[str, str]) -> str:
        """Return one of the five questions about the rows of metrics, of the last 30 days."""
        start, end = self._span(query)
        if start < (self._now() - 30 * 86_400) * 1000:
            raise ApiError(400, -1130, "parameter 'startTime' is invalid.")
        market = "cm" if "pair" in query else "um"
        symbol = f"{query['pair']}_PERP" if market == "cm" else _required(query, "symbol")
        times, rows = self._load(market, "metrics", symbol, "")
        first, last = bisect_left(times, start), bisect_right(times, end)
        shown: list[dict[str, Any]] = []
        for moment, row in zip(times[first:last], rows[first:last], strict=True):
            values = {key: row[at] for key, at in _STATISTICS[name].items()}
            if all(values.values()):
                shown.append({"symbol": symbol, "timestamp": moment} | values)
        return _joined([json.dumps(one) for one in shown], _limit(query, 500), is_newest=False)

    def _span(self, query: Mapping[str, str]) -> tuple[int, int]:
        """Return the bounds that are asked for, in milliseconds, up to now at most."""
        end = min(_bound(query, "endTime", 1 << 62), int(self._now() * 1000))
        return _bound(query, "startTime", 0), end

    def _rows(
        self,
        market: str,
        kind: str,
        symbol: str,
        interval: str,
        micro: bool,  # noqa: FBT001
    ) -> tuple[list[int], list[str]]:
        """Return the rows of a series as JSON, and their keys: open time in milliseconds, or id."""
        key = (market, kind, symbol, interval, str(micro))
        with self._lock:
            if key not in self._series:
                keys, rows = self._load(market, kind, symbol, interval)
                shaped = _bar if interval else _trade
                self._series[key] = keys, [json.dumps(shaped(row, micro)) for row in rows]
            return self._series[key]

    def _load(
        self, market: str, kind: str, symbol: str, interval: str
    ) -> tuple[list[int], list[Row]]:
        root = self.folder / "data" / FOLDERS[market]
        found: dict[int, Row] = {}
        folders = [root / cadence / kind / symbol / interval for cadence in ("monthly", "daily")]
        if not symbol or not any(folder.is_dir() for folder in folders):
            raise ApiError(400, -1121, "Invalid symbol.")
        for folder in folders:
            for path in sorted(folder.glob("*.zip")):
                found |= {_milliseconds(_key_of(row[0])): row for row in _rows_in(path)}
        keys = sorted(found)
        return keys, [found[key] for key in keys]


def _traded_at(text: str) -> int:
    """Return the time of a trade, in milliseconds."""
    return _milliseconds(json.loads(text)["T"])


def _key_of(text: str) -> int:
    """Return the first value of a row as a number: an id, or a time."""
    if text.isdigit():
        return int(text)
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _rows_in(path: Path) -> list[Row]:
    """Return the rows of an archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as opened:
            text = opened.read(opened.namelist()[0]).decode()
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, IndexError):
        return []
    return [line.split(",") for line in text.splitlines() if line[:1].isdigit()]


def _weight(market: str, name: str, query: Mapping[str, str]) -> int:
    if name == "aggTrades":
        return _TRADES_WEIGHT[market]
    if name == "exchangeInfo":
        return _INFO_WEIGHT[market]
    if market == "spot" or name not in _KLINE_KINDS:
        return 2 if market == "spot" else 1
    limit = int(query.get("limit", _DEFAULT_LIMIT))
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _bound(query: Mapping[str, str], name: str, default: int) -> int:
    value = _whole(query, name, default)
    return _milliseconds(value) if value < 1 << 61 else value


def _milliseconds(value: int) -> int:
    return value // 1000 if value >= _MICROSECONDS_ABOVE else value


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a parameter that is a whole number. Raises ApiError in the API's words."""
    text = query.get(name, str(default))
    if not text.lstrip("-").isdigit():
        words = f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        raise ApiError(400, -1100, words)
    return int(text)


def _required(query: Mapping[str, str], name: str) -> str:
    if not query.get(name):
        words = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise ApiError(400, -1102, words)
    return query[name]


def _limit(query: Mapping[str, str], most: int) -> int:
    return min(_whole(query, "limit", _DEFAULT_LIMIT), most)


def _joined(texts: Sequence[str], limit: int, *, is_newest: bool) -> str:
    """Return the JSON of at most *limit* rows: the oldest, or the newest."""
    shown = texts[max(len(texts) - limit, 0) :] if is_newest else texts[:limit]
    return f"[{','.join(shown)}]"


def _bar(row: Row, micro: bool) -> list[Any]:  # noqa: FBT001
    opened, closed = _unit(int(row[0]), micro), int(row[6])
    if (closed >= _MICROSECONDS_ABOVE) != micro:
        closed = (closed + 1) * 1000 - 1 if micro else closed // 1000
    return [opened, *row[1:6], closed, row[7], int(row[8]), *row[9:12]]


def _trade(row: Row, micro: bool) -> dict[str, Any]:  # noqa: FBT001
    number, price, quantity, first, last, moment, *flags = row
    trade = {
        "a": int(number), "p": _plain(price), "q": _plain(quantity), "f": int(first),
        "l": int(last), "T": _unit(int(moment), micro),
    }  # fmt: skip
    return trade | dict(zip("mM", (flag.lower() == "true" for flag in flags), strict=False))


def _plain(number: str) -> str:
    """Return a number without the exponent that files of futures have."""
    return f"{float(number):.8f}" if "E" in number else number


def _unit(value: int, micro: bool) -> int:  # noqa: FBT001
    is_micro = value >= _MICROSECONDS_ABOVE
    if micro == is_micro:
        return value
    return value * 1000 if micro else value // 1000


def _error(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "msg": message}).encode()
