"""Writes rows, or files, of one generation into a folder for other programs."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fullpool import __version__
from fullpool.errors import UsageError
from fullpool.export import feather, freqtrade, links, nautilus, tables
from fullpool.export.choice import chosen
from fullpool.export.order import Form, Order, Program, Types, Way
from fullpool.export.source import ExportSource
from fullpool.export.target import SPILL, require_free, staged, write_manifest
from fullpool.export.task import Counter, Result, Task
from fullpool.store.catalogue.reader import reading, require_whole
from fullpool.store.tree import Tree


@dataclass(frozen=True, slots=True)
class Exported:
    """How much was exported; *left_out* says what was not, and why."""

    files: int
    rows: int
    size_bytes: int
    left_out: tuple[str, ...] = ()


def export(tree: Tree, target: Path, order: Order, counter: Counter) -> Exported:
    """Export what is ordered to the new folder *target*; it is there whole, or not at all.

    Raises UsageError for an order that makes no sense or has no rows, and what `reading` and
    `staged` raise.
    """
    _require_sense(order)
    _require_installed(order)
    require_free(tree, target)
    with reading(tree, order.as_of) as reader:
        require_whole(reader)
        source = ExportSource(tree, reader)
        series, without_rows = chosen(order.choice, source.held())
        with staged(target) as folder:
            reader.spill_into(folder / SPILL)
            source.keep_tails(folder / SPILL)
            task = Task(source, series, order.choice, folder, counter)
            result = _written(task, order)
            _require_files(result)
            left_out = [*without_rows, *result.left_out]
            about = {**_about(source, order), "left_out": left_out}
            write_manifest(folder, about, result.files)
    rows = sum(file.rows for file in result.files)
    size_bytes = sum(file.size_bytes for file in result.files)
    return Exported(len(result.files), rows, size_bytes, tuple(left_out))


def _require_sense(order: Order) -> None:
    """Raise UsageError for options that exclude each other."""
    is_written, is_parquet = order.way is Way.WRITE, order.form is Form.PARQUET
    is_cut = bool(order.choice.start or order.choice.end)
    if not is_written and (is_cut or not is_parquet):
        raise UsageError(
            "exporting: --link and --copy take whole Parquet files of the lake",
            hint="leave them out, or leave out --start, --end and --format",
        )
    is_plain = is_written and is_parquet and order.types is Types.DOUBLE
    if order.program and not is_plain:
        raise UsageError(
            f"exporting for {order.program}: it has a format of its own",
            hint="leave out --link, --copy, --format and --types",
        )
    if is_written and order.types is Types.STORED:
        raise UsageError(
            "exporting: --types stored is for files as they are", hint="add --link or --copy"
        )


def _require_installed(order: Order) -> None:
    """Raise UsageError if what the order takes is not installed."""
    if order.form is Form.FEATHER or order.program is Program.FREQTRADE:
        feather.require_pyarrow()
    if order.program is Program.NAUTILUS:
        nautilus.require_nautilus()


def _written(task: Task, order: Order) -> Result:
    if order.program is Program.FREQTRADE:
        return freqtrade.write(task)
    if order.program is Program.NAUTILUS:
        return nautilus.write(task)
    if order.way is Way.WRITE:
        return tables.write(task, tables.Style(order.types, order.form))
    paths = links.paths_of(task)
    if order.types is not Types.STORED:
        links.require_one_type(task, paths)
    return links.place(task, paths, order.way)


def _require_files(result: Result) -> None:
    """Raise UsageError if there is nothing to export."""
    if not result.files:
        why = f": {result.left_out[0]}" if result.left_out else ""
        hint = "`fullpool status` shows what the lake has"
        raise UsageError(f"exporting: there is nothing to write{why}", hint=hint)


def _about(source: ExportSource, order: Order) -> dict[str, object]:
    """Return what was ordered, of which generation, as the manifest has it."""
    choice, published = order.choice, source.published()
    types = order.types if order.way is Way.WRITE else Types.STORED
    return {
        "written_by": f"fullpool {__version__}",
        "generation": published.number,
        "published_at": _text(published.at),
        "markets": choice.markets,
        "kinds": choice.kinds,
        "symbols": choice.symbols,
        "intervals": choice.intervals,
        "start": choice.start and _text(choice.start),
        "end": choice.end and _text(choice.end),
        "types": types,
        "format": order.program or order.form,
        "way": order.way,
    }


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
