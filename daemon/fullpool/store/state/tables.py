"""Converts rows of the `sync` tables to values and back."""

import functools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fullpool import vendor
from fullpool.model import (
    Archive,
    Checksum,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Partition,
    PartitionFile,
    Series,
    Span,
    Status,
    period_from,
)
from fullpool.planning import Listed
from fullpool.store.partitions.messages import Accepted, Conflict, Revision
from fullpool.store.state.bulk import values_of

MONTH_LENGTH: Final = len("2024-01")
DAY_LENGTH: Final = len("2024-01-01")
ARCHIVES: Final = (
    "SELECT archives.market, archives.kind, archives.symbol, archives.interval, period, status,"
    " reason, etag, size_bytes, modified_at, attempts, next_try_at,"
    " archives.row_count IS NOT NULL, checksum, fault, sha256, held_bytes"
    " FROM sync.archives"
)
# The archives a that are missing: not in the lake. One that the vendor has not is no loss where its
# month is, or where all wanted days of the month are: a day that came later had it asked for.
MISSING: Final = (
    "sync.archives AS a WHERE a.status <> 'present'"
    " AND NOT (a.status IN ('absent', 'not_published', 'expected')"
    " AND (SELECT count(*) FILTER (p.status = 'present') >= if(length(a.period) = 10, 1,"
    " date_diff('day', greatest(a.period_start, max(w.wanted_from)),"
    " least(a.period_end, max(w.wanted_to)))) FROM sync.archives AS p"
    " LEFT JOIN sync.wanted AS w ON w.market = p.market AND w.kind = p.kind"
    " AND w.symbol = p.symbol AND w.interval IS NOT DISTINCT FROM p.interval"
    " WHERE p.market = a.market AND p.kind = a.kind AND p.symbol = a.symbol"
    " AND p.interval IS NOT DISTINCT FROM a.interval AND left(p.period, 7) = left(a.period, 7)"
    " AND length(p.period) <> length(a.period)))"
)
PARTITIONS: Final = (
    "SELECT market, kind, symbol, interval, period, path, generation, row_count, size_bytes,"
    " first_time, last_time, patched_rows, first_key, last_key, sha256 FROM internal.partitions"
)
LISTINGS: Final = (
    "SELECT market, kind, symbol, interval, listed_from, listed_to, listed_at,"
    " known_until, left_out FROM internal.listings"
)

SERIES_COLUMNS: Final = ("market", "kind", "symbol", "interval")
# What a try changes of an archive.
_TRY_COLUMNS: Final = (
    "status", "reason", "etag", "size_bytes", "modified_at", "attempts", "tried_at", "next_try_at",
    "checksum", "fault", "recorded_at",
)  # fmt: skip
TRIED_COLUMNS: Final = (
    "key", *SERIES_COLUMNS, "period", "period_start", "period_end", *_TRY_COLUMNS,
)  # fmt: skip
PRESENT_COLUMNS: Final = (
    "key", *_TRY_COLUMNS, "sha256", "held_bytes", "row_count", "first_time", "last_time",
)  # fmt: skip
PARTITION_COLUMNS: Final = (
    *SERIES_COLUMNS, "period", "path", "generation", "row_count", "size_bytes",
    "first_time", "last_time", "patched_rows", "first_key", "last_key", "sha256", "written_at",
)  # fmt: skip
HOLE_COLUMNS: Final = ("path", "before_key", "after_key", "before_time", "after_time")
RUN_COLUMNS: Final = ("path", "first_time", "last_time", "row_count")
CONFLICT_COLUMNS: Final = (
    *SERIES_COLUMNS, "key", "row_time", "column_name", "kept_source", "kept_value",
    "other_source", "other_value", "found_at",
)  # fmt: skip
REVISION_COLUMNS: Final = (
    "key", *SERIES_COLUMNS, "period", "found_at", "old_etag", "old_sha256", "old_size_bytes",
    "old_modified_at", "new_etag", "new_sha256", "new_size_bytes", "new_modified_at",
    "rows_added", "rows_removed", "rows_changed", "generation",
)  # fmt: skip
WANTED_COLUMNS: Final = (*SERIES_COLUMNS, "wanted_from", "wanted_to")
LISTING_COLUMNS: Final = (
    *SERIES_COLUMNS, "listed_from", "listed_to", "listed_at", "known_until", "left_out",
)  # fmt: skip


# Tables for the lake's own work. What people are to read is in schema `sync`.
_INTERNAL: Final = frozenset((
    "partitions", "listings", "symbols", "expected", "retired", "holes", "compared", "instruments",
    "instrument_lists", "tail_files", "cuts",
))  # fmt: skip


def qualified(table: str) -> str:
    """Return a table's name with its schema."""
    return f"{'internal' if table in _INTERNAL else 'sync'}.{table}"


def naive(moment: datetime) -> datetime:
    """Return the instant as DuckDB's TIMESTAMP has it: UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def at_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def series_values(series: Series) -> tuple[str, str, str, str]:
    return (str(series.market), series.kind, series.symbol, str(series.interval or ""))


def series_in(row: Sequence[Any]) -> Series:
    return _series(*row[:4])


@functools.lru_cache(maxsize=1 << 16)
def _series(market: str, kind: str, symbol: str, interval: str | None) -> Series:
    """Return a series: one object for all of its archives, of which there are thousands."""
    return Series(Market(market), kind, symbol, Interval(interval) if interval else None)


# What generations of before migration 0007 call a status.
OLD_STATUS: Final = {"published": Status.LISTED}


def known_in(row: Sequence[Any]) -> Known:
    """Return one row of ARCHIVES."""
    period, status, reason, etag, size_bytes, modified_at, attempts, *rest = row[4:]
    next_try_at, is_held, checksum, fault, sha256, held_bytes = rest
    return Known(
        archive=Archive(series_in(row), period_from(period)),
        status=OLD_STATUS.get(status) or Status(status),
        reason=reason,
        identity=_identity_in(etag, size_bytes, modified_at),
        attempts=attempts,
        next_try_at=at_utc(next_try_at) if next_try_at else None,
        is_held=is_held,
        checksum=Checksum(checksum) if checksum else None,
        fault=Fault(fault) if fault else None,
        sha256=sha256 or "",
        held_bytes=held_bytes,
    )


def _identity_in(
    etag: str | None, size_bytes: int | None, modified_at: datetime | None
) -> Identity | None:
    if etag is None and size_bytes is None:
        return None
    return Identity(etag or "", size_bytes or 0, at_utc(modified_at) if modified_at else None)


def partition_file_in(row: Sequence[Any]) -> PartitionFile:
    """Return one row of PARTITIONS."""
    period, path, generation, row_count, size_bytes, first, last, *numbers, sha256 = row[4:]
    partition = Partition(series_in(row), period_from(period))
    patched_rows, first_key, last_key = (number or 0 for number in numbers)
    return PartitionFile(
        partition=partition,
        path=path,
        generation=generation,
        rows=row_count,
        size_bytes=size_bytes,
        first_time=at_utc(first),
        last_time=at_utc(last),
        patched_rows=patched_rows,
        first_key=first_key,
        last_key=last_key,
        sha256=sha256 or "",
    )


def listed_in(row: Sequence[Any]) -> Listed:
    """Return one row of LISTINGS."""
    start, end, at, until, left_out = row[4:]
    span = Span(at_utc(start), at_utc(end))
    return Listed(
        series_in(row),
        span,
        at_utc(at),
        at_utc(until) if until else None,
        tuple(Span(*map(_utc, one)) for one in json.loads(left_out or "[]")),
    )


def tried_row(known: Known, recorded_at: datetime, *, is_tried: bool = True) -> tuple[Any, ...]:
    """Return the values of TRIED_COLUMNS; not *is_tried*: it was listed, or its name computed."""
    archive, span = known.archive, known.archive.period.span
    return (
        vendor.archive_key(archive),
        *series_values(archive.series),
        str(archive.period),
        naive(span.start),
        naive(span.end),
        *_try_values(known, recorded_at, is_tried=is_tried),
    )


def _try_values(known: Known, recorded_at: datetime, *, is_tried: bool) -> tuple[Any, ...]:
    identity = known.identity
    return (
        str(known.status),
        known.reason,
        identity.etag if identity else None,
        identity.size_bytes if identity else None,
        naive(identity.modified_at) if identity and identity.modified_at else None,
        known.attempts,
        naive(recorded_at) if is_tried else None,
        naive(known.next_try_at) if known.next_try_at else None,
        str(known.checksum) if known.checksum else None,
        str(known.fault) if known.fault else None,
        naive(recorded_at),
    )


def present_row(accepted: Accepted, at: datetime) -> tuple[Any, ...]:
    """Return the values of PRESENT_COLUMNS for an archive whose rows are in the lake."""
    edition = accepted.edition
    known = Known(edition.archive, Status.PRESENT, "", edition.identity, checksum=edition.checksum)
    return (
        vendor.archive_key(edition.archive),
        *_try_values(known, at, is_tried=True),
        edition.sha256,
        edition.identity.size_bytes,
        accepted.rows,
        naive(accepted.first_time),
        naive(accepted.last_time),
    )


def partition_row(file: PartitionFile, at: datetime) -> tuple[Any, ...]:
    """Return the values of PARTITION_COLUMNS."""
    return (
        *series_values(file.partition.series),
        str(file.partition.period),
        file.path,
        file.generation,
        file.rows,
        file.size_bytes,
        naive(file.first_time),
        naive(file.last_time),
        file.patched_rows,
        file.first_key,
        file.last_key,
        file.sha256,
        naive(at),
    )


def hole_rows(file: PartitionFile) -> list[tuple[Any, ...]]:
    """Return the values of HOLE_COLUMNS, one row a hole."""
    return [
        (file.path, hole.before, hole.after, naive(hole.before_time), naive(hole.after_time))
        for hole in file.holes
    ]


def run_rows(file: PartitionFile) -> list[tuple[Any, ...]]:
    """Return the values of RUN_COLUMNS, one row a run."""
    return [(file.path, naive(run.first_time), naive(run.last_time), run.rows) for run in file.runs]


def conflict_row(one: Conflict, at: datetime) -> tuple[Any, ...]:
    """Return the values of CONFLICT_COLUMNS."""
    return (
        *series_values(one.series),
        one.key,
        naive(one.row_time),
        one.column_name,
        one.kept_source,
        one.kept_value,
        one.other_source,
        one.other_value,
        naive(at),
    )


def revision_row(one: Revision, generation: int, at: datetime) -> tuple[Any, ...]:
    """Return the values of REVISION_COLUMNS; *generation* is that of its files."""
    archive, old, new = one.edition.archive, one.old, one.edition.identity
    return (
        vendor.archive_key(archive),
        *series_values(archive.series),
        str(archive.period),
        naive(at),
        old.etag,
        one.old_sha256,
        old.size_bytes,
        naive(old.modified_at) if old.modified_at else None,
        new.etag,
        one.edition.sha256,
        new.size_bytes,
        naive(new.modified_at) if new.modified_at else None,
        one.added,
        one.removed,
        one.changed,
        generation,
    )


def wanted_row(series: Series, span: Span) -> tuple[Any, ...]:
    """Return the values of WANTED_COLUMNS."""
    return (*series_values(series), naive(span.start), naive(span.end))


def listing_row(listed: Listed) -> tuple[Any, ...]:
    """Return the values of LISTING_COLUMNS."""
    until = naive(listed.until) if listed.until else None
    span = listed.span
    return (
        *series_values(listed.series),
        naive(span.start),
        naive(span.end),
        naive(listed.at),
        until,
        json.dumps([(one.start.isoformat(), one.end.isoformat()) for one in listed.left_out]),
    )


# The name of a series in SQL, as str() spells it.
SERIES_NAME: Final = "concat_ws('/', market, kind, symbol, nullif(interval, ''))"


# The columns that name a series.
SERIES: Final = "market, kind, symbol, interval"


def same_series(one: str, other: str) -> str:
    """Return the SQL that rows of two tables are of one series; that of trades has no interval."""
    names = SERIES.split(", ")
    return " AND ".join(f"{one}.{name} IS NOT DISTINCT FROM {other}.{name}" for name in names)


def series_names(series: Iterable[Series]) -> str:
    """Return the parameter of SERIES_NAME + AMONG."""
    return values_of(str(each) for each in series)
