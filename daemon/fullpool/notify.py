"""sd_notify: tells systemd READY, STATUS and WATCHDOG.

Source: sd_notify(3). Does nothing where there is no service manager, and never fails: a daemon
that cannot be watched still works.
"""

import socket
import time
from contextlib import suppress
from typing import Final

_MICROSECONDS: Final = 1_000_000


class Manager:
    """The service manager at *address*, as systemd gives it in NOTIFY_SOCKET; "" for none."""

    def __init__(self, address: str) -> None:
        # A leading @ stands for the zero byte of the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        # Without the time in the same datagram Type=notify-reload waits until it gives up.
        moment = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={moment}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        self._tell("STATUS=" + text.replace("\n", " "))

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for *seconds* more before a start or a stop counts as failed."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            channel.settimeout(1.0)
            channel.connect(self._address)
            channel.sendall("\n".join(lines).encode())


def watchdog_s(usec: str, pid: str, own_pid: int) -> float | None:
    """Return the seconds within which the manager wants a sign of life; None if it does not.

    *usec* and *pid* are WATCHDOG_USEC and WATCHDOG_PID.
    """
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(own_pid)):
        return None
    return int(usec) / _MICROSECONDS
