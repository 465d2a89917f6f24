"""Builds the partition files of one step from archives, API rows and kept rows.

Runs in worker processes, one connection each. Everything is written in a folder of its own below
staging and gets its name in the lake last, so a build that is killed leaves nothing behind that
anybody sees.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import duckdb

from fullpool.decode import sniff
from fullpool.errors import ArchiveError, DamagedError, MalformedError
from fullpool.kinds import Api, Kind, api_of, kind_of
from fullpool.model import PartitionFile, instant
from fullpool.store import duck
from fullpool.store.partitions import csv_rows, finish, rows, tails
from fullpool.store.partitions.finish import Checked
from fullpool.store.partitions.held import damage_of
from fullpool.store.partitions.loading import Load, load_archives
from fullpool.store.partitions.messages import (
    Accepted,
    Built,
    Conflict,
    Edition,
    Input,
    Order,
    Rejected,
    Scan,
)
from fullpool.store.partitions.precedence import Rank
from fullpool.store.partitions.provenance import Origin, origin_of
from fullpool.store.partitions.revisions import revisions
from fullpool.store.tree import Tree


def build(order: Order) -> Built:
    """Rewrite the partitions of a step from its inputs, its patches and the rows kept.

    An input that fails a check is rejected and the others go on. Raises DamagedError if rows were
    to be kept of a file that is not the one that was written; DiskFullError, LakeUnwritableError or
    StateDamagedError if writing is what failed.
    """
    with (
        duck.map_errors(f"building {order.step.series} {order.step.unit}"),
        _scratch(order) as scratch,
    ):
        _require_whole(order)
        repetitions = tuple(_repetitions(order))
        if order.step.beside and not repetitions:
            return Built(order.step, (), (), ())
        held = [order.root / file.path for file in order.step.files]
        origin = origin_of(_connection(order), held)
        load, rejected = load_archives(order, origin, order.inputs, scratch)
        try:
            whole = _write(order, load, scratch, _arrangement(order, load))
        except (MalformedError, duckdb.DataError, duckdb.InvalidInputException):
            good, blamed = _examine(order, load.accepted, scratch)
            inputs = [item for item in order.inputs if item.edition in good]
            load, _ = load_archives(order, origin, inputs, scratch)
            load.precedence.correct_times(good)
            rejected += blamed
            whole = _write(order, load, scratch, rows.EXAMINED)
        if whole is None:
            return Built(order.step, (), tuple(load.accepted), tuple(rejected))
        conflicts = (*_conflicts(order, load, whole.path), *repetitions)
        connection, accepted = _connection(order), tuple(load.accepted)
        revised = revisions(connection, order, accepted, origin, whole.path)
        files = finish.name_files(connection, order, whole, scratch)
        return Built(order.step, files, accepted, tuple(rejected), conflicts, revised)


def _require_whole(order: Order) -> None:
    """Raise DamagedError before the rows of a damaged file are taken for good ones.

    ArchiveError if one cannot be looked at: that costs this step, not the pass.
    """
    for file in order.step.files:
        try:
            damage = damage_of(order.root, file)
        except OSError as error:
            raise ArchiveError(f"keeping rows of {file.path}: {error}") from error
        if damage:
            raise DamagedError(f"keeping rows: {file.path} {damage}")


def scan(order: Scan) -> tuple[PartitionFile, ...]:
    """Return the files with what a build would have found in them: holes, and rows of REST."""
    with duck.map_errors("looking for gaps"):
        connection = duck.of_worker(order.root, Tree(order.root).staging, order.memory_mb, 1)
        return tuple(finish.scanned(connection, order.root, file) for file in order.files)


@contextmanager
def _scratch(order: Order) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=order.staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arrangement(order: Order, load: Load) -> rows.Arrangement:
    """Return how the rows are put together: in a stream if no two sources can meet."""
    has_patches = order.patches or any(file.patched_rows for file in order.step.files)
    has_patches = has_patches or order.followed is not None
    is_mixed = has_patches or load.precedence.is_needed
    return rows.SORTED_ONCE if is_mixed else rows.AS_THEY_COME


def _write(order: Order, load: Load, scratch: Path, arranged: rows.Arrangement) -> Checked | None:
    """Write all rows of the step into one Parquet file and check it; None if nothing is new.

    Raises MalformedError if they are out of order or a key occurs twice, duckdb.DataError or
    duckdb.InvalidInputException if a value does not fit its column.
    """
    if not _has_work(order, load):
        return None
    whole = scratch / "whole.parquet"
    are_alone = arranged is rows.AS_THEY_COME and not order.step.files
    if not are_alone and any(csv_rows.has_blank_line(path) for path in load.sheets.values()):
        raise MalformedError("a line is blank")
    try:
        _copy(order, load, whole, csv_rows.Width.NARROW, arranged)
    except (duckdb.DataError, duckdb.InvalidInputException):
        _copy(order, load, whole, csv_rows.Width.WIDE, arranged)
    found = finish.checked(_connection(order), order.step.series, whole, arranged)
    if found and are_alone:  # to look for a blank line costs a tenth of the build
        csv_rows.require_rows_in_all(sum(one.rows for one in load.accepted), found.rows)
    return found


def _has_work(order: Order, load: Load) -> bool:
    """Whether anything is to be written: new rows, or files to be merged."""
    is_merge = bool(order.step.files) and not order.inputs
    return bool(load.accepted) or bool(order.patches) or is_merge


def _copy(
    order: Order, load: Load, whole: Path, width: csv_rows.Width, arranged: rows.Arrangement
) -> None:
    kind = kind_of(order.step.series)
    followed = (order.followed.patch,) if order.followed else ()
    origin = load.precedence.origin.plus(load.accepted, (*order.patches, *followed))
    branches = _branches(order, load, whole.parent, width, arranged)
    finish.copy(_connection(order), kind, arranged.select(kind, branches), whole, origin)


def _branches(
    order: Order, load: Load, scratch: Path, width: csv_rows.Width, arranged: rows.Arrangement
) -> list[str]:
    """Return what the rows are selected from; of equal keys the later branch's stays.

    From the bottom: followed rows, other rows of REST, what other archives of the same days had,
    what only fills holes (a day below its month, a month below a day that corrects it), what is
    kept, what is rewritten.
    """
    kind = kind_of(order.step.series)
    precedence = load.precedence
    filling, new = _of_archives(kind, load, width, arranged)
    held = [
        rows.from_parquet(
            kind,
            order.root / file.path,
            precedence.dropped,
            precedence.refilled,
            _repeated(order, kind),
        )
        for file in order.step.files
    ]
    below = [*_followed(order), *_patches(order, scratch, width), *_older(order, load)]
    return [*below, *filling, *held, *new]


def _of_archives(
    kind: Kind, load: Load, width: csv_rows.Width, arranged: rows.Arrangement
) -> tuple[list[str], list[str]]:
    """Return what only fills holes, and what is rewritten."""

    def of(rank: Rank) -> list[str]:
        branches = _new(kind, load, width, rank)
        if not arranged.is_strict:
            return branches
        # First: once rows are sorted or filtered, one in the wrong place no longer shows.
        return [rows.in_order(kind, branch) for branch in branches]

    filling, new, correcting = map(of, Rank)
    precedence = load.precedence
    if lost := [*precedence.starts_of_next, *precedence.corrected]:
        filling += [rows.beneath(branch, kind, lost) for branch in new]
        new = [rows.outside(branch, kind, lost) for branch in new]
    # Where a day corrects its month its rows stay, and the month's everywhere else.
    spans = [*precedence.corrected, *precedence.corrected_beyond]
    filling += [rows.outside(branch, kind, spans) for branch in correcting]
    new += [rows.among(branch, kind, spans) for branch in correcting]
    return filling, new


def _repeated(order: Order, kind: Kind) -> str:
    """Return the condition of rows that a file next to those of the step has in its own period."""
    beside = [order.root / file.path for file in order.step.beside]
    return rows.repeated(kind, order.step.unit.span, beside)


def _new(kind: Kind, load: Load, width: csv_rows.Width, rank: Rank) -> list[str]:
    """Return the rows of the archives of one rank."""
    sheets = [(sheet, path) for sheet, path in load.sheets.items() if sheet.rank is rank]
    source = csv_rows.DAILY if rank is Rank.FILLS else csv_rows.ARCHIVE
    return [
        csv_rows.from_csv(csv_rows.Sheet(kind, sheet.layout, path, load.symbol), width, source)
        for sheet, path in sheets
    ]


def _older(order: Order, load: Load) -> list[str]:
    """Return rows that lie where archives are rewritten, for those that the archives lack."""
    kind, precedence = kind_of(order.step.series), load.precedence
    spans = [*precedence.dropped, *precedence.refilled]
    others, edges = precedence.others, precedence.edges
    held = [(order.root / file.path, file) for file in order.step.files]
    return [
        *(rows.patched_in(kind, path, spans) for path, file in held if file.patched_rows),
        *(rows.archived_in(kind, path, precedence.merged, others) for path, _ in held if others),
        *(rows.at_edges(kind, path, edges) for path, _ in held if edges),
    ]


def _followed(order: Order) -> list[str]:
    """Return the rows that were followed until the archives came."""
    if order.followed is None:
        return []
    kind, paths = kind_of(order.step.series), [order.root / path for path in order.followed.paths]
    if gone := next((path for path in paths if not path.exists()), None):
        raise ArchiveError(f"taking in followed rows: {gone} was written again meanwhile")
    return [tails.select_of(kind, order.step.series.symbol, paths, order.followed.patch.span)]


def _patches(order: Order, scratch: Path, width: csv_rows.Width) -> list[str]:
    kind, found = kind_of(order.step.series), []
    for number, patch in enumerate(order.patches):
        sheet = scratch / f"patch{number}.csv"
        sheet.write_bytes(patch.text)
        layout, _ = sniff(patch.text[: patch.text.index(b"\n") + 1], kind)
        text = csv_rows.Sheet(kind, layout, sheet, order.step.series.symbol)
        found.append(csv_rows.from_csv(text, width, csv_rows.REST))
    return found


def _conflicts(order: Order, load: Load, whole: Path) -> tuple[Conflict, ...]:
    """Return where archives and other sources of the same rows do not agree."""
    kind = kind_of(order.step.series)
    losers = _older(order, load) if load.accepted else []
    # The API rounds statistics: each row would differ from the archive's.
    if load.accepted and api_of(order.step.series) is not Api.STATISTICS:
        losers += _followed(order)
    losers += _new(kind, load, csv_rows.Width.WIDE, Rank.FILLS)
    precedence = load.precedence
    edges = [*precedence.inner_edges, *precedence.starts_of_next] if rows.meets_within(kind) else []
    if disputed := [*edges, *precedence.corrected]:
        new = _new(kind, load, csv_rows.Width.WIDE, Rank.REPLACES)
        losers += [rows.among(branch, kind, disputed) for branch in new]
    if not losers:
        return ()
    return finish.conflicts(_connection(order), order.step.series, whole, losers)


def _repetitions(order: Order) -> Iterator[Conflict]:
    """Yield the rows that are left out because a file beside has them too."""
    step, kind = order.step, kind_of(order.step.series)
    beside = [order.root / file.path for file in step.beside]
    for file in step.files if beside else ():
        sql = rows.repeated_in(kind, order.root / file.path, step.unit.span, beside)
        for key, moment in _connection(order).execute(sql).fetchall():
            yield Conflict(
                series=step.series,
                key=key,
                row_time=moment.replace(tzinfo=UTC),
                column_name="period",
                kept_source=csv_rows.ARCHIVE,
                kept_value=f"{moment:%Y-%m-%d}",
                other_source=csv_rows.ARCHIVE,
                other_value=str(step.unit),
            )


def _examine(
    order: Order, accepted: Sequence[Accepted], scratch: Path
) -> tuple[dict[Edition, Accepted], list[Rejected]]:
    """Tell the inputs that are good by themselves from those that are to blame, and for what.

    Of the good ones the earliest and the latest row are known then: they need not be in order.
    """
    good: dict[Edition, Accepted] = {}
    blamed: list[Rejected] = []
    editions = {archive.edition for archive in accepted}
    for item in (one for one in order.inputs if one.edition in editions):
        try:
            good[item.edition] = _examined(order, item, scratch)
        except MalformedError as error:
            blamed.append(Rejected(item.edition, str(error)))
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            reason = duck.summary(error).replace(str(scratch), "")
            blamed.append(Rejected(item.edition, reason))
    return good, blamed


def _examined(order: Order, item: Input, scratch: Path) -> Accepted:
    """Return what one input holds. Raises MalformedError if its rows are wrong.

    Rows that repeat to the letter are no fault: outage days of 1s klines have them.
    """
    kind, span = kind_of(order.step.series), item.edition.archive.period.span
    load, _ = load_archives(order, Origin(), [item], scratch)
    (branch,) = _new(kind, load, csv_rows.Width.WIDE, load.precedence.rank_of(item.edition))
    found = _connection(order).execute(rows.verdict_of(kind, branch, span)).fetchone()
    assert found is not None
    outside, differing, count, first_us, last_us = found
    csv_rows.require_rows_in_all(load.accepted[0].rows, count)
    if outside:
        raise MalformedError(f"{outside} rows lie outside {span}")
    if differing:
        key = ", ".join(kind.key)
        raise MalformedError(
            f"{differing} rows share their {key} with another row but have other values"
        )
    first, last = instant(first_us), instant(last_us)
    return replace(load.accepted[0], first_time=first, last_time=last)


def _connection(order: Order) -> duckdb.DuckDBPyConnection:
    return duck.of_worker(order.root, order.staging, order.memory_mb, order.threads)
