"""Compares the files in a lake with its state and newest generation; removes leftovers.

Holds the three to each other, and puts right what a killed process or a person left.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import duckdb

from fullpool.errors import FullpoolError, LakeUnwritableError, QueryError, StateDamagedError
from fullpool.kinds import KINDS
from fullpool.model import GONE, PartitionFile, Stop
from fullpool.store.catalogue import sync_tables
from fullpool.store.catalogue.publication import remove_foreign_log
from fullpool.store.catalogue.reader import Queries, reading
from fullpool.store.catalogue.relations import is_as_named
from fullpool.store.partitions.tails import FOLDER, TailFile
from fullpool.store.state.queries import StateQueries
from fullpool.store.state.tables import qualified
from fullpool.store.state.tails import TAIL_FILES, file_in
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree, generation_in, take_out


def files_in(tree: Tree) -> set[str]:
    """Return the path of every file where partition files are, whatever it is."""
    root = f"{tree.root}/"  # a Path for each takes ten times as long
    found: set[str] = set()
    for kind in KINDS.values():
        for folder, _, names in os.walk(root + kind.table):
            found.update(f"{folder[len(root) :]}/{name}" for name in names)
    return found


def partition_files(tree: Tree) -> Iterator[tuple[str, int]]:
    """Yield every file that has the name of a partition file, with the generation in it."""
    for path in sorted(files_in(tree)):
        if (generation := generation_in(path)) is not None:
            yield path, generation


def known_paths(queries: StateQueries) -> set[str]:
    """Return the files of the lake, and those that are kept for older generations."""
    return queries.files.paths() | queries.files.retired()


def published_sums(tree: Tree) -> dict[str, str]:
    """Return the files that the newest generation names, each with its sha256 or "".

    Nothing if there is none that can be read: whoever asks must do without.
    """
    with suppress(FullpoolError, duckdb.Error), reading(tree) as reader:
        return reader.queries.files.sums()
    return {}


def published_retired(tree: Tree) -> set[str]:
    """Return the files that the newest generation says are no longer current; like the above."""
    with suppress(FullpoolError, duckdb.Error), reading(tree) as reader:
        return set(reader.queries.files.retired())
    return set()


def published_tails(reader: Queries) -> list[TailFile]:
    """Return the files of followed rows that a generation names; none if it is of an old format."""
    with suppress(QueryError):
        return [file_in(row) for row in reader.query(TAIL_FILES).rows]
    return []


def is_sound(tree: Tree) -> bool:
    """Whether the newest generation is as this version writes them, and holds what was written."""
    try:
        with reading(tree) as reader:
            if reader.query("SELECT format FROM sync.published").rows != [(sync_tables.FORMAT,)]:
                return False
            for table in sync_tables.TABLES:
                reader.query(f"SELECT 1 FROM {qualified(table)} LIMIT 1")
            return not damaged_tables(reader, tree)
    except (FullpoolError, duckdb.Error):
        return False


def damaged_tables(reader: Queries, tree: Tree) -> list[str]:
    """Return the files of tables of the newest generation that are damaged, by their names."""
    damaged: list[str] = []
    for file in sorted(tree.current.resolve().parent.glob("*.parquet")):
        try:
            is_whole = is_as_named(lambda sql: reader.query(sql).rows, file)
        except (FullpoolError, duckdb.Error):
            is_whole = False
        damaged += [] if is_whole else [file.name]
    return damaged


def require_here(tree: Tree) -> None:
    """Raise LakeUnwritableError if the lake is not where it was: its files would seem gone."""
    if not tree.state.exists():
        raise LakeUnwritableError(
            f"using the lake {tree.root}: it no longer exists",
            hint="it was moved, deleted or mounted over; put it back and start again",
        )


def require_own_state(state: State, tree: Tree, found: Iterable[tuple[str, int]]) -> None:
    """Raise StateDamagedError if the lake has files that its state would know of.

    Then the state is not this lake's, or is of another time. *found* are its `partition_files`.
    """
    last = state.last_value("generation")
    published = (tree.published(), str(tree.catalogue(tree.published())))
    newest, path = max([published, *((generation, path) for path, generation in found)])
    if newest > last:
        raise _not_own(tree, f"{path} is of generation {newest}, and the last it knows is {last}")
    unknown = published_sums(tree).keys() - known_paths(state.queries)
    for path in sorted(unknown):
        if (tree.root / path).exists():
            raise _not_own(tree, f"it does not know {path}, which was published")


def _not_own(tree: Tree, reason: str) -> StateDamagedError:
    return StateDamagedError(
        f"opening the state of {tree.root}: the state belongs to another lake or an older"
        f" backup: {reason}",
        hint="nothing was changed; put back the .state folder that belongs to this lake, or run"
        " `fullpool rebuild` to rebuild the state from the lake's files",
    )


def sweep(state: State, tree: Tree, now: datetime) -> list[PartitionFile]:
    """Put right what a killed process or a person left; return the files that are gone.

    Moves partition files that were never recorded to quarantine and removes such generations; takes
    note of files that are gone, so that their archives are fetched again. Raises StateDamagedError,
    and touches nothing, if the state is not this lake's.
    """
    found = list(partition_files(tree))
    require_own_state(state, tree, found)
    _sweep_generations(state, tree, now)
    remove_foreign_log(tree)
    take_out_unrecorded(state, tree, found)
    _sweep_tails(state, tree)
    return forget_gone(state, tree, now)


def _sweep_tails(state: State, tree: Tree) -> None:
    """Remove files of followed rows that were never recorded: the API has them still."""
    known = {file.path for file in state.tails.files().values()} | state.queries.files.retired()
    for path in (tree.root / FOLDER).rglob("*.parquet"):
        if str(path.relative_to(tree.root)) not in known:
            path.unlink()


def take_out_unrecorded(state: State, tree: Tree, found: Iterable[tuple[str, int]]) -> None:
    """Move those partition files to quarantine that the state does not know; nothing is built."""
    known = known_paths(state.queries)
    for path, _ in found:
        if path not in known:
            take_out(tree, path)


@contextmanager
def swept_if_cut_short(
    state: State, tree: Tree, stop: Stop, is_ours: Callable[[], bool]
) -> Iterator[None]:
    """Remove what a pass has built but not recorded, if it ends with an error or is stopped.

    To be left once no worker is at work any more. Nothing is touched unless the lake *is_ours*
    still: what the state does not know may be another machine's. A file without a number of this
    pass is left to `sweep`, which keeps a copy.
    """
    last = state.last_value("generation")
    is_whole = False
    try:
        yield
        is_whole = not stop.is_set()
    finally:
        if not is_whole and is_ours():
            with suppress(FullpoolError, OSError):  # the next start sweeps as well
                built = {path for path, number in partition_files(tree) if number > last}
                for path in built - known_paths(state.queries):
                    (tree.root / path).unlink()


def forget_gone(state: State, tree: Tree, now: datetime) -> list[PartitionFile]:
    """Record files that are gone, so that their archives are fetched again; return them.

    Raises LakeUnwritableError if the lake itself is gone.
    """
    root = f"{tree.root}/"  # a Path for each takes five times as long
    paths = {path for path in state.queries.files.paths() if not os.path.exists(root + path)}  # noqa: PTH110
    require_here(tree)
    if not paths:
        return []
    gone = [file for file in state.queries.files.current() if file.path in paths]
    state.record_lost(dict.fromkeys(gone, GONE), now)
    return gone


def _sweep_generations(state: State, tree: Tree, now: datetime) -> None:
    recorded, current = state.generations.numbers(), tree.published()
    if current and current not in recorded:
        state.generations.record(current, now)  # killed between the two
    for generation in tree.generations():
        if generation not in recorded and generation != current:
            shutil.rmtree(tree.catalogue(generation).parent)
