"""What signals ask for, as flags: a handler may interrupt anything, so it takes no lock."""

import atexit
import os
import signal
import sys
from typing import NoReturn


class Flag:
    """Something that is set or not. Unlike an Event it may be set by a signal handler."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set


def stop_on_signals() -> Flag:
    """Return a flag that SIGINT or SIGTERM sets; a second one ends the program at once."""
    stop = Flag()

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


def leave(code: int) -> NoReturn:
    """End the process; what was registered to run at its end runs.

    No thread is waited for that waits for a host, and no module is taken apart: that alone takes a
    tenth of a second.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the process, whatever it is at; workers end with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
