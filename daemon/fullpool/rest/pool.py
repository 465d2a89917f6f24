"""The pooled HTTP client itself. The one owner of httpx."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from fullpool import __version__
from fullpool.config import Rest as Settings
from fullpool.errors import RestError, RestSilentError
from fullpool.model import Stop


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered, whatever its status. Names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pool:
    """Keeps connections to the API's hosts; may be used from several threads at once."""

    def __init__(
        self,
        settings: Settings,
        context: ssl.SSLContext,
        monotonic: Callable[[], float],
        stop: Stop,
    ) -> None:
        self._timeout_s = settings.timeout_s
        self._monotonic = monotonic
        self._stop = stop
        self._http = httpx.Client(
            verify=context,
            limits=httpx.Limits(
                max_keepalive_connections=settings.max_keepalive_connections,
                max_connections=settings.max_connections,
                keepalive_expiry=settings.keepalive_expiry,
            ),
            timeout=settings.timeout_s,
            trust_env=False,
            headers={"User-Agent": f"fullpool/{__version__}"},
        )

    def close(self) -> None:
        self._http.close()

    def get(
        self, url: str, query: Mapping[str, str | int], headers: Mapping[str, str], limit_bytes: int
    ) -> Reply:
        """Return the answer. Raises RestError if there is none, or it is too long."""
        try:
            with self._http.stream("GET", url, params=dict(query), headers=headers) as response:
                body = self._read(response, url, limit_bytes)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, names, body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise RestSilentError(f"asking {url}: {error or type(error).__name__}") from error

    def _read(self, response: httpx.Response, url: str, limit_bytes: int) -> bytes:
        """Return the body. httpx's own timeout begins anew with every byte that comes."""
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
