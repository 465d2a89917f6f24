"""Patterns of symbols: `*` and `?` stand for others, `!` is before what is excluded. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_plain(pattern: str) -> bool:
    """Whether a pattern is the name of a symbol."""
    return not set(pattern) & {"*", "?"}


def parted(patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what is included, all if only exclusions are given, and what is excluded."""
    included: list[str] = []
    excluded: list[str] = []
    for text in patterns:
        (excluded if text.startswith("!") else included).append(text.removeprefix("!"))
    return (["*"] if excluded and not included else included), excluded


def fits(symbol: str, patterns: Iterable[str]) -> bool:
    """Whether a symbol fits one of these patterns; only `*` and `?` are special."""
    return any(fnmatchcase(symbol, pattern.replace("[", "[[]")) for pattern in patterns)
