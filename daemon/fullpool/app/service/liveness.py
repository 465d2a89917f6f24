"""Whether work is progressing, for the watchdog."""

import threading
import time
from pathlib import Path
from typing import Final

# A thread that only waits and looks whether to stop uses less of a core than this.
_WORKING_SHARE: Final = 0.02
_FIELDS_BEFORE_CPU: Final = 11  # of /proc/PID/stat, after the name


class Liveness:
    """Counts signs of life of the main thread, of downloads and of worker processes.

    A build of a large archive takes minutes without a word; then the CPU time of its process is
    what shows that it goes on.
    """

    def __init__(self) -> None:
        self._moves = 0
        self._seen_moves = -1
        self._workers: dict[int, int] = {}
        self._main = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        self._main_s = 0.0
        self._at = 0.0

    def moved(self) -> None:
        """Record progress. Called from any thread; a lost count does not matter."""
        self._moves += 1

    def worker_started(self, number: int) -> None:
        self._workers[number] = -1

    def has_moved(self) -> bool:
        """Whether anything got on since this was asked before."""
        moves = self._moves
        has_moved, self._seen_moves = moves != self._seen_moves, moves
        has_worked = self._has_main_worked()
        have_built = [self._has_built(number) for number in list(self._workers)]
        return has_moved or has_worked or any(have_built)

    def _has_main_worked(self) -> bool:
        used_s, at = time.clock_gettime(self._main), time.monotonic()
        share = (used_s - self._main_s) / max(at - self._at, 0.001)
        self._main_s, self._at = used_s, at
        return share >= _WORKING_SHARE

    def _has_built(self, number: int) -> bool:
        ticks = _cpu_ticks(number)
        if ticks is None:
            del self._workers[number]
            return False
        before, self._workers[number] = self._workers[number], ticks
        return ticks > before


def _cpu_ticks(number: int) -> int | None:
    """Return the CPU time a process has used, in ticks; None if it is gone."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return None
    user, system = text.rpartition(")")[2].split()[_FIELDS_BEFORE_CPU:][:2]
    return int(user) + int(system)
