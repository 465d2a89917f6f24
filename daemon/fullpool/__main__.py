"""The command `fullpool`, also as `python -m fullpool`.

Worker processes import the module that started the program once more; so nothing is imported here
before the command runs.
"""

import os
import signal
import sys

from fullpool import collect_rarely


def _use_utf8() -> None:
    """Start again with names of files in UTF-8 where the locale has another encoding for them.

    The vendor lists symbols in Chinese. What is printed stays in the encoding of the terminal.
    """
    if sys.getfilesystemencoding() != "utf-8" and "PYTHONUTF8" not in os.environ:
        shown = f"{sys.stdout.encoding}:backslashreplace" if sys.stdout else "utf-8"
        env = {"PYTHONIOENCODING": shown, **os.environ, "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)  # noqa: S606


def main() -> None:
    """Run the command in sys.argv; never returns."""
    _use_utf8()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command has its own
    collect_rarely()
    from fullpool.cli import main as run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
