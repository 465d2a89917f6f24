"""Generates archives in the vendor's format; the same seed gives the same bytes.

Spot files have no header and microseconds from 2025 on, futures files a header, milliseconds and
numbers as Java prints doubles. Monthly archives hold the rows of their days.
"""

import io
import math
import os
import random
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

_DAY = timedelta(days=1)
_FOLDERS = {"spot": "spot", "um": "futures/um", "cm": "futures/cm"}
_INTERVAL = re.compile("[1-9][0-9]*([smhdw]|mo)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
_TRADE_HEADER = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
)
_NO_DAILY = ("3d", "1w", "1mo")


@dataclass(frozen=True)
class Spec:
    """A series to invent: its days, and how many trades a day if it is one of trades.

    Rows of *missing*, half-open, are left out.
    """

    market: str
    kind: str
    symbol: str
    interval: str
    start: date
    end: date
    trades_a_day: int = 20_000
    missing: tuple[tuple[datetime, datetime], ...] = ()

    def has(self, second: float) -> bool:
        """Whether the row of that instant is to be there."""
        return not any(a.timestamp() <= second < b.timestamp() for a, b in self.missing)


def spec_from(text: str, start: date, end: date, trades_a_day: int = 20_000) -> Spec:
    """Read `spot/klines/BTCUSDT/1m` or `um/aggTrades/BTCUSDT`. Raises ValueError."""
    parts = text.split("/")
    is_trades = len(parts) == 3 and parts[1] == "aggTrades"
    is_klines = len(parts) == 4 and parts[1].lower().endswith("klines")
    if not (is_trades or is_klines) or parts[0] not in _FOLDERS:
        raise ValueError(f"a series is MARKET/KIND/SYMBOL[/INTERVAL], not {text!r}")
    interval = "".join(parts[3:])
    if is_klines and not _INTERVAL.fullmatch(interval):
        raise ValueError(f"an interval is like 1m, 4h, 1d or 1mo, not {interval!r}")
    return Spec(parts[0], parts[1], parts[2], interval, start, end, trades_a_day)


def generate(folder: Path, spec: Spec) -> Iterator[Path]:
    """Write the archives of a series below *folder*, yielding the path of each.

    Daily ones of every day from *start* to *end*, monthly ones of the months that ended by *end*;
    none without rows.
    """
    month: list[str] = []
    day = spec.start
    while day <= spec.end:
        rows = "".join(_rows(spec, day))
        month.append(rows)
        if rows and (spec.market != "spot" or spec.interval not in _NO_DAILY):
            yield _write(folder, spec, "daily", day.isoformat(), rows, day + _DAY)
        day += _DAY
        if day.day == 1:
            label = (day - _DAY).isoformat()[:7]
            if any(month):
                yield _write(folder, spec, "monthly", label, "".join(month), day + _DAY)
            month.clear()


def _write(  # noqa: PLR0913, PLR0917 - all of them make up one path and its content
    folder: Path, spec: Spec, cadence: str, label: str, rows: str, made: date
) -> Path:
    name = f"{spec.symbol}-{spec.interval or spec.kind}-{label}"
    interval = f"{spec.interval}/" if spec.interval else ""
    market = _FOLDERS[spec.market]
    path = folder / f"data/{market}/{cadence}/{spec.kind}/{spec.symbol}/{interval}{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "" if spec.market == "spot" else _TRADE_HEADER if not interval else _KLINE_HEADER
    path.write_bytes(zipped(f"{name}.csv", (header + rows).encode()))
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


def _rows(spec: Spec, day: date) -> Iterator[str]:
    chance = random.Random(f"{spec.symbol}/{spec.interval}/{day}")
    if not spec.interval:
        return _trades(spec, day, chance)
    return _klines(spec, day, chance)


def _unit(spec: Spec, day: date) -> int:
    """Return how many units of the file's clock a second has."""
    return 1_000_000 if spec.market == "spot" and day >= date(2025, 1, 1) else 1000


def _opens(spec: Spec, day: date) -> range:
    """Return the seconds since 1970 at which the day's bars open."""
    start = (day - date(1970, 1, 1)).days * 86_400
    if spec.interval == "1mo":
        return range(start, start + (day.day == 1))
    step = int(spec.interval[:-1]) * _SECONDS[spec.interval[-1]]
    monday = 4 * 86_400 if spec.interval[-1] == "w" else 0  # 1970-01-01 was a Thursday
    first = start + -(start - monday) % step
    return range(first, start + 86_400, step)


def _price(symbol: str, second: int) -> float:
    letters = sum(symbol.encode())
    base = 10.0 ** (1 + letters % 4) * (1 + letters % 7)
    days = second / 86_400 + letters
    return base * math.exp(
        0.3 * math.sin(days / 40) + 0.05 * math.sin(days * 2) + 0.01 * math.sin(days * 50)
    )


def _klines(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    unit, places = _unit(spec, day), 8 if spec.market == "spot" else 2
    opens = _opens(spec, day)
    length = opens.step if spec.interval != "1mo" else 28 * 86_400
    uniform = chance.random
    for second in opens:
        opened, closed = _price(spec.symbol, second), _price(spec.symbol, second + length)
        high = max(opened, closed) * (1 + uniform() * 0.001)
        low = min(opened, closed) * (1 - uniform() * 0.001)
        volume = 1 + uniform() * 100
        taker = volume * uniform()
        if spec.missing and not spec.has(second):
            continue
        yield (
            f"{second * unit},{opened:.{places}f},{high:.{places}f},{low:.{places}f},"
            f"{closed:.{places}f},{volume:.{places}f},{(second + length) * unit - 1},"
            f"{volume * opened:.{places}f},{int(volume * 10)},{taker:.{places}f},"
            f"{taker * opened:.{places}f},0\n"
        )


def _trades(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    unit, count = _unit(spec, day), spec.trades_a_day
    start = (day - date(1970, 1, 1)).days * 86_400
    first_id = (day - date(2017, 1, 1)).days * count
    uniform = chance.random
    for number in range(count):
        second = start + number * 86_400 / count
        moment = int(second * unit)
        price = _price(spec.symbol, int(second)) * (1 + (uniform() - 0.5) * 0.0002)
        trade, quantity = first_id + number, round(uniform() * 3 + 0.001, 3)
        is_buyer = uniform() < 0.5
        if spec.missing and not spec.has(second):
            continue
        if spec.market == "spot":
            yield (
                f"{trade},{price:.8f},{quantity:.8f},{trade * 2},{trade * 2 + 1},{moment},"
                f"{is_buyer},True\n"
            )
        else:
            yield (
                f"{trade},{_java(round(price, 4))},{_java(quantity)},{trade * 2},{trade * 2 + 1},"
                f"{moment},{str(is_buyer).lower()}\n"
            )


def _java(value: float) -> str:
    """Return a double as Java prints it: 5.263E-4, 542.0, 1.0551558E7."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    exponent = math.floor(math.log10(abs(value)))
    return f"{float(f'{value / 10**exponent:.12g}')!r}E{exponent}"
