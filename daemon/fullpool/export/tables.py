"""Writes the rows of each series into files of their own: Parquet, CSV or Feather."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fullpool.export import feather
from fullpool.export.choice import Part
from fullpool.export.order import Form
from fullpool.export.source import Source
from fullpool.export.target import Written, described
from fullpool.kinds import HIVE_KEYS
from fullpool.store.partitions.csv_rows import field_ids

# A group of rows is what an engine reads or leaves out by its smallest and largest values.
_GROUP: Final = 122_880


@dataclass(frozen=True, slots=True)
class Style:
    """What numbers are written as, of the catalogue's flavours, and in what files."""

    flavour: str
    form: Form


def write_parts(
    source: Source,
    parts: Sequence[Part],
    folder: Path,
    style: Style,
    tell: Callable[[int], object],
) -> Iterator[Written]:
    """Yield each file as it is written below *folder*; *tell* is told of each."""
    for part in parts:
        file = folder / path_of(part, style.form)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = _write(source, part, file, style)
        tell(1)
        if rows:
            yield described(folder, file, rows)
        else:
            file.unlink(missing_ok=True)


def path_of(part: Part, form: Form) -> str:
    """Return the path of a file: `klines/market=spot/interval=1m/symbol=BTCUSDT/2024.parquet`."""
    series = part.series
    keys = zip(HIVE_KEYS, (series.market, series.interval, series.symbol), strict=True)
    folders = "/".join(f"{key}={value}" for key, value in keys if value)
    return f"{series.kind.table}/{folders}/{part.period}.{form}"


def _write(source: Source, part: Part, file: Path, style: Style) -> int:
    select = source.select(part, style.flavour)
    if style.form is Form.FEATHER:
        return feather.write(source.reader.batches(select, _GROUP), file)
    if style.form is Form.CSV:
        return source.reader.copy(select, file, "FORMAT csv, HEADER")
    ids = field_ids(part.series.kind, "source")
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP}, FIELD_IDS {ids}"
    return source.reader.copy(select, file, options)
