"""Answers only what is asked for by a name that is allowed, and never changes anything."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullpool.config.addresses import name_in_host

# Everything is from here; styles that scripts set one by one are no part of it.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_METHODS: Final = ("GET", "HEAD")
_FORBIDDEN: Final = "this address answers to the names of this machine only; see --allow-host\n"


class Guard:
    """Refuses other methods and hosts, and says to browsers what a page may do.

    A web page could otherwise have a browser read the lake, by a name of its own that leads here.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, is_open: bool) -> None:
        """Answer to *hosts*; if it *is_open* to other machines, to every address as well."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        _strip_once_more(scope)
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["method"] not in _METHODS:
            return PlainTextResponse("nothing can be changed here\n", 405, {"Allow": "GET, HEAD"})
        host = Headers(scope=scope).get("host", "")
        name = name_in_host(host).lower()
        if name in self._hosts or (self._is_open and _is_address(name)):
            return None
        return PlainTextResponse(_FORBIDDEN, 403)


def _strip_once_more(scope: Scope) -> None:
    """Take the path of a proxy off that has not done so itself."""
    root, path = scope.get("root_path", ""), scope["path"]
    if root and (path == root + root or path.startswith(f"{root}{root}/")):
        scope["path"] = path.removeprefix(root)


def _is_address(name: str) -> bool:
    """Whether it is an address: no page elsewhere can have that lead here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
