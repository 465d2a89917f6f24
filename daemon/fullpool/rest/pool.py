"""The pooled HTTP client. Owns httpx."""

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx
from httpcore._backends.sync import SyncStream

from fullpool import __version__, vendor
from fullpool.config import Rest as Settings
from fullpool.counting import CountRequest, uncounted
from fullpool.dialing import dial
from fullpool.errors import RestError, RestSilentError
from fullpool.model import Stop
from fullpool.proxies import Route

_ANSWERED: Final = "http11.receive_response_headers.complete"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered, whatever its status. Names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Seen:
    """What was seen of one request: whether it had a new connection, and an answer."""

    def __init__(self) -> None:
        self._is_new = False
        self._is_answered = False

    def note(self, event: str, _info: object) -> None:
        """Be told by httpcore how far it has come."""
        self._is_new = self._is_new or event.startswith("connection.connect_tcp")
        self._is_answered = self._is_answered or event == _ANSWERED

    def is_closed_unanswered(self, error: Exception) -> bool:
        """Whether a kept connection turned out to be closed before a byte of an answer came."""
        is_lost = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
        return is_lost and not self._is_new and not self._is_answered


def _by_proxy(settings: Settings, context: ssl.SSLContext, route: Route) -> dict[str, httpx.Proxy]:
    """Return the API's hosts that are reached by a proxy, each with that."""
    urls = {settings.url(market) for market in vendor.REST_URL}
    by = {url: route.proxy_of(url) for url in urls}
    return {
        url: httpx.Proxy(proxy.url, ssl_context=context if proxy.scheme == "https" else None)
        for url, proxy in by.items()
        if proxy is not None
    }


class _Dialing(httpcore.SyncBackend):
    """Connects by whichever address answers first."""

    def __init__(self, dial_to: Callable[[str, int], socket.socket]) -> None:
        self._dial_to = dial_to

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        del local_address, socket_options
        try:
            connection = self._dial_to(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        connection.settimeout(timeout)
        return SyncStream(connection)


def _silent(url: str, error: Exception) -> RestSilentError:
    return RestSilentError(f"asking {url}: {str(error) or type(error).__name__}")


class Pool:
    """Keeps connections to the API's hosts; may be used from several threads at once."""

    def __init__(  # noqa: PLR0913 - each is one thing that only app can give
        self,
        settings: Settings,
        context: ssl.SSLContext,
        route: Route,
        *,
        monotonic: Callable[[], float],
        stop: Stop,
        count: CountRequest = uncounted,
    ) -> None:
        self._count = count
        self._timeout_s = settings.timeout_s
        self._monotonic = monotonic
        self._stop = stop
        self._kept = settings.max_keepalive_connections
        limits = httpx.Limits(
            max_keepalive_connections=settings.max_keepalive_connections,
            max_connections=settings.max_connections,
            keepalive_expiry=settings.keepalive_expiry,
        )

        def transport(proxy: httpx.Proxy | None = None) -> httpx.HTTPTransport:
            made = httpx.HTTPTransport(verify=context, trust_env=False, limits=limits, proxy=proxy)
            # httpx has no way to say how to connect; its pool has.
            made._pool._network_backend = _Dialing(  # noqa: SLF001
                lambda host, port: dial(host, port, route.connect_timeout_s, stop, monotonic)
            )
            return made

        self._http = httpx.Client(
            transport=transport(),
            mounts={
                url: transport(proxy) for url, proxy in _by_proxy(settings, context, route).items()
            },
            timeout=settings.timeout_s,
            trust_env=False,
            headers={"User-Agent": f"fullpool/{__version__}"},
        )

    def close(self) -> None:
        self._http.close()

    def get(
        self, url: str, query: Mapping[str, str | int], headers: Mapping[str, str], limit_bytes: int
    ) -> Reply:
        """Return the answer. Raises RestError if there is none, or it is too long.

        A host may close a kept connection just as it is used again. Then the request goes out once
        more: over another kept one as long as those are closed too, at last over a new one.
        """
        host = urlsplit(url).hostname or ""
        try:
            reply = self._answer(url, query, headers, limit_bytes)
        except RestError:
            self._count(host, None)
            raise
        self._count(host, reply.status)
        return reply

    def _answer(
        self, url: str, query: Mapping[str, str | int], headers: Mapping[str, str], limit_bytes: int
    ) -> Reply:
        for _ in range(self._kept):
            seen = _Seen()
            try:
                return self._ask(url, query, headers, limit_bytes, seen)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                if not seen.is_closed_unanswered(error) or self._stop.is_set():
                    raise _silent(url, error) from error
        try:
            return self._ask(url, query, headers, limit_bytes, _Seen())
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _silent(url, error) from error

    def _ask(
        self,
        url: str,
        query: Mapping[str, str | int],
        headers: Mapping[str, str],
        limit_bytes: int,
        seen: "_Seen",
    ) -> Reply:
        traced = {"trace": seen.note}
        with self._http.stream(
            "GET", url, params=dict(query), headers=headers, extensions=traced
        ) as response:
            body = self._read(response, url, limit_bytes)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, names, body)

    def _read(self, response: httpx.Response, url: str, limit_bytes: int) -> bytes:
        """Return the body. httpx's own timeout starts again with every byte that comes."""
        end = self._monotonic() + self._timeout_s
        parts: list[bytes] = []
        for part in response.iter_bytes():
            parts.append(part)
            if sum(map(len, parts)) > limit_bytes:
                raise RestError(f"asking {url}: more than {limit_bytes} bytes")
            if self._stop.is_set():
                raise RestError(f"asking {url}: stopped")
            if self._monotonic() > end:
                raise RestError(f"asking {url}: not finished after {self._timeout_s:g} s")
        return b"".join(parts)
