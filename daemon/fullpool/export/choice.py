"""Decides what is exported: which series, from when to when, in which files. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fullpool.errors import UsageError
from fullpool.export.order import Choice
from fullpool.kinds import KINDS, Kind, lake_cadence
from fullpool.lake.selection import matching
from fullpool.model import Cadence, Interval, Market, Period, Span, periods

_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Held:
    """A series of the lake, with the times of its first and last row; *interval* may be ""."""

    kind: Kind
    market: Market
    symbol: str
    interval: str
    first: datetime
    last: datetime

    def __str__(self) -> str:
        return "/".join(filter(None, (self.market, self.kind.name, self.symbol, self.interval)))


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a series that go into one file, of a month or a year, and which are wanted."""

    series: Held
    period: Period
    span: Span


def chosen(choice: Choice, held: Sequence[Held]) -> tuple[list[Held], list[str]]:
    """Return the series that are meant, and what was named and has no rows, with the reason.

    Raises UsageError if nothing is meant, or for unknown names.
    """
    _require_named(choice)
    _require_known("market", choice.markets, tuple(Market))
    _require_known("interval", choice.intervals, tuple(Interval))
    kinds = set(map(_kind_of, choice.kinds))
    wanted = [series for series in held if _is_wanted(series, choice, kinds)]
    if not kinds:
        _require_bars(wanted, choice.intervals)
    left_out = list(_without_rows(choice, kinds, wanted))
    named = _named(choice, wanted)
    inside = [series for series in named if _has_rows_in(series, choice.span)]
    if not inside:
        hint = "`fullpool status` shows what the lake has"
        raise UsageError("exporting: the lake has no such rows", hint=hint)
    beside = sorted(set(named) - set(inside), key=str) if choice.symbols else []
    return inside, [*left_out, *(f"{series}: no rows in that time" for series in beside)]


def _named(choice: Choice, wanted: list[Held]) -> list[Held]:
    """Return the series whose symbols are named; all if none is."""
    if not choice.symbols:
        return wanted
    symbols = set(matching(choice.symbols, sorted({series.symbol for series in wanted})))
    return [series for series in wanted if series.symbol in symbols]


def _without_rows(choice: Choice, kinds: Collection[str], wanted: Sequence[Held]) -> Iterator[str]:
    """Yield the markets, kinds and intervals that are named and that no series is of."""
    for what, names, found in (
        ("market", choice.markets, {str(series.market) for series in wanted}),
        ("kind", sorted(kinds), {series.kind.name for series in wanted}),
        ("interval", choice.intervals, {series.interval for series in wanted}),
    ):
        for name in names:
            if name not in found:
                yield f"{what} {name}: the lake has no such rows"


def _require_bars(wanted: Iterable[Held], intervals: Sequence[str]) -> None:
    if intervals and not any(series.interval for series in wanted):
        names = ", ".join(intervals)
        hint = "leave --interval out, or name kinds without intervals with --kind"
        raise UsageError(f"exporting: the lake has no bars of {names}", hint=hint)


def _is_wanted(series: Held, choice: Choice, kinds: Collection[str]) -> bool:
    """Whether a series is chosen, whatever its symbol and time; *kinds* are names, or none."""
    return (
        (not kinds or series.kind.name in kinds)
        and (not choice.markets or series.market in choice.markets)
        and (not choice.intervals or not series.interval or series.interval in choice.intervals)
    )


def _has_rows_in(series: Held, span: Span) -> bool:
    return series.first < span.end and series.last >= span.start


def _require_named(choice: Choice) -> None:
    """Raise UsageError for a name that is empty, such as that of a variable which is not set."""
    for names in (choice.markets, choice.kinds, choice.symbols, choice.intervals):
        if "" in names:
            raise UsageError("exporting: a name is empty", hint="leave the option out for all")


def _require_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if wrong := [name for name in given if name not in known]:
        hint = f"there are: {', '.join(known)}"
        raise UsageError(f"exporting the {what} {wrong[0]!r}: there is no such {what}", hint=hint)


def _kind_of(name: str) -> str:
    """Return the name of a kind, which may be given as that of its view."""
    kind = next((kind for kind in KINDS.values() if name in (kind.name, kind.table)), None)
    if kind is None:
        hint = f"there are: {', '.join(KINDS)}"
        raise UsageError(f"exporting the kind {name!r}: there is no such kind", hint=hint)
    return kind.name


def parts(choice: Choice, series: Held) -> Iterator[Part]:
    """Yield the files of a series: of a year, or of a month where a year would be too large."""
    interval = Interval(series.interval) if series.interval else None
    # A day is what the lake keeps kinds with many rows by.
    is_large = lake_cadence(series.kind, interval, is_closed_year=True) is Cadence.DAY
    cadence = Cadence.MONTH if is_large else Cadence.YEAR
    held = Span(series.first, series.last + _INSTANT).meet(choice.span)
    for period in periods(held, cadence):
        yield Part(series, period, period.span.meet(choice.span))
