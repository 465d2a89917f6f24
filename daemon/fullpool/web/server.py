"""Serves the site until a signal ends it. Owns uvicorn."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from fullpool.app.signals import Flag
from fullpool.config.settings import LOOPBACK
from fullpool.errors import FullpoolError, WebError
from fullpool.web import map_page
from fullpool.web.application import application
from fullpool.web.site import Site

_BACKLOG: Final = 100
_AT_ONCE: Final = 100
_KEEP_ALIVE_S: Final = 15


@dataclass(frozen=True, slots=True)
class Place:
    """Where the site is: at a host and a port, or at a unix *socket*, below *root_path*.

    *hosts* are more names that it answers to, such as that of a reverse proxy; `*` is any.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    socket: Path | None = None
    root_path: str = ""
    hosts: tuple[str, ...] = ()


def serve(site: Site, place: Place, stop: Flag, tell: Callable[[str], object]) -> None:
    """Serve until *stop* is set; *tell* where, as soon as it answers. Raises WebError."""
    threading.Thread(target=_warm, args=(site,), name="warm", daemon=True).start()
    with _listening(place) as listening:
        address = _address(place, listening)
        config = uvicorn.Config(
            application(site, (*LOOPBACK, place.host, *place.hosts)),
            root_path=place.root_path.rstrip("/"),
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

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)


def _listening(place: Place) -> socket.socket:
    """Return the socket that is listened at. Raises WebError."""
    try:
        if place.socket is not None:
            return _listening_at(place.socket)
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        return socket.create_server((place.host, place.port), family=family, backlog=_BACKLOG)
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
    return f"http://{host}:{listening.getsockname()[1]}{place.root_path.rstrip('/')}/"
