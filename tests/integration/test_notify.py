"""What the service manager is told, over real sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from fullpool.notify import Manager, watchdog_s


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Manager, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@{uuid4().hex}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.settimeout(5)
        listening.bind(name.replace("@", "\0", 1))
        yield Manager(name), listening


def test_each_call_is_one_datagram(manager: tuple[Manager, socket.socket]) -> None:
    told, listening = manager

    told.ready()
    told.status("filling 3 of 412 series\nand more")
    told.alive()
    told.stopping()
    told.extend(2.5)

    assert [listening.recv(1000).decode() for _ in range(5)] == [
        "READY=1",
        "STATUS=filling 3 of 412 series and more",
        "WATCHDOG=1",
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=2500000",
    ]


def test_reloading_and_time_share_one_datagram(
    manager: tuple[Manager, socket.socket],
) -> None:
    told, listening = manager

    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.reloading()

    first, second = listening.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) >= before_us


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    Manager(address).ready()


def test_the_watchdog_ignores_other_processes() -> None:
    assert watchdog_s("4000000", "12", 12) == 4.0
    assert watchdog_s("4000000", "", 12) == 4.0
    assert watchdog_s("4000000", "13", 12) is None
    assert watchdog_s("", "", 12) is None
    assert watchdog_s("0", "", 12) is None
