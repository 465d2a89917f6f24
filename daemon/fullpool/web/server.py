"""Serves the site until a signal ends it. Owns uvicorn."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import uvicorn

from fullpool.app.signals import Flag
from fullpool.config.addresses import LOOPBACK
from fullpool.errors import FullpoolError, UsageError, WebError
from fullpool.web import map_page
from fullpool.web.application import application
from fullpool.web.site import Site

_BACKLOG: Final = 100
_AT_ONCE: Final = 500
_KEEP_ALIVE_S: Final = 15
# So long a connection may take to say what it wants.
_SILENT_S: Final = 20.0
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - where somebody asked for that
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the site is: at a host and a port, or at a unix *socket*, below *root_path*.

    *hosts* are more names that it answers to, such as that of a reverse proxy.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    socket: Path | None = None
    root_path: str = ""
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.host:
            raise UsageError(
                "serving the lake: --host is empty", hint="name an address, or omit it"
            )
        if self.root_path and not _PATH.fullmatch(self.root_path):
            raise UsageError(
                f"serving the lake below {self.root_path!r}: that is no path", hint="write /lake"
            )
        for host in self.hosts:
            if not _NAME.fullmatch(host):
                raise UsageError(
                    f"allowing the host {host!r}: that is no name",
                    hint="write data.example.com, without a port",
                )


def serve(site: Site, place: Place, stop: Flag, tell: Callable[[str], object]) -> None:
    """Serve until *stop* is set; *tell* where, as soon as it answers. Raises WebError."""
    threading.Thread(target=_warm, args=(site,), name="warm", daemon=True).start()
    with _listening(place) as listening:
        address = _address(place, listening)
        config = uvicorn.Config(
            application(
                site, (*LOOPBACK, place.host, *place.hosts), is_open=place.host in _EVERYWHERE
            ),
            root_path=place.root_path,
            log_config=None, access_log=False, lifespan="off", server_header=False,
            proxy_headers=False, ws="none", limit_concurrency=_AT_ONCE,
            timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=1,
        )  # fmt: skip
        try:
            _Server(config, stop, lambda: tell(address)).run(sockets=[listening])
        finally:
            if place.socket is not None:
                with suppress(OSError):
                    place.socket.unlink()


def _warm(site: Site) -> None:
    """Open the lake and make the map, so that the first visitor need not wait for that."""
    with suppress(FullpoolError):  # the visitor is told
        map_page.page(site, {})


class _Server(uvicorn.Server):
    """Says when it answers, and leaves signals to the program."""

    def __init__(self, config: uvicorn.Config, stop: Flag, tell: Callable[[], object]) -> None:
        super().__init__(config)
        self._stop = stop
        self._tell = tell
        self._silent: WeakKeyDictionary[Any, tuple[int, float]] = WeakKeyDictionary()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def on_tick(self, counter: int) -> bool:
        self._close_silent()
        return self._stop.is_set() or await super().on_tick(counter)

    def _close_silent(self) -> None:
        """Close connections on which nothing is asked, or only half of it."""
        now = time.monotonic()
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            known, since = self._silent.get(connection, (0, now))
            if known != id(cycle) or (cycle is not None and not cycle.response_complete):
                self._silent[connection] = (id(cycle), now)  # it has asked something since
            elif now - since > _SILENT_S:
                connection.transport.close()


def _listening(place: Place) -> socket.socket:
    """Return the socket that is listened at. Raises WebError."""
    try:
        if place.socket is not None:
            return _listening_at(place.socket)
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        both = place.host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(
            (place.host, place.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
    except OSError as error:
        where = place.socket or f"{place.host}:{place.port}"
        raise WebError(f"serving the lake at {where}: {error}") from error


def _listening_at(path: Path) -> socket.socket:
    """Return a unix socket for its owner and group; one that nobody listens at is replaced."""
    made = socket.socket(socket.AF_UNIX)
    if path.is_socket():
        try:
            made.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        made.close()
        made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(0o660)
    made.listen(_BACKLOG)
    return made


def _address(place: Place, listening: socket.socket) -> str:
    if place.socket is not None:
        return f"unix:{place.socket}"
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"http://{host}:{listening.getsockname()[1]}{place.root_path}/"
