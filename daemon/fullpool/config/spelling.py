"""The nearest valid spelling."""

import difflib
from collections.abc import Iterable


def nearest(text: str, allowed: Iterable[str]) -> str:
    """Return a question after the one of *allowed* that *text* is most like; empty if none is."""
    if text == "1M":  # the API's spelling of a month
        return " (did you mean 1mo?)"
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(text.lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {names[close[0]]}?)" if close else ""
