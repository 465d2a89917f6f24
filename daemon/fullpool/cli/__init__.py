"""The command line: arguments to app, errors to exit codes."""

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from fullpool import app
from fullpool.cli import care as _care  # noqa: F401 - adds its commands to the program
from fullpool.cli import demo as _demo  # noqa: F401 - likewise
from fullpool.cli.commands import program
from fullpool.errors import DiskFullError, Exit, FullpoolError, LakeUnwritableError


def main() -> NoReturn:
    """Run the command in sys.argv; never returns."""
    sys.stderr = _lossy_stderr()
    app.leave(_run())


class _Lossy(io.FileIO):
    """A file that takes what it cannot write for written."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            if (written := super().write(content)) is not None:  # None: it would have to wait
                return written
        return len(content)


def _lossy_stderr() -> TextIO:
    """Return a standard error whose loss costs words, not the work.

    Its disk may be full, its reader gone, or it was closed from the start.
    """
    if sys.stderr is None:
        return Path(os.devnull).open("w")
    raw = _Lossy(sys.stderr.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), sys.stderr.encoding, "backslashreplace", line_buffering=True
    )


def _run() -> int:
    """Run the command in sys.argv; return the exit code."""
    try:
        code = _code_of_program()
        for stream in app.open_streams():
            stream.flush()
    except FullpoolError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe, such as head, has had enough: what is left is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as error:
        return _refused(error)
    return code


def _refused(error: OSError) -> int:
    """Tell that the disk or the system refused something that no step of the work was about."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    told: type[FullpoolError] = DiskFullError if is_full else LakeUnwritableError
    sys.stderr.write(f"error: using files or the output: {error}\nhint: {told.hint}\n")
    return int(told.exit_code)


def _code_of_program() -> int:
    output = sys.stdout
    try:
        program()
    except SystemExit as ended:
        if sys.stdout is not output:
            return int(Exit.OK)  # typer's answer to a reader that has had enough, which is no error
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
            return 1
        return ended.code or int(Exit.OK)
    return int(Exit.OK)
