"""Builds the partitions of one step: verified ZIPs and kept rows in, Parquet files out.

Runs in worker processes, one connection each. Everything is written in a folder of its own below
staging and gets its name in the lake last, so a build that is killed leaves nothing behind that
anybody sees.
"""

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

import duckdb

from fullpool import vendor
from fullpool.decode import Layout, check_span, decode
from fullpool.errors import MalformedError
from fullpool.kinds import KINDS
from fullpool.model import (
    Archive,
    Identity,
    Partition,
    PartitionFile,
    Span,
    Step,
    Zipped,
    period_from,
)
from fullpool.store import duck, rows
from fullpool.store.provenance import Source, metadata, sources_in
from fullpool.store.tree import Tree, partition_path, settle

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Edition:
    """One archive as the vendor published it at some moment."""

    archive: Archive
    sha256: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Input:
    """A verified ZIP. It goes to the worker; what comes back names its edition only."""

    edition: Edition
    zipped: Zipped


@dataclass(frozen=True, slots=True)
class Order:
    """What one build is to do. *generation* is part of the names of the files it writes."""

    step: Step
    inputs: tuple[Input, ...]
    root: Path
    generation: int
    memory_mb: int
    inflated_bytes: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """An archive whose rows are in the lake now. *rows* counts the lines of its file."""

    edition: Edition
    rows: int
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """An archive that failed a check, and which."""

    edition: Edition
    reason: str


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did. Without *files* nothing was written and *replaced* stays as it is."""

    step: Step
    files: tuple[PartitionFile, ...]
    accepted: tuple[Accepted, ...]
    rejected: tuple[Rejected, ...]


def build(order: Order) -> Built:
    """Write the partitions of a step anew from its inputs and the rows kept of what was there.

    An input that fails a check is rejected and the others go on. Raises DiskFullError,
    LakeUnwritableError or StateDamagedError if writing is what failed.
    """
    with (
        duck.explained(f"building {order.step.series} {order.step.unit}"),
        _scratch(order) as scratch,
    ):
        load, rejected = _load(order, order.inputs, scratch)
        try:
            whole = _write(order, load, scratch, rows.AS_THEY_COME)
        except (MalformedError, duckdb.DataError, duckdb.InvalidInputException):
            good, blamed = _examine(order, load.accepted, scratch)
            load, _ = _load(order, good, scratch)
            rejected += blamed
            whole = _write(order, load, scratch, rows.SORTED_ONCE)
        files = _publish(order, whole, scratch) if whole else ()
        return Built(order.step, files, tuple(load.accepted), tuple(rejected))


@contextmanager
def _scratch(order: Order) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=Tree(order.root).staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Load:
    """Rows as text, one CSV a layout, and the archives they came from."""

    sheets: dict[Layout, Path]
    accepted: list[Accepted]


def _load(order: Order, inputs: Iterable[Input], scratch: Path) -> tuple[_Load, list[Rejected]]:
    """Append the rows of all *inputs* to one CSV a layout: DuckDB parses one file fastest."""
    load, rejected = _Load({}, []), []
    with ExitStack() as stack:
        sheets: dict[Layout, IO[bytes]] = {}

        def sheet(layout: Layout) -> IO[bytes]:
            if layout not in sheets:
                load.sheets[layout] = scratch / f"{len(sheets)}.csv"
                sheets[layout] = stack.enter_context(load.sheets[layout].open("wb"))
            return sheets[layout]

        for item in inputs:
            lengths = {layout: file.tell() for layout, file in sheets.items()}
            try:
                load.accepted.append(_decode(item, order, sheet))
            except MalformedError as error:
                rejected.append(Rejected(item.edition, str(error)))
                for layout, file in sheets.items():
                    file.truncate(file.seek(lengths.get(layout, 0)))
    return load, rejected


def _decode(item: Input, order: Order, sheet: Callable[[Layout], IO[bytes]]) -> Accepted:
    archive = item.edition.archive
    kind = KINDS[archive.series.kind]
    member = vendor.member_name(archive)
    decoded = decode(item.zipped, member, kind, order.inflated_bytes, sheet)
    check_span(decoded, archive.period.span)
    return Accepted(item.edition, decoded.rows, decoded.first_time, decoded.last_time)


def _write(order: Order, load: _Load, scratch: Path, arranged: rows.Arrangement) -> Path | None:
    """Write all rows of the step into one Parquet file, check their order; None if nothing is new.

    Raises MalformedError if they are out of order or a key stands twice, duckdb.DataError or
    duckdb.InvalidInputException if a value does not fit its column.
    """
    if not load.accepted and (order.inputs or not order.step.files):
        return None
    kind, whole = KINDS[order.step.series.kind], scratch / "whole.parquet"
    sources = _sources(order, load)
    try:
        select = arranged.select(kind, _branches(order, load, rows.Width.NARROW))
        _copy(order, select, whole, sources)
    except (duckdb.DataError, duckdb.InvalidInputException):
        select = arranged.select(kind, _branches(order, load, rows.Width.WIDE))
        _copy(order, select, whole, sources)
    (disordered,) = _row(order, rows.disorder_of(kind, whole, arranged))
    if disordered:
        raise MalformedError(f"{disordered} rows are out of order or stand twice")
    return whole


def _branches(order: Order, load: _Load, width: rows.Width) -> list[str]:
    kind = KINDS[order.step.series.kind]
    replaced = _replaced(load)
    kept = [rows.from_parquet(kind, order.root / f.path, replaced) for f in order.step.files]
    new = [rows.from_csv(kind, layout, path, width) for layout, path in load.sheets.items()]
    return [*kept, *new]


def _replaced(load: _Load) -> list[Span]:
    return [accepted.edition.archive.period.span for accepted in load.accepted]


def _sources(order: Order, load: _Load) -> list[Source]:
    held = [order.root / file.path for file in order.step.files]
    return [*sources_in(_connection(order), held, _replaced(load)), *map(_source, load.accepted)]


def _source(accepted: Accepted) -> Source:
    edition, identity = accepted.edition, accepted.edition.identity
    return Source(
        key=vendor.archive_key(edition.archive),
        period=str(edition.archive.period),
        etag=identity.etag,
        sha256=edition.sha256,
        size_bytes=identity.size_bytes,
        modified_at=identity.modified_at.isoformat() if identity.modified_at else "",
        rows=accepted.rows,
    )


def _copy(order: Order, select: str, target: Path, sources: Sequence[Source]) -> None:
    _connection(order).execute(
        f"COPY ({select}) TO {duck.quoted(target)} (FORMAT parquet, COMPRESSION zstd,"
        f" PARQUET_VERSION V2, ROW_GROUP_SIZE 122880, KV_METADATA {metadata(sources)})"
    )


def _row(order: Order, sql: str) -> Sequence[int]:
    """Run a query of one row of numbers."""
    found = _connection(order).execute(sql).fetchone()
    assert found is not None
    return found


def _examine(
    order: Order, accepted: Sequence[Accepted], scratch: Path
) -> tuple[list[Input], list[Rejected]]:
    """Tell the inputs that are good by themselves from those that are to blame, and for what."""
    good: list[Input] = []
    blamed: list[Rejected] = []
    editions = {one.edition for one in accepted}
    for item in (one for one in order.inputs if one.edition in editions):
        reason = _fault(order, item, scratch)
        if reason:
            blamed.append(Rejected(item.edition, reason))
        else:
            good.append(item)
    return good, blamed


def _fault(order: Order, item: Input, scratch: Path) -> str | None:
    """Return what is wrong with the rows of one input; None if nothing is.

    Rows that repeat to the letter are no fault: outage days of 1s klines have them.
    """
    kind, span = KINDS[order.step.series.kind], item.edition.archive.period.span
    load, _ = _load(order, [item], scratch)
    branches = [
        rows.from_csv(kind, lay, path, rows.Width.WIDE) for lay, path in load.sheets.items()
    ]
    try:
        outside, differing = _row(order, rows.verdict_of(kind, branches[0], span))
    except (duckdb.DataError, duckdb.InvalidInputException) as error:
        return duck.summary(error).replace(str(scratch), "")
    if outside:
        return f"{outside} rows lie outside {span}"
    if differing:
        return f"{differing} rows have the {kind.key} of another row but other values"
    return None


def _publish(order: Order, whole: Path, scratch: Path) -> tuple[PartitionFile, ...]:
    """Give every partition of the step its part of *whole*, under its name in the lake."""
    partitions = order.step.partitions
    if len(partitions) == 1:
        return (_settled(order, partitions[0], whole),)
    parts = ((partition, _part(order, partition, whole, scratch)) for partition in partitions)
    return tuple(_settled(order, partition, part) for partition, part in parts if part)


def _part(order: Order, partition: Partition, whole: Path, scratch: Path) -> Path | None:
    kind, part = KINDS[partition.series.kind], scratch / f"{partition.period}.parquet"
    inside = rows.within(kind.time, partition.period.span)
    select = f"SELECT * FROM {rows.parquet(whole)} WHERE {inside}"
    sources = sources_in(_connection(order), [whole], [])
    overlapping = [s for s in sources if period_from(s.period).span.overlaps(partition.period.span)]
    _copy(order, select, part, overlapping)
    return part if _row(order, f"SELECT count(*) FROM {rows.parquet(part)}")[0] else None


def _settled(order: Order, partition: Partition, staged: Path) -> PartitionFile:
    count, first_us, last_us = _row(order, rows.summary_of(KINDS[partition.series.kind], staged))
    path = partition_path(partition, order.generation)
    size_bytes = staged.stat().st_size
    settle(staged, order.root / path)
    first, last = (_EPOCH + timedelta(microseconds=us) for us in (first_us, last_us))
    return PartitionFile(partition, path, order.generation, count, size_bytes, first, last)


def _connection(order: Order) -> duckdb.DuckDBPyConnection:
    return _opened(str(Tree(order.root).staging / "spill"), order.memory_mb)


@functools.cache
def _opened(spill: str, memory_mb: int) -> duckdb.DuckDBPyConnection:
    """Return the one connection of this worker process: opening one costs 15 ms a build."""
    return duck.connect(
        threads=1,
        memory_limit=f"{memory_mb}MB",
        temp_directory=spill,
        preserve_insertion_order=True,
    )
