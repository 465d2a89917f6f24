"""Symbols as exchangeInfo describes them.

Source: the API's documentation. Precisions, filters and dates are the same for all.
"""

import re
from typing import Any

# The longest first: BTCFDUSD is BTC for FDUSD.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD1", "USD", "BTC", "ETH", "BNB", "TRY", "EUR",
    "BRL", "JPY", "GBP", "AUD", "DAI",
)  # fmt: skip
_ORDERS = ["LIMIT", "MARKET"]
_FILTERS = [
    {
        "filterType": "PRICE_FILTER",
        "minPrice": "0.00000001",
        "maxPrice": "1000000.00000000",
        "tickSize": "0.00000001",
    },
    {
        "filterType": "LOT_SIZE",
        "minQty": "0.00000100",
        "maxQty": "9000000.00000000",
        "stepSize": "0.00000100",
    },
]
_FOR_EVER = 4_133_404_800_000


def parts_of(symbol: str) -> tuple[str, str]:
    """Return base and quote asset of a symbol, without what tells the delivery of a contract."""
    pair = re.sub(r"_(PERP|\d{6})$", "", symbol)
    quote = next((one for one in _QUOTES if pair.endswith(one) and pair != one), "USDT")
    return pair.removesuffix(quote), quote


def symbol_info(market: str, symbol: str, *, ended: bool) -> dict[str, Any]:
    """Return the entry of one symbol."""
    base, quote = parts_of(symbol)
    shared = {
        "symbol": symbol,
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": _FILTERS,
        "orderTypes": _ORDERS,
    }
    if market == "spot":
        return shared | {
            "status": "BREAK" if ended else "TRADING",
            "quoteAssetPrecision": 8,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }
    is_perpetual = not re.search(r"_\d{6}$", symbol)
    return shared | {
        "pair": base + quote,
        "contractType": "PERPETUAL" if is_perpetual else "CURRENT_QUARTER",
        "contractStatus" if market == "cm" else "status": "BREAK" if ended else "TRADING",
        **({"contractSize": 100 if base == "BTC" else 10} if market == "cm" else {}),
        "deliveryDate": _FOR_EVER,
        "onboardDate": 1_567_965_300_000,
        "marginAsset": base if market == "cm" else quote,
        "pricePrecision": 8,
        "quantityPrecision": 6,
        "underlyingType": "COIN",
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
