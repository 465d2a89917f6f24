"""One writer at a time: an flock on the lake's own folder."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool.errors import LakeBusyError, LakeUnwritableError, StateDamagedError, refused
from fullpool.store.tree import Tree

_TRIES: Final = 20
_BETWEEN_S: Final = 0.05
_NOT_OTHERS: Final = 0o022


class Held:
    """A lake that this process holds for writing."""

    def __init__(self, tree: Tree, descriptor: int) -> None:
        self._tree = tree
        self._descriptor = descriptor
        self._state: os.stat_result | None = None

    def watch_state(self) -> None:
        """Have `require_in_place` look for the state too, which is open by now."""
        self._state = self._tree.state.stat()

    def require_in_place(self) -> None:
        """Raise LakeUnwritableError if the folder was moved, replaced, or another put over it.

        StateDamagedError if the state was: what is recorded in the open one would be lost.
        """
        if not _is_still(self._tree.root, os.fstat(self._descriptor)):
            raise LakeUnwritableError(
                f"looking after the lake {self._tree.root}: it is not the folder it was any more",
                hint="it was moved, removed or mounted over; put it back and start again",
            )
        if self._state is not None and not _is_still(self._tree.state, self._state):
            raise StateDamagedError(
                f"looking after the lake {self._tree.root}: its state was removed or replaced"
            )


def _is_still(path: Path, what: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), what)
    except OSError:
        return False


@contextmanager
def writing(tree: Tree, command: str, now: datetime) -> Iterator[Held]:
    """Hold the lake for writing. Raises LakeBusyError naming who has it, or what is refused."""
    # What is made is nobody else's to write, whatever the umask; who may read it, it says.
    os.umask(os.umask(0) | _NOT_OTHERS)
    try:
        tree.create()
        descriptor = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise refused(error, f"opening the lake {tree.root}") from error
    try:
        _lock(descriptor, tree)
        _sign(tree, command, now)
        yield Held(tree, descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, tree: Tree) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_S)  # noqa: TID251 - somebody may only have looked: `is_held`
        else:
            return
    raise LakeBusyError(f"locking the lake {tree.root}: {_holder(tree)} is writing it")


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
    finally:
        os.close(descriptor)
    return False


def _sign(tree: Tree, command: str, now: datetime) -> None:
    text = json.dumps(
        {"pid": os.getpid(), "command": command, "since": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    )
    # A full disk is no reason not to start: it is what the first pass then tells.
    with suppress(OSError):
        tree.owner.write_text(text + "\n")
        tree.daemon.unlink(missing_ok=True)  # of one that was killed


def _holder(tree: Tree) -> str:
    try:
        owner = json.loads(tree.owner.read_text())
        return f"`fullpool {owner['command']}` (process {owner['pid']}, since {owner['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
