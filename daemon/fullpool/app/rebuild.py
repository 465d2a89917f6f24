"""`fullpool rebuild`: a new state from the files of the lake."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state
from fullpool.app.configuration import tree_of
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import IncompleteError, NoLakeError
from fullpool.model import Series, Stop
from fullpool.store import inventory
from fullpool.store.partitions.recover import (
    RecoveredFile,
    RecoveryOrder,
    newest_files,
    read,
    superseded,
)
from fullpool.store.state.opening import open_state
from fullpool.store.state.restore import restore
from fullpool.store.tree import SPILL, Tree, empty, partition_in, take_out, taken_out
from fullpool.sync.publishing import publish_state


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found. *damaged* files, with the reason, are in `.quarantine/damaged` now.

    Of *unproven* files no hash was on record any more: they are what they are. *not_restored* are
    the tables of the newest generation that could not be taken over.
    """

    files: int
    archives: int
    rows: int
    damaged: tuple[str, ...]
    unproven: int
    not_restored: tuple[str, ...]


def rebuild(config: Config, stop: Stop) -> Rebuilt:
    """Rewrite the state; the old one, if there is any, is kept next to it.

    Raises NoLakeError if there is nothing to rebuild it from, IncompleteError if a file could not
    be looked at or it was stopped, LakeBusyError. Then nothing was changed.
    """
    tree, now = tree_of(config), clock.now()
    with writing(tree, "rebuild", now) as held:
        empty(tree.staging)
        sums = inventory.published_sums(tree)
        found, replaced, damaged = _read_all(config, tree, sums, stop)
        new = tree.staging / "state.duckdb"
        with closing(open_state(new, tree.staging / SPILL, now)) as state:
            gone = [*(file.path for file in damaged), *_gone(tree, sums)]
            not_restored = restore(state, tree, found, [*replaced, *gone], now)
        held.require_ours()
        _replace(tree)
        with opened_state(tree, held) as state:
            publish_state(state, tree, state.next_value("generation"), now)
        for file in damaged:  # or the next rebuild would have nothing to hold it to
            take_out(tree, file.path)
    return Rebuilt(
        files=len(found),
        archives=len({source.key for one in found for source in one.sources}),
        rows=sum(one.file.rows for one in found if one.file),
        damaged=tuple(f"{file.path}: {file.damage}" for file in damaged),
        unproven=sum(not sums.get(one.path) for one in found),
        not_restored=tuple(not_restored),
    )


def _gone(tree: Tree, sums: Mapping[str, str]) -> list[str]:
    """Return published files that are gone.

    Readers may see what replaced them until the next publication: that must not be swept away.
    """
    return [path for path in sums if not (tree.root / path).exists()]


def _read_all(
    config: Config, tree: Tree, sums: Mapping[str, str], stop: Stop
) -> tuple[list[RecoveredFile], list[str], list[RecoveredFile]]:
    """Return the files that count, those that were replaced, and those that are damaged.

    Where a file is damaged, older ones of the same time count again.
    """
    left = dict(inventory.partition_files(tree))
    forgotten = _forgotten(tree, left, sums)
    for path in forgotten:
        del left[path]
    _require_any(tree, left, sums)
    known: dict[str, RecoveredFile] = {}
    damaged: list[RecoveredFile] = []
    while True:
        current, replaced = newest_files(left.items())
        unread = [path for path in current if path not in known]
        if not unread:
            counted, old = _counted([known[path] for path in current])
            return counted, [*replaced, *old, *forgotten], damaged
        for one in _read(config, _orders(config, tree, unread, left, sums), stop):
            known[one.path] = _as_taken_out(tree, one)
            if known[one.path].damage:
                damaged.append(known[one.path])
                del left[one.path]


def _require_any(tree: Tree, files: Mapping[str, int], sums: Mapping[str, str]) -> None:
    """Raise NoLakeError if there is nothing to rebuild a state from, or all of it is elsewhere.

    A lake may have no rows yet, or only followed ones; but files that were published do not all
    go at once, unless their disk or their folder does.
    """
    doing = f"rebuilding the state of {tree.root}"
    if not files and sums:
        hint = "bring the files back first: their folder was moved, or a disk is not mounted"
        raise NoLakeError(f"{doing}: none of the {len(sums)} published files is there", hint=hint)
    if not (files or tree.generations()):
        raise NoLakeError(f"{doing}: there are no partition files")


def _as_taken_out(tree: Tree, one: RecoveredFile) -> RecoveredFile:
    """Return a file as damaged if a repair or an earlier rebuild took it out of the lake."""
    if taken_out(tree, one.path).exists():
        return replace(one, damage="was already found damaged")
    return one


def _orders(
    config: Config,
    tree: Tree,
    paths: Sequence[str],
    generations: Mapping[str, int],
    sums: Mapping[str, str],
) -> list[RecoveryOrder]:
    memory_mb = config.limits.builder_memory_mb
    return [
        RecoveryOrder(path, generations[path], tree.root, memory_mb, sums.get(path, ""))
        for path in paths
    ]


def _counted(current: Sequence[RecoveredFile]) -> tuple[list[RecoveredFile], set[str]]:
    """Return the files that count, and the paths of those whose rows others have."""
    old = {one.path for one in superseded(current)}
    return [one for one in current if one.path not in old], old


def _forgotten(tree: Tree, files: Mapping[str, int], sums: Mapping[str, str]) -> list[str]:
    """Return the files of series that were forgotten: retired, with none that is current."""
    current = set(filter(None, map(_series_of, sums)))
    retired = inventory.published_retired(tree) if sums else set()
    forgotten = []
    for path in sorted(retired & files.keys()):
        series = _series_of(path)
        if series is not None and series not in current:
            forgotten.append(path)
    return forgotten


def _series_of(path: str) -> Series | None:
    partition = partition_in(path)
    return partition.series if partition else None


def _read(config: Config, orders: Sequence[RecoveryOrder], stop: Stop) -> list[RecoveredFile]:
    """Read all files that are ordered, or raise."""
    if not orders:
        return []
    found: list[RecoveredFile] = []
    with pools.processes(config.limits.builders, stop) as build_map:
        for done in build_map(read, orders, lambda _: 1):
            if done.value is None:
                reason = f"rebuilding: {done.item.path} could not be read: {done.error}"
                raise IncompleteError(reason, hint="nothing was changed; fix that and retry")
            found.append(done.value)
    if len(found) < len(orders):
        raise IncompleteError("rebuilding: stopped", hint="nothing was changed; start it again")
    return sorted(found, key=lambda one: one.path)


def _replace(tree: Tree) -> None:
    """Put the new state in the place of the old one, which stays next to it."""
    folder = tree.state.parent
    for old in (tree.state, tree.state.with_name(tree.state.name + ".wal")):
        if old.exists():
            old.replace(old.with_name(old.name + ".before"))
    (tree.staging / "state.duckdb").replace(folder / tree.state.name)
