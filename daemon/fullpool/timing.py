"""Parses schedules: intervals and cron lines."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = timedelta(days=31)
_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12))
_LONGEST_MONTH: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS: Final = "mon|tue|wed|thu|fri|sat|sun"
_WEEKDAY: Final = re.compile(rf"\*|(?:{_DAYS})(?:-(?:{_DAYS}))?(?:,(?:{_DAYS}))*")


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again after *interval*."""

    interval: timedelta


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times that the five fields of a cron line allow."""

    minute: str
    hour: str
    day: str
    month: str
    weekday: str


Timing = Every | Cron


def timing_from(text: str) -> Timing:
    """Return what `5m` or `17 4 * * *` means. Raises ValueError saying what is allowed."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found:
        interval = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        if not timedelta(seconds=1) <= interval <= _LONGEST:
            raise ValueError(f"must be between 1s and {_LONGEST.days}d")
        return Every(interval)
    parts = text.lower().split()
    if len(parts) != len(_FIELDS) + 1:
        raise ValueError(
            "must be an interval like 30s, 5m, 1h or 1d, or a cron line of five fields like"
            ' "17 4 * * *" (minute, hour, day, month, weekday; in UTC)'
        )
    for part, (name, lowest, highest) in zip(parts, _FIELDS, strict=False):
        _check(part, name, lowest, highest)
    if not _WEEKDAY.fullmatch(parts[-1]) or not _rises(parts[-1]):
        # Numbers mean different days in different programs: cron's week begins on another day.
        raise ValueError(
            "the weekday must be * or names such as mon, mon-fri or sat,sun; the week begins on mon"
        )
    _check_date(*parts[2:4])
    return Cron(*parts)


def _rises(weekday: str) -> bool:
    """Whether no range of days goes over the end of the week."""
    days = _DAYS.split("|")
    ranges = (item.split("-") for item in weekday.split(",") if "-" in item)
    return all(days.index(first) <= days.index(last) for first, last in ranges)


def _check_date(day: str, month: str) -> None:
    """Raise ValueError if none of the months named has any of the days."""
    if day.isdigit() and all(
        m.isdigit() and int(day) > _LONGEST_MONTH[int(m)] for m in month.split(",")
    ):
        raise ValueError(f"there is no day {day} in the month {month}")


def _check(field: str, name: str, lowest: int, highest: int) -> None:
    """Raise ValueError unless *field* is `*`, numbers or ranges; `*` and ranges may have `/5`."""
    for item in field.split(","):
        found = re.fullmatch(r"(\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", item)
        if not found or (found[2] and not found[3] and found[4]):
            raise ValueError(f"the {name} must be like *, */5, 7, 1-5 or 0,30")
        first = int(found[2] or lowest)
        last = int(found[3] or found[2] or highest)
        if not lowest <= first <= last <= highest:
            raise ValueError(f"the {name} must lie between {lowest} and {highest}")
        _check_step(found[4], name, last - first)


def _check_step(step: str | None, name: str, highest: int) -> None:
    if step and not 1 <= int(step) <= highest:
        raise ValueError(f"the step of the {name} must lie between 1 and {highest}")
