"""One writer at a time: an flock on the lake's folder, and a lease beside it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool.app import lease
from fullpool.app.lease import Lease
from fullpool.errors import LakeBusyError, LakeUnwritableError, StateDamagedError, refused
from fullpool.store.tree import Tree

_TRIES: Final = 20
_BETWEEN_S: Final = 0.05
_NOT_OTHERS: Final = 0o022


class Held:
    """A lake that this process holds for writing."""

    def __init__(self, tree: Tree, descriptor: int, mine: Lease) -> None:
        self._tree = tree
        self._mine = mine
        self._descriptor = descriptor
        self._state: os.stat_result | None = None

    def watch_state(self) -> None:
        """Have `require_in_place` look for the state too, which is open by now."""
        self._state = self._tree.state.stat()

    def is_ours(self) -> bool:
        """Whether no other machine has taken the lake over."""
        return lease.is_own(self._tree.owner, self._mine)

    def require_ours(self) -> None:
        """Raise LakeBusyError if another machine took this one for dead, and writes the lake."""
        if not self.is_ours():
            raise LakeBusyError(
                f"using the lake {self._tree.root}: {lease.read(self._tree.owner)} took it"
                " over while this machine was suspended"
            )

    def require_in_place(self) -> None:
        """Raise LakeUnwritableError if the folder was moved, replaced, or another put over it.

        StateDamagedError if the state was: what is recorded in the open one would be lost.
        LakeBusyError as `require_ours` does.
        """
        self.require_ours()
        if not _is_still(self._tree.root, os.fstat(self._descriptor)):
            raise LakeUnwritableError(
                f"using the lake {self._tree.root}: the folder was replaced while fullpool"
                " was running",
                hint="it was moved, deleted or mounted over; put it back and start again",
            )
        if self._state is not None and not _is_still(self._tree.state, self._state):
            raise StateDamagedError(
                f"using the lake {self._tree.root}: its state was removed or replaced"
            )


def _is_still(path: Path, what: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), what)
    except OSError:
        return False


@contextmanager
def writing(tree: Tree, command: str, now: datetime, *, is_look: bool = False) -> Iterator[Held]:
    """Hold the lake for writing. Raises LakeBusyError naming who has it, or what is refused.

    Who only reads (*is_look*) waits for nobody: a lease of a process that cannot be seen is held.
    """
    # What is made is no one else's to write, whatever the umask; who may read it, it says.
    os.umask(os.umask(0) | _NOT_OTHERS)
    try:
        tree.create()
        descriptor = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    except (NotADirectoryError, FileExistsError) as error:
        raise LakeUnwritableError(
            f"opening the lake {tree.root}: {error}",
            hint="a file has that name; name a folder instead",
        ) from error
    except OSError as error:
        raise refused(error, f"opening the lake {tree.root}") from error
    try:
        _lock(descriptor, tree)
        mine = lease.own(command, now)
        sleep = time.sleep  # noqa: TID251 - here it is waited
        found = lease.require_free(tree.owner, mine, sleep, is_look=is_look)
        tree.require_symlinks()
        with suppress(OSError):
            tree.daemon.unlink(missing_ok=True)  # of one that was killed
        with lease.held(tree.owner, mine, found, sleep):
            yield Held(tree, descriptor, mine)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, tree: Tree) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_S)  # noqa: TID251 - somebody may only have looked: `is_held`
        except OSError as error:
            raise _without_locks(tree, error) from error
        else:
            return
    holder = lease.read(tree.owner) or "another process"
    raise LakeBusyError(f"locking the lake {tree.root}: {holder} is writing it")


def _without_locks(tree: Tree, error: OSError) -> LakeUnwritableError:
    return LakeUnwritableError(
        f"locking the folder {tree.root} (flock): {error}",
        hint="its file system has no locks, so two writers could not be kept apart: put the lake on"
        " another one, or mount it with locks",
    )


def is_held(tree: Tree) -> bool:
    """Whether some process holds the lake for writing."""
    try:
        descriptor = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise _without_locks(tree, error) from error
    finally:
        os.close(descriptor)
    return False
