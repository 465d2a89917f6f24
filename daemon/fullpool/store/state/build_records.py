"""Records what builds did: files, the archives in them, what is due because of that."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import duckdb

from fullpool.kinds import kind_of
from fullpool.model import Archive, Cadence, PartitionFile, period_of
from fullpool.store.partitions.messages import Built
from fullpool.store.partitions.rows import meets_within
from fullpool.store.state.bulk import insert, update
from fullpool.store.state.tables import (
    HOLE_COLUMNS,
    PARTITION_COLUMNS,
    PRESENT_COLUMNS,
    REVISION_COLUMNS,
    RUN_COLUMNS,
    hole_rows,
    naive,
    partition_row,
    present_row,
    qualified,
    revision_row,
    run_rows,
    series_values,
)


def _listed_again(reason: str, which: str) -> str:
    """Return what makes archives of the lake due, whatever their CHECKSUM says.

    Its parameters are time and series, and those of *which*.
    """
    return (
        f"UPDATE sync.archives SET status = 'listed', reason = '{reason}', sha256 = '',"
        " attempts = 0, next_try_at = NULL, recorded_at = ? WHERE status = 'present'"
        f" AND market = ? AND kind = ? AND symbol = ? AND interval = ? AND {which}"
    )


# Days in the lake fill what their month lacks, which may be other rows once that is republished;
# of the others nothing was kept.
_DAYS_BESIDE: Final = _listed_again(
    "its month was republished", "length(period) = 10 AND left(period, 7) = ?"
)
# A row at midnight may be in the archives of both days, and was kept of one of them. Which rows an
# archive lost is not known here.
_ARCHIVES_BESIDE: Final = _listed_again(
    "the archive next to it lost rows", "(period_end = ? OR period_start = ?)"
)
# A day that corrects its month may lack rows by now that the month has. Of such rows the lake kept
# only the day's copy, and no archive vouches for that any more.
_MONTH_BESIDE: Final = _listed_again("a day of it was republished", "period = ?")
# Its row of midnight was built over with one that is gone.
_BEFORE: Final = _listed_again("the archive next to it was republished", "period_end = ?")


def _without_midnight(built: Iterable[Built], at: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield time, series and start of new editions that begin after midnight.

    The archive before may have that row, of which the older edition had another value.
    """
    for build in built:
        revised = {revision.edition for revision in build.revisions}
        for accepted in build.accepted:
            archive = accepted.edition.archive
            kind, span = kind_of(archive.series), archive.period.span
            is_late = accepted.first_time >= span.start + kind.slack
            if accepted.edition in revised and meets_within(kind) and is_late:
                yield (naive(at), *series_values(archive.series), naive(span.start))


def _shortened(built: Iterable[Built], at: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield time, series, start and end of archives that lost rows which others may have too."""
    for revision in (revision for build in built for revision in build.revisions):
        archive = revision.edition.archive
        kind, span = kind_of(archive.series), archive.period.span
        if revision.removed and kind.slack and kind.key:
            yield (naive(at), *series_values(archive.series), naive(span.start), naive(span.end))


def _months_of_revised_days(built: Iterable[Built], at: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield time, series and month of days that were replaced, but for months that came along.

    Where nothing identifies rows, those of the day are all that count.
    """
    for build in built:
        came = {accepted.edition.archive for accepted in build.accepted}
        for archive in (revision.edition.archive for revision in build.revisions):
            month = Archive(archive.series, period_of(archive.period.first, Cadence.MONTH))
            has_key = bool(kind_of(archive.series).key)
            if archive.period.cadence is Cadence.DAY and has_key and month not in came:
                yield (naive(at), *series_values(archive.series), str(month.period))


def _months_built_again(built: Iterable[Built], at: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield time, series and month of monthly archives that were in the lake before.

    Also where their bytes are the same: what its days had beside the month was built over.
    """
    for build in built:
        held = {known.archive for known in build.step.archives if known.is_held}
        for archive in (accepted.edition.archive for accepted in build.accepted):
            if archive in held and archive.period.cadence is Cadence.MONTH:
                yield (naive(at), *series_values(archive.series), str(archive.period))


def _compared(built: Iterable[Built]) -> list[tuple[str, str]]:
    """Return the files that were found to have no row of those next to them, with those."""
    compared: list[tuple[str, str]] = []
    for step in (build.step for build in built if not build.files):
        for file in step.files:
            compared += [(file.path, other.path) for other in step.beside]
    return compared


def write_built(
    connection: duckdb.DuckDBPyConnection, built: Sequence[Built], at: datetime
) -> None:
    """Write files that are in the lake now, the archives in them, and what follows from that."""
    revisions: list[tuple[Any, ...]] = []
    present: list[tuple[Any, ...]] = []
    write_files(connection, [file for build in built for file in build.files], at)
    for build in built:
        revisions += [
            revision_row(revision, build.files[0].generation, at) for revision in build.revisions
        ]
        present += [present_row(accepted, at) for accepted in build.accepted]
    insert(connection, qualified("revisions"), REVISION_COLUMNS, revisions)
    insert(connection, qualified("compared"), ("path", "beside"), _compared(built))
    update(connection, "sync.archives", "key", PRESENT_COLUMNS, present)
    for statement, found in (
        (_DAYS_BESIDE, _months_built_again(built, at)),
        (_MONTH_BESIDE, _months_of_revised_days(built, at)),
        (_BEFORE, _without_midnight(built, at)),
        (_ARCHIVES_BESIDE, _shortened(built, at)),
    ):
        for values in found:
            connection.execute(statement, list(values))


def write_files(
    connection: duckdb.DuckDBPyConnection, files: Sequence[PartitionFile], at: datetime
) -> None:
    """Write partition files with the holes in them and their runs of rows of REST."""
    partitions = [partition_row(file, at) for file in files]
    insert(connection, qualified("partitions"), PARTITION_COLUMNS, partitions)
    write_findings(connection, files)


def write_findings(connection: duckdb.DuckDBPyConnection, files: Sequence[PartitionFile]) -> None:
    """Write the holes in files, and the runs of rows of REST."""
    holes = [row for file in files for row in hole_rows(file)]
    insert(connection, "internal.holes", HOLE_COLUMNS, holes)
    runs = [row for file in files for row in run_rows(file)]
    insert(connection, "sync.runs", RUN_COLUMNS, runs)
