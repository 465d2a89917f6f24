"""The clock, the environment and sleeping: the only module that reads them."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fullpool.model import Stop


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)  # noqa: TID251 - here it is read, and nowhere else


def sleeper(stop: Stop, beat: Callable[[], None] = lambda: None) -> Callable[[float], None]:
    """Return a sleep that ends when *stop* is set, and calls *beat* meanwhile."""

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            beat()
            time.sleep(min(left, 0.2))  # noqa: TID251 - here it is waited, and nowhere else

    return sleep


def proxies() -> dict[str, str]:
    """Return the proxies that the environment names, by scheme, and under `no` what needs none."""
    from urllib.request import getproxies_environment  # noqa: PLC0415 - most commands need none

    return getproxies_environment()


def variable(name: str) -> str:
    """Return a variable of the environment; "" if it is not set."""
    return os.environ.get(name, "")


def environment() -> Mapping[str, str]:
    """Return all variables of the environment."""
    return os.environ


def add_to_variable(name: str, value: str) -> None:
    """Have the processes that are started from now on find *value* in a list with commas."""
    known = [one for one in variable(name).split(",") if one]
    if value not in known:
        os.environ[name] = ",".join([*known, value])
