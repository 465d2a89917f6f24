"""The two assets of a symbol, by what the vendor's API said of it, else by its ending."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fullpool.export.source import Source
from fullpool.model import Market

# What most symbols are priced in, for those that the API lists no more.
_USUAL: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY")


@dataclass(frozen=True, slots=True)
class Pair:
    """A symbol's assets, and the steps of its prices and quantities ("" if not known)."""

    base: str
    quote: str
    tick_size: str = ""
    step_size: str = ""


class Pairs:
    """The pairs of a generation."""

    def __init__(self, source: Source) -> None:
        found = source.reader.query(
            "SELECT market, symbol, coalesce(base_asset, ''), coalesce(quote_asset, ''),"
            " coalesce(tick_size::VARCHAR, ''), coalesce(step_size::VARCHAR, '') FROM instruments"
            " ORDER BY valid_from NULLS FIRST"
        ).rows
        self._known = {(market, symbol): Pair(*values) for market, symbol, *values in found}
        quotes = {pair.quote for pair in self._known.values()} | set(_USUAL)
        self._quotes = _longest_first(quotes - {""})

    def of(self, market: Market, symbol: str) -> Pair | None:
        """Return the pair of a symbol; None if it cannot be told."""
        known = self._known.get((str(market), symbol))
        if known and known.base and known.quote:
            return known
        ends = (quote for quote in self._quotes if symbol.endswith(quote) and symbol != quote)
        quote = next(ends, None)
        return Pair(symbol.removesuffix(quote), quote) if quote else None


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))
