"""An independent reader of real archives: zipfile, csv and decimal, nothing of ours."""

import csv
import io
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

KINDS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "aggTrades")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Content:
    """What one archive holds: rows, first and last instant, sums of its decimal columns."""

    market: str
    kind: str
    symbol: str
    interval: str
    period: str
    rows: int
    first: datetime
    last: datetime
    sums: tuple[Decimal, ...]


def archives(root: Path) -> list[Path]:
    """Return the ZIPs below *root* that are of kinds the lake holds."""
    return sorted(p for p in root.rglob("*.zip") if any(kind in p.parts for kind in KINDS))


def content(path: Path) -> Content:
    """Read one archive row by row."""
    with zipfile.ZipFile(path) as opened:
        (name,) = opened.namelist()
        text = opened.read(name).decode()
    rows = [row for row in csv.reader(io.StringIO(text)) if row and row[0].isdigit()]
    kind = next(kind for kind in KINDS if kind in path.parts)
    at = path.parts.index(kind)
    time_at, decimals = (0, (1, 2, 3, 4, 5, 7, 9, 10)) if kind != "aggTrades" else (5, (1, 2))
    market = {"spot": "spot", "um": "um", "cm": "cm"}[path.parts[at - 2]]
    found = re.search(r"-(\d{4}-\d\d(-\d\d)?)\.zip$", path.name)
    assert found is not None
    return Content(
        market=market,
        kind=kind,
        symbol=path.parts[at + 1],
        interval=path.parts[at + 2] if kind != "aggTrades" else "",
        period=found[1],
        rows=len(rows),
        first=min(_instant(row[time_at]) for row in rows),
        last=max(_instant(row[time_at]) for row in rows),
        sums=tuple(sum((Decimal(row[i]) for row in rows), Decimal(0)) for i in decimals),
    )


def _instant(text: str) -> datetime:
    value = int(text)
    return _EPOCH + timedelta(microseconds=value if value >= 10**14 else value * 1000)
