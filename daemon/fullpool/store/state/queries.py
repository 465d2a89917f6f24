"""Reading the `sync` tables: of the state, or of the catalogue, which holds a copy of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import duckdb

from fullpool.evidence import Evidence
from fullpool.gaps import Gap
from fullpool.model import (
    TRIES,
    Archive,
    Ban,
    Cadence,
    Checksum,
    Hole,
    Known,
    PartitionFile,
    Period,
    Series,
    Status,
    period_from,
)
from fullpool.planning import Listed
from fullpool.store import duck
from fullpool.store.state.bulk import AMONG
from fullpool.store.state.gap_rows import EVIDENCE_COLUMNS, GAPS, MISSING_ROWS, evidence_in, gap_in
from fullpool.store.state.migrations import migrate
from fullpool.store.state.tables import (
    ARCHIVES,
    LISTINGS,
    MISSING,
    PARTITIONS,
    SERIES_COLUMNS,
    SERIES_NAME,
    at_utc,
    known_in,
    listed_in,
    naive,
    partition_file_in,
    series_in,
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
_OF_SERIES: Final = f"WHERE {SERIES_NAME}{AMONG}"
_SHAPE: Final = ("market", "kind", "interval", "first_place", "end_place")
_UNTRIED: Final = (
    "a.market = gaps.market AND a.kind = gaps.kind AND a.symbol = gaps.symbol"
    " AND a.interval IS NOT DISTINCT FROM gaps.interval AND a.status IN ('expected', 'published')"
    " AND a.period_start < gaps.gap_end AND a.period_end > gaps.gap_start"
    " AND EXISTS (SELECT 1 FROM sync.wanted AS w WHERE w.market = a.market AND w.kind = a.kind"
    " AND w.symbol = a.symbol AND w.interval IS NOT DISTINCT FROM a.interval"
    " AND w.wanted_from < a.period_end AND w.wanted_to > a.period_start)"
)
_LEARNED_FROM: Final = timedelta(days=60)
_LEARNED_FROM_ARCHIVES: Final = 20
_MONTH_LENGTH: Final = len("2024-01")
_DAY_LENGTH: Final = len("2024-01-01")
_ASTRAY: Final = (
    f"(length(period) = {_DAY_LENGTH} AND (first_time < period::DATE OR"
    " last_time >= period::DATE + INTERVAL 1 DAY)"
    " AND path NOT IN (SELECT path FROM sync.compared))"
)
_SINCE: Final = "period_start >= known_until"
_NAMES_OF_M: Final = ", ".join(f"m.{name}" for name in SERIES_COLUMNS)
_SAME_MONTH: Final = (
    " AND ".join(f"d.{name} = m.{name}" for name in SERIES_COLUMNS)
    + f" AND left(d.period, {_MONTH_LENGTH}) = left(m.period, {_MONTH_LENGTH})"
)


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

    def known_of(self, series: Iterable[Series]) -> dict[Series, list[Known]]:
        """Return every archive that is recorded of *series*, by series."""
        found: dict[Series, list[Known]] = defaultdict(list)
        for one in self.known(series):
            found[one.archive.series].append(one)
        return found

    def known(self, series: Iterable[Series]) -> list[Known]:
        """Return every archive that is recorded of *series*."""
        found = self._rows(f"{ARCHIVES} {_OF_SERIES}", [series_names(series)])
        return [known_in(row) for row in found]

    def missing(self) -> dict[str, int]:
        """Return how many archives are missing, by status."""
        found = self._rows(f"SELECT status, count(*) FROM {MISSING} GROUP BY ALL ORDER BY ALL")
        return {str(status): int(count) for status, count in found}

    def since_listing(self) -> list[Known]:
        """Return the archives whose names were computed since their series was listed."""
        found = self._rows(f"{ARCHIVES} JOIN sync.listings AS l {_SAME_SERIES} AND {_SINCE}")
        return [known_in(row) for row in found]

    def due(self, now: datetime, accepted: Sequence[Checksum] = ()) -> list[Known]:
        """Return the archives worth a try at *now*, of all series.

        Those that failed always are, and those in quarantine for a CHECKSUM that is *accepted*. One
        that is in the lake and has a hole is worth a look.
        """
        found = self._rows(
            f"{ARCHIVES} WHERE status = ? OR"
            " (list_contains(?, status) AND coalesce(next_try_at <= ?, true))"
            " OR (status = ? AND next_try_at <= ?) OR (status = ? AND list_contains(?, checksum))",
            [
                str(Status.FAILED), [str(status) for status in _WAITING], naive(now),
                str(Status.PRESENT), naive(now),
                str(Status.QUARANTINED), [str(one) for one in accepted],
            ],
        )  # fmt: skip
        return [known_in(row) for row in found]

    def files(self) -> list[PartitionFile]:
        """Return the current partition files."""
        return [partition_file_in(row) for row in self._rows(PARTITIONS)]

    def files_for(self, series: Iterable[Series], now: datetime) -> list[PartitionFile]:
        """Return the current files of *series*, and of those where other work is left to do.

        They have months of years gone by, or rows outside a day.
        """
        found = self._rows(
            f"{PARTITIONS} {_OF_SERIES} OR {SERIES_NAME} IN (SELECT {SERIES_NAME}"
            " FROM sync.partitions"
            f" WHERE (length(period) = ? AND left(period, 4) < ?) OR {_ASTRAY})",
            [series_names(series), _MONTH_LENGTH, f"{now.year:04d}"],
        )
        return [partition_file_in(row) for row in found]

    def files_of(self, series: Iterable[Series]) -> dict[Series, list[PartitionFile]]:
        """Return the current files of *series* in the order of time, with the holes inside them."""
        names = series_names(series)
        holes: dict[str, list[Hole]] = defaultdict(list)
        for path, before, after, before_time, after_time in self._rows(
            "SELECT path, before_key, after_key, before_time, after_time FROM sync.holes"
            f" SEMI JOIN (SELECT path FROM sync.partitions {_OF_SERIES})"
            " USING (path) ORDER BY before_key",
            [names],
        ):
            holes[path].append(Hole(before, after, at_utc(before_time), at_utc(after_time)))
        found: dict[Series, list[PartitionFile]] = defaultdict(list)
        rows = self._rows(f"{PARTITIONS} {_OF_SERIES} ORDER BY ALL", [names])
        for file in sorted(map(partition_file_in, rows), key=lambda one: one.first_time):
            whole = replace(file, holes=tuple(holes[file.path]))
            found[file.partition.series].append(whole)
        return found

    def compared(self) -> set[tuple[str, str]]:
        """Return the files that have no row of one beside them, with that."""
        return {(path, other) for path, other in self._rows("FROM sync.compared")}

    def paths(self) -> set[str]:
        """Return the current partition files."""
        return {path for (path,) in self._rows("SELECT path FROM sync.partitions")}

    def file_sums(self) -> dict[str, str]:
        """Return the sha256 of each current partition file, by path; "" if it is not known."""
        return dict(self._rows("SELECT path, coalesce(sha256, '') FROM sync.partitions"))

    def retired(self) -> set[str]:
        """Return the files that were replaced and are still there."""
        return {path for (path,) in self._rows("SELECT path FROM sync.retired")}

    def sums(self) -> list[tuple[Archive, str]]:
        """Return the archives whose CHECKSUM vouched for them, each with the sha256 it had."""
        found = self._rows(
            f"SELECT {', '.join(SERIES_COLUMNS)}, period, sha256 FROM sync.archives"
            " WHERE status = ? AND sha256 IS NOT NULL AND coalesce(checksum, '') NOT IN (?, ?)"
            " ORDER BY key",
            [str(Status.PRESENT), str(Checksum.WRONG), str(Checksum.MISSING)],
        )
        return [(Archive(series_in(row), period_from(row[4])), row[5]) for row in found]

    def unscanned(self) -> list[PartitionFile]:
        """Return the files whose holes are not known yet."""
        return [
            partition_file_in(row) for row in self._rows(f"{PARTITIONS} WHERE patched_rows IS NULL")
        ]

    def expected(self) -> dict[Series, list[tuple[datetime, datetime, datetime]]]:
        """Return, by series, the spans that were configured and the ends that were looked up to.

        Nothing of a series that got new files since.
        """
        found: dict[Series, list[tuple[datetime, datetime, datetime]]] = defaultdict(list)
        for row in self._rows(
            "SELECT market, kind, symbol, interval, wanted_from, wanted_to, expected_until"
            " FROM sync.expected WHERE wanted_from IS NOT NULL AND wanted_to IS NOT NULL"
            " ORDER BY ALL"
        ):
            start, end, until = map(at_utc, row[4:])
            found[series_in(row)].append((start, end, until))
        return found

    def evidence_of(self, series: Iterable[Series]) -> dict[Series, list[Evidence]]:
        """Return what the API was asked of *series* and does not have."""
        found: dict[Series, list[Evidence]] = defaultdict(list)
        for row in self._rows(
            f"SELECT {', '.join(EVIDENCE_COLUMNS)} FROM sync.evidence {_OF_SERIES}",
            [series_names(series)],
        ):
            one = evidence_in(row)
            found[one.series].append(one)
        return found

    def months_of_no_use(self) -> list[tuple[Archive, set[Period]]]:
        """Return the monthly archives whose days are to stand in, with those that are on record."""
        found = self._rows(
            f"SELECT {_NAMES_OF_M}, m.period, list(d.period) FROM sync.archives AS m"
            f" LEFT JOIN sync.archives AS d ON {_SAME_MONTH} AND length(d.period) = {_DAY_LENGTH}"
            f" WHERE length(m.period) = {_MONTH_LENGTH} AND m.row_count IS NULL AND"
            " (m.status = ? OR (m.status = ? AND m.attempts >= ?)) GROUP BY ALL",
            [str(Status.QUARANTINED), str(Status.FAILED), TRIES],
        )
        months = []
        for row in found:
            days = {period_from(day) for day in row[5] if day is not None}
            months.append((Archive(series_in(row), period_from(row[4])), days))
        return months

    def months_of_lost_days(self) -> list[Archive]:
        """Return the monthly archives not asked for yet of which a day could not be had."""
        found = self._rows(
            f"SELECT DISTINCT {_NAMES_OF_M}, left(m.period, {_MONTH_LENGTH})"
            f" FROM sync.archives AS m ANTI JOIN sync.archives AS d"
            f" ON {_SAME_MONTH} AND length(d.period) = {_MONTH_LENGTH}"
            f" WHERE length(m.period) = {_DAY_LENGTH} AND m.row_count IS NULL AND"
            " (list_contains(?, m.status) OR (m.status = ? AND m.attempts >= ?))",
            [
                [str(one) for one in (Status.ABSENT, Status.QUARANTINED, Status.NOT_PUBLISHED)],
                str(Status.FAILED), TRIES,
            ],
        )  # fmt: skip
        return [Archive(series_in(row), period_from(row[4])) for row in found]

    def gaps_of(self, series: Iterable[Series]) -> dict[Series, list[Gap]]:
        """Return what is known of the gaps of *series*."""
        found: dict[Series, list[Gap]] = defaultdict(list)
        for row in self._rows(f"{GAPS} {_OF_SERIES}", [series_names(series)]):
            gap = gap_in(row)
            found[gap.series].append(gap)
        return found

    def due_gaps(self, now: datetime) -> list[Gap]:
        """Return the gaps worth asking for, and those of other symbols that are just like one.

        Not those whose archive is there and was not tried yet: it comes first.
        """
        same = " AND ".join(f"gaps.{name} IS NOT DISTINCT FROM d.{name}" for name in _SHAPE)
        found = self._rows(
            f"{GAPS} SEMI JOIN (SELECT DISTINCT {', '.join(_SHAPE)} FROM sync.gaps WHERE"
            " (status = 'open' AND next_try_at IS NULL) OR next_try_at <= ?)"
            f" AS d ON {same} ANTI JOIN sync.archives AS a ON {_UNTRIED}",
            [naive(now)],
        )
        return [gap_in(row) for row in found]

    def gap_rows(self) -> dict[str, int]:
        """Return how many rows are missing, by what is known of them.

        Those from before trading began are none.
        """
        return {str(what): int(rows) for what, rows in self._rows(MISSING_ROWS)}

    def delays(self, now: datetime) -> dict[tuple[str, str, Cadence], timedelta]:
        """Return how long after its period an archive usually came: 9 of 10 of the last 60 days.

        Only where enough are known; those published anew long after are none of them.
        """
        found = self._rows(
            "SELECT market, kind, length(period), quantile_cont(epoch(modified_at - period_end),"
            " 0.9) FROM sync.archives WHERE modified_at BETWEEN period_end AND period_end +"
            " INTERVAL 20 DAY AND period_end >= ? GROUP BY ALL HAVING count(*) >= ?",
            [naive(now - _LEARNED_FROM), _LEARNED_FROM_ARCHIVES],
        )
        return {
            (market, kind, Cadence.DAY if length == _DAY_LENGTH else Cadence.MONTH): timedelta(
                seconds=seconds
            )
            for market, kind, length, seconds in found
        }

    def wanted(self) -> set[Series]:
        """Return the series that the configuration asked for when that was last looked at."""
        return {
            series_in(row)
            for row in self._rows("SELECT market, kind, symbol, interval FROM sync.wanted")
        }

    def last_audit(self, now: datetime) -> datetime | None:
        """Return when the last pass began that audited, or else the first of all passes.

        Not one that the clock was ahead for.
        """
        found = self._rows(
            "SELECT coalesce(max(started_at) FILTER (audited), min(started_at)) FROM sync.passes"
            " WHERE started_at <= ? AND outcome IN ('complete', 'incomplete')",
            [naive(now)],
        )
        return at_utc(found[0][0]) if found[0][0] else None

    def bans(self) -> list[Ban]:
        """Return the API's hosts that were not to be asked when that was recorded."""
        found = self._rows(
            "SELECT host, status, reason, banned_at, banned_until FROM sync.rest_bans"
        )
        return [
            Ban(host, status, reason, at_utc(at), at_utc(until))
            for host, status, reason, at, until in found
        ]

    def _rows(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        with duck.explained("reading what is known"):
            return self._connection.execute(sql, values or []).fetchall()


def no_memory() -> Memory:
    """Return the memory of a lake that does not exist yet."""
    connection = duck.connect(None)
    migrate(connection)
    return Memory(connection)
