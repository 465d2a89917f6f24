"""`fullpool rebuild`: the state written anew from the files of the lake."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from fullpool.app import clock, pools
from fullpool.app.assembly import tree_of
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import NoLakeError
from fullpool.model import Stop
from fullpool.store import catalogue
from fullpool.store.opening import open_state
from fullpool.store.rebuilding import Read, Reading, newest_files, read
from fullpool.store.restoring import restore
from fullpool.store.tree import Tree, empty


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found. *problems* are files that could not be read; they are left alone."""

    files: int
    archives: int
    rows: int
    problems: tuple[str, ...]


def rebuild(config: Config, stop: Stop) -> Rebuilt:
    """Write the state anew; the old one, if there is any, is kept beside it.

    Raises NoLakeError if there is nothing to rebuild it from, LakeBusyError.
    """
    tree, now = tree_of(config), clock.now()
    with writing(tree, "rebuild", now):
        current, replaced = newest_files(catalogue.partition_files(tree))
        if not current:
            raise NoLakeError(f"rebuilding the state of {tree.root}: there are no partition files")
        empty(tree.staging)
        found = list(_read(config, tree, current, stop))
        new = tree.staging / "state.duckdb"
        with closing(open_state(new, tree.staging / "spill", now)) as state:
            restore(state, tree, found, replaced, now)
        _replace(tree)
    return Rebuilt(
        files=sum(one.file is not None for one in found),
        archives=len({source.key for one in found for source in one.sources}),
        rows=sum(one.file.rows for one in found if one.file),
        problems=tuple(one.problem for one in found if one.problem),
    )


def _read(config: Config, tree: Tree, paths: Sequence[str], stop: Stop) -> Iterator[Read]:
    orders = (Reading(path, tree.root, config.limits.builder_memory_mb) for path in paths)
    with pools.processes(config.limits.builders, stop) as build_map:
        for done in build_map(read, orders, lambda _: 1):
            yield done.value or Read(None, problem=f"{done.item.path}: {done.error}")


def _replace(tree: Tree) -> None:
    """Put the new state in the place of the old one, which stays beside it."""
    folder = tree.state.parent
    for old in (tree.state, tree.state.with_name(tree.state.name + ".wal")):
        if old.exists():
            old.replace(old.with_name(old.name + ".before"))
    (tree.staging / "state.duckdb").replace(folder / tree.state.name)
