"""What a process that builds is before its first step.

All of them are forked from one that has loaded this module; so it imports what a build needs, and
no more.
"""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from multiprocessing.connection import Connection

import fullpool.store.build  # noqa: F401 - loading it is the point


def prepare(leash: Connection) -> None:
    """Make the calling process a worker: it ends when the other end of *leash* is closed."""
    # They reach all processes of a terminal or a service; the parent decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_others, args=(leash,), daemon=True).start()
    collect_rarely()


def _end_with_others(leash: Connection) -> None:
    """End this worker when its leash is let go or the program is gone, however it ended.

    Also when the process is gone that it was forked from: the program takes it for dead then.
    """
    program = multiprocessing.parent_process()
    if program is not None:
        forked_from = os.pidfd_open(os.getppid())
        multiprocessing.connection.wait([program.sentinel, leash, forked_from])
        os._exit(1)


def collect_rarely() -> None:
    """Spare most of the garbage collector's work: a pass makes few cycles and many small values.

    Measured on 2,000 small archives: 7 % of all CPU time.
    """
    gc.set_threshold(100_000, 50, 50)
