"""Connects to whichever address of a host answers first (RFC 8305).

A machine may have an IPv6 route that leads nowhere. To wait for one address after the other costs
minutes then; so the next one is tried while the first is still silent (RFC 8305).
"""

import errno
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import zip_longest
from typing import Any, Final

from fullpool.model import Stop

# So long an address is tried alone. Source: RFC 8305, section 5.
_HEAD_START_S: Final = 0.25

Address = tuple[socket.AddressFamily, Any]


def dial(
    host: str, port: int, timeout_s: float, stop: Stop, monotonic: Callable[[], float]
) -> socket.socket:
    """Return a connected socket.

    Raises OSError if the name has no address, or none answers within *timeout_s* after that.
    """
    with ExitStack() as opened, selectors.DefaultSelector() as selector:
        race = _Race(selector, opened)
        rest, end = iter(addresses(host, port)), monotonic() + timeout_s
        while monotonic() < end and not stop.is_set():
            found = race.start(rest) or race.wait(min(_HEAD_START_S, end - monotonic()))
            if found is not None:
                found.settimeout(timeout_s)
                return found
            if race.is_lost:
                raise race.error
    if stop.is_set():
        raise OSError(errno.ECANCELED, "stopped")
    raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout_s:g} s")


def addresses(host: str, port: int) -> list[Address]:
    """Return where a host is, the families in turn, beginning with the one the system prefers."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "that is not a host name") from error
    known = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    first = [pair for pair in known if pair[0] == known[0][0]]
    others = [pair for pair in known if pair[0] != known[0][0]]
    pairs = zip_longest(first, others)
    return [one for pair in pairs for one in pair if one is not None]


class _Race:
    """The sockets that are connecting."""

    def __init__(self, selector: selectors.BaseSelector, opened: ExitStack) -> None:
        self._selector = selector
        self._opened = opened
        self._is_over = False
        self.error = OSError(errno.EADDRNOTAVAIL, "it has no address")

    @property
    def is_lost(self) -> bool:
        """Whether no address is left that may answer."""
        return self._is_over and not self._selector.get_map()

    def start(self, rest: Iterator[Address]) -> socket.socket | None:
        """Try the next address that can be tried; return its socket if it answers at once."""
        for family, address in rest:
            try:
                return self._tried(family, address)
            except OSError as error:
                self.error = error
        self._is_over = True
        return None

    def _tried(self, family: socket.AddressFamily, address: Any) -> socket.socket | None:
        one = socket.socket(family, socket.SOCK_STREAM)
        guard = self._opened.enter_context(closing(one))
        one.setblocking(False)
        code = one.connect_ex(address)
        if code == 0:
            return self._won(guard)
        if code != errno.EINPROGRESS:
            one.close()
            raise OSError(code, os.strerror(code))
        self._selector.register(one, selectors.EVENT_WRITE)
        return None

    def wait(self, timeout_s: float) -> socket.socket | None:
        """Return the first socket that is connected; None if none is yet, or the next may start."""
        if not self._selector.get_map():
            return None
        for key, _ in self._selector.select(max(timeout_s, 0)):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            self._selector.unregister(one)
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return self._won(one)
            self.error = OSError(code, os.strerror(code))
        return None

    def _won(self, one: socket.socket) -> socket.socket:
        """Return a copy of the socket that the others' end does not close."""
        winner = one.dup()
        with suppress(OSError):
            winner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return winner
