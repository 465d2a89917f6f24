"""Generates archives in the vendor's format; the same seed gives the same bytes.

Spot files have no header and microseconds from 2025 on, futures files a header, milliseconds and
numbers as Java prints doubles. Monthly archives hold the rows of their days.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from fullpool.simulator.invented import SHAPES, Spec, cadences_of, header_of, rows_of

_DAY = timedelta(days=1)
FOLDERS = {"spot": "spot", "um": "futures/um", "cm": "futures/cm", "option": "option"}
_INTERVAL = re.compile("[1-9][0-9]*([smhdw]|mo)")


def spec_from(text: str, start: date, end: date, trades_a_day: int = 20_000) -> Spec:
    """Read `spot/klines/BTCUSDT/1m` or `um/aggTrades/BTCUSDT`. Raises ValueError."""
    parts = text.split("/")
    shape = SHAPES.get(parts[1]) if len(parts) in (3, 4) else None
    if shape is None or (len(parts) == 4) != shape.has_intervals or parts[0] not in FOLDERS:
        raise ValueError(f"a series is MARKET/KIND/SYMBOL[/INTERVAL], not {text!r}")
    if parts[0] not in shape.markets:
        raise ValueError(f"{parts[1]} are of {', '.join(shape.markets)}, not of {parts[0]}")
    interval = "".join(parts[3:])
    if shape.has_intervals and not _INTERVAL.fullmatch(interval):
        raise ValueError(f"an interval is like 1m, 4h, 1d or 1mo, not {interval!r}")
    return Spec(parts[0], parts[1], parts[2], interval, start, end, trades_a_day)


def generate(folder: Path, spec: Spec) -> Iterator[Path]:
    """Write the archives of a series below *folder*, yielding the path of each.

    Daily ones of every day from *start* to *end*, monthly ones of the months that ended by *end*,
    as far as the kind has them; none without rows.
    """
    month: list[str] = []
    cadences = cadences_of(spec)
    day = spec.start
    while day <= spec.end:
        rows = "".join(rows_of(spec, day))
        month.append(rows)
        if rows and "daily" in cadences:
            yield _write(folder, spec, "daily", day.isoformat(), rows, day + _DAY)
        day += _DAY
        if day.day == 1:
            label = (day - _DAY).isoformat()[:7]
            if any(month) and "monthly" in cadences:
                yield _write(folder, spec, "monthly", label, "".join(month), day + _DAY)
            month.clear()


def _write(  # noqa: PLR0913, PLR0917 - all of them make up one path and its content
    folder: Path, spec: Spec, cadence: str, label: str, rows: str, made: date
) -> Path:
    name = f"{spec.symbol}-{spec.interval or spec.kind}-{label}"
    interval = f"{spec.interval}/" if spec.interval else ""
    market = FOLDERS[spec.market]
    path = folder / f"data/{market}/{cadence}/{spec.kind}/{spec.symbol}/{interval}{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(f"{name}.csv", (header_of(spec) + rows).encode()))
    modified = datetime(made.year, made.month, made.day, 4, tzinfo=UTC).timestamp()
    os.utime(path, (modified, modified))
    return path


def zipped(member: str, content: bytes) -> bytes:
    """Return a ZIP of one member whose bytes depend on nothing but its content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
        )
    return buffer.getvalue()
