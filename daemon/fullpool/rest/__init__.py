"""Reading rows for a gap from the vendor's API over one pooled client."""

from fullpool.rest.client import Client
from fullpool.rest.pace import not_followed
from fullpool.rest.questions import (
    address,
    ask,
    existed_after,
    existed_before,
    is_too_old,
    is_trading,
    kept_for,
    requests_of,
    tells_history,
    weight_of,
    window_since,
    windows,
)
from fullpool.rest.symbols import ask_instruments
from fullpool.rest.trades import until_of
from fullpool.rest.windows import Answer, Surroundings, Window

__all__ = [
    "Answer",
    "Client",
    "Surroundings",
    "Window",
    "address",
    "ask",
    "ask_instruments",
    "existed_after",
    "existed_before",
    "is_too_old",
    "is_trading",
    "kept_for",
    "not_followed",
    "requests_of",
    "tells_history",
    "until_of",
    "weight_of",
    "window_since",
    "windows",
]
