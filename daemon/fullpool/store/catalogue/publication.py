"""Publishes a generation: a database of views over the current files, behind a symlink.

A generation is never written again, so a reader is never disturbed, and a generation that is kept
is the lake as it was. Storage version v1.0.0 is what every client from DuckDB 1.1 on can read.
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from fullpool.kinds import KINDS
from fullpool.store import duck
from fullpool.store.catalogue import views
from fullpool.store.state.tables import naive
from fullpool.store.state.writer import State
from fullpool.store.tree import (
    CATALOGUE_NAME,
    Tree,
    close_to_writing,
    sync_file,
    sync_folder,
)

STORAGE_VERSION: Final = "v1.0.0"
# Above this a table is published as a Parquet file and a view of it, which is faster and smaller.
MAX_TABLE_ROWS: Final = 50_000

_ALL_KEPT: Final = timedelta(days=1)
_HOURLY_KEPT: Final = timedelta(days=7)

_OF_SERIES: Final = (
    "archives", "partitions", "listings", "gaps", "expected", "conflicts", "wanted", "revisions",
)  # fmt: skip


def publish(state: State, tree: Tree, generation: int, now: datetime) -> None:
    """Make what the state holds the newest generation; readers see it from their next open on."""
    target = tree.catalogue(generation)
    with duck.map_errors(f"publishing generation {generation}"):
        create_skeletons(state.connection, tree)
        target.parent.mkdir(parents=True)
        try:
            _write(state, tree, generation, now)
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise
        for file in target.parent.iterdir():
            sync_file(file)
            close_to_writing(file)
        sync_folder(target.parent)
        sync_folder(tree.catalogues)
        _swap(tree, target)
    state.generations.record(generation, now)


def _write(state: State, tree: Tree, generation: int, now: datetime) -> None:
    run, target = state.connection.execute, tree.catalogue(generation)
    files = state.queries.files.current()
    run(f"ATTACH {duck.quoted(target)} AS lake (STORAGE_VERSION {duck.quoted(STORAGE_VERSION)})")
    try:
        run("USE lake")
        # Each statement by itself would wait for the disk.
        with duck.transaction(state.connection):
            _write_tables(state.connection, tree, generation, now)
            for kind in KINDS.values():
                own = [file for file in files if file.partition.series.kind == kind.name]
                for statement in views.kind_statements(kind, own, tree.root):
                    run(statement)
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


def _write_tables(
    connection: duckdb.DuckDBPyConnection, tree: Tree, generation: int, now: datetime
) -> None:
    """Write schema `sync`: what the state holds, and what follows from that."""
    connection.execute("CREATE SCHEMA sync")
    for table in views.TABLES:
        _copy_table(connection, tree, tree.catalogue(generation), table)
    connection.execute("INSERT INTO sync.generations VALUES (?, ?)", [generation, naive(now)])
    for statement in views.sync_statements(naive(now)):
        connection.execute(statement)


def _copy_table(
    connection: duckdb.DuckDBPyConnection, tree: Tree, target: Path, table: str
) -> None:
    select = f"FROM state.sync.{table}"
    if table in _OF_SERIES:
        select = f"SELECT * REPLACE (nullif(interval, '') AS interval) FROM state.sync.{table}"
    found = connection.execute(f"SELECT count(*) FROM state.sync.{table}").fetchone()
    if found is None or found[0] <= MAX_TABLE_ROWS:
        connection.execute(f"CREATE TABLE sync.{table} AS {select}")
        return
    path = target.parent / f"{table}.parquet"
    connection.execute(f"COPY ({select}) TO {duck.quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    file = views.rooted(tree.root, str(path.relative_to(tree.root)))
    connection.execute(f"CREATE VIEW sync.{table} AS SELECT * FROM read_parquet({file})")


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
        for flavour in views.FLAVOURS:
            path = tree.root / views.skeleton_path(kind, flavour)
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(".new")
            connection.execute(
                f"COPY ({views.skeleton_select(kind, flavour)}) TO {duck.quoted(staged)}"
                " (FORMAT parquet)"
            )
            sync_file(staged)
            staged.rename(path)
            sync_folder(path.parent)


def retire(state: State, tree: Tree, before: datetime) -> int:
    """Remove generations replaced before *before*, and files none names; return the bytes."""
    old = state.generations.before(before)
    for generation in old:
        shutil.rmtree(tree.catalogue(generation).parent, ignore_errors=True)
    state.generations.forget(old)
    paths = state.generations.retired_before(before)
    freed = sum(_removed(tree.root / path) for path in paths)
    state.generations.forget_retired(paths)
    return freed


def thin(state: State, tree: Tree, now: datetime) -> int:
    """Remove generations that another one close after stands for; return how many.

    All of the last day stay, for somebody may have one open; of what is older, the last of each
    hour, and after a week of each day. The files they name stay until their own grace has ended.
    """
    crowded = state.generations.crowded(now - _ALL_KEPT, now - _HOURLY_KEPT)
    for generation in crowded:
        shutil.rmtree(tree.catalogue(generation).parent, ignore_errors=True)
    state.generations.forget(crowded)
    return len(crowded)


def _removed(file: Path) -> int:
    if not file.exists():
        return 0
    size_bytes = file.stat().st_size
    file.unlink()
    return size_bytes
