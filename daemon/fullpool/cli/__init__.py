"""The command line: arguments to app, errors to exit codes."""

import sys

from fullpool import app
from fullpool.cli import care as _care  # noqa: F401 - adds its commands to the program
from fullpool.cli import demo as _demo  # noqa: F401 - likewise
from fullpool.cli.commands import program
from fullpool.errors import Exit, FullpoolError, LakeUnwritableError


def main() -> None:
    """Run the command in sys.argv; never returns."""
    try:
        program()
    except FullpoolError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        app.leave(error.exit_code)  # a thread that is left must have no last words
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe, such as head, has had enough
        sys.exit(0)
    except OSError as error:
        # The disk or the system refused something that no step of the work was about.
        hint = LakeUnwritableError.hint
        sys.stderr.write(f"error: using files: {error}\nhint: {hint}\n")
        sys.exit(int(Exit.LAKE_UNWRITABLE))
