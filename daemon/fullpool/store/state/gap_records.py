"""Writes gaps and evidence; takes back what a wrong clock wrote."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import duckdb

from fullpool.cuts import Counts
from fullpool.evidence import Evidence
from fullpool.gaps import Expected, Gap
from fullpool.model import Damage, PartitionFile, Series, Status
from fullpool.store.state.bulk import AMONG, Rows, insert
from fullpool.store.state.gap_rows import (
    CUT_COLUMNS,
    EVIDENCE_COLUMNS,
    EXPECTED_COLUMNS,
    GAP_COLUMNS,
    cut_row,
    evidence_row,
    expected_row,
    gap_row,
    lost_row,
)
from fullpool.store.state.tables import SERIES_COLUMNS, SERIES_NAME, naive, series_names

# Rows of one statement: 300,000 gaps as one text need more memory than the state may have.
_WRITTEN_TOGETHER: Final = 10_000
# A clock that is set a little every hour takes nothing back.
_AHEAD: Final = timedelta(minutes=5)
# By so much the vendor's own clock may differ from ours.
_BEHIND: Final = timedelta(hours=1)
# The dates of so many series tell that the clock is behind.
_TELLING: Final = 2
# A series that is published has an archive of the last month.
_RECENT: Final = timedelta(days=40)
_TAKEN_BACK: Final = (
    """DELETE FROM sync.archives WHERE recorded_at > $limit AND row_count IS NULL
    AND period_end > $limit AND status IN ('expected', 'not_published', 'absent')""",
    """UPDATE sync.archives SET next_try_at = NULL, attempts = 0, recorded_at = NULL
    WHERE recorded_at > $limit""",
    "DELETE FROM internal.listings WHERE listed_at > $limit",
    "DELETE FROM internal.symbols WHERE listed_at > $limit",
    "DELETE FROM sync.rest_bans WHERE banned_at > $limit",
    "DELETE FROM sync.evidence WHERE asked_at > $limit",
    """UPDATE sync.gaps SET status = 'open', explanation = NULL, asked_at = NULL, attempts = 0,
    next_try_at = NULL, asked_since = NULL, recorded_at = NULL
    WHERE greatest(recorded_at, found_at, asked_at) > $limit""",
)


def insert_many(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], rows: Rows
) -> None:
    """Insert *rows*, however many there are."""
    for at in range(0, len(rows), _WRITTEN_TOGETHER):
        insert(connection, table, columns, rows[at : at + _WRITTEN_TOGETHER])


def write_gaps(
    connection: duckdb.DuckDBPyConnection, gaps: Mapping[Series, Sequence[Gap]], at: datetime
) -> None:
    """Rewrite the gaps of some series."""
    names = [series_names(gaps)]
    connection.execute(f"DELETE FROM sync.gaps WHERE {SERIES_NAME}{AMONG}", names)
    rows = [gap_row(gap, at) for own in gaps.values() for gap in own]
    insert_many(connection, "sync.gaps", GAP_COLUMNS, rows)


def write_evidence(
    connection: duckdb.DuckDBPyConnection, evidence: Mapping[Series, Sequence[Evidence]]
) -> None:
    """Rewrite the evidence of some series."""
    names = [series_names(evidence)]
    connection.execute(f"DELETE FROM sync.evidence WHERE {SERIES_NAME}{AMONG}", names)
    rows = [evidence_row(one) for own in evidence.values() for one in own]
    insert_many(connection, "sync.evidence", EVIDENCE_COLUMNS, rows)


def write_expected(
    connection: duckdb.DuckDBPyConnection,
    expected: Sequence[Expected],
    counts: Mapping[Series, Counts],
) -> None:
    """Write again where rows of some series should be, and what is counted of files for that."""
    forget_expected(connection, {one.series for one in expected})
    rows = [expected_row(one) for one in expected]
    insert_many(connection, "internal.expected", EXPECTED_COLUMNS, rows)
    cuts: list[tuple[Any, ...]] = []
    for series, own in counts.items():
        cuts += [cut_row(series, cut, inside) for cut, inside in own.items()]
    insert_many(connection, "internal.cuts", CUT_COLUMNS, cuts)


def forget_expected(connection: duckdb.DuckDBPyConnection, series: Iterable[Series]) -> None:
    """Forget where rows of some series should be, so that it is worked out again."""
    names = [series_names(series)]
    for table in ("internal.expected", "internal.cuts"):
        connection.execute(f"DELETE FROM {table} WHERE {SERIES_NAME}{AMONG}", names)


def doubt(connection: duckdb.DuckDBPyConnection, series: Iterable[Series]) -> None:
    """Have the gaps of *series* looked for again, by this pass or whichever comes."""
    sql = f"UPDATE internal.expected SET wanted_from = NULL WHERE {SERIES_NAME}{AMONG}"
    connection.execute(sql, [series_names(series)])


def write_lost(
    connection: duckdb.DuckDBPyConnection, lost: Mapping[PartitionFile, Damage], at: datetime
) -> None:
    """Expect the archives again that were in files which are gone or damaged."""
    columns = (*SERIES_COLUMNS, "period_start", "period_end", "reason", "fault")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE lost AS SELECT {', '.join(columns)}"
        " FROM sync.archives LIMIT 0"
    )
    rows = [lost_row(file, damage) for file, damage in lost.items()]
    insert_many(connection, "lost", columns, rows)
    connection.execute(
        "UPDATE sync.archives SET status = ?, reason = lost.reason, fault = lost.fault,"
        " attempts = 0, next_try_at = NULL, row_count = NULL, recorded_at = ? FROM lost"
        " WHERE archives.row_count IS NOT NULL"
        f" AND {' AND '.join(f'archives.{one} = lost.{one}' for one in SERIES_COLUMNS)}"
        " AND archives.period_start < lost.period_end AND archives.period_end > lost.period_start",
        [str(Status.EXPECTED), naive(at)],
    )


def is_behind(connection: duckdb.DuckDBPyConnection, now: datetime) -> bool:
    """Whether the vendor has published something, by its own clock, that is long after *now*.

    Only the last archives of series tell, and only recent ones, of two series if there are so many:
    one date may be wrong.
    """
    limit = naive(now + _BEHIND)
    found = connection.execute("SELECT max(modified_at) > ? FROM sync.archives", [limit]).fetchone()
    if not (found and found[0]):
        return False
    last = connection.execute(
        "SELECT count(*) FILTER (modified > ?), count(*) FROM (SELECT max(period_end) AS ends,"
        " max_by(modified_at, period_end) AS modified FROM sync.archives"
        f" WHERE modified_at IS NOT NULL GROUP BY {SERIES_NAME}) WHERE ends > ?",
        [limit, naive(now - _RECENT)],
    ).fetchone()
    return bool(last and last[0] and last[0] >= min(_TELLING, last[1]))


def take_back(connection: duckdb.DuckDBPyConnection, now: datetime) -> bool:
    """Take back what was recorded long after *now*; return whether anything was.

    Not to be done while the clock is behind: then it is *now* that is wrong.
    """
    limit, changed = {"limit": naive(now + _AHEAD)}, 0
    for sql in _TAKEN_BACK:
        found = connection.execute(sql, limit).fetchone()
        changed += found[0] if found else 0
    return changed > 0
