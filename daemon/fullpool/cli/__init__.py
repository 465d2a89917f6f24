"""The command line: arguments to app, errors to exit codes."""

import os
import sys
from typing import NoReturn

from fullpool import app
from fullpool.cli import care as _care  # noqa: F401 - adds its commands to the program
from fullpool.cli import demo as _demo  # noqa: F401 - likewise
from fullpool.cli.commands import program
from fullpool.errors import Exit, FullpoolError, LakeUnwritableError


def main() -> NoReturn:
    """Run the command in sys.argv; never returns."""
    app.leave(_run())


def _run() -> int:
    """Run the command in sys.argv; return the exit code."""
    try:
        code = _code_of_program()
        sys.stdout.flush()
    except FullpoolError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe, such as head, has had enough: what is left is for nobody.
        nobody = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nobody, stream.fileno())
        return int(Exit.OK)
    except OSError as error:
        # The disk or the system refused something that no step of the work was about.
        hint = LakeUnwritableError.hint
        sys.stderr.write(f"error: using files: {error}\nhint: {hint}\n")
        return int(Exit.LAKE_UNWRITABLE)
    return code


def _code_of_program() -> int:
    try:
        program()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return int(Exit.OK)
