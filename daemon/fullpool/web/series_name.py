"""The series that an address names. Pure."""

from dataclasses import dataclass
from typing import Self

from fullpool.errors import UsageError
from fullpool.kinds import KINDS, Kind
from fullpool.store.duck import quoted


class UnknownSeriesError(UsageError):
    """There is no such series."""


def _has(kind: Kind, interval: str) -> bool:
    return interval in kind.intervals if kind.intervals else not interval


@dataclass(frozen=True, slots=True)
class SeriesName:
    """The series of an address: market, kind, symbol and, of klines, interval."""

    market: str
    kind: Kind
    symbol: str
    interval: str

    @classmethod
    def in_path(cls, path: str) -> Self:
        """Return what a path names. Raises UsageError if that cannot be a series."""
        market, kind, symbol, interval, *more = [*path.split("/"), "", "", "", ""]
        known = KINDS.get(kind)
        if known is None or not symbol or any(more) or not _has(known, interval):
            raise UnknownSeriesError(
                f"looking for the series {path!r}: there can be none",
                hint=f"write MARKET/KIND/SYMBOL or, of klines, MARKET/KIND/SYMBOL/INTERVAL; kinds"
                f" are {', '.join(KINDS)}",
            )
        return cls(market, known, symbol, interval)

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Market, kind, symbol, interval or ''."""
        return self.market, self.kind.name, self.symbol, self.interval

    @property
    def name(self) -> str:
        """The series as it is written everywhere."""
        return "/".join(part for part in self.parts if part)

    @property
    def where(self) -> str:
        """The SQL that rows of the `sync` tables are this series'."""
        values = ", ".join(map(quoted, self.parts))
        return f"(market, kind, symbol, coalesce(interval, '')) = ({values})"

    @property
    def macro(self) -> str:
        """The SQL of its rows."""
        arguments = [quoted(self.symbol), f"market_ := {quoted(self.market)}"]
        arguments += [f"interval_ := {quoted(self.interval)}"] if self.interval else []
        return f"{self.kind.table}_of({', '.join(arguments)})"
