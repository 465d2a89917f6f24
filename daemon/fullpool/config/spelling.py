"""Finds the nearest valid spelling."""

import difflib
import re
from collections.abc import Collection, Iterable
from itertools import product
from typing import Final

from fullpool.grid import bars
from fullpool.model import Interval

_SECONDS: Final = {
    "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 30 * 86_400,
    "mon": 30 * 86_400, "month": 30 * 86_400,
}  # fmt: skip
# How futures are called elsewhere, and how small coins are counted by the vendor.
_AFTER: Final = ("", "_PERP")
_BEFORE: Final = ("", "1000", "1000000", "1M")


def nearest(text: str, allowed: Iterable[str]) -> str:
    """Return a question after the one of *allowed* that *text* is most like; empty if none is."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(text.lower(), list(names), n=1, cutoff=0.5)
    return _asked(names[close[0]]) if close else ""


def nearest_interval(text: str) -> str:
    """Return a question after the interval of the same length; empty if there is none."""
    if text == "1M":  # the API's spelling of a month
        return _asked("1mo")
    found = re.fullmatch(r"(\d*)\s*([a-z]+?)s?", text.strip().lower())
    seconds = int(found[1] or 1) * _SECONDS.get(found[2], 0) if found else 0
    alike = (interval for interval in Interval if seconds and _seconds_of(interval) == seconds)
    return next(map(_asked, alike), "")


def _seconds_of(interval: Interval) -> int:
    step = bars(interval).step
    return int(step.total_seconds()) if step else _SECONDS["mo"]


def nearest_symbol(text: str, names: Collection[str]) -> str:
    """Return a question after the symbol that is most likely meant; empty if none is near."""
    plain = text.removesuffix("PERP").rstrip("_").replace("XBT", "BTC")
    pair = plain.removesuffix("USDT") + "USD" if plain.endswith("USDT") else plain
    for stem, before, after in product((plain, pair), _BEFORE, _AFTER):
        name = f"{before}{stem}{after}"
        if name in names and name != text:
            return _asked(name)
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.8)
    return _asked(close[0]) if close else ""


def _asked(name: str) -> str:
    return f" (did you mean {name}?)"
