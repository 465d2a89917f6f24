"""Reports configured symbols the vendor does not have."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

from fullpool import vendor
from fullpool.config.spelling import nearest_symbol
from fullpool.model import Market, Series, period_of

NO_ARCHIVE: Final = "no archive in the configured time"
# Of one market and kind, so many are named.
_NAMED: Final = 10

Symbols = Mapping[tuple[Market, str], Collection[str]]


def told(unknown: Iterable[Series], symbols: Symbols) -> list[str]:
    """Return a line or two for each market and kind: what the vendor has nothing of.

    *symbols* are those it has, as far as they were listed. Of a symbol that it does not have the
    nearest one is named; of one that it has, what lacks archives in the time asked for.
    """
    by_kind: dict[tuple[Market, str], list[Series]] = defaultdict(list)
    for series in unknown:
        by_kind[series.market, series.kind].append(series)
    lines: list[str] = []
    for (market, kind), own in sorted(by_kind.items()):
        names = symbols.get((market, kind), ())
        strange = sorted({series.symbol for series in own if series.symbol not in names})
        if strange:
            shown = [one + nearest_symbol(one, names) for one in strange[:_NAMED]]
            lines.append(f"{market}/{kind}: the vendor has no {_listed('symbol', strange, shown)}")
        without_archive = [str(series) for series in own if series.symbol in names]
        if without_archive:
            lines.append(f"{NO_ARCHIVE}: {and_more(without_archive, without_archive[:_NAMED])}")
    return lines


def strange(unknown: Iterable[Series], symbols: Symbols) -> Iterable[Series]:
    """Yield the series whose symbol the vendor does not have, where its symbols were listed."""
    for series in unknown:
        names = symbols.get((series.market, series.kind))
        if names is not None and series.symbol not in names:
            yield series


def awaited(since: Mapping[Series, datetime], symbols: Symbols, now: datetime) -> set[Series]:
    """Return the series of *symbols*, which trade, whose first archive may well come yet.

    *since* tells from when on each can have one.
    """
    return {
        series
        for series, start in since.items()
        if series.symbol in symbols.get((series.market, series.kind), ())
        and not vendor.is_overdue(period_of(start.date(), vendor.shortest(series)), now)
    }


def not_due(series: Collection[Series]) -> list[str]:
    """Say of series that their first archive is not due yet; nothing of none."""
    names = sorted(map(str, series))
    return [f"no archive is due yet: {and_more(names, names[:_NAMED])}"] if names else []


def unfit_pattern(market: Market, kind: str, pattern: str) -> str:
    """Say that no symbol fits a pattern."""
    return f"{market}/{kind}: no symbol of the vendor matches {pattern}"


def _listed(what: str, names: Collection[str], shown: Collection[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {and_more(names, shown)}"


def and_more(names: Collection[str], shown: Collection[str]) -> str:
    """Return the names that are *shown*, and how many more there are."""
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left:,} more" if left else "")
