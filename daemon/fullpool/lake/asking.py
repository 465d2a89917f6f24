"""What is asked of the lake, as SQL: rows of a kind, by symbols and times. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Final

from fullpool.errors import UsageError
from fullpool.kinds import Kind
from fullpool.store.duck import quoted

# An instant: text in ISO 8601, a day, or a time; without a zone it is UTC.
Time = str | date | datetime
# The macro of one symbol opens its files alone; of many symbols that of a span is faster.
_BY_SYMBOL: Final = 64
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2262, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of some series of a kind, from *start* on and before *end*."""

    symbols: str | Sequence[str]
    interval: str
    market: str
    start: Time | None
    end: Time | None
    columns: Sequence[str] | None
    exact: bool


def require_offered(kind: Kind, asked: Asked) -> None:
    """Raise UsageError for a market or an interval that the kind has not."""
    if asked.market not in kind.markets:
        hint = f"it has them of {', '.join(sorted(kind.markets))}"
        raise UsageError(f"reading {kind.name} of {asked.market!r}: no such market", hint=hint)
    if kind.intervals and asked.interval not in kind.intervals:
        hint = f"its intervals are {', '.join(kind.intervals)}"
        raise UsageError(f"reading {kind.name} of {asked.interval!r}: no such interval", hint=hint)


def instant_of(given: Time) -> datetime:
    """Return an instant in UTC. Raises UsageError if it is none."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError as error:
            hint = "write 2024-03-01 or 2024-03-01T09:30, with a zone if it is not UTC"
            raise UsageError(f"reading the time {given!r}: {error}", hint=hint) from error
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def chosen(symbols: str | Sequence[str], there: Sequence[str]) -> list[str]:
    """Return which symbols are meant of those that are *there*, sorted.

    Patterns with `*` or `?` match any number, also none; `!` excludes. Raises UsageError for a name
    that is not there.
    """
    given = [symbols] if isinstance(symbols, str) else list(symbols)
    ins = [name for name in given if not name.startswith("!")] or ["*"]
    outs = [name[1:] for name in given if name.startswith("!")]
    missing = [name for name in ins if not _is_pattern(name) and name not in there]
    if missing:
        raise UsageError(
            f"reading {', '.join(missing[:5])}: not in the lake",
            hint=f"it has {len(there):,} such symbols: {', '.join(there[:8])}"
            + (", ..." if len(there) > len(there[:8]) else ""),
        )
    found = [name for name in there if _is_any_of(name, ins) and not _is_any_of(name, outs)]
    return sorted(found)


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _is_any_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def rows_of(kind: Kind, asked: Asked, symbols: Sequence[str]) -> str:
    """Return the SQL of the rows of *symbols*. Raises UsageError for columns that there are not."""
    suffix, which = "_exact" if asked.exact else "", f"market_ := {quoted(asked.market)}"
    which += f", interval_ := {quoted(asked.interval)}" if kind.intervals else ""
    first, last = (f"TIMESTAMP '{_text(t)}'" for t in (asked.start or _FIRST, asked.end or _LAST))
    shown = ", ".join(_checked(kind, name) for name in asked.columns) if asked.columns else "*"
    inside = f"{kind.time} >= {first} AND {kind.time} < {last}"
    if not symbols:
        symbols = [""]  # which has no rows, of the right columns
    if len(symbols) > _BY_SYMBOL:
        names = ", ".join(map(quoted, symbols))
        source = f"{kind.table}_between{suffix}({first}, {last}, {which})"
        return f"SELECT {shown} FROM {source} WHERE symbol IN ({names})"
    return " UNION ALL ".join(
        f"SELECT {shown} FROM {kind.table}_of{suffix}({quoted(symbol)}, {which}) WHERE {inside}"
        for symbol in symbols
    )


def _text(given: Time) -> str:
    return f"{instant_of(given):%Y-%m-%d %H:%M:%S.%f}"


def _checked(kind: Kind, name: str) -> str:
    names = ["market", "symbol", "interval", *kind.names, "is_void", "source"]
    if name not in names:
        hint = f"its columns are {', '.join(names)}"
        raise UsageError(f"reading the column {name!r} of {kind.name}: there is none", hint=hint)
    return f'"{name}"'
