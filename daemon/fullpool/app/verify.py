"""`fullpool verify`: checks every file against its record, and repairs."""

import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, working
from fullpool.app.configuration import tree_of
from fullpool.app.lock import is_held, writing
from fullpool.config import Config
from fullpool.errors import DamagedError, FullpoolError, IncompleteError
from fullpool.model import Archive, Damage, Fault, Known, PartitionFile, Status, Stop
from fullpool.store import inventory
from fullpool.store.catalogue.publication import Manner
from fullpool.store.catalogue.reader import Queries, reading
from fullpool.store.partitions.tails import is_as_written
from fullpool.store.partitions.verify import Inspected, Inspection, inspect
from fullpool.store.state.opening import open_state_to_look
from fullpool.store.state.queries import StateQueries
from fullpool.store.tree import Tree, generation_in, keep_copy, take_out
from fullpool.sync.publishing import publish_state
from fullpool.sync.tails import set_aside_damaged
from fullpool.sync.watcher import Watcher

# What stands for a CHECKSUM where the vendor has none.
_NONE: Final = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found.

    *left_over* are files that a pass which was killed had not recorded yet: the next one takes them
    out. *followed* are damaged files of followed rows. *outdated* are archives whose CHECKSUM is
    another by now, *withdrawn* those that have none any more; of *unanswered* ones it could not be
    fetched, for the reason given. *damaged_tables*
    are files of the newest generation itself.
    """

    files: int
    size_bytes: int
    seconds: float
    damaged: tuple[Inspected, ...]
    unread: tuple[Inspected, ...]
    foreign: tuple[str, ...]
    left_over: tuple[str, ...] = ()
    outdated: tuple[Archive, ...] = ()
    withdrawn: tuple[Archive, ...] = ()
    unanswered: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    damaged_tables: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        files = self.damaged or self.unread or self.foreign or self.followed
        return not (files or self.outdated or self.damaged_tables)

    @property
    def is_repaired_by_publishing(self) -> bool:
        """Whether a repair has to publish although it takes no partition file out."""
        return bool(self.outdated or self.followed or self.damaged_tables)


def verify(config: Config, stop: Stop, looked: Callable[[int], None]) -> Verified:
    """Inspect all files of the newest generation; *looked* is told the bytes of each.

    Runs next to a daemon. Raises NoLakeError; DamagedError if the newest generation cannot say
    which files there are.
    """
    tree, began = tree_of(config), time.monotonic()
    with reading(tree) as reader:
        tables = _damaged_tables(reader, tree)
        files = recorded_files(reader.queries)
        unscanned = {file.path for file in reader.queries.files.unscanned()}
        unknown = unknown_files(tree, reader.queries)
        tails = inventory.published_tails(reader)
    memory_mb = config.limits.builder_memory_mb
    orders = [Inspection(file, tree.root, memory_mb, file.path not in unscanned) for file in files]
    found = list(_inspected(config, orders, stop, looked))
    if len(found) < len(files):
        raise IncompleteError(
            f"verifying {tree.root}: stopped at {len(found)} of {len(files)} files"
        )
    followed = {file.path for file in tails if not is_as_written(tree, file)}
    with reading(tree) as reader:  # what was replaced meanwhile is nobody's loss
        current = reader.queries.files.paths()
        followed &= {file.path for file in inventory.published_tails(reader)}
        unknown -= inventory.known_paths(reader.queries)
    left_over = left_over_files(tree, unknown)
    damaged, unread = _faulty(found, current)
    return Verified(
        files=len(found),
        size_bytes=sum(one.size_bytes for one in found),
        seconds=time.monotonic() - began,
        damaged=damaged,
        unread=unread,
        foreign=tuple(sorted(unknown - left_over)),
        left_over=() if is_held(tree) else tuple(sorted(left_over)),
        followed=tuple(sorted(followed)),
        damaged_tables=tables,
    )


# Tables that say which files there are.
_FILE_LISTS: Final = ("partitions", "holes", "runs", "tail_files", "retired")


def _damaged_tables(reader: Queries, tree: Tree) -> tuple[str, ...]:
    """Return the damaged files of the generation's own tables.

    Raises DamagedError if it cannot say any more which files the lake has.
    """
    damaged = inventory.damaged_tables(reader, tree)
    if any(name.partition("-")[0] in _FILE_LISTS for name in damaged):
        raise DamagedError(
            f"verifying {tree.root}: damaged in the newest generation: {', '.join(damaged)}",
            hint="`fullpool sync` publishes the generation again; then verify once more",
        )
    return tuple(damaged)


def _faulty(
    found: Iterable[Inspected], current: AbstractSet[str]
) -> tuple[tuple[Inspected, ...], tuple[Inspected, ...]]:
    """Return the damaged ones of files that are still current, and those nobody could read."""
    damaged: list[Inspected] = []
    unread: list[Inspected] = []
    for inspected in found:
        if inspected.problems and inspected.file.path in current:
            (unread if inspected.is_unread else damaged).append(inspected)
    return tuple(damaged), tuple(unread)


def repair(config: Config, verified: Verified) -> list[Archive]:
    """Take damaged and foreign files out of the lake; return the archives to be fetched again.

    Those are also the outdated ones, whose rows stay until the new edition has come. What is taken
    out is kept in `.quarantine/damaged`; damaged files are removed after their grace, for older
    generations name them. Raises LakeBusyError.
    """
    tree, now = tree_of(config), clock.now()
    with writing(tree, "verify --repair", now) as held, opened_state(tree, held) as state:
        strays = {*verified.foreign, *verified.left_over}
        own = (one for one in inventory.partition_files(tree) if one[0] not in strays)
        inventory.require_own_state(state, tree, own)
        lost = _lost(verified.damaged, state.queries.files.paths())
        before = {*_archives(state.queries, lost), *verified.outdated}
        for file in lost:
            keep_copy(tree, file.path)
        state.record_lost(lost, now)
        state.record_listings([], list(_due_again(state.queries, verified.outdated)), now)
        for path in sorted(strays - inventory.known_paths(state.queries)):
            take_out(tree, path)
        if verified.followed:
            set_aside_damaged(state, tree, now)
        if lost or verified.is_repaired_by_publishing:
            manner = Manner(is_afresh=bool(verified.damaged_tables))
            publish_state(state, tree, state.next_value("generation"), now, manner)
        due = {known.archive for known in state.queries.due(now)}
    return sorted(before & due, key=str)


def _lost(damaged: Iterable[Inspected], recorded: AbstractSet[str]) -> dict[PartitionFile, Damage]:
    """Return the damage of the files that are still on record."""
    return {
        one.file: Damage(Fault.DAMAGED, one.problems[0])
        for one in damaged
        if one.file.path in recorded
    }


def _due_again(queries: StateQueries, archives: Sequence[Archive]) -> Iterable[Known]:
    known = queries.known_of({archive.series for archive in archives})
    for one in (one for own in known.values() for one in own if one.archive in archives):
        reason = "its CHECKSUM has changed"
        yield replace(one, status=Status.LISTED, reason=reason, next_try_at=None)


def compare_with_vendor(
    config: Config, watcher: Watcher, stop: Stop, verified: Verified
) -> Verified:
    """Return what was verified, with what the vendor's CHECKSUMs say of the archives."""
    with reading(tree_of(config)) as reader:
        sums = reader.queries.sums()
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


def recorded_files(queries: StateQueries) -> list[PartitionFile]:
    """Return all current files with all that is recorded of them, their holes as well."""
    series = {file.partition.series for file in queries.files.current()}
    return [file for own in queries.files.of(series).values() for file in own]


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


def unknown_files(tree: Tree, queries: StateQueries) -> set[str]:
    """Return the files where partition files are that nothing refers to."""
    return inventory.files_in(tree) - inventory.known_paths(queries)


def left_over_files(tree: Tree, unknown: Iterable[str]) -> set[str]:
    """Return those of a pass that is at work, or that was killed: the next one takes them out.

    A build that was begun before a publication and ended after it bears that one's number.
    """
    published = tree.published()
    young = {path for path in unknown if (generation_in(path) or 0) >= published}
    if not young or is_held(tree):
        return young
    last = _last_generation(tree)
    return {path for path in young if last is None or (generation_in(path) or 0) <= last}


def _last_generation(tree: Tree) -> int | None:
    """Return the last number that a pass was given; None if the state is not to be looked at."""
    try:
        with (
            writing(tree, "verify", clock.now(), is_look=True),
            closing(open_state_to_look(tree.state)) as state,
        ):
            return state.last_value("generation")
    except FullpoolError:
        return None


def _archives(queries: StateQueries, files: Iterable[PartitionFile]) -> Iterable[Archive]:
    """Return the archives whose periods meet those of *files*."""
    known = queries.known_of({file.partition.series for file in files})
    for file in files:
        span = file.partition.period.span
        for record in known[file.partition.series]:
            if record.archive.period.span.overlaps(span):
                yield record.archive
