"""The two assets of a symbol, by what the vendor's API said of it, else by its parts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fullpool.model import Market

# What symbols are, or were, priced in, for those that the API lists no more.
_QUOTES: Final = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USDS", "USD1", "RLUSD", "DAI", "PAX", "UST",
    "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "VAI", "IDRT", "BIDR", "BKRW", "AEUR",
    "EURI", "EUR", "TRY", "BRL", "AUD", "GBP", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS",
    "CZK", "JPY", "MXN", "COP", "IDR", "USD",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """A symbol's assets, and the steps of its prices and quantities ("" if not known)."""

    base: str
    quote: str
    tick_size: str = ""
    step_size: str = ""


class Pairs:
    """The pairs of symbols, by market and symbol: those *listed* have assets, or "" for both."""

    def __init__(self, listed: Mapping[tuple[str, str], Pair]) -> None:
        self._known = listed
        pairs = [pair for pair in listed.values() if pair.base and pair.quote]
        self._quotes = {*_QUOTES, *(pair.quote for pair in pairs)}
        in_dollars = {s.removesuffix("USDT") for _, s in listed if s.endswith("USDT")}
        self._bases = {*in_dollars, *(pair.base for pair in pairs)} | {"USDT"}

    def of(self, market: Market, symbol: str) -> Pair | None:
        """Return the pair of a symbol; None if it cannot be told.

        Of several ways to part one that is not listed, the one whose base is an asset elsewhere.
        """
        known = self._known.get((str(market), symbol))
        if known and known.base and known.quote:
            return known
        ways = self._ways(symbol)
        proven = [pair for pair in ways if pair.base in self._bases]
        if len(proven) == 1:
            return proven[0]
        return ways[0] if len(ways) == 1 else None

    def _ways(self, symbol: str) -> list[Pair]:
        """Return the pairs that a symbol may stand for."""
        quotes = [q for q in self._quotes if symbol.endswith(q) and symbol != q]
        return [Pair(symbol.removesuffix(quote), quote) for quote in quotes]
