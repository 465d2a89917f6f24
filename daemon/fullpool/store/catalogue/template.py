"""A catalogue of views and macros over no files: what each generation is begun from.

Most lakes hold few of the kinds, so most of what a generation has to create is always the same.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

import duckdb

from fullpool import __version__
from fullpool.errors import NO_ROOM
from fullpool.kinds import KINDS, Kind
from fullpool.store import duck
from fullpool.store.catalogue import sync_tables, views
from fullpool.store.catalogue.paths import FILES_VARIABLE, Files
from fullpool.store.tree import Tree, remove_folder, sync_file, sync_folder

_NAME: Final = "views"


def attach_copy(connection: duckdb.DuckDBPyConnection, tree: Tree, target: Path, name: str) -> None:
    """Write a catalogue in which every kind is without files, and attach it as *name*."""
    template = _path(tree)
    if _is_copied(template, target) and _is_attached(connection, tree.root, target, name):
        return
    forget_template(tree)
    create_template(connection, tree)
    shutil.copyfile(template, target)
    _attach(connection, target, name)


def _is_copied(template: Path, target: Path) -> bool:
    """Copy the template if there is one that can be read: it is no more than a cache."""
    try:
        shutil.copyfile(template, target)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return False
    return True


def _is_attached(connection: duckdb.DuckDBPyConnection, root: Path, file: Path, name: str) -> bool:
    """Attach a copy, unless it is damaged or something else than views of this lake."""
    with suppress(duckdb.Error):
        _attach(connection, file, name)
        sql = (
            "SELECT count(*), coalesce(bool_and(contains(sql, ?)), false) FROM duckdb_views()"
            " WHERE database_name = ? AND NOT internal"
        )
        found = connection.execute(sql, [duck.quoted(root), name]).fetchone()
        if found == (len(KINDS) * len(views.FLAVOURS), True):
            return True
        connection.execute(f"DETACH {name}")
    return False


def _attach(connection: duckdb.DuckDBPyConnection, file: Path, name: str) -> None:
    # Storage that every client from DuckDB 1.1 on can read; nobody sees a catalogue before it is
    # whole and on disk, so a log would only be written twice as much.
    options = "STORAGE_VERSION 'v1.0.0', RECOVERY_MODE 'no_wal_writes'"
    connection.execute(f"ATTACH {duck.quoted(file)} AS {name} ({options})")


def forget_template(tree: Tree) -> None:
    """Remove templates, those of other versions too: the next generation makes its own."""
    for file in tree.state.parent.glob(f"{_NAME}-*"):
        if file.is_dir():
            remove_folder(file)
        else:
            file.unlink()


def create_views(
    connection: duckdb.DuckDBPyConnection, root: Path, kind: Kind, *, lines: list[str],
    tails: list[str],
) -> None:  # fmt: skip
    """Create the views and macros of one kind in the catalogue that the connection uses."""
    try:
        for flavour in views.FLAVOURS:
            skeleton = views.skeleton_path(kind, flavour)
            only = duck.listed([str(root / skeleton)])
            connection.execute(f"SET VARIABLE {FILES_VARIABLE} = {only}")
            for statement in views.statements(Files(kind, root, lines, skeleton, tails), flavour):
                connection.execute(statement)
    finally:
        with suppress(duckdb.Error):
            connection.execute(f"RESET VARIABLE {FILES_VARIABLE}")


def _path(tree: Tree) -> Path:
    """Return the template's path: another one for whatever changes what is in it."""
    versions = (__version__, sync_tables.FORMAT, duckdb.__version__)
    kinds = [
        (kind.name, kind.table, kind.columns, kind.derived, kind.time, kind.key, kind.intervals)
        for kind in KINDS.values()
    ]  # no sets: their order differs from one process to the next
    key = crc32(repr((str(tree.root), versions, kinds)).encode())
    return tree.state.with_name(f"{_NAME}-{key:08x}.duckdb")


def create_template(connection: duckdb.DuckDBPyConnection, tree: Tree) -> None:
    """Create the template, unless a file has its name: `attach_copy` tells whether it is sound."""
    template = _path(tree)
    if template.exists():
        return
    staged = template.with_suffix(".new")
    staged.unlink(missing_ok=True)
    _attach(connection, staged, "template")
    try:
        connection.execute("USE template")
        with duck.transaction(connection):
            for kind in KINDS.values():
                create_views(connection, tree.root, kind, lines=[], tails=[])
        connection.execute("CHECKPOINT template")
    finally:
        with suppress(duckdb.Error):  # what went wrong before says more
            connection.execute("USE state")
            connection.execute("DETACH template")
    sync_file(staged)
    staged.rename(template)
    sync_folder(template.parent)
