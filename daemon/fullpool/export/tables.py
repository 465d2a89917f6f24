"""Writes the rows of each series into files of their own: Parquet, CSV or Feather."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from fullpool.export import feather
from fullpool.export.choice import Part, parts
from fullpool.export.order import Form, Types
from fullpool.export.task import Result, Task
from fullpool.kinds import HIVE_KEYS
from fullpool.store.catalogue.views import VOID_COLUMN
from fullpool.store.partitions.csv_rows import SOURCE_COLUMN, field_ids

# A group of rows is what an engine reads or leaves out by its smallest and largest values.
_GROUP: Final = 122_880


@dataclass(frozen=True, slots=True)
class Style:
    """What numbers are written as, and in what files."""

    types: Types
    form: Form


def write(task: Task, style: Style) -> Result:
    """Write a file for each year, or month, of each series."""
    found = list(chain.from_iterable(parts(task.choice, series) for series in task.series))
    files = []
    with task.counter(len(found)) as advance:
        for part in found:
            file = task.folder / path_of(part, style.form)
            file.parent.mkdir(parents=True, exist_ok=True)
            if rows := _write(task, part, file, style):
                files.append(task.described(file, rows))
            else:
                file.unlink(missing_ok=True)
            advance(1)
    return Result(files)


def path_of(part: Part, form: Form) -> str:
    """Return the path of a file: `klines/market=spot/interval=1m/symbol=BTCUSDT/2024.parquet`."""
    series = part.series
    keys = zip(HIVE_KEYS, (series.market, series.interval, series.symbol), strict=True)
    folders = "/".join(f"{key}={value}" for key, value in keys if value)
    return f"{series.kind.table}/{folders}/{part.period}.{form}"


def _write(task: Task, part: Part, file: Path, style: Style) -> int:
    """Write the rows of a part; return their number."""
    select, reader = task.source.select(part, style.types), task.source.reader
    if style.form is Form.FEATHER:
        return feather.write([reader.batches(select, _GROUP)], file)
    if style.form is Form.CSV:
        return reader.copy(select, file, "FORMAT csv, HEADER")
    own = (SOURCE_COLUMN, VOID_COLUMN) if part.series.kind.void else (SOURCE_COLUMN,)
    ids = field_ids(part.series.kind, *own)
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP}, FIELD_IDS {ids}"
    return reader.copy(select, file, options)
