"""Connecting to hosts some of whose addresses are silent or refuse."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from fullpool import dialing
from fullpool.dialing import Address, dial

DEADLINE_S = 5.0


@contextmanager
def silent() -> Iterator[Address]:
    """Yield an address whose queue is full, so that no connection to it comes about."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(server.getsockname())
            waiting.append(one)
        yield socket.AF_INET, server.getsockname()
        for one in waiting:
            one.close()


def listening() -> tuple[socket.socket, Address]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, (socket.AF_INET, server.getsockname())


def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return socket.AF_INET, server.getsockname()


def dialled(
    monkeypatch: pytest.MonkeyPatch, addresses: list[Address], timeout_s: float = DEADLINE_S
) -> socket.socket:
    monkeypatch.setattr(dialing, "addresses", lambda _host, _port: addresses)
    return dial("vendor.example", 443, timeout_s, Event(), time.monotonic)


def test_a_silent_address_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    server, there = listening()
    with server, silent() as nowhere, dialled(monkeypatch, [nowhere, there]) as found:
        assert found.getpeername() == there[1]
        assert found.gettimeout() == DEADLINE_S
        found.sendall(b"hello")
        with server.accept()[0] as accepted:
            assert accepted.recv(5) == b"hello"


def test_a_refusing_address_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    server, there = listening()
    with server, dialled(monkeypatch, [refusing(), refusing(), there]) as found:
        assert found.getpeername() == there[1]


def test_refusal_by_all_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionRefusedError, match="refused"):
        dialled(monkeypatch, [refusing(), refusing()])


def test_silence_from_all_ends_in_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        silent() as one,
        silent() as other,
        pytest.raises(TimeoutError, match=r"no answer within 0\.4 s"),
    ):
        dialled(monkeypatch, [one, other], 0.4)


def test_a_stop_ends_it() -> None:
    stop = Event()
    stop.set()

    with pytest.raises(OSError, match="stopped"):
        dial("127.0.0.1", 9, DEADLINE_S, stop, time.monotonic)


def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [
        (six, 1, 6, "", ("::1", 1)),
        (six, 1, 6, "", ("::2", 1)),
        (four, 1, 6, "", ("1.1.1.1", 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    assert [address[0] for _, address in dialing.addresses("x", 1)] == ["::1", "1.1.1.1", "::2"]
