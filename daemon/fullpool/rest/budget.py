"""Keeps requests within the API's weight limit per minute."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from fullpool.errors import RestError

_MINUTE: Final = timedelta(minutes=1)
# What is never kept for requests that come ahead of others: a share, more than any of them weighs.
_LEFT_TO_ALL: Final = 0.1
_LEAST_LEFT: Final = 40


class Budget:
    """Counts the weight used on one host in this minute, and makes its users wait for the next.

    What the host itself reports counts, if it is more: other programs may share the address. So
    much of each minute as is *reserved* is left for requests that come ahead of the others.
    Shared by all threads.
    """

    def __init__(
        self, allowed: int, now: Callable[[], datetime], sleep: Callable[[float], None]
    ) -> None:
        self.allowed = allowed
        self.reserved = 0
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._minute = _floor(now())
        self._used = 0
        self._used_ahead = 0

    @property
    def used(self) -> int:
        """The weight used in this minute, as far as known."""
        return self._used

    def left(self) -> int:
        """Return the weight that is left of this minute."""
        with self._lock:
            self._turn()
            return max(self.allowed - self._used, 0)

    def acquire(
        self, weight: int, is_stopped: Callable[[], bool], *, is_ahead: bool = False
    ) -> None:
        """Wait until *weight* fits, and take it. Raises RestError if the work is to end.

        Unless it *is_ahead*, it does not fit into what is reserved and not yet used.
        """
        while (wait_s := self._try(weight, is_ahead=is_ahead)) > 0:
            self._sleep(wait_s)
            if is_stopped():
                raise RestError("waiting for the API's weight: stopped")

    def observe(self, used: int) -> None:
        """Record what the host says was used in this minute."""
        with self._lock:
            self._turn()
            self._used = max(self._used, used)

    def _try(self, weight: int, *, is_ahead: bool) -> float:
        """Take *weight* and return 0, or return the seconds until it is worth another try."""
        with self._lock:
            self._turn()
            spare = 0 if is_ahead else self._spare()
            if not self._used or self._used + weight <= self.allowed - spare:
                self._used += weight
                self._used_ahead += weight if is_ahead else 0
                return 0.0
            return max((self._minute + _MINUTE - self._now()).total_seconds(), 0.05)

    def _spare(self) -> int:
        """Return what is reserved and not used; never all of the minute, whatever is reserved."""
        left = max(int(self.allowed * _LEFT_TO_ALL), _LEAST_LEFT)
        return max(min(self.reserved, self.allowed - left) - self._used_ahead, 0)

    def _turn(self) -> None:
        minute = _floor(self._now())
        if minute != self._minute:
            self._minute, self._used, self._used_ahead = minute, 0, 0


def _floor(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
