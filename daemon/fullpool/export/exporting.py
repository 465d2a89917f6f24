"""Writes rows, or files, of one generation into a folder for other programs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fullpool import __version__
from fullpool.errors import UsageError
from fullpool.export import feather, freqtrade, links, nautilus, tables
from fullpool.export.choice import Held, chosen, parts
from fullpool.export.order import Form, Order, Program, Types, Way
from fullpool.export.source import Source
from fullpool.export.target import Written, staged, write_manifest
from fullpool.store.catalogue.reader import reading
from fullpool.store.tree import Tree

Counter = Callable[[int], AbstractContextManager[Callable[[int], object]]]


@dataclass(frozen=True, slots=True)
class Exported:
    """How much was exported; *skipped* says which series were not, and why."""

    files: int
    rows: int
    size_bytes: int
    skipped: tuple[str, ...] = ()


def export(tree: Tree, target: Path, order: Order, counter: Counter) -> Exported:
    """Export what is ordered to the new folder *target*; it is there whole, or not at all.

    *counter* opens what counts so many steps. Raises UsageError for an order that makes no sense,
    and what `reading` and `staged` raise.
    """
    _require_sense(order)
    with reading(tree, order.as_of) as reader, staged(tree, target) as folder:
        source = Source(tree, reader)
        series = chosen(order.choice, source.held())
        files, skipped = _written(source, series, order, folder, counter)
        number, at = source.published()
        about = {
            "written_by": f"fullpool {__version__}",
            "generation": number,
            "published_at": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
            **_told(order),
        }
        write_manifest(folder, about, files)
    rows, size_bytes = sum(one.rows or 0 for one in files), sum(one.size_bytes for one in files)
    return Exported(len(files), rows, size_bytes, tuple(skipped))


def _require_sense(order: Order) -> None:
    choice = order.choice
    is_written = order.way is Way.WRITE
    if not is_written and (choice.start or choice.end or order.form is not Form.PARQUET):
        raise UsageError(
            "exporting: --link and --copy take whole Parquet files of the lake",
            hint="leave them out, or leave out --start, --end and --format",
        )
    if order.program and (not is_written or order.form is not Form.PARQUET):
        raise UsageError(
            f"exporting for {order.program}: it has a format of its own",
            hint="leave out --link, --copy and --format",
        )
    if is_written and order.types is Types.STORED:
        raise UsageError(
            "exporting: --types stored is for files as they are", hint="add --link or --copy"
        )
    if order.form is Form.FEATHER or order.program is Program.FREQTRADE:
        feather.require_pyarrow()
    if order.program is Program.NAUTILUS:
        nautilus.require_nautilus()


def _written(
    source: Source, series: Sequence[Held], order: Order, folder: Path, counter: Counter
) -> tuple[list[Written], list[str]]:
    """Write everything below *folder*; return its files, and what was skipped."""
    if order.program is Program.FREQTRADE:
        return freqtrade.write(source, series, order.choice, folder, counter)
    if order.program is Program.NAUTILUS:
        return nautilus.write(source, series, order.choice, folder, counter)
    if order.way is Way.WRITE:
        style = tables.Style(order.types, order.form)
        pieces = list(chain.from_iterable(parts(order.choice, one) for one in series))
        with counter(len(pieces)) as tell:
            found = tables.write_parts(source, pieces, folder, style, tell)
            return list(found), []
    paths = links.files_of(source, order.choice, series)
    if order.types is not Types.STORED:
        links.require_one_type(source, paths)
    with counter(len(paths)) as tell:
        is_copied = order.way is Way.COPY
        return list(links.place(source, paths, folder, tell, is_copied=is_copied)), []


def _told(order: Order) -> dict[str, Any]:
    """Return what was ordered, as the manifest has it."""
    choice = {name: value for name, value in asdict(order.choice).items() if value}
    return {
        "choice": {name: _plain(value) for name, value in choice.items()},
        "types": str(order.types),
        "format": str(order.program or order.form),
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value.isoformat()
