"""TLS to a host through TLS to a proxy.

Python's ssl puts TLS on a socket of the system, not on one that has TLS already. So what goes to
the proxy is handed on between its connection and one end of a pair of sockets; on the other end
TLS to the host is put.
"""

import selectors
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

_CHUNK: Final = 1 << 16
# A proxy that takes nothing for so long is gone.
_SEND_S: Final = 60.0


class _End(socket.socket):
    """An end of a pair, which is no TCP: what http.client sets of that goes without saying."""

    def setsockopt(self, level: int, *args: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *args)


def behind(outer: ssl.SSLSocket) -> socket.socket:
    """Return a socket whose bytes come and go over *outer*, which is closed with it."""
    one, far = socket.socketpair()
    near = _End(fileno=one.detach())
    near.settimeout(outer.gettimeout())
    threading.Thread(target=_hand_on, args=(outer, far), name="tunnel", daemon=True).start()
    return near


def _hand_on(outer: ssl.SSLSocket, far: socket.socket) -> None:
    """Hand bytes on both ways, until either end is closed."""
    with outer, far, suppress(OSError):
        outer.setblocking(False)
        while True:
            timeout_s = 0 if outer.pending() else None  # what is decrypted wakes no selector
            readable = _ready([outer, far], selectors.EVENT_READ, timeout_s)
            if far in readable and not _is_sent(outer, far):
                return
            if (outer in readable or outer.pending()) and not _is_received(outer, far):
                return


def _ready(
    sockets: Sequence[socket.socket], event: int, timeout_s: float | None
) -> list[socket.socket]:
    """Return those of *sockets* that can be read, or written to."""
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, event)
        chosen = {key.fd for key, _ in selector.select(timeout_s)}
    return [one for one in sockets if one.fileno() in chosen]


def _is_sent(outer: ssl.SSLSocket, far: socket.socket) -> bool:
    content = memoryview(far.recv(_CHUNK))
    if not content:
        return False
    while content:
        try:
            content = content[outer.send(content) :]
        except ssl.SSLWantWriteError:
            if not _ready([outer], selectors.EVENT_WRITE, _SEND_S):
                return False
        except ssl.SSLWantReadError:
            if not _ready([outer], selectors.EVENT_READ, _SEND_S):
                return False
    return True


def _is_received(outer: ssl.SSLSocket, far: socket.socket) -> bool:
    try:
        content = outer.recv(_CHUNK)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return True
    far.sendall(content)
    return bool(content)
