"""The daemon's own database: what was done, what is missing, why, and when to look again.

One process holds it, read-write, and one thread of it uses it. Every method is one transaction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import duckdb

from fullpool.evidence import Evidence
from fullpool.gaps import Expected, Gap
from fullpool.model import (
    Ban,
    Checksum,
    Damage,
    Known,
    PartitionFile,
    Series,
    Span,
    Status,
)
from fullpool.planning import Listed
from fullpool.store import duck
from fullpool.store.partitions.messages import Built
from fullpool.store.state.build_records import write_built, write_findings
from fullpool.store.state.bulk import AMONG, insert, replace, update, values_of
from fullpool.store.state.gap_records import (
    insert_many,
    is_behind,
    take_back,
    write_evidence,
    write_expected,
    write_gaps,
    write_lost,
)
from fullpool.store.state.gap_rows import UNANSWERED, look_row
from fullpool.store.state.queries import Memory
from fullpool.store.state.tables import (
    LISTING_COLUMNS,
    SERIES_COLUMNS,
    SERIES_NAME,
    TRIED_COLUMNS,
    WANTED_COLUMNS,
    listing_row,
    naive,
    series_names,
    tried_row,
    wanted_row,
)


class PassOutcome(StrEnum):
    """How a pass ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ConfigEdit:
    """A change of the configuration file that was seen; refused if it has *problems*."""

    at: datetime
    path: str
    sha256: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassSummary:
    """What one pass did, for the record; *reason* says what stopped it."""

    outcome: PassOutcome
    reason: str
    audited: bool
    archives: int
    failed: int
    downloaded_bytes: int
    rows: int


class State:
    """The state's tables, opened by `opening.open_state`."""

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        # Called before each transaction: raises if another machine writes the lake by now.
        self.require_ours: Callable[[], None] = lambda: None
        self._connect = connect
        self.connection = connect()
        self.memory = Memory(self.connection)

    def close(self) -> None:
        self.connection.close()

    def renew(self) -> None:
        """Open the database anew, which also writes what its log holds into it.

        DuckDB keeps, for as long as a database is open, handles of up to 32,768 blocks long gone
        in each of its eviction queues: the daemon's memory grew by 0.7 MB a minute of a soak.
        """
        with duck.explained("opening the state anew"):
            self.connection.close()
            self.connection = self._connect()
        self.memory = Memory(self.connection)

    def next_value(self, counter: str) -> int:
        """Return a number that was never handed out before, nor will be again."""
        with self._transaction():
            self._run("UPDATE sync.counters SET value = value + 1 WHERE name = ?", [counter])
            return self.last_value(counter)

    def last_value(self, counter: str) -> int:
        """Return the number that was handed out last."""
        found = self._rows("SELECT value FROM sync.counters WHERE name = ?", [counter])
        return int(found[0][0])

    def record_symbols(self, market: str, kind: str, symbols: Sequence[str], at: datetime) -> None:
        with self._transaction():
            self._run("DELETE FROM sync.symbols WHERE market = ? AND kind = ?", [market, kind])
            rows = [(market, kind, symbol, naive(at)) for symbol in symbols]
            insert(self.connection, "sync.symbols", ("market", "kind", "symbol", "listed_at"), rows)

    def record_wanted(self, wanted: Mapping[Series, Span]) -> bool:
        """Record what the configuration asks for; return whether that is news."""
        rows = sorted(wanted_row(series, span) for series, span in wanted.items())
        columns = ", ".join(WANTED_COLUMNS)
        held = self._rows(f"SELECT {columns} FROM sync.wanted ORDER BY ALL")
        if rows == held:
            return False
        with self._transaction():
            self._run("DELETE FROM sync.wanted", [])
            insert_many(self.connection, "sync.wanted", WANTED_COLUMNS, rows)
        return True

    def record_edit(self, edit: ConfigEdit) -> None:
        """Record that the configuration file was found changed, and what came of it."""
        outcome = "refused" if edit.problems else "applied"
        with self._transaction():
            self._run(
                "INSERT INTO sync.config_edits VALUES (?, ?, ?, ?, ?)",
                [naive(edit.at), edit.path, edit.sha256, outcome, "\n".join(edit.problems)],
            )

    def forget_passes(self, before: datetime) -> None:
        """Forget passes before *before* that brought nothing; the last of each command stays."""
        with self._transaction():
            self._run(
                "DELETE FROM sync.passes WHERE started_at < ? AND archives = 0 AND row_count = 0"
                " AND id <> (SELECT max(id) FROM sync.passes AS other"
                " WHERE other.command = passes.command)",
                [naive(before)],
            )

    def record_listings(
        self, listings: Sequence[Listed], found: Sequence[Known], at: datetime
    ) -> None:
        """Record listings and the archives that were found new or changed by them."""
        rows = [listing_row(listed) for listed in listings]
        archives = [tried_row(known, at, is_tried=False) for known in found]
        with self._transaction():
            replace(self.connection, "sync.listings", SERIES_COLUMNS, LISTING_COLUMNS, rows)
            replace(self.connection, "sync.archives", ("key",), TRIED_COLUMNS, archives)
            # Where the first one is known, rows are expected, also if none can be had.
            self._doubt({known.archive.series for known in found})

    def record_looks(self, known: Sequence[Known]) -> None:
        """Record when archives of the lake are looked at again."""
        columns = ("key", "attempts", "next_try_at")
        rows = [look_row(one) for one in known]
        with self._transaction():
            update(self.connection, "sync.archives", "key", columns, rows)

    def record_tried(self, known: Sequence[Known], at: datetime) -> None:
        """Record archives that a try did not bring into the lake."""
        rows = [tried_row(one, at) for one in known]
        with self._transaction():
            replace(self.connection, "sync.archives", ("key",), TRIED_COLUMNS, rows)

    def record_built(self, built: Sequence[Built], at: datetime) -> None:
        """Record files that are in the lake now, the archives in them, and what they replace."""
        with self._transaction():
            self._retire([f.path for one in built if one.files for f in one.step.files], at)
            write_built(self.connection, built, at)
            self._doubt({one.step.series for one in built if one.files})

    def _doubt(self, series: Iterable[Series]) -> None:
        """Have the gaps of *series* looked for anew, by this pass or whichever comes."""
        self._run(
            f"UPDATE sync.expected SET wanted_from = NULL WHERE {SERIES_NAME}{AMONG}",
            [series_names(series)],
        )

    def reopen_refused(self, markets: Iterable[str]) -> None:
        """Have the gaps of *markets* asked for again that their host refused to answer for."""
        with self._transaction():
            self._run(
                "UPDATE sync.gaps SET status = 'open', explanation = NULL, next_try_at = NULL"
                f" WHERE explanation = 'api_refused' AND market{AMONG}",
                [values_of(markets)],
            )

    def reopen_unanswered(self) -> None:
        """Have the gaps asked for at once whose last question got no answer."""
        with self._transaction():
            self._run(f"UPDATE sync.gaps SET next_try_at = NULL WHERE {UNANSWERED}", [])

    def reopen_quarantined(self, checksum: Checksum) -> None:
        """Have the archives asked for again that are in quarantine for such a CHECKSUM."""
        with self._transaction():
            self._run(
                "UPDATE sync.archives SET next_try_at = NULL WHERE status = ? AND checksum = ?",
                [str(Status.QUARANTINED), str(checksum)],
            )

    def record_lost(self, lost: Mapping[PartitionFile, Damage], at: datetime) -> None:
        """Forget files that are gone or damaged, and expect the archives in them again.

        The value of each says what is wrong with it. So is a newer edition that was of no use: what
        the lake had of that archive is gone.
        """
        if not lost:
            return
        with self._transaction():
            write_lost(self.connection, lost, at)
            self._retire([file.path for file in lost], at)
            self._doubt({file.partition.series for file in lost})

    def record_scanned(self, files: Sequence[PartitionFile]) -> None:
        """Record what was found in files that an older version wrote."""
        columns = ("path", "patched_rows", "first_key", "last_key")
        rows = [(f.path, f.patched_rows, f.first_key, f.last_key) for f in files]
        with self._transaction():
            update(self.connection, "sync.partitions", "path", columns, rows)
            write_findings(self.connection, files)
            self._doubt({file.partition.series for file in files})

    def record_gaps(self, gaps: Mapping[Series, Sequence[Gap]], at: datetime) -> None:
        """Write the gaps of some series anew."""
        with self._transaction():
            write_gaps(self.connection, gaps, at)

    def record_evidence(self, evidence: Mapping[Series, Sequence[Evidence]]) -> None:
        """Write anew what the API was asked of some series and does not have."""
        with self._transaction():
            write_evidence(self.connection, evidence)

    def record_expected(self, expected: Sequence[Expected]) -> None:
        """Record where rows of some series should be."""
        with self._transaction():
            write_expected(self.connection, expected)

    def record_bans(self, bans: Sequence[Ban]) -> None:
        """Write the bans anew."""
        columns = ("host", "status", "reason", "banned_at", "banned_until")
        rows = [(b.host, b.status, b.reason, naive(b.at), naive(b.until)) for b in bans]
        with self._transaction():
            self._run("DELETE FROM sync.rest_bans", [])
            insert(self.connection, "sync.rest_bans", columns, rows)

    def _retire(self, paths: list[str], at: datetime) -> None:
        if not paths:
            return
        self._run(
            f"INSERT INTO sync.retired SELECT path, generation, ?, size_bytes FROM sync.partitions"
            f" WHERE path{AMONG}",
            [naive(at), values_of(paths)],
        )
        for table in ("sync.partitions", "sync.holes", "sync.runs", "sync.compared"):
            self._run(f"DELETE FROM {table} WHERE path{AMONG}", [values_of(paths)])
        self._run(f"DELETE FROM sync.compared WHERE beside{AMONG}", [values_of(paths)])

    def retired_before(self, moment: datetime) -> list[str]:
        """Return the files that only generations replaced before *moment* refer to."""
        sql = (
            "SELECT path FROM sync.retired WHERE retired_at <="
            " (SELECT max(published_at) FROM sync.generations WHERE published_at < ?)"
        )
        return [path for (path,) in self._rows(sql, [naive(moment)])]

    def forget_retired(self, paths: Sequence[str]) -> None:
        with self._transaction():
            self._run(f"DELETE FROM sync.retired WHERE path{AMONG}", [values_of(paths)])

    def record_generation(self, generation: int, at: datetime) -> None:
        with self._transaction():
            self._run("INSERT INTO sync.generations VALUES (?, ?)", [generation, naive(at)])

    def is_published(self) -> bool:
        """Whether there is a generation, and none of the current files is newer than it.

        By number and by time: a clock may be set back, and a build that was begun before a
        publication and ended after it bears that one's number.
        """
        found = self._rows(
            "SELECT count(*) > 0 AND coalesce(max(published_at) >= max(last.written_at)"
            " AND max(generation) >= max(last.number), true) FROM sync.generations,"
            " (SELECT max(written_at) AS written_at, max(generation) AS number"
            " FROM sync.partitions) AS last"
        )
        return bool(found[0][0])

    def generations(self) -> list[int]:
        """Return the generations that are recorded."""
        found = self._rows("SELECT generation FROM sync.generations ORDER BY generation")
        return [int(generation) for (generation,) in found]

    def generations_before(self, moment: datetime) -> list[int]:
        """Return the generations whose successor was published before *moment*."""
        found = self._rows(
            "SELECT generation FROM sync.generations"
            " QUALIFY lead(published_at) OVER (ORDER BY generation) < ?",
            [naive(moment)],
        )
        return [int(generation) for (generation,) in found]

    def crowded_generations(self, hourly: datetime, daily: datetime) -> list[int]:
        """Return the generations that are not the last of their hour, or day, or to be kept.

        By the hour before *hourly*, by the day before *daily*; those since stay.
        """
        found = self._rows(
            "SELECT generation FROM sync.generations WHERE published_at < ?"
            " QUALIFY generation < max(generation) OVER (PARTITION BY"
            " date_trunc(CASE WHEN published_at < ? THEN 'day' ELSE 'hour' END, published_at))",
            [naive(hourly), naive(daily)],
        )
        return [int(generation) for (generation,) in found]

    def forget_generations(self, generations: Sequence[int]) -> None:
        with self._transaction():
            self._run(
                "DELETE FROM sync.generations WHERE list_contains(?, generation)",
                [list(generations)],
            )

    def take_back(self, now: datetime) -> bool:
        """Take back what was recorded from a future that did not come; return whether any was.

        The clock was ahead then. What is in the lake stays; what was not there is found out again.
        """
        with self._transaction():
            return take_back(self.connection, now)

    def is_behind(self, now: datetime) -> bool:
        """Whether the clock is behind: the vendor published something long after *now*."""
        return is_behind(self.connection, now)

    def begin_pass(self, command: str, version: str, at: datetime) -> int:
        number = self.next_value("pass")
        with self._transaction():
            self._run(
                "INSERT INTO sync.passes (id, command, version, started_at) VALUES (?, ?, ?, ?)",
                [number, command, version, naive(at)],
            )
        return number

    def end_pass(self, number: int, summary: PassSummary, at: datetime) -> None:
        with self._transaction():
            self._run(
                "UPDATE sync.passes SET ended_at = ?, outcome = ?, reason = nullif(?, ''),"
                " audited = ?, archives = ?, failed = ?, downloaded_bytes = ?, row_count = ?"
                " WHERE id = ?",
                [naive(at), str(summary.outcome), summary.reason, summary.audited,
                 summary.archives, summary.failed, summary.downloaded_bytes, summary.rows, number],
            )  # fmt: skip

    def _run(self, sql: str, values: list[Any]) -> None:
        self.connection.execute(sql, values)

    def _rows(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        with duck.explained("reading the state"):
            return self.connection.execute(sql, values or []).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.require_ours()
        with duck.explained("writing the state"), duck.transaction(self.connection):
            yield
