"""Queries about the lake's files."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import duckdb

from fullpool.model import Hole, PartitionFile, Series
from fullpool.store.state.asking import OF_SERIES, rows_of
from fullpool.store.state.tables import (
    DAY_LENGTH,
    MONTH_LENGTH,
    PARTITIONS,
    SERIES_NAME,
    at_utc,
    partition_file_in,
    series_names,
)

_START: Final = "(period || '-01-01'[length(period) - 3 :])::DATE"
_END: Final = (
    f"{_START} + CASE length(period) WHEN {DAY_LENGTH} THEN INTERVAL 1 DAY"
    f" WHEN {MONTH_LENGTH} THEN INTERVAL 1 MONTH ELSE INTERVAL 1 YEAR END"
)
_SPANS: Final = (
    f"SELECT {SERIES_NAME} AS series, path, first_time, last_time, {_START} AS starts,"
    f" {_END} AS ends FROM internal.partitions"
)
# The series with rows outside the period of their file that may be in the one next to it.
_ASTRAY: Final = (
    f"SELECT p.series FROM ({_SPANS}) AS p JOIN ({_SPANS}) AS o ON p.series = o.series"
    " AND ((p.last_time >= p.ends AND o.starts = p.ends AND o.first_time <= p.last_time)"
    " OR (p.first_time < p.starts AND o.ends = p.starts AND o.last_time >= p.first_time))"
    " WHERE p.path NOT IN (SELECT path FROM internal.compared)"
)


class FileQueries:
    """The current partition files, and those they replaced."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def current(self) -> list[PartitionFile]:
        """Return the current partition files."""
        return [partition_file_in(row) for row in rows_of(self._connection, PARTITIONS)]

    def to_build_on(self, series: Iterable[Series], open_year: int) -> list[PartitionFile]:
        """Return the current files of *series*, and of those where other work is left to do.

        They have months of years before *open_year*, or rows that the file next to them may have
        too.
        """
        found = rows_of(
            self._connection,
            f"{PARTITIONS} {OF_SERIES} OR {SERIES_NAME} IN (SELECT {SERIES_NAME}"
            " FROM internal.partitions"
            f" WHERE length(period) = ? AND left(period, 4) < ? UNION {_ASTRAY})",
            [series_names(series), MONTH_LENGTH, f"{open_year:04d}"],
        )
        return [partition_file_in(row) for row in found]

    def of(self, series: Iterable[Series]) -> dict[Series, list[PartitionFile]]:
        """Return the current files of *series* in the order of time, with the holes inside them."""
        names = series_names(series)
        holes: dict[str, list[Hole]] = defaultdict(list)
        for path, before, after, before_time, after_time in rows_of(
            self._connection,
            "SELECT path, before_key, after_key, before_time, after_time FROM internal.holes"
            f" SEMI JOIN (SELECT path FROM internal.partitions {OF_SERIES})"
            " USING (path) ORDER BY before_key",
            [names],
        ):
            holes[path].append(Hole(before, after, at_utc(before_time), at_utc(after_time)))
        found: dict[Series, list[PartitionFile]] = defaultdict(list)
        rows = rows_of(self._connection, f"{PARTITIONS} {OF_SERIES} ORDER BY ALL", [names])
        for file in sorted(map(partition_file_in, rows), key=lambda one: one.first_time):
            own = holes.get(file.path)
            whole = replace(file, holes=tuple(own)) if own else file
            found[file.partition.series].append(whole)
        return found

    def compared(self) -> set[tuple[str, str]]:
        """Return the files that have no row of one next to them, with that."""
        return {
            (path, other) for path, other in rows_of(self._connection, "FROM internal.compared")
        }

    def paths(self) -> set[str]:
        """Return the current partition files."""
        return {
            path for (path,) in rows_of(self._connection, "SELECT path FROM internal.partitions")
        }

    def sums(self) -> dict[str, str]:
        """Return the sha256 of each current partition file, by path; "" if it is not known."""
        return dict(
            rows_of(self._connection, "SELECT path, coalesce(sha256, '') FROM internal.partitions")
        )

    def retired(self) -> set[str]:
        """Return the files that were replaced and are still there."""
        return {path for (path,) in rows_of(self._connection, "SELECT path FROM internal.retired")}

    def unscanned(self) -> list[PartitionFile]:
        """Return the files whose holes are not known yet."""
        return [
            partition_file_in(row)
            for row in rows_of(self._connection, f"{PARTITIONS} WHERE patched_rows IS NULL")
        ]
