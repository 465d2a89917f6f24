"""The command `fullpool`, also as `python -m fullpool`.

Worker processes import the module that started the program once more; so nothing is imported here
before the command runs.
"""

import gc
import signal


def main() -> None:
    """Run the command in sys.argv; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command has its own
    gc.disable()  # what is loaded stays: to look through it for garbage takes a tenth of the start
    from fullpool.cli import main as run  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
