"""SIGINT and SIGTERM: ends the program cleanly, and in time.

A handler in Python runs on the main thread, between two of its steps: while that thread waits for
a name to be resolved, or for a query, none does. So a thread waits for signals too, at a pipe that
the C handler writes to at once.
"""

import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, NoReturn

from fullpool.errors import Exit

# So long a command that was told to stop may take for what it is at; then it is done again.
_GRACE_S: Final = 1.5
_TELL_S: Final = 0.3
_IMPORT_S: Final = 0.02  # until it is asked again whether an import is done
_SHOW_CURSOR: Final = "\x1b[?25h"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


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


class Interrupted(BaseException):
    """Raised on the main thread of a command that watches no flag."""


@dataclass(slots=True)
class _Ending:
    """What was asked for so far. *is_watched*: the command looks at *stop* and ends by itself.

    *is_patient*: it has a thread of its own that sees to that.
    """

    stop: Flag = field(default_factory=Flag)
    number: int = 0
    is_watched: bool = False
    is_patient: bool = False
    said: str = "stopped"
    at_stop: list[Callable[[], object]] = field(default_factory=list)


_ending: Final = _Ending()


def watch_signals() -> None:
    """Have SIGINT and SIGTERM end this program. To be called once, on the main thread."""
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, _handle)
    signal.signal(signal.SIGALRM, _interrupt)
    threading.excepthook = _tell_of_thread
    sys.unraisablehook = _tell_of_callback
    threading.Thread(target=_wait, args=(heard, told), name="signals", daemon=True).start()


def _tell_of_thread(args: threading.ExceptHookArgs) -> None:
    """Tell what ended a thread; threads that trip over the end of the program are no news."""
    if not _ending.stop.is_set():
        threading.__excepthook__(args)


def _tell_of_callback(args: "sys.UnraisableHookArgs") -> None:
    """Tell what failed where nobody can catch it: in the callback of a weak reference, in an exit.

    A signal that came there is lost for the main thread; the thread ends the program soon.
    """
    if not isinstance(args.exc_value, Interrupted):
        sys.__unraisablehook__(args)


def _handle(number: int, frame: FrameType | None) -> None:
    _ending.number = _ending.number or number
    _ending.stop.set()
    _interrupt(number, frame)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise Interrupted on the main thread, once; after the import, if it is at one.

    A module in C, such as DuckDB's, may call Python as it is imported, and abort the process if
    that raises.
    """
    if _ending.is_watched:
        return
    if _is_importing(frame):
        signal.setitimer(signal.ITIMER_REAL, _IMPORT_S)
    else:
        _ending.is_watched = True  # by whoever catches it; a second signal ends the program
        raise Interrupted


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _wait(heard: socket.socket, _told: socket.socket) -> None:
    """Set the flag at the first signal; end the program at the second, or when its time is up."""
    _next(heard, None)
    _ending.stop.set()
    for act in _ending.at_stop:
        with suppress(Exception):  # what it was to end may be over
            act()
    if _ending.is_patient:
        _next(heard, None)
    else:
        with suppress(TimeoutError):
            _next(heard, _GRACE_S)
    leave_by_force(exit_code(), say_stopped)


def _next(heard: socket.socket, timeout_s: float | None) -> None:
    """Wait for the next signal that ends a program; others come here too."""
    heard.settimeout(timeout_s)
    while (number := heard.recv(1)[0]) not in _SIGNALS:
        continue
    _ending.number = _ending.number or number


def stop_on_signals(said: str = "stopped") -> Flag:
    """Return the flag that SIGINT or SIGTERM sets; a second one ends the program at once.

    The command is to look at it, and *said* is what is told of its end. It is ended after a short
    while all the same.
    """
    _ending.is_watched, _ending.said = True, said
    return _ending.stop


def when_stopped(act: Callable[[], object]) -> None:
    """Have a thread do something at the first signal: end what the main thread waits for."""
    _ending.at_stop.append(act)


def be_patient() -> None:
    """Leave it to a thread of the daemon to end it in time."""
    _ending.is_patient = True


def is_stopped() -> bool:
    """Whether a signal asked for the end."""
    return _ending.stop.is_set()


def exit_code() -> Exit:
    """Return what a program exits with that a signal ended."""
    return Exit.TERMINATED if _ending.number == signal.SIGTERM else Exit.INTERRUPTED


def say_stopped() -> None:
    """Say in a line that a signal ended the program."""
    with suppress(OSError, ValueError):
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        sys.stderr.write(f"{cursor}{_ending.said}\n")


def leave(code: int) -> NoReturn:
    """End the process; what was registered to run at its end runs.

    No thread is waited for that waits for a host, and no module is taken apart: that alone takes a
    tenth of a second.
    """
    _ending.is_watched = True  # nothing is to be raised from here on
    atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the process, whatever it is at; workers end with it."""
    _flush()
    os._exit(code)


def _flush() -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


def leave_by_force(code: int, say: Callable[[], object]) -> NoReturn:
    """End the process from another thread than the main one, which may be stuck in a write.

    *say* and flushing may block forever on that write.
    """

    def tell() -> None:
        say()
        _flush()

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(_TELL_S)
    os._exit(code)
