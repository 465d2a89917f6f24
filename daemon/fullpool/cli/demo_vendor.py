"""What the demo's vendor publishes: a year with an outage, lost days, a delisting, a correction."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from fullpool.app import clock
from fullpool.simulator import Api, Spec, generate, spec_from


@dataclass(frozen=True, slots=True)
class _Invented:
    """A series of the demo: its first and last day, in days before today; what became of it.

    One of *whole_months* begins with the month of its first day, and ends before that of its last.
    """

    series: str
    first: int
    last: int = 1
    is_followed: bool = False
    has_lost_days: bool = False
    is_corrected: bool = False
    whole_months: bool = False

    def days(self, today: date) -> tuple[date, date]:
        """Return its first and last day."""
        first, last = (today - timedelta(days=days) for days in (self.first, self.last))
        if not self.whole_months:
            return first, last
        until = last.replace(day=1) - timedelta(days=1) if self.last > 1 else last
        return first.replace(day=1), until


YEAR: Final = 365
_INVENTED: Final = (
    _Invented("spot/klines/BTCUSDT/1m", 45, is_followed=True),
    _Invented("spot/klines/BTCUSDT/1h", YEAR),
    _Invented("spot/klines/ETHUSDT/1h", YEAR, has_lost_days=True),
    _Invented("spot/klines/LUNAUSDT/1h", YEAR, last=130, whole_months=True),
    _Invented("spot/klines/SOLUSDT/1h", 250, whole_months=True),
    _Invented("um/klines/BTCUSDT/1h", YEAR, has_lost_days=True, is_corrected=True),
    _Invented("um/aggTrades/BTCUSDT", 4),
    _Invented("um/fundingRate/BTCUSDT", YEAR),
    _Invented("um/metrics/BTCUSDT", 40),
)
_DELISTED: Final = frozenset({"LUNAUSDT"})
# Days before today, and how long. What was lost lies in one month, so that one cell shows it.
_OUTAGE: Final = (20, timedelta(hours=3))
_LOST: Final = (160, timedelta(days=2))
_LOST_FROM_DAY: Final = 10
_CORRECTED: Final = (100, timedelta(hours=6))


def publish(folder: Path, today: date) -> int:
    """Write all archives, and what the API has; return how many archives."""
    return sum(_publish(folder, invented, today) for invented in _INVENTED)


def api_of(folder: Path) -> Api:
    """Return the vendor's API."""
    return Api(folder / "api", ended=_DELISTED)


def _publish(folder: Path, invented: _Invented, today: date) -> int:
    first, last = invented.days(today)
    spec = spec_from(invented.series, first, last)
    outages = (_span(today, *_OUTAGE),) if spec.interval else ()
    if spec.interval:
        until = today if invented.is_followed else last
        _generate(folder / "api", replace(spec, end=until, missing=outages))
    elif spec.kind == "fundingRate":  # it is published by month, and the API has the running one
        _generate(folder / "api", replace(spec, end=today + timedelta(days=31)))
    lost = (_lost(today),) if invented.has_lost_days else ()
    return _generate(folder / "vendor", replace(spec, missing=(*outages, *lost)))


def _generate(folder: Path, spec: Spec) -> int:
    return sum(1 for _ in generate(folder, spec))


def _span(today: date, days: int, length: timedelta) -> tuple[datetime, datetime]:
    start = datetime(today.year, today.month, today.day, 3, tzinfo=UTC) - timedelta(days=days)
    return start, start + length


def _lost(today: date) -> tuple[datetime, datetime]:
    start, end = _span(today, *_LOST)
    begins = start.replace(day=_LOST_FROM_DAY)
    return begins, begins + (end - start)


def republish(folder: Path, today: date) -> str:
    """Have the vendor publish the archive of a month once more, with other rows; return which."""
    (invented,) = (one for one in _INVENTED if one.is_corrected)
    start, end = _span(today, *_CORRECTED)
    month = start.date().replace(day=1)
    after = (month + timedelta(days=31)).replace(day=1)
    spec = spec_from(invented.series, month, after - timedelta(days=1))
    outage = _span(today, *_OUTAGE)
    spec = replace(spec, missing=(_lost(today), outage), corrected=((start, end),))
    now = clock.now().timestamp()
    for path in generate(folder / "vendor", spec):
        os.utime(path, (now, now))
    _generate(folder / "api", replace(spec, missing=(outage,)))
    return f"{invented.series}/{month:%Y-%m}"
