"""The thread that feeds systemd's watchdog and forces the end of a stop."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from fullpool import logs
from fullpool.app.service.liveness import Liveness
from fullpool.app.signals import leave_by_force
from fullpool.errors import Exit
from fullpool.model import Stop
from fullpool.notify import Manager

log = logs.get_logger()

_STEP_S: Final = 0.25
_SAY_EVERY_S: Final = 1.0
# Looks for progress in the time the watchdog grants: one that shows none is no death yet.
_LOOKS: Final = 4
# What is not finished this long after it was asked to stop is given up: it is done again.
_GRACE_S: Final = 4.0
_MORE_TIME_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """What is kept alive. *say* tells what is going on, *alive* that it does."""

    manager: Manager
    liveness: Liveness
    stop: Stop
    say: Callable[[], None]
    alive: Callable[[], None]
    watchdog_s: float | None


class Keepalive:
    """Runs while the daemon runs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended = threading.Event()
        self._is_ready = self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="keepalive", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._service.stop.is_set() and not self._is_stopping:
            self._tell_stopping()

    def ready(self) -> None:
        """Tell that the daemon does its work from now on."""
        self._is_ready = True
        self._service.manager.ready()

    def _run(self) -> None:
        service, said, fed = self._service, 0.0, time.monotonic()
        interval_s = min((service.watchdog_s or _MORE_TIME_S) / _LOOKS, _MORE_TIME_S)
        while not self._ended.wait(_STEP_S):
            now = time.monotonic()
            if service.stop.is_set():
                self._see_out()
                return
            if now - said >= _SAY_EVERY_S:
                service.say()
                said = now
            if now - fed >= interval_s:
                fed = now
                self._feed()

    def _feed(self) -> None:
        """Tell the manager that the work moves, if it does."""
        service = self._service
        if not service.liveness.has_moved():
            return
        service.alive()
        if service.watchdog_s:
            service.manager.alive()
        if not self._is_ready:
            service.manager.extend(_MORE_TIME_S)

    def _see_out(self) -> None:
        """Wait for the daemon to stop, but not for long."""
        self._tell_stopping()
        if not self._ended.wait(_GRACE_S):
            leave_by_force(Exit.OK, lambda: log.warning("daemon.stopped", forced=True))

    def _tell_stopping(self) -> None:
        self._is_stopping = True
        self._service.manager.stopping()
        self._service.manager.extend(_GRACE_S + 1.0)
        self._service.manager.status("stopping")
