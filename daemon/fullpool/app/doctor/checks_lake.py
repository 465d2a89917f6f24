"""Checks of the lake itself: its folders, state and files."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool.app import clock
from fullpool.app.doctor.checks_sql import Finding, recorded
from fullpool.app.lock import is_held, writing
from fullpool.app.verify import left_over_files, unknown_files
from fullpool.errors import (
    DamagedError,
    FullpoolError,
    LakeBusyError,
    LakeOlderError,
    NoLakeError,
    StateDamagedError,
)
from fullpool.kinds import KINDS
from fullpool.model import PartitionFile
from fullpool.store import inventory
from fullpool.store.catalogue.reader import Reader, reading
from fullpool.store.partitions.tails import TailFile
from fullpool.store.state.opening import open_state_to_look
from fullpool.store.tree import Tree

_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE: Final = 0o077


def symptoms(tree: Tree, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with a lake *now*, as far as it can be seen without reading its files."""
    if tree.root.exists() and not os.access(tree.root, os.R_OK | os.X_OK):
        yield Finding(f"{tree.root} cannot be read", "give its group read access: docs/operate.md")
        return
    yield from _folders(tree)
    yield from _state(tree)
    if tree.foreign_log.exists():
        yield Finding(
            f"{tree.foreign_log} was left by a client that opened the lake for writing",
            "open the lake read-only; `fullpool sync` removes that file",
        )
    if tree.current.exists() and not inventory.is_sound(tree):
        what = f"the newest generation of {tree.root} is damaged, or an older version wrote it"
        yield Finding(what, "`fullpool sync` publishes it again")
        return
    try:
        with reading(tree) as reader:
            yield from _files(reader, tree)
            yield from recorded(reader, tree, now)
    except NoLakeError as error:
        yield Finding(str(error), error.hint)


def _folders(tree: Tree) -> Iterator[Finding]:
    if os.access(tree.root, os.W_OK):
        own = (tree.staging, tree.state.parent, tree.quarantine, tree.catalogues)
        for folder in own:
            if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                yield Finding(
                    f"{folder} cannot be written",
                    "always run fullpool as the same user; `chown -R` the lake to that user",
                )
    for path, others in _modes(tree):
        if mode := stat.S_IMODE(path.stat().st_mode) & others:
            yield Finding(
                f"{path} is open to others (by {mode:04o})",
                f"`chmod {'go=' if others == _PRIVATE else 'go-w'} {path}`",
            )


def _modes(tree: Tree) -> Iterator[tuple[Path, int]]:
    """Yield what is there that others should have no business in, and how they should not."""
    for path in (tree.root, tree.catalogues, *(tree.root / kind.table for kind in KINDS.values())):
        if path.exists():
            yield path, _OF_OTHERS
    for path in (tree.state.parent, tree.staging, tree.quarantine):
        if path.exists():
            yield path, _PRIVATE


def _state(tree: Tree) -> Iterator[Finding]:
    """Look whether the state can be opened and is this lake's, unless somebody has it open."""
    folder, found = tree.state.parent, list(inventory.partition_files(tree))
    if is_held(tree) or (folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
        return
    if not tree.state.exists():
        if found:
            yield Finding(f"{tree.state} is gone", StateDamagedError.hint)
        return
    try:
        with (
            writing(tree, "doctor", clock.now(), is_look=True),
            closing(open_state_to_look(tree.state)) as state,
        ):
            inventory.require_own_state(state, tree, found)
    except (LakeBusyError, LakeOlderError):
        return
    except FullpoolError as error:
        yield Finding(str(error), error.hint)


def _files(reader: Reader, tree: Tree) -> Iterator[Finding]:
    """Look whether the files are there and as long as they were; `verify` reads them."""
    files: list[PartitionFile | TailFile] = [*reader.queries.files.current()]
    files += inventory.published_tails(reader)
    if damaged := [file.path for file in files if not _is_as_long(tree, file)]:
        yield Finding(
            f"{len(damaged)} files of the lake are missing or have the wrong size, such as"
            f" {damaged[0]}",
            DamagedError.hint,
        )
    unknown = unknown_files(tree, reader.queries)
    if foreign := sorted(unknown - left_over_files(tree, unknown)):
        yield Finding(
            f"{len(foreign)} files in the lake do not belong to it, such as {foreign[0]}",
            "`fullpool verify --repair` moves them to .quarantine",
        )


def _is_as_long(tree: Tree, file: PartitionFile | TailFile) -> bool:
    path = tree.root / file.path
    return path.exists() and path.stat().st_size == file.size_bytes
