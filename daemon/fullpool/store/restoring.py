"""Writing a new state from what `rebuilding` read of the files.

What only the old one knew (when to try again, what was asked) is found out again; history is taken
from the newest catalogue, if that can be read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import duckdb

from fullpool import vendor
from fullpool.model import Identity, Known, Series, Span, Status
from fullpool.planning import Listed
from fullpool.store import duck
from fullpool.store.bulk import insert
from fullpool.store.provenance import Source
from fullpool.store.reading import (
    HOLE_COLUMNS,
    LISTING_COLUMNS,
    PARTITION_COLUMNS,
    RUN_COLUMNS,
    TRIED_COLUMNS,
    hole_rows,
    listing_row,
    naive,
    partition_row,
    run_rows,
    tried_row,
)
from fullpool.store.rebuilding import Read
from fullpool.store.state import State
from fullpool.store.tree import Tree

_HISTORY: Final = ("revisions", "differences", "config_edits", "passes")
_RETIRED_COLUMNS: Final = ("path", "generation", "retired_at", "size_bytes")


def restore(
    state: State, tree: Tree, found: Sequence[Read], replaced: Sequence[str], now: datetime
) -> None:
    """Write what the files say into an empty state; *replaced* are the files that do not count."""
    files = [one.file for one in found if one.file is not None]
    sources = {source.key: source for one in found for source in one.sources}
    archives = [row for source in sources.values() if (row := _archive_row(source, now))]
    generations = [(number, naive(_made_at(tree, number))) for number in tree.generations()]
    last = max([0, *(number for number, _ in generations), *(file.generation for file in files)])
    connection = state.connection
    with duck.explained("writing the new state"):
        for table, columns, rows in (
            ("partitions", PARTITION_COLUMNS, [partition_row(file, now) for file in files]),
            ("holes", HOLE_COLUMNS, [row for file in files for row in hole_rows(file)]),
            ("runs", RUN_COLUMNS, [row for file in files for row in run_rows(file)]),
            ("archives", (*TRIED_COLUMNS, "sha256", "row_count"), archives),
            ("retired", _RETIRED_COLUMNS, [_retired_row(tree, path, now) for path in replaced]),
            (
                "listings",
                LISTING_COLUMNS,
                [listing_row(one) for one in _listings(sources.values())],
            ),
            ("generations", ("generation", "published_at"), generations),
        ):
            insert(connection, f"sync.{table}", columns, rows)
        connection.execute("UPDATE sync.counters SET value = ? WHERE name = 'generation'", [last])
    _restore_history(connection, tree)


def _archive_row(source: Source, now: datetime) -> tuple[Any, ...] | None:
    archive = vendor.archive_in(source.key)
    if archive is None:
        return None
    modified = datetime.fromisoformat(source.modified_at) if source.modified_at else None
    identity = Identity(source.etag, source.size_bytes, modified)
    known = Known(archive, Status.PRESENT, "", identity)
    return (*tried_row(known, now), source.sha256, source.rows)


def _retired_row(tree: Tree, path: str, now: datetime) -> tuple[Any, ...]:
    file = tree.root / path
    generation = int(file.name.removesuffix(".parquet").rpartition(".g")[2])
    return (path, generation, naive(now), file.stat().st_size)


def _listings(sources: Iterable[Source]) -> Iterator[Listed]:
    """Return listings that stand for what is there, so that only what came since is listed."""
    spans: dict[Series, list[Span]] = defaultdict(list)
    for source in sources:
        if archive := vendor.archive_in(source.key):
            spans[archive.series].append(archive.period.span)
    for series, own in sorted(spans.items()):
        start, end = min(span.start for span in own), max(span.end for span in own)
        yield Listed(series, Span(start, end), end, end)


def _made_at(tree: Tree, generation: int) -> datetime:
    return datetime.fromtimestamp(tree.catalogue(generation).parent.stat().st_mtime, UTC)


def _restore_history(connection: duckdb.DuckDBPyConnection, tree: Tree) -> None:
    """Take over the tables of history from the newest catalogue, as far as it can be read."""
    try:
        connection.execute(f"SET VARIABLE lake_root = {duck.quoted(tree.root)}")
        source = duck.quoted(tree.current.resolve())
        connection.execute(f"ATTACH {source} AS before (READ_ONLY)")
    except duckdb.Error:
        return
    for table in _HISTORY:
        try:
            connection.execute(
                f"INSERT INTO state.sync.{table} BY NAME SELECT * FROM before.sync.{table}"
            )
        except duckdb.Error:
            continue
    connection.execute(
        "UPDATE state.sync.counters SET value = (SELECT coalesce(max(id), 0) FROM sync.passes)"
        " WHERE name = 'pass'"
    )
    connection.execute("DETACH before")
