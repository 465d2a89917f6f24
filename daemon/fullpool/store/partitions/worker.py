"""What a builder process runs before its first step.

It is a Python of its own that loads this module: so this imports what a build needs, and no more.
That takes half of the time that loading the command line does.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from multiprocessing.connection import Connection

import fullpool.store.partitions.build  # noqa: F401 - loading it is the point
from fullpool import collect_rarely

# Kept from a process while it begins, when it would end with a traceback.
HELD_BACK = (signal.SIGINT, signal.SIGTERM)


def prepare(leash: Connection) -> None:
    """Make the calling process a worker: it ends when the other end of *leash* is closed."""
    # They reach all processes of a terminal or a service; the parent decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    threading.Thread(target=_end_with_parent, args=(leash,), daemon=True).start()
    collect_rarely()


def _end_with_parent(leash: Connection) -> None:
    """End this worker when its leash is closed, or its parent is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel, leash])
        os._exit(1)
