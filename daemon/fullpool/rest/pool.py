"""The pooled HTTP client itself. The one owner of httpx."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from fullpool import __version__
from fullpool.config import Rest as Settings
from fullpool.errors import RestError


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered, whatever its status. Names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pool:
    """Keeps connections to the API's hosts; may be used from several threads at once."""

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
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
                body = _read(response, url, limit_bytes)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, names, body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise RestError(f"asking {url}: {error or type(error).__name__}") from error


def _read(response: httpx.Response, url: str, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    for part in response.iter_bytes():
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise RestError(f"asking {url}: more than {limit_bytes} bytes")
        parts.append(part)
    return b"".join(parts)
