"""The command line: arguments to app, errors to exit codes."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from fullpool.app import signals
from fullpool.cli import care as _care  # noqa: F401 - adds its commands to the program
from fullpool.cli import commands as _commands  # noqa: F401 - likewise
from fullpool.cli import demo as _demo  # noqa: F401 - likewise
from fullpool.cli import exporting as _exporting  # noqa: F401 - likewise
from fullpool.cli import init as _init  # noqa: F401 - likewise
from fullpool.cli import publishing as _publishing  # noqa: F401 - likewise
from fullpool.cli import web as _web  # noqa: F401 - likewise
from fullpool.cli.program import program
from fullpool.errors import (
    DiskFullError,
    Exit,
    FullpoolError,
    LakeBusyError,
    LakeUnwritableError,
    UntrustedError,
    refused,
)

# What no signal makes: it is told also when one came.
_FAULTS: Final = (DiskFullError, LakeBusyError, LakeUnwritableError, UntrustedError)


def main() -> NoReturn:
    """Run the command in sys.argv; never returns."""
    sys.stdout = sys.stdout or _nowhere()  # None: it was closed from the start
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack letters of the vendor's
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _lossy(sys.stderr) if sys.stderr else _nowhere()
    try:
        signals.watch_signals()
        signals.leave(_run())
    except signals.Interrupted:  # as it was about to tell something else, or to leave
        signals.leave(_stopped())


class _Lossy(io.FileIO):
    """A file that takes what it cannot write for written."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            if (written := super().write(content)) is not None:  # None: it would have to wait
                return written
        return len(content)


def _lossy(stream: TextIO) -> TextIO:
    """Return *stream* so that its loss costs words, not the work: a full disk, a reader gone."""
    raw = io.BufferedWriter(_Lossy(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w")


def _run() -> int:
    """Run the command in sys.argv; return the exit code."""
    try:
        code = _code_of_program()
        sys.stdout.flush()
    except signals.Interrupted:
        return _stopped()
    except FullpoolError as error:
        is_fault = isinstance(error, _FAULTS)
        return _stopped() if signals.is_stopped() and not is_fault else _told(error)
    except BrokenPipeError:
        # The reader of the pipe, such as head, has closed it: discard the rest.
        with _nowhere() as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return int(Exit.OK)
    except Exception as error:
        if signals.is_stopped():  # DuckDB and others have errors of their own for that
            return _stopped()
        if not isinstance(error, OSError):
            raise
        return _told(refused(error, "using files or the output"))
    return _stopped() if signals.is_stopped() else code


def _stopped() -> int:
    """Tell that a signal ended the command, and nothing else: that is why it could not go on."""
    signals.say_stopped()
    return int(signals.exit_code())


def _told(error: FullpoolError) -> int:
    sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
    return int(error.exit_code)


def _code_of_program() -> int:
    output = sys.stdout
    try:
        program()
    except SystemExit as ended:
        if sys.stdout is not output:  # by typer, because the reader closed the pipe: no error
            return int(Exit.OK)
        return int(ended.code or Exit.OK)
    return int(Exit.OK)
