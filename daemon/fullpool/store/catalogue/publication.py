"""Publishes a generation: a database of views over the current files, behind a symlink.

A generation is never written again, so a reader is never disturbed, and a generation that is kept
is the lake as it was.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from fullpool.kinds import KINDS
from fullpool.store import duck
from fullpool.store.catalogue import sync_tables, views
from fullpool.store.catalogue.paths import LINES, TAILS
from fullpool.store.catalogue.relations import Shelf, publish_result, publish_table
from fullpool.store.catalogue.template import (
    attach_copy,
    create_template,
    create_views,
    forget_template,
)
from fullpool.store.catalogue.universe import instruments_on
from fullpool.store.partitions.tails import FOLDER
from fullpool.store.state.tables import naive
from fullpool.store.state.writer import State
from fullpool.store.tree import (
    CATALOGUE_NAME,
    Tree,
    close_to_writing,
    make_folder,
    sync_file,
    sync_folder,
)

_ALL_KEPT: Final = timedelta(days=1)
_HOURLY_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a generation is made.

    *is_tail*: nothing changed but what is followed, so that it is kept for minutes. *is_afresh*:
    nothing of the generation before is taken over, for it cannot be read.
    """

    is_tail: bool = False
    is_afresh: bool = False


ORDINARY: Final = Manner()


def prepare(state: State, tree: Tree) -> None:
    """Make what all generations of a lake have in common, if it is not there.

    `publish` does it as well; but whoever waits for builders has the time for it.
    """
    with duck.map_errors("preparing a publication"), _renewing(state):
        create_skeletons(state.connection, tree)
        create_template(state.connection, tree)


@contextmanager
def _renewing(state: State) -> Iterator[None]:
    """Open the state again if a database fails: one that could not be written takes it along."""
    try:
        yield
    except duckdb.Error:
        state.renew()
        raise


def publish(
    state: State, tree: Tree, generation: int, now: datetime, manner: Manner = ORDINARY
) -> None:
    """Make what the state holds the newest generation; readers see it from their next open on."""
    target = tree.catalogue(generation)
    with duck.map_errors(f"publishing generation {generation}"):
        create_skeletons(state.connection, tree)
        target.parent.mkdir()
        try:
            if manner.is_afresh:
                forget_template(tree)
            _write(state, tree, (generation, naive(now), manner.is_tail), manner)
        except BaseException as error:
            shutil.rmtree(target.parent, ignore_errors=True)
            if isinstance(error, duckdb.Error):
                with suppress(OSError):
                    forget_template(tree)
            raise
        for file in target.parent.iterdir():
            sync_file(file)
            close_to_writing(file)
        sync_folder(target.parent)
        sync_folder(tree.catalogues)
        _swap(tree, target)
    state.generations.record(generation, now, is_tail=manner.is_tail)


def _write(state: State, tree: Tree, record: sync_tables.Record, manner: Manner) -> None:
    run, target = state.connection.execute, tree.catalogue(record[0])
    with _renewing(state):
        attach_copy(state.connection, tree, target, "lake")
    try:
        run("USE lake")
        # Each statement by itself would wait for the disk.
        with duck.transaction(state.connection):
            _write_relations(state.connection, tree, record, manner)
            _write_views(state.connection, tree)
        run("CHECKPOINT lake")
    finally:
        _detach(state)


def _detach(state: State) -> None:
    """Release the catalogue; one that could not be written takes the connection along."""
    try:
        state.connection.execute("USE state")
        state.connection.execute("DETACH lake")
    except duckdb.Error:
        state.renew()


def _write_relations(
    connection: duckdb.DuckDBPyConnection, tree: Tree, record: sync_tables.Record, manner: Manner
) -> None:
    """Write `sync`, `internal` and `instruments`: what the state holds, and what follows."""
    generation, now, _ = record
    folder, before = tree.catalogue(generation).parent, tree.current.resolve().parent
    shelf = Shelf(tree.root, folder, before, is_trusted=not manner.is_afresh)
    for schema in ("sync", "internal"):
        connection.execute(f"CREATE SCHEMA {schema}")
    sources = {
        relation.name: publish_table(connection, shelf, relation)
        for relation in sync_tables.copied(record)
    }
    connection.execute(sync_tables.files_of(sources["internal.partitions"]))
    for relation in sync_tables.derived(now):
        publish_result(connection, shelf, relation)
    connection.execute(instruments_on())
    connection.execute(sync_tables.published(now))


def _write_views(connection: duckdb.DuckDBPyConnection, tree: Tree) -> None:
    """Write the views and macros of the kinds that have files; the template has the others."""
    lines, tails = _by_kind(connection, LINES), _by_kind(connection, TAILS)
    for name in sorted(lines.keys() | tails.keys()):
        create_views(connection, tree.root, KINDS[name], lines=lines[name], tails=tails[name])


def _by_kind(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, list[str]]:
    """Return the texts that a query has of each kind."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, text in connection.execute(sql).fetchall():
        found[kind].append(text)
    return found


def _swap(tree: Tree, target: Path) -> None:
    link = tree.root / f".{CATALOGUE_NAME}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(target.relative_to(tree.root))
    remove_foreign_log(tree)
    link.replace(tree.current)
    remove_foreign_log(tree)  # whoever opened the old one meanwhile
    sync_folder(tree.root)


def remove_foreign_log(tree: Tree) -> None:
    """Remove what a client left that opened the catalogue for writing, as only root can.

    DuckDB 1.x would replay it into every later generation that is opened by the same name.
    """
    tree.foreign_log.unlink(missing_ok=True)


def create_skeletons(connection: duckdb.DuckDBPyConnection, tree: Tree) -> None:
    """Write the files without rows that stand first in every view's list.

    DuckDB takes a list's column types from its first file and casts the others, so one of these
    makes a view of doubles, the other one of exact decimals, whatever the width in each file. And
    a kind without any data still has its views.
    """
    for kind in KINDS.values():
        selects = {
            views.skeleton_path(kind, flavour): views.skeleton_select(kind, flavour)
            for flavour in views.FLAVOURS
        }
        selects[views.tail_skeleton_path(kind)] = views.tail_skeleton_select(kind)
        for path, select in selects.items():
            _create_skeleton(connection, tree, tree.root / path, select)


def _create_skeleton(
    connection: duckdb.DuckDBPyConnection, tree: Tree, path: Path, select: str
) -> None:
    if path.exists():
        return
    make_folder(tree.root, path.parent)
    staged = path.with_suffix(".new")
    connection.execute(f"COPY ({select}) TO {duck.quoted(staged)} (FORMAT parquet)")
    sync_file(staged)
    staged.rename(path)
    sync_folder(path.parent)


def retire(state: State, tree: Tree, before: datetime) -> int:
    """Remove generations replaced before *before*, and files none names; return the bytes."""
    _forget(state, tree, state.generations.before(before))
    return _forget_files(state, tree, state.generations.retired_before(before))


def retire_tails(state: State, tree: Tree, before: datetime) -> None:
    """Remove generations that only follow and were replaced before then, and files none names."""
    _forget(state, tree, state.generations.before(before, of_tail=True))
    _forget_files(state, tree, state.generations.unnamed_tails(FOLDER))


def thin(state: State, tree: Tree, now: datetime) -> int:
    """Remove generations that another one close after stands for; return how many.

    All of the last day stay, for somebody may have one open; of what is older, the last of each
    hour, and after a week of each day. The files they name stay until their own grace has ended.
    """
    crowded = state.generations.crowded(now - _ALL_KEPT, now - _HOURLY_KEPT)
    _forget(state, tree, crowded)
    return len(crowded)


def _forget(state: State, tree: Tree, generations: Sequence[int]) -> None:
    for generation in generations:
        shutil.rmtree(tree.catalogue(generation).parent, ignore_errors=True)
    state.generations.forget(generations)


def _forget_files(state: State, tree: Tree, paths: Sequence[str]) -> int:
    """Remove files that no generation names; return the bytes."""
    freed = sum(_removed(tree.root / path) for path in paths)
    state.generations.forget_retired(paths)
    return freed


def _removed(file: Path) -> int:
    if not file.exists():
        return 0
    size_bytes = file.stat().st_size
    file.unlink()
    return size_bytes
