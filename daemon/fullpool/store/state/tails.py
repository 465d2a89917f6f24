"""Records what is followed: the files of followed rows, and the runs of each series in them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from fullpool.kinds import KINDS
from fullpool.model import Interval, Market, Run, Series
from fullpool.store.duck import quoted
from fullpool.store.partitions.tails import TailFile, TailKey
from fullpool.store.state.bulk import AMONG, insert, values_of
from fullpool.store.state.session import Session
from fullpool.store.state.tables import (
    SERIES_COLUMNS,
    SERIES_NAME,
    at_utc,
    naive,
    series_in,
    series_names,
    series_values,
)

_FILES: Final = (
    "market", "kind", "interval", "period", "path", "generation", "row_count", "size_bytes",
    "written_at", "sha256",
)  # fmt: skip
TAIL_FILES: Final = f"SELECT {', '.join(_FILES)} FROM internal.tail_files ORDER BY ALL"
_RUNS: Final = (
    *SERIES_COLUMNS, "first_time", "last_time", "row_count", "first_id", "last_id",
)  # fmt: skip

_JITTERY: Final = ", ".join(quoted(kind.name) for kind in KINDS.values() if kind.jitter)
# Rows of the same minute are one, whatever the milliseconds.
_LEEWAY: Final = (
    f"CASE WHEN p.kind IN ({_JITTERY}) THEN INTERVAL 59 SECOND ELSE INTERVAL 0 SECOND END"
)


class Tails:
    """Reads and writes what is followed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def files(self) -> dict[TailKey, TailFile]:
        """Return the current files of followed rows."""
        files = map(file_in, self._session.rows(TAIL_FILES))
        return {file.key: file for file in files}

    def of(self, series: Series) -> list[Run]:
        """Return the runs of one series, oldest first."""
        sql = f"SELECT {', '.join(_RUNS)} FROM sync.followed WHERE {SERIES_NAME} = ? ORDER BY ALL"
        return [_run_in(row) for row in self._session.rows(sql, [str(series)])]

    def runs(self) -> dict[Series, list[Run]]:
        """Return the runs of each series, oldest first."""
        found: dict[Series, list[Run]] = defaultdict(list)
        sql = f"SELECT {', '.join(_RUNS)} FROM sync.followed ORDER BY ALL"
        for row in self._session.rows(sql):
            found[series_in(row)].append(_run_in(row))
        return found

    def overlapped(self) -> list[Series]:
        """Return the series that partitions have followed rows of by now."""
        same = " AND ".join(f"f.{name} IS NOT DISTINCT FROM p.{name}" for name in SERIES_COLUMNS)
        names = ", ".join(f"f.{name}" for name in SERIES_COLUMNS)
        rows = self._session.rows(
            f"SELECT DISTINCT {names} FROM sync.followed AS f JOIN internal.partitions AS p"
            f" ON {same} AND p.first_time - {_LEEWAY} <= f.last_time"
            f" AND p.last_time + {_LEEWAY} >= f.first_time AND (f.first_id IS NULL"
            " OR (p.first_key <= f.last_id AND p.last_key >= f.first_id))"
        )
        return [series_in(row) for row in rows]

    def record(
        self,
        new: Sequence[TailFile],
        gone: Iterable[TailFile],
        runs: Mapping[Series, Sequence[Run]],
        at: datetime,
    ) -> None:
        """Record files that are there now and those they replace, and all runs of some series."""
        paths = values_of(file.path for file in gone)
        lines = [_run_row(series, run) for series, own in runs.items() for run in own]
        with self._session.transaction():
            self._session.run(
                "INSERT INTO internal.retired (path, generation, retired_at, size_bytes,"
                " retired_by) SELECT path, generation, ?, size_bytes,"
                " (SELECT value FROM sync.counters WHERE name = 'generation')"
                f" FROM internal.tail_files WHERE path{AMONG}",
                [naive(at), paths],
            )
            self._session.run(f"DELETE FROM internal.tail_files WHERE path{AMONG}", [paths])
            names = series_names(runs)
            self._session.run(f"DELETE FROM sync.followed WHERE {SERIES_NAME}{AMONG}", [names])
            insert(self._session.connection, "internal.tail_files", _FILES, _rows(new, at))
            insert(self._session.connection, "sync.followed", _RUNS, lines)


def file_in(row: Sequence[Any]) -> TailFile:
    """Return a file as a row of `TAIL_FILES` has it."""
    market, kind, interval, period, path, generation, count, size_bytes, _, sha256 = row
    key = TailKey(Market(market), kind, Interval(interval) if interval else None, period)
    return TailFile(key, path, generation, count, size_bytes, sha256)


def _rows(files: Iterable[TailFile], at: datetime) -> list[tuple[Any, ...]]:
    return [
        (
            str(file.key.market), file.key.kind, str(file.key.interval or ""), file.key.period,
            file.path, file.generation, file.rows, file.size_bytes, naive(at), file.sha256,
        )
        for file in files
    ]  # fmt: skip


def _run_row(series: Series, run: Run) -> tuple[Any, ...]:
    times = naive(run.first_time), naive(run.last_time)
    return (*series_values(series), *times, run.rows, run.first_id, run.last_id)


def _run_in(row: Sequence[Any]) -> Run:
    first, last, count, *ids = row[len(SERIES_COLUMNS) :]
    return Run(at_utc(first), at_utc(last), count, *ids)
