"""Writes a new state from what `recover` read in the files.

What the files do not tell (archives that are not in them, gaps and why, history) is taken from the
newest catalogue, if that can be read; else it is found out again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import duckdb

from fullpool import vendor
from fullpool.model import Cadence, Known, PartitionFile, Period, Series, Span, Status, periods
from fullpool.planning import Listed, want_of
from fullpool.store import duck
from fullpool.store.partitions.provenance import Source
from fullpool.store.partitions.recover import RecoveredFile
from fullpool.store.partitions.tails import FOLDER
from fullpool.store.state.build_records import write_files
from fullpool.store.state.bulk import insert
from fullpool.store.state.tables import (
    OLD_STATUS,
    SERIES_COLUMNS,
    TRIED_COLUMNS,
    at_utc,
    naive,
    qualified,
    series_in,
    tried_row,
)
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree, generation_in

_HISTORY: Final = ("config_edits", "rest_bans", "symbols")
_HISTORY_OF_SERIES: Final = ("revisions", "conflicts", "gaps", "wanted")
# A catalogue has NULL where the state has "".
_SAME: Final = "SELECT * REPLACE (coalesce(interval, '') AS interval) FROM"
_FOLLOWED: Final = ("tail_files", "followed")
# What tables were called in generations of before migration 0007.
_OLD_NAMES: Final = {"conflicts": "differences"}
_ARCHIVE_COLUMNS: Final = (*TRIED_COLUMNS, "sha256", "held_bytes", "row_count")
_RETIRED_COLUMNS: Final = ("path", "generation", "retired_at", "size_bytes")


def restore(
    state: State, tree: Tree, found: Sequence[RecoveredFile], replaced: Sequence[str], now: datetime
) -> list[str]:
    """Write what the files say into an empty state; return what could not be taken over besides.

    *replaced* are files that do not count, or not any more, which generations may still name.
    """
    files = [one.file for one in found if one.file is not None]
    last = max([0, *tree.generations(), *(file.generation for file in files)])
    connection = state.connection
    with duck.map_errors("writing the new state"):
        for table, columns, rows in (
            ("archives", _ARCHIVE_COLUMNS, _archive_rows(found, now)),
            ("retired", _RETIRED_COLUMNS, [_retired_row(tree, path, now) for path in replaced]),
            ("retired", (*_RETIRED_COLUMNS, "retired_by"), _tail_rows(tree, now, last)),
            ("generations", ("generation", "published_at"), _generation_rows(tree)),
        ):
            insert(connection, qualified(table), columns, rows)
        write_files(connection, files, now)
        connection.execute("UPDATE sync.counters SET value = ? WHERE name = 'generation'", [last])
    unread = _restore_from_catalogue(connection, tree)
    if not unread:
        # Otherwise every series is listed from its start: that may fetch months that are held by
        # their days, but forgets nothing.
        state.record_listings(list(_listings(connection)), [], now)
    return unread


def _archive_rows(found: Sequence[RecoveredFile], now: datetime) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for source in {source.key: source for source in _whole(found)}.values():
        archive = vendor.archive_in(source.key)
        if archive is not None:
            known = Known(archive, Status.PRESENT, "", source.identity, checksum=source.checksum)
            rows.append((*tried_row(known, now), source.sha256, source.size_bytes, source.rows))
    return rows


def _tail_rows(tree: Tree, now: datetime, last: int) -> list[tuple[Any, ...]]:
    """Return the files of followed rows as retired, for generations name them.

    Those of the newest one are current again if it can be read; else the API is asked for rows.
    """
    paths = (tree.root / FOLDER).rglob("*.parquet")
    names = [str(path.relative_to(tree.root)) for path in paths]
    return [(*_retired_row(tree, name, now), last + 1) for name in names]


def _retired_row(tree: Tree, path: str, now: datetime) -> tuple[Any, ...]:
    file = tree.root / path
    return (path, generation_in(path), naive(now), file.stat().st_size if file.exists() else 0)


def _listings(connection: duckdb.DuckDBPyConnection) -> Iterator[Listed]:
    """Return listings that stand for what is on record, so that only what came since is listed.

    What lies between archives on record counts as left out: it is listed if it is wanted.
    """
    spans: dict[Series, list[Span]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT {', '.join(SERIES_COLUMNS)}, period_start, period_end FROM sync.archives"
    ).fetchall():
        spans[series_in(row)].append(Span(at_utc(row[4]), at_utc(row[5])))
    for series, own in sorted(spans.items()):
        whole = want_of(series, own)
        end = whole.span.end
        yield Listed(series, whole.span, end, end, whole.left_out)


def _whole(found: Sequence[RecoveredFile]) -> Iterator[Source]:
    """Yield the sources that are in the lake as a whole.

    A month of trades lies in a file a day, and a build may have been killed between two of them.
    Then neither every day has a file nor all rows of the month are there.
    """
    days: dict[Source, set[Period]] = defaultdict(set)
    held: dict[Source, int] = defaultdict(int)
    for file, source in _pairs(found):
        days[source].add(file.partition.period)
        held[source] += file.rows - file.patched_rows
    for file, source in _pairs(found):
        period = file.partition.period
        is_split = period.span != source.span and source.span.covers(period.span)
        has_days = days[source] >= set(periods(source.span, Cadence.DAY))
        # A series may begin in the middle of a month.
        if not is_split or has_days or held[source] >= source.rows:
            yield source


def _pairs(found: Sequence[RecoveredFile]) -> Iterator[tuple[PartitionFile, Source]]:
    for one in found:
        assert one.file is not None
        yield from ((one.file, source) for source in one.sources)


def _generation_rows(tree: Tree) -> list[tuple[Any, ...]]:
    """Return the generations and when they were made, but for one that was not finished."""
    newest = tree.published() or max(tree.generations(), default=0)
    whole = [number for number in tree.generations() if number <= newest]
    return [(number, naive(_made_at(tree, number))) for number in whole]


def _made_at(tree: Tree, generation: int) -> datetime:
    return datetime.fromtimestamp(tree.catalogue(generation).parent.stat().st_mtime, UTC)


def _restore_from_catalogue(connection: duckdb.DuckDBPyConnection, tree: Tree) -> list[str]:
    """Take over from the newest catalogue what files do not tell; return what cannot be read.

    One table that is damaged, or made by an older version, is no reason to lose the others.
    """
    try:
        connection.execute(f"SET VARIABLE lake_root = {duck.quoted(tree.root)}")
        source = duck.quoted(tree.current.resolve())
        connection.execute(f"ATTACH {source} AS before (READ_ONLY)")
    except duck.ERRORS:
        return ["the catalogue"]
    try:
        tables: dict[str, str] = dict(
            connection.execute(
                "SELECT table_name, concat_ws('.', table_catalog, table_schema, table_name)"
                " FROM information_schema.tables"
                " WHERE table_catalog = 'before' AND table_schema <> 'main'"
            ).fetchall()
        )
        parts = {"tail_files and followed": _followed, "archives": _archives, "passes": _passes}
        parts |= {table: partial(_history, table) for table in (*_HISTORY, *_HISTORY_OF_SERIES)}
        return [name for name, part in parts.items() if not _is_taken(connection, part, tables)]
    finally:
        connection.execute("DETACH before")


Tables = Mapping[str, str]
Part = Callable[[Tables], Iterable[str]]


def _is_taken(connection: duckdb.DuckDBPyConnection, part: Part, tables: Tables) -> bool:
    """Take over one part of *tables*: what they are called, and where they are; or nothing of it.

    In one transaction: rows of followed files without their runs would count twice later.
    """
    try:
        with duck.transaction(connection):
            for sql in part(tables):
                connection.execute(sql)
    except (*duck.ERRORS, KeyError):  # a table is not there
        return False
    return True


def _history(table: str, tables: Tables) -> Iterator[str]:
    """Yield what takes over a table as it is."""
    if table in _HISTORY:
        yield f"INSERT INTO state.{qualified(table)} BY NAME SELECT * FROM {tables[table]}"
    else:
        name = table if table in tables else _OLD_NAMES.get(table, table)
        yield f"INSERT INTO state.{qualified(table)} BY NAME {_SAME} {tables[name]}"


def _archives(tables: Tables) -> Iterator[str]:
    """Yield what takes over the archives that no file has."""
    taken = {"present": Status.EXPECTED, **OLD_STATUS}
    cases = " ".join(
        f"WHEN {duck.quoted(old)} THEN {duck.quoted(new)}" for old, new in taken.items()
    )
    status = f"CASE status {cases} ELSE status END"
    yield (
        f"INSERT INTO state.sync.archives BY NAME SELECT * REPLACE ({status} AS status,"
        " if(status = 'present', 'no file of the lake has it', reason) AS reason,"
        " if(status = 'present', NULL, next_try_at) AS next_try_at,"
        f" NULL::BIGINT AS row_count) FROM ({_SAME} {tables['archives']})"
        " WHERE key NOT IN (SELECT key FROM state.sync.archives)"
    )


def _passes(tables: Tables) -> Iterator[str]:
    """Yield what takes over the passes, whose numbers go on."""
    yield f"INSERT INTO state.sync.passes BY NAME SELECT * FROM {tables['passes']}"
    yield (
        "UPDATE state.sync.counters SET value = (SELECT coalesce(max(id), 0) FROM"
        " state.sync.passes) WHERE name = 'pass'"
    )


def _followed(tables: Tables) -> Iterator[str]:
    """Yield what takes over the files of followed rows, which are not retired then, and their runs.

    Generations before format 10 have none.
    """
    if not all(name in tables for name in _FOLLOWED):
        return
    for table in _FOLLOWED:
        yield f"INSERT INTO state.{qualified(table)} BY NAME {_SAME} {tables[table]}"
    yield (
        "DELETE FROM state.internal.retired WHERE path IN (SELECT path FROM"
        " state.internal.tail_files)"
    )
