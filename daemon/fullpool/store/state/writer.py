"""The state: what is in the lake, what is missing, why, and when to retry.

One process holds it, read-write, and one thread of it uses it. Every method is one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from fullpool import vendor
from fullpool.model import (
    Archive,
    Checksum,
    Damage,
    Known,
    PartitionFile,
    Status,
)
from fullpool.planning import Listed, one_of_each
from fullpool.store.partitions.messages import Built
from fullpool.store.state.build_records import write_built, write_findings
from fullpool.store.state.bulk import AMONG, insert, replace, update, values_of
from fullpool.store.state.conflict_records import untrue_conflicts, write_conflicts
from fullpool.store.state.gap_records import (
    doubt,
    is_behind,
    take_back,
    write_lost,
)
from fullpool.store.state.gap_rows import look_row
from fullpool.store.state.gap_writer import GapWriter
from fullpool.store.state.generations import Generations
from fullpool.store.state.instruments import Instruments
from fullpool.store.state.passes import Passes
from fullpool.store.state.queries import StateQueries
from fullpool.store.state.retiring import SeriesWriter, retire
from fullpool.store.state.session import Session
from fullpool.store.state.tables import (
    LISTING_COLUMNS,
    SERIES_COLUMNS,
    TRIED_COLUMNS,
    listing_row,
    naive,
    tried_row,
)
from fullpool.store.state.tails import Tails


class State:
    """The state's tables, opened by `opening.open_state`.

    *queries* reads them; *gaps*, *passes*, *generations*, *instruments*, *tails* and *series* write
    what is said of those.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._session = Session(connect)
        self.queries = StateQueries(self._session.connection)
        self.gaps = GapWriter(self._session)
        self.passes = Passes(self._session)
        self.generations = Generations(self._session)
        self.instruments = Instruments(self._session)
        self.tails = Tails(self._session)
        self.series = SeriesWriter(self._session)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that holds the state."""
        return self._session.connection

    @property
    def require_ours(self) -> Callable[[], None]:
        """What is called before each transaction: it raises if another machine writes the lake."""
        return self._session.require_ours

    @require_ours.setter
    def require_ours(self, check: Callable[[], None]) -> None:
        self._session.require_ours = check

    def close(self) -> None:
        self._session.close()

    def renew(self) -> None:
        """Open the database again, to give back the memory that DuckDB keeps while it is open."""
        self._session.renew()
        self.queries = StateQueries(self._session.connection)

    def next_value(self, counter: str) -> int:
        """Return a number that was never handed out before, nor will be again."""
        return self._session.next_value(counter)

    def last_value(self, counter: str) -> int:
        """Return the number that was handed out last."""
        return self._session.last_value(counter)

    def record_symbols(self, market: str, kind: str, symbols: Sequence[str], at: datetime) -> None:
        with self._session.transaction():
            self._session.run(
                "DELETE FROM internal.symbols WHERE market = ? AND kind = ?", [market, kind]
            )
            rows = [(market, kind, symbol, naive(at)) for symbol in symbols]
            insert(
                self._session.connection,
                "internal.symbols",
                ("market", "kind", "symbol", "listed_at"),
                rows,
            )

    def record_listings(
        self, listings: Sequence[Listed], found: Sequence[Known], at: datetime
    ) -> None:
        """Record listings and the archives that were found new or changed by them."""
        rows = [listing_row(listed) for listed in listings]
        archives = [tried_row(known, at, is_tried=False) for known in one_of_each(found)]
        with self._session.transaction():
            replace(
                self._session.connection, "internal.listings", SERIES_COLUMNS, LISTING_COLUMNS, rows
            )
            replace(self._session.connection, "sync.archives", ("key",), TRIED_COLUMNS, archives)
            # Where the first one is known, rows are expected, also if none can be had.
            doubt(self._session.connection, {known.archive.series for known in found})

    def record_looks(self, known: Sequence[Known]) -> None:
        """Record when archives of the lake are looked at again."""
        columns = ("key", "attempts", "next_try_at")
        rows = [look_row(archive) for archive in known]
        with self._session.transaction():
            update(self._session.connection, "sync.archives", "key", columns, rows)

    def record_tried(self, known: Sequence[Known], at: datetime) -> None:
        """Record archives that a try did not bring into the lake.

        Not one that the lake had when it was tried, and has no more: it stays expected.
        """
        with self._session.transaction():
            gone = self._lost_of([one.archive for one in known if one.is_held])
            rows = [tried_row(one, at) for one in known if one.archive not in gone]
            replace(self._session.connection, "sync.archives", ("key",), TRIED_COLUMNS, rows)

    def _lost_of(self, held: Sequence[Archive]) -> set[Archive]:
        """Return those of archives that the lake had whose rows it has no more."""
        if not held:
            return set()  # or each record would read the table
        by_key = {vendor.archive_key(archive): archive for archive in held}
        sql = f"SELECT key FROM sync.archives WHERE row_count IS NULL AND key{AMONG}"
        return {by_key[key] for (key,) in self._session.rows(sql, [values_of(by_key)])}

    def record_built(self, built: Sequence[Built], root: Path, at: datetime) -> None:
        """Record new files of the lake at *root*, the archives in them, and what they replace."""
        untrue = untrue_conflicts(self._session.connection, root, built)
        with self._session.transaction():
            old = [f.path for build in built if build.files for f in build.step.files]
            retire(self._session, old, at)
            write_built(self._session.connection, built, at)
            write_conflicts(self._session.connection, built, untrue, at)
            doubt(self._session.connection, {b.step.series for b in built if b.files})

    def reopen_quarantined(self, checksum: Checksum) -> None:
        """Have the archives asked for again that are in quarantine for such a CHECKSUM."""
        with self._session.transaction():
            self._session.run(
                "UPDATE sync.archives SET next_try_at = NULL WHERE status = ? AND checksum = ?",
                [str(Status.QUARANTINED), str(checksum)],
            )

    def record_lost(self, lost: Mapping[PartitionFile, Damage], at: datetime) -> None:
        """Forget files that are gone or damaged, and expect the archives in them again.

        The value of each says what is wrong with it. So is a newer edition that was unusable: what
        the lake had of that archive is gone.
        """
        if not lost:
            return
        with self._session.transaction():
            write_lost(self._session.connection, lost, at)
            retire(self._session, [file.path for file in lost], at)
            doubt(self._session.connection, {file.partition.series for file in lost})

    def record_scanned(self, files: Sequence[PartitionFile]) -> None:
        """Record what was found in files that an older version wrote."""
        columns = ("path", "patched_rows", "first_key", "last_key")
        rows = [(f.path, f.patched_rows, f.first_key, f.last_key) for f in files]
        with self._session.transaction():
            update(self._session.connection, "internal.partitions", "path", columns, rows)
            write_findings(self._session.connection, files)
            doubt(self._session.connection, {file.partition.series for file in files})

    def take_back(self, now: datetime) -> bool:
        """Take back what was recorded from a future that did not come; return whether any was.

        The clock was ahead then. What is in the lake stays; what was not there is found out again.
        """
        with self._session.transaction():
            return take_back(self._session.connection, now)

    def is_behind(self, now: datetime) -> bool:
        """Whether the clock is behind: the vendor published something long after *now*."""
        return is_behind(self._session.connection, now)
