"""One writer at a time: an flock on the lake's own folder."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from fullpool.errors import LakeBusyError, LakeUnwritableError
from fullpool.store.tree import Tree


@contextmanager
def writing(tree: Tree, command: str, now: datetime) -> Iterator[None]:
    """Hold the lake for writing. Raises LakeBusyError naming who has it, LakeUnwritableError."""
    try:
        tree.create()
        descriptor = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise LakeUnwritableError(f"opening the lake {tree.root}: {error}") from error
    try:
        _lock(descriptor, tree)
        _sign(tree, command, now)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, tree: Tree) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LakeBusyError(
            f"locking the lake {tree.root}: {_holder(tree)} is writing it"
        ) from error


def _sign(tree: Tree, command: str, now: datetime) -> None:
    text = json.dumps(
        {"pid": os.getpid(), "command": command, "since": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    )
    try:
        tree.owner.write_text(text + "\n")
    except OSError as error:
        raise LakeUnwritableError(f"writing {tree.owner}: {error}") from error


def _holder(tree: Tree) -> str:
    try:
        owner = json.loads(tree.owner.read_text())
        return f"`fullpool {owner['command']}` (process {owner['pid']}, since {owner['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
