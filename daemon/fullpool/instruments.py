"""What can be traded, as the vendor's API tells it, and what changed of it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fullpool.model import Market


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol of exchangeInfo. What the market does not tell is "" or None.

    Steps and sizes are decimals as text: *tick_size* of prices, *step_size* of quantities,
    *min_notional* of orders in the quote asset, *contract_size* of cm in the quote asset.
    """

    market: Market
    symbol: str
    status: str
    base_asset: str = ""
    quote_asset: str = ""
    contract_type: str = ""
    tick_size: str = ""
    step_size: str = ""
    min_notional: str = ""
    contract_size: str = ""
    listed_at: datetime | None = None
    delivers_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new list of one market says: *ended* symbols are as they were no more."""

    ended: tuple[str, ...]
    begun: tuple[Instrument, ...]


def changes(held: Mapping[str, Instrument], listed: Iterable[Instrument]) -> Changes:
    """Compare the symbols that are *held* as valid with those that are *listed* now."""
    new = {one.symbol: one for one in listed}
    ended = [symbol for symbol, one in held.items() if new.get(symbol) != one]
    begun = [one for symbol, one in new.items() if held.get(symbol) != one]
    return Changes(tuple(sorted(ended)), tuple(begun))
