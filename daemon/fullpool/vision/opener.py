"""A urllib opener that keeps connections and refuses redirects elsewhere.

One `Opener` belongs to one worker thread. urllib's own handlers close the connection after every
answer; over TLS that costs more than the archive itself, so the handler here keeps one connection
a host, and opens it again, once, when the server closed it while it lay idle.
"""

import contextlib
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import IO, Any, Final, cast
from urllib.parse import urlsplit

from fullpool import __version__
from fullpool.errors import (
    NO_ROOM,
    WEB_PAGE,
    ArchiveError,
    DiskFullError,
    FullpoolError,
    PortalError,
    RedirectedError,
    UnreachableError,
    UntrustedError,
)
from fullpool.proxies import Proxy
from fullpool.vision.access import Access
from fullpool.vision.connections import connection_to
from fullpool.vision.responses import responses

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_HEADERS: Final = {
    "User-Agent": f"fullpool/{__version__}",
    "Accept-Encoding": "identity",  # a ZIP must arrive as the vendor hashed it
}
_ERROR_BYTES: Final = 1 << 16
_NO_NAME: Final = "check this machine's DNS settings, and the host name in the configuration"
_NO_PROXY: Final = "check the proxy: network.proxy, or HTTPS_PROXY and HTTP_PROXY"
_NO_ENTRY: Final = "check the proxy's user and password: network.proxy, or the environment"
# What a kept connection does when the server closed it between two requests.
_STALE: Final = (
    http.client.RemoteDisconnected,
    http.client.CannotSendRequest,
    ConnectionResetError,
    BrokenPipeError,
)


class Opener:
    """Opens addresses for one worker. Not to be shared between threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._allowed: set[str] = set()
        self._director = urllib.request.OpenerDirector()
        self._director.addheaders = []
        self._kept = _Kept(access)
        for handler in (self._kept, _SameSite(), urllib.request.HTTPErrorProcessor()):
            self._director.add_handler(handler)
        self._director.add_handler(urllib.request.HTTPDefaultErrorHandler())

    def open(self, url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Return the answer, whose body must be read or closed before the next call.

        Raises urllib.error.HTTPError for any status but 2xx (its body is read and closed),
        UntrustedError, UnreachableError if no connection came about or a proxy lets nothing
        through, PortalError if the answer is a web page, ArchiveError if the connection broke or
        took too long.
        """
        host = urlsplit(url).hostname or ""
        try:
            response = self._open(url, headers)
        except urllib.error.HTTPError as error:
            self._access.count(host, error.code)
            raise
        except FullpoolError:
            self._access.count(host, None)
            raise
        self._access.count(host, response.status)
        return response

    def _open(self, url: str, headers: dict[str, str] | None) -> http.client.HTTPResponse:
        site = "/".join(url.split("/", 3)[:3])
        if site not in self._allowed:
            _check_address(url, self._access)
            self._allowed.add(site)
        request = urllib.request.Request(  # noqa: S310 - checked above
            url,
            headers={**_HEADERS, **(headers or {})},
            origin_req_host=site,  # for cookies, of which there are none; else it parses the URL
        )
        try:
            response: http.client.HTTPResponse = self._director.open(request)
            _check_kind(response, request.host)
        except (RedirectedError, PortalError):
            self._kept.close_all()  # the answer was not read: what is asked next would get it
            raise
        except urllib.error.HTTPError as error:
            if not _drain(error):
                self._kept.close_all()  # as above
            error.close()
            if error.code == http.client.PROXY_AUTHENTICATION_REQUIRED:
                raise self._not_let_through(request, error) from error
            if error.code == http.client.NETWORK_AUTHENTICATION_REQUIRED:
                raise PortalError(f"asking {request.host}: HTTP {error.code}") from error
            raise
        except (OSError, http.client.HTTPException) as error:
            raise explained(error, url) from error
        return response

    def _not_let_through(
        self, request: urllib.request.Request, error: urllib.error.HTTPError
    ) -> UnreachableError:
        by = _by(self._access.route.proxy_of(request.full_url))
        return UnreachableError(
            f"connecting to {request.host}{by}: HTTP {error.code} {error.reason}", hint=_NO_ENTRY
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self._kept.close_all()


def _check_kind(response: http.client.HTTPResponse, host: str) -> None:
    """Raise PortalError if the answer is a web page: the vendor has none below these addresses."""
    if response.headers.get_content_type() == "text/html":
        raise PortalError(f"asking {host}: {WEB_PAGE}")


def _drain(error: urllib.error.HTTPError) -> bool:
    """Read the body of a refusal; return whether that was all, so that its connection is free."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        error.read(_ERROR_BYTES)
    return cast("http.client.HTTPResponse", error.fp).isclosed()


def explained(error: Exception, url: str) -> FullpoolError:
    """Return our error for what the network raised while *url* was asked for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedError(f"connecting to {urlsplit(url).netloc}: {error.verify_message}")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DiskFullError(f"saving {url}: {error}")
    text = f"{error}" or type(error).__name__
    if isinstance(error, http.client.IncompleteRead):
        length = len(error.partial) + (error.expected or 0)
        text = f"truncated at {len(error.partial)} of {length} bytes"
    return ArchiveError(f"fetching {url}: {text}")


def _check_address(url: str, access: Access) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and (parts.hostname in _LOOPBACK or access.allow_http):
        return
    raise UntrustedError(
        f"opening {url}: only https is allowed",
        hint="use an https address, or set network.allow_http = true for a mirror you trust",
    )


class _SameSite(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only within the same scheme, host and port."""

    max_redirections = 3

    def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise RedirectedError(f"fetching {req.full_url}: redirected to {newurl[:200]}")
        fp.read(_ERROR_BYTES)
        fp.close()  # urllib would read all that is left of it
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Kept(urllib.request.BaseHandler):
    """Speaks http and https over one kept connection a host."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connections: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self._ask(request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self._ask(request)

    def close_all(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _ask(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        connection, is_reused = self._connection(request.type, request.host)
        try:
            return self._exchange(connection, request)
        except _STALE:
            connection.close()
            if not is_reused:
                raise
            return self._exchange(connection, request)
        except BaseException:
            connection.close()
            raise

    def _connection(self, scheme: str, host: str) -> tuple[http.client.HTTPConnection, bool]:
        """Return the connection to a host, and whether it has been used before."""
        known = self._connections.get((scheme, host))
        if known is None:
            known = connection_to(scheme, host, self._access)
            self._connections[scheme, host] = known
        return known, known.sock is not None

    def _exchange(
        self, connection: http.client.HTTPConnection, request: urllib.request.Request
    ) -> http.client.HTTPResponse:
        proxy = self._access.route.proxy_of(request.full_url)
        if connection.sock is None:
            connection.response_class = http.client.HTTPResponse  # of a proxy that makes a tunnel
            _connect(connection, request.host, proxy)
        # http.client calls it as it would a class of responses.
        connection.response_class = cast("Any", responses(connection, self._access))
        connection.sock.settimeout(self._access.read_timeout_s)
        headers, target = dict(request.header_items()), request.selector
        if proxy is not None and request.type == "http":  # over https it is asked for a tunnel
            headers, target = headers | dict(proxy.headers), request.full_url
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        response.url = request.full_url
        response.msg = cast("Any", response.reason)  # what urllib's handlers expect
        return response


def _connect(connection: http.client.HTTPConnection, host: str, proxy: Proxy | None) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, http.client.HTTPException) as error:
        hint = _NO_NAME if isinstance(error, socket.gaierror) else None
        if proxy is not None:  # of whose answer http.client has no other word
            hint = _NO_ENTRY if "407" in str(error) else _NO_PROXY
        raise UnreachableError(f"connecting to {host}{_by(proxy)}: {error}", hint=hint) from error


def _by(proxy: Proxy | None) -> str:
    return f" through the proxy {proxy.shown}" if proxy else ""
