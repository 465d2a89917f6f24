"""`fullpool verify`: every file of the lake against what is recorded of it, and the repair."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, tree_of, working
from fullpool.app.lock import is_held, writing
from fullpool.config import Config
from fullpool.errors import IncompleteError
from fullpool.model import Archive, Damage, Fault, Known, PartitionFile, Status, Stop
from fullpool.store import inventory
from fullpool.store.memory import Memory
from fullpool.store.reader import reading
from fullpool.store.tree import Tree, generation_in, keep_copy, take_out
from fullpool.store.verifying import Inspected, Inspection, inspect
from fullpool.sync import Watcher, publish_state

# What stands for a CHECKSUM where the vendor has none.
_NONE: Final = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found.

    *outdated* are archives whose CHECKSUM is another by now, *withdrawn* those that have none any
    more; of *unanswered* ones it could not be had, for the reason given.
    """

    files: int
    size_bytes: int
    seconds: float
    damaged: tuple[Inspected, ...]
    unread: tuple[Inspected, ...]
    foreign: tuple[str, ...]
    outdated: tuple[Archive, ...] = ()
    withdrawn: tuple[Archive, ...] = ()
    unanswered: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not (self.damaged or self.unread or self.foreign or self.outdated)


def verify(config: Config, stop: Stop, looked: Callable[[int], None]) -> Verified:
    """Inspect all files of the newest generation; *looked* is told the bytes of each.

    Runs beside a daemon. Raises NoLakeError.
    """
    tree, began = tree_of(config), time.monotonic()
    with reading(tree) as reader:
        files = recorded_files(reader.memory)
        unscanned = {file.path for file in reader.memory.unscanned()}
        foreign = foreign_files(tree, reader.memory)
    orders = [
        Inspection(file, tree.root, config.limits.builder_memory_mb, file.path not in unscanned)
        for file in files
    ]
    found = list(_inspected(config, orders, stop, looked))
    if len(found) < len(files):
        raise IncompleteError(
            f"verifying {tree.root}: stopped at {len(found)} of {len(files)} files"
        )
    with reading(tree) as reader:  # what was replaced meanwhile is nobody's loss
        current = reader.memory.paths()
        foreign -= inventory.known_paths(reader.memory)
    wrong = [one for one in found if one.problems and one.file.path in current]
    return Verified(
        files=len(found),
        size_bytes=sum(one.size_bytes for one in found),
        seconds=time.monotonic() - began,
        damaged=tuple(one for one in wrong if not one.is_unread),
        unread=tuple(one for one in wrong if one.is_unread),
        foreign=tuple(sorted(foreign)),
    )


def repair(config: Config, verified: Verified) -> list[Archive]:
    """Take damaged and foreign files out of the lake; return the archives to be fetched again.

    Those are also the outdated ones, whose rows stay until the new edition has come. What is taken
    out is kept in `.quarantine/damaged`; damaged files are removed after their grace, for older
    generations name them. Raises LakeBusyError.
    """
    tree, now = tree_of(config), clock.now()
    with writing(tree, "verify --repair", now), opened_state(tree) as state:
        own = (one for one in inventory.partition_files(tree) if one[0] not in verified.foreign)
        inventory.require_own_state(state, tree, own)
        held = state.memory.paths()
        lost = {
            one.file: Damage(Fault.DAMAGED, one.problems[0])
            for one in verified.damaged
            if one.file.path in held
        }
        before = {*_archives(state.memory, lost), *verified.outdated}
        for file in lost:
            keep_copy(tree, file.path)
        state.record_lost(lost, now)
        state.record_listings([], list(_due_again(state.memory, verified.outdated)), now)
        for path in sorted(set(verified.foreign) - inventory.known_paths(state.memory)):
            take_out(tree, path)
        if lost or verified.outdated:
            publish_state(state, tree, state.next_value("generation"), now)
        due = {known.archive for known in state.memory.due(now)}
    return sorted(before & due, key=str)


def _due_again(memory: Memory, archives: Sequence[Archive]) -> Iterable[Known]:
    known = memory.known_of({archive.series for archive in archives})
    for one in (one for own in known.values() for one in own if one.archive in archives):
        reason = "its CHECKSUM is another by now"
        yield replace(one, status=Status.PUBLISHED, reason=reason, next_try_at=None)


def compare_with_vendor(
    config: Config, watcher: Watcher, stop: Stop, verified: Verified
) -> Verified:
    """Return what was verified, with what the vendor's CHECKSUMs say of the archives."""
    with reading(tree_of(config)) as reader:
        sums = reader.memory.sums()
    outdated: list[Archive] = []
    withdrawn: list[Archive] = []
    unanswered: list[str] = []
    with working(config, watcher, stop, nullcontext(pools.Idle())) as work:

        def ask(item: tuple[Archive, str]) -> str:
            return work.fetcher().checksum(item[0]) or _NONE

        for done in work.fetch_map(ask, sums, lambda _: 1):
            archive, held = done.item
            if done.error is not None:
                unanswered.append(f"{archive}: {done.error}")
            elif done.value == _NONE:
                withdrawn.append(archive)
            elif done.value != held:
                outdated.append(archive)
    return replace(
        verified,
        outdated=tuple(outdated),
        withdrawn=tuple(withdrawn),
        unanswered=tuple(unanswered),
    )


def recorded_files(memory: Memory) -> list[PartitionFile]:
    """Return all current files with all that is recorded of them, their holes as well."""
    series = {file.partition.series for file in memory.files()}
    return [file for own in memory.files_of(series).values() for file in own]


def _inspected(
    config: Config, orders: Sequence[Inspection], stop: Stop, looked: Callable[[int], None]
) -> Iterable[Inspected]:
    if not orders:
        return
    with pools.processes(config.limits.builders, stop) as build_map:
        for done in build_map(inspect, orders, lambda _: 1):
            failed = (f"cannot be read: {done.error}",)
            one = done.value or Inspected(done.item.file, failed, 0, is_unread=True)
            looked(one.size_bytes)
            yield one


def foreign_files(tree: Tree, memory: Memory) -> set[str]:
    """Return files that nothing refers to, but for those of a pass that is at work.

    A build that was begun before a publication and ended after it bears that one's number.
    """
    paths, published = inventory.files_in(tree), tree.published()
    young = {path for path in paths if (generation_in(path) or 0) >= published}
    return paths - inventory.known_paths(memory) - (young if is_held(tree) else set())


def _archives(memory: Memory, files: Iterable[PartitionFile]) -> Iterable[Archive]:
    """Return the archives whose periods meet those of *files*."""
    known = memory.known_of({file.partition.series for file in files})
    for file in files:
        span = file.partition.period.span
        for one in known[file.partition.series]:
            if one.archive.period.span.overlaps(span):
                yield one.archive
