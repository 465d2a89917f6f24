"""Queries about archives, listings and passes, on the state or a generation's copy of it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import duckdb

from fullpool.estimate import Experience, Sizes
from fullpool.model import (
    TRIES,
    Archive,
    Ban,
    Checksum,
    Known,
    Period,
    Series,
    Status,
    period_from,
)
from fullpool.planning import Listed
from fullpool.store import duck
from fullpool.store.state.asking import OF_SERIES, rows_of
from fullpool.store.state.file_queries import FileQueries
from fullpool.store.state.gap_queries import GapQueries
from fullpool.store.state.migrations import migrate
from fullpool.store.state.symbol_queries import SymbolQueries
from fullpool.store.state.tables import (
    ARCHIVES,
    DAY_LENGTH,
    LISTINGS,
    MISSING,
    MONTH_LENGTH,
    OLD_STATUS,
    SERIES_COLUMNS,
    at_utc,
    known_in,
    listed_in,
    naive,
    series_in,
    series_names,
)

_WAITING: Final = (
    Status.EXPECTED,
    Status.ABSENT,
    Status.LISTED,
    Status.NOT_PUBLISHED,
    Status.QUARANTINED,
)
_SAME_SERIES: Final = (
    "ON archives.market = l.market AND archives.kind = l.kind AND archives.symbol = l.symbol"
    " AND archives.interval IS NOT DISTINCT FROM l.interval"
)
_SINCE: Final = "period_start >= known_until"
_NAMES_OF_M: Final = ", ".join(f"m.{name}" for name in SERIES_COLUMNS)
_SAME_MONTH: Final = (
    " AND ".join(f"d.{name} = m.{name}" for name in SERIES_COLUMNS)
    + f" AND left(d.period, {MONTH_LENGTH}) = left(m.period, {MONTH_LENGTH})"
)


class StateQueries:
    """What is known so far: passes, listings and archives.

    *files*, *gaps* and *symbols* have the queries about those.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.files = FileQueries(connection)
        self.gaps = GapQueries(connection)
        self.symbols = SymbolQueries(connection)

    def listings(self) -> dict[Series, Listed]:
        """Return the last listing of every series."""
        return {
            listed.series: listed for listed in map(listed_in, rows_of(self._connection, LISTINGS))
        }

    def known_of(self, series: Iterable[Series]) -> dict[Series, list[Known]]:
        """Return every archive that is recorded of *series*, by series."""
        found: dict[Series, list[Known]] = defaultdict(list)
        for record in self.known(series):
            found[record.archive.series].append(record)
        return found

    def ends_of(self, series: Iterable[Series]) -> dict[Series, list[Known]]:
        """Return the first archive that is recorded of each of *series*, and the last one held."""
        # A number of each period, by which windows or pairs would be ordered ten times as slowly.
        span = "epoch_us(period_start) + date_diff('second', period_start, period_end)"
        found: dict[Series, list[Known]] = defaultdict(list)
        for row in rows_of(
            self._connection,
            f"WITH ends AS (SELECT min_by(rowid, {span}) AS first_one,"
            " max_by(rowid, epoch_us(period_end)) FILTER (row_count IS NOT NULL) AS last_held"
            f" FROM sync.archives {OF_SERIES} GROUP BY {', '.join(SERIES_COLUMNS)}) {ARCHIVES}"
            " WHERE rowid IN (SELECT first_one FROM ends UNION SELECT last_held FROM ends)",
            [series_names(series)],
        ):
            found[series_in(row)].append(known_in(row))
        return found

    def known(self, series: Iterable[Series]) -> list[Known]:
        """Return every archive that is recorded of *series*."""
        found = rows_of(self._connection, f"{ARCHIVES} {OF_SERIES}", [series_names(series)])
        return [known_in(row) for row in found]

    def days_in(self, months: Sequence[Archive]) -> dict[Series, list[Known]]:
        """Return what is recorded of days in the months of some series, by series."""
        found: dict[Series, list[Known]] = defaultdict(list)
        names = [month.period for month in months]
        for row in rows_of(
            self._connection,
            f"{ARCHIVES} {OF_SERIES} AND length(period) = {DAY_LENGTH}"
            f" AND list_contains(?, left(period, {MONTH_LENGTH}))",
            [series_names({month.series for month in months}), sorted({str(n) for n in names})],
        ):
            found[series_in(row)].append(known_in(row))
        return found

    def missing(self) -> dict[str, int]:
        """Return how many archives are missing, by status."""
        found = rows_of(
            self._connection, f"SELECT status, count(*) FROM {MISSING} GROUP BY ALL ORDER BY ALL"
        )
        return {str(status): int(count) for status, count in found}

    def since_listing(self) -> list[Known]:
        """Return the archives whose names were computed since their series was listed."""
        found = rows_of(
            self._connection, f"{ARCHIVES} JOIN internal.listings AS l {_SAME_SERIES} AND {_SINCE}"
        )
        return [known_in(row) for row in found]

    def due(self, now: datetime, accepted: Sequence[Checksum] = ()) -> list[Known]:
        """Return the archives worth a try at *now*, of all series.

        Those that failed always are, and those in quarantine for a CHECKSUM that is *accepted*. One
        that is in the lake and has a hole is worth a look.
        """
        found = rows_of(
            self._connection,
            f"{ARCHIVES} WHERE status = ? OR"
            " (list_contains(?, status) AND coalesce(next_try_at <= ?, true))"
            " OR (status = ? AND next_try_at <= ?) OR (status = ? AND list_contains(?, checksum))",
            [
                str(Status.FAILED), [*map(str, _WAITING), *OLD_STATUS], naive(now),
                str(Status.PRESENT), naive(now),
                str(Status.QUARANTINED), [str(checksum) for checksum in accepted],
            ],
        )  # fmt: skip
        return [known_in(row) for row in found]

    def sums(self) -> list[tuple[Archive, str]]:
        """Return the archives whose CHECKSUM vouched for them, each with the sha256 it had."""
        found = rows_of(
            self._connection,
            f"SELECT {', '.join(SERIES_COLUMNS)}, period, sha256 FROM sync.archives"
            " WHERE status = ? AND sha256 IS NOT NULL AND coalesce(checksum, '') NOT IN (?, ?)"
            " ORDER BY key",
            [str(Status.PRESENT), str(Checksum.WRONG), str(Checksum.MISSING)],
        )
        return [(Archive(series_in(row), period_from(row[4])), row[5]) for row in found]

    def months_of_no_use(self) -> list[tuple[Archive, set[Period]]]:
        """Return the monthly archives whose days are to stand in, with those that are on record."""
        found = rows_of(
            self._connection,
            f"SELECT {_NAMES_OF_M}, m.period, list(d.period) FROM sync.archives AS m"
            f" LEFT JOIN sync.archives AS d ON {_SAME_MONTH} AND length(d.period) = {DAY_LENGTH}"
            f" WHERE length(m.period) = {MONTH_LENGTH} AND m.row_count IS NULL AND"
            " (m.status = ? OR (m.status = ? AND m.attempts >= ?)) GROUP BY ALL",
            [str(Status.QUARANTINED), str(Status.FAILED), TRIES],
        )
        months = []
        for row in found:
            days = {period_from(day) for day in row[5] if day is not None}
            months.append((Archive(series_in(row), period_from(row[4])), days))
        return months

    def months_of_lost_days(self) -> list[Archive]:
        """Return the monthly archives not asked for yet of which a day could not be fetched."""
        found = rows_of(
            self._connection,
            f"SELECT DISTINCT {_NAMES_OF_M}, left(m.period, {MONTH_LENGTH})"
            f" FROM sync.archives AS m ANTI JOIN sync.archives AS d"
            f" ON {_SAME_MONTH} AND length(d.period) = {MONTH_LENGTH}"
            f" WHERE length(m.period) = {DAY_LENGTH} AND m.row_count IS NULL AND"
            " (list_contains(?, m.status) OR (m.status = ? AND m.attempts >= ?))",
            [
                [str(one) for one in (Status.ABSENT, Status.QUARANTINED, Status.NOT_PUBLISHED)],
                str(Status.FAILED), TRIES,
            ],
        )  # fmt: skip
        return [Archive(series_in(row), period_from(row[4])) for row in found]

    def wanted(self) -> set[Series]:
        """Return the series that the configuration asked for when that was last looked at."""
        return {
            series_in(row)
            for row in rows_of(
                self._connection, "SELECT market, kind, symbol, interval FROM sync.wanted"
            )
        }

    def last_audit(self, now: datetime) -> datetime | None:
        """Return when the last pass began that audited, or else the first of all passes.

        Not one that the clock was ahead for.
        """
        found = rows_of(
            self._connection,
            "SELECT coalesce(max(started_at) FILTER (audited), min(started_at)) FROM sync.passes"
            " WHERE started_at <= ? AND outcome IN ('complete', 'incomplete')",
            [naive(now)],
        )
        return at_utc(found[0][0]) if found[0][0] else None

    def experience(self) -> Experience:
        """Return what earlier passes tell of sizes, by kind, and of their speed."""
        sizes = rows_of(
            self._connection,
            "SELECT kind, a.size_bytes, p.size_bytes FROM (SELECT kind, sum(size_bytes)::BIGINT"
            " AS size_bytes FROM sync.archives WHERE status = 'present' GROUP BY kind) AS a JOIN"
            " (SELECT kind, sum(size_bytes)::BIGINT AS size_bytes FROM internal.partitions"
            " GROUP BY kind) AS p USING (kind)",
        )
        ((archives, size_bytes, seconds),) = rows_of(
            self._connection,
            "SELECT coalesce(sum(archives), 0)::BIGINT, coalesce(sum(downloaded_bytes), 0)::BIGINT,"
            " coalesce(sum(epoch(ended_at - started_at)), 0) FROM (SELECT * FROM sync.passes WHERE"
            " archives > 0 AND ended_at IS NOT NULL ORDER BY archives DESC LIMIT 10)",
        )
        known = {kind: Sizes(zipped, files) for kind, zipped, files in sizes}
        return Experience(known, archives, size_bytes, seconds)

    def bans(self) -> list[Ban]:
        """Return the API's hosts that were not to be asked when that was recorded."""
        found = rows_of(
            self._connection,
            "SELECT host, status, reason, banned_at, banned_until FROM sync.rest_bans",
        )
        return [
            Ban(host, status, reason, at_utc(at), at_utc(until))
            for host, status, reason, at, until in found
        ]


def empty_state() -> StateQueries:
    """Return what is known of a lake that does not exist yet."""
    connection = duck.connect(None)
    migrate(connection)
    return StateQueries(connection)
