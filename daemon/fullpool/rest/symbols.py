"""Asks for all symbols of a market, and reads what exchangeInfo tells of each.

Source: the API's documentation of `exchangeInfo`, and recorded answers of it.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fullpool.errors import RestError
from fullpool.instruments import Instrument
from fullpool.model import Market, instant, is_symbol
from fullpool.rest.client import Client

_DECIMAL: Final = re.compile(r"\d{1,18}(\.\d{1,18})?")
# What perpetuals have for a delivery: the year 2100.
_NEVER_MS: Final = 4_000_000_000_000


def ask_instruments(client: Client, market: Market) -> list[Instrument]:
    """Return every symbol that the API lists. Raises RestError and its kinds."""
    info = client.exchange_info(market)
    listed = info.get("symbols") if isinstance(info, dict) else None
    if not isinstance(listed, list) or not listed:
        raise RestError(f"asking for the symbols of {market}: the answer lists none")
    found = [_instrument(market, one) for one in listed if isinstance(one, dict)]
    named = [one for one in found if one is not None]
    if not named:
        raise RestError(f"asking for the symbols of {market}: the answer names none")
    return named


def _instrument(market: Market, item: Mapping[str, Any]) -> Instrument | None:
    """Return what one symbol is; None if it cannot be the name of one."""
    symbol = item.get("symbol")
    if not isinstance(symbol, str) or not is_symbol(symbol):
        return None
    filters = _filters(item)
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return Instrument(
        market=market,
        symbol=symbol,
        status=_text(item.get("status") or item.get("contractStatus")),
        base_asset=_text(item.get("baseAsset")),
        quote_asset=_text(item.get("quoteAsset")),
        contract_type=_text(item.get("contractType")),
        tick_size=_decimal(filters.get("PRICE_FILTER", {}).get("tickSize")),
        step_size=_decimal(filters.get("LOT_SIZE", {}).get("stepSize")),
        min_notional=_decimal(notional.get("minNotional") or notional.get("notional")),
        contract_size=_decimal(item.get("contractSize")),
        listed_at=_moment(item.get("onboardDate")),
        delivers_at=_moment(item.get("deliveryDate")),
    )


def _filters(item: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    filters = item.get("filters")
    named = [one for one in filters if isinstance(one, dict)] if isinstance(filters, list) else []
    return {str(one.get("filterType")): one for one in named}


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""


def _decimal(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) else ""
    return text if _DECIMAL.fullmatch(text) else ""


def _moment(value: Any) -> datetime | None:
    is_time = type(value) is int and 0 < value < _NEVER_MS
    return instant(value * 1000) if is_time else None
