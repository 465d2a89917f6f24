"""Reading the `sync` tables: of the state, or of the catalogue, which holds a copy of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import duckdb

from fullpool.model import Known, PartitionFile, Series, Status
from fullpool.planning import Listed
from fullpool.store import duck
from fullpool.store.migrations import migrate
from fullpool.store.reading import (
    ARCHIVES,
    LISTINGS,
    PARTITIONS,
    known_in,
    listed_in,
    naive,
    partition_file_in,
    series_names,
)

_WAITING: Final = (
    Status.EXPECTED,
    Status.ABSENT,
    Status.PUBLISHED,
    Status.NOT_PUBLISHED,
    Status.QUARANTINED,
)
_SAME_SERIES: Final = (
    "ON archives.market = l.market AND archives.kind = l.kind AND archives.symbol = l.symbol"
    " AND archives.interval IS NOT DISTINCT FROM l.interval"
)
_SINCE: Final = "period_start >= known_until"


class Memory:
    """What is known so far. Safe beside a writer, whose newest records it may not have yet."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def symbols(self, market: str, kind: str, since: datetime) -> list[str]:
        """Return the vendor's symbols as listed at *since* or later; empty if they were not."""
        return [
            symbol
            for (symbol,) in self._rows(
                "SELECT symbol FROM sync.symbols WHERE market = ? AND kind = ? AND listed_at >= ?"
                " ORDER BY symbol",
                [market, kind, naive(since)],
            )
        ]

    def listings(self) -> dict[Series, Listed]:
        """Return the last listing of every series."""
        return {listed.series: listed for listed in map(listed_in, self._rows(LISTINGS))}

    def known(self, series: Iterable[Series]) -> list[Known]:
        """Return every archive that is recorded of *series*."""
        name = "concat_ws('/', market, kind, symbol, nullif(interval, ''))"
        found = self._rows(f"{ARCHIVES} WHERE list_contains(?, {name})", [series_names(series)])
        return [known_in(row) for row in found]

    def missing(self) -> dict[str, int]:
        """Return how many archives are not in the lake, by status."""
        found = self._rows(
            "SELECT status, count(*) FROM sync.archives WHERE status <> ?"
            " GROUP BY ALL ORDER BY ALL",
            [str(Status.PRESENT)],
        )
        return {str(status): int(count) for status, count in found}

    def since_listing(self) -> list[Known]:
        """Return the archives whose names were computed since their series was listed."""
        found = self._rows(f"{ARCHIVES} JOIN sync.listings AS l {_SAME_SERIES} AND {_SINCE}")
        return [known_in(row) for row in found]

    def due(self, now: datetime) -> list[Known]:
        """Return the archives worth a try at *now*, of all series; those that failed always are."""
        found = self._rows(
            f"{ARCHIVES} WHERE status = ? OR"
            " (list_contains(?, status) AND coalesce(next_try_at <= ?, true))",
            [str(Status.FAILED), [str(status) for status in _WAITING], naive(now)],
        )
        return [known_in(row) for row in found]

    def files(self) -> list[PartitionFile]:
        """Return the current partition files."""
        return [partition_file_in(row) for row in self._rows(PARTITIONS)]

    def _rows(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        with duck.explained("reading what is known"):
            return self._connection.execute(sql, values or []).fetchall()


def no_memory() -> Memory:
    """Return the memory of a lake that does not exist yet."""
    connection = duck.connect()
    migrate(connection)
    return Memory(connection)
