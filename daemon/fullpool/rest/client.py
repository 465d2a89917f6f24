"""Asks the API: paced, bounded, with bans honoured.

Source: github.com/binance/binance-spot-api-docs (rest-api.md, errors.md) and the futures'
documentation for paths, weights and codes.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from fullpool import logs, vendor
from fullpool.config import Rest as Settings
from fullpool.counting import CountRequest, uncounted
from fullpool.errors import (
    WEB_PAGE,
    NoSymbolError,
    PortalError,
    RestBannedError,
    RestError,
    RestRefusedError,
    RestSilentError,
)
from fullpool.model import Ban, Market, Stop
from fullpool.proxies import DIRECT, Route
from fullpool.rest.bans import REFUSALS, Bans
from fullpool.rest.budget import Budget

if TYPE_CHECKING:
    from fullpool.rest.pool import Pool, Reply

log = logs.get_logger()

MAX_BODY_BYTES: Final = 4 << 20  # 1500 klines have about 0.3 MB
MAX_INFO_BYTES: Final = 32 << 20  # the largest exchangeInfo seen has 17 MB
_PREFIX: Final = {Market.SPOT: "/api/v3", Market.UM: "/fapi/v1", Market.CM: "/dapi/v1"}
# What the API allows an address a minute, where it does not tell.
_DEFAULT_WEIGHT: Final = {Market.SPOT: 6000, Market.UM: 2400, Market.CM: 2400}
_INFO_WEIGHT: Final = {Market.SPOT: 20, Market.UM: 1, Market.CM: 1}
_USED: Final = "x-mbx-used-weight-1m"
_NO_SYMBOL: Final = -1121
_REFUSED_FOR: Final = timedelta(days=1)
_SHORTEST_BAN_S: Final = 10.0
_CLOCKS_DIFFER: Final = timedelta(days=1)
_LONGEST_BAN_S: Final = 3 * 86_400.0
_STOP_WHEN: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT)


def usual_weight(market: Market, share: float) -> int:
    """Return the weight a minute that we may use of a host that does not tell its limit."""
    return int(_DEFAULT_WEIGHT[market] * share)


class Client:
    """Asks the API; every method may be called from several threads at once."""

    def __init__(  # noqa: PLR0913 - each is one thing that only app can give
        self,
        settings: Settings,
        context: ssl.SSLContext,
        *,
        bans: Iterable[Ban],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        stop: Stop,
        route: Route = DIRECT,
        count: CountRequest = uncounted,
    ) -> None:
        self.settings = settings
        self.now = now
        self.requests = 0
        self._monotonic = monotonic
        self._sleep = sleep
        self._stop = stop
        self._lock = threading.Lock()
        self._bans = Bans(bans, now)
        self._budgets: dict[Market, Budget] = {}
        self._reserved: dict[Market, int] = {}
        self._info: dict[Market, Any] = {}
        self._opening = {market: threading.Lock() for market in vendor.REST_URL}
        self._context, self._route, self._count = context, route, count
        self._opened: Pool | None = None
        self._mine = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _pool(self) -> "Pool":
        """The connections, opened at the first request: httpx takes 0.1 s to load."""
        with self._lock:
            if self._opened is None:
                from fullpool.rest.pool import Pool  # noqa: PLC0415 - most passes ask nothing

                self._opened = Pool(
                    self.settings, self._context, self._route,
                    monotonic=self._monotonic, stop=self._stop, count=self._count,
                )  # fmt: skip
            return self._opened

    @property
    def bans(self) -> list[Ban]:
        """The bans known, those that have ended as well."""
        return self._bans.all()

    @property
    def answered_at(self) -> datetime:
        """The time of the last answer to this thread: the vendor's, or ours if it is earlier."""
        return _earlier(getattr(self._mine, "told", None), self.now())

    def room(self, market: Market) -> int:
        """Return the weight that is left of this minute, as far as known."""
        if (budget := self._budgets.get(market)) is not None:
            return budget.left()
        return usual_weight(market, self.settings.weight_share) - _INFO_WEIGHT[market]

    def reserve(self, market: Market, weight: int) -> None:
        """Keep that much of each minute, but not all of it, for requests that come `ahead`."""
        self._reserved[market] = weight
        if (budget := self._budgets.get(market)) is not None:
            budget.reserved = weight

    def forget_info(self) -> None:
        """Ask for exchangeInfo again when it is needed: symbols come and go."""
        self._info.clear()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Let the requests of this thread use what is reserved."""
        self._mine.is_ahead = True
        try:
            yield
        finally:
            self._mine.is_ahead = False

    def learn(self, bans: Iterable[Ban]) -> None:
        """Take over the bans that others know of."""
        self._bans.learn(bans)

    def url_of(self, market: Market, path: str) -> str:
        """Return the address of *path*: below the market's own, or a whole one."""
        folder = "" if path.startswith("/") else f"{_PREFIX[market]}/"
        return f"{self.settings.url(market)}{folder}{path}"

    def weights(self) -> dict[str, int]:
        """Return the weight used in this minute, by market, as far as known."""
        return {str(market): budget.used for market, budget in self._budgets.items()}

    def get(
        self, market: Market, path: str, query: Mapping[str, str | int], weight: int,
        *, in_microseconds: bool = False,
    ) -> Any:  # fmt: skip
        """Return the JSON that the API answers at *path*.

        Raises RestError if it gives no usable answer, and its kinds for what concerns more than
        this request.
        """
        budget = self._budget(market)
        headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if in_microseconds else {}
        return self._ask(market, path, query, weight, budget, headers, MAX_BODY_BYTES)

    def exchange_info(self, market: Market) -> Any:
        """Return exchangeInfo of all symbols of a market.

        That of spot has 17 MB, nearly all of them permissions, which are left out.
        """
        budget = self._budget(market)
        if market is not Market.SPOT:
            if market not in self._info:  # it could not be fetched the first time
                self._info[market] = self._ask_info(market, budget)
            return self._info[market]
        query, weight = {"showPermissionSets": "false"}, _INFO_WEIGHT[market]
        return self._ask(market, "exchangeInfo", query, weight, budget, {}, MAX_INFO_BYTES)

    def status_of(self, market: Market, symbol: str) -> str | None:
        """Return the status of a symbol in exchangeInfo; None if it is not there."""
        if market is Market.SPOT:
            try:
                found = self.get(market, "exchangeInfo", {"symbol": symbol}, _INFO_WEIGHT[market])
            except NoSymbolError:
                return None
            return _statuses(found).get(symbol)
        return _statuses(self.exchange_info(market)).get(symbol)

    def blocked(self, market: Market) -> RestError | None:
        """Return why the market's host is not to be asked now; None if it may be."""
        try:
            self._bans.check(self.settings.url(market))
        except RestError as error:
            return error
        return None

    def _budget(self, market: Market) -> Budget:
        """Return the host's budget, as its exchangeInfo has it; asked once."""
        with self._opening[market]:
            if market not in self._budgets:
                share = self.settings.weight_share
                budget = Budget(usual_weight(market, share), self.now, self._sleep)
                try:
                    info = self._ask_info(market, budget)
                    budget.allowed = int(_limit(info, _DEFAULT_WEIGHT[market]) * share)
                    self._info[market] = info
                except (RestBannedError, RestRefusedError):
                    raise
                except RestError as error:
                    log.warning("rest.limits_unknown", market=str(market), reason=str(error))
                self._budgets[market] = budget
                budget.reserved = self._reserved.get(market, 0)
            return self._budgets[market]

    def _ask_info(self, market: Market, budget: Budget) -> Any:
        """Return exchangeInfo: of spot, whose whole list has 17 MB, the limits and one symbol."""
        query = {"symbol": "BTCUSDT"} if market is Market.SPOT else {}
        weight = _INFO_WEIGHT[market]
        return self._ask(market, "exchangeInfo", query, weight, budget, {}, MAX_INFO_BYTES)

    def _ask(  # noqa: PLR0913, PLR0917 - they make up one request
        self,
        market: Market,
        path: str,
        query: Mapping[str, str | int],
        weight: int,
        budget: Budget,
        headers: Mapping[str, str],
        limit_bytes: int,
    ) -> Any:
        url = self.url_of(market, path)
        host = self.settings.url(market)
        self._bans.check(host)
        is_ahead = getattr(self._mine, "is_ahead", False)
        budget.acquire(weight, self._stop.is_set, is_ahead=is_ahead)
        self._bans.check(host)
        if self._stop.is_set():
            raise RestError(f"asking {url}: stopped")
        try:
            reply = self._pool.get(url, query, headers, limit_bytes)
            _check_kind(host, reply)
        except RestSilentError as error:
            self._bans.silent(host, error)
            raise
        with self._lock:
            self.requests += 1
        self._bans.heard(host)
        self._mine.told = _date(reply)
        used = reply.headers.get(_USED, "")
        if used.isdigit():
            budget.observe(int(used))
        return _judged(self._bans, url, host, reply)


def _judged(bans: Bans, url: str, host: str, reply: "Reply") -> Any:
    """Return the JSON of a good answer; raise, and record of the host, what a bad one means."""
    status, body = reply.status, reply.body
    value = _json(url, body) if status == HTTPStatus.OK else None
    if status == HTTPStatus.OK and not (isinstance(value, dict) and "code" in value):
        return value
    code, message = _said(body)
    text = f"asking {url}: HTTP {status} {message}"
    if status in _STOP_WHEN:
        seconds = _retry_after_s(reply)
        bans.ban(host, status, message, timedelta(seconds=seconds))
        raise RestBannedError(text, seconds=seconds)
    if status in REFUSALS:
        bans.ban(host, status, message, _REFUSED_FOR)
        raise RestRefusedError(text)
    raise NoSymbolError(text) if code == _NO_SYMBOL else RestError(text)


def _check_kind(host: str, reply: "Reply") -> None:
    """Raise RestSilentError if somebody else answered, with a page for people."""
    is_page = reply.headers.get("content-type", "").startswith("text/html")
    if is_page and reply.status == HTTPStatus.OK:
        raise RestSilentError(f"asking {host}: {WEB_PAGE}", hint=PortalError.hint)


def _json(url: str, body: bytes) -> Any:
    """Return the value of strict JSON: no NaN, no half characters, no endless nesting."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        start = body[:40]
        raise RestError(f"asking {url}: the answer is not JSON ({error}): {start!r}") from error


def _said(body: bytes) -> tuple[object, str]:
    """Return the API's code and its own words, or the start of whatever it sent."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    said = found if isinstance(found, dict) else {}
    if "msg" in said:
        return said.get("code"), _printable(f"{said.get('code')}: {str(said['msg'])[:300]}")
    return said.get("code"), repr(_printable(body[:80].decode("utf-8", "replace")))


def _printable(text: str) -> str:
    """Return text of the network without what would move a cursor, or is half a character."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _earlier(told: datetime | None, now: datetime) -> datetime:
    """Return the earlier clock's time.

    By one that is ahead, a bar would count as closed while the vendor still changes it. A time of
    more than a day ago is no clock's: some proxy's, which says nothing of old bars.
    """
    return now if told is None else min(max(told, now - _CLOCKS_DIFFER), now)


def _date(reply: "Reply") -> datetime | None:
    """Return when the vendor answered, to the second."""
    try:
        return parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return None


def _retry_after_s(reply: "Reply") -> float:
    text = reply.headers.get("retry-after", "")
    seconds = float(text) if text.isdigit() else 60.0
    return min(max(seconds, _SHORTEST_BAN_S), _LONGEST_BAN_S)


def _limit(info: Any, default: int) -> int:
    """Return the weight a minute that exchangeInfo allows."""
    limits = info.get("rateLimits") if isinstance(info, dict) else None
    for one in limits if isinstance(limits, list) else ():
        if isinstance(one, dict) and one.get("rateLimitType") == "REQUEST_WEIGHT":
            found, number = one.get("limit"), one.get("intervalNum")
            if one.get("interval") == "MINUTE" and isinstance(found, int) and number == 1:
                return max(found, 1)
    return default


def _statuses(info: Any) -> dict[str, str]:
    """Return the status of each symbol, of each pair as well: trading if one of its symbols is."""
    found: dict[str, str] = {}
    listed = info.get("symbols") if isinstance(info, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict):
            continue
        status = str(one.get("status") or one.get("contractStatus") or "")
        for name in (one.get("symbol"), one.get("pair")):
            if isinstance(name, str) and found.get(name) != vendor.TRADING:
                found[name] = status
    return found
