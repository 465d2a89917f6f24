"""Turns a selection of rows into SQL. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Final, Self

from fullpool.errors import UsageError
from fullpool.kinds import Kind
from fullpool.model import EVER
from fullpool.patterns import fits, is_plain, parted
from fullpool.store.catalogue.views import VOID_COLUMN
from fullpool.store.duck import quoted
from fullpool.store.partitions.rows import order_of

# An instant: text in ISO 8601, a day, a time, or milliseconds since 1970; without a zone it is UTC.
Time = str | date | datetime | int
# The macro of one symbol opens only its own files; that of a span those of all symbols.
_FEW: Final = 8
_FEW_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of some series of a kind, from *start* on and before *end*."""

    symbols: str | Sequence[str]
    interval: str
    market: str
    start: Time | None
    end: Time | None
    columns: str | Sequence[str] | None
    exact: bool

    def kept(self) -> Self:
        """Return the selection with its names copied: an iterator would be read only once.

        Raises UsageError for what is no name or names.
        """
        columns = None if self.columns is None else _names("columns", self.columns)
        return replace(self, symbols=_names("symbols", self.symbols), columns=columns)


def _names(what: str, given: object) -> str | tuple[str, ...]:
    if isinstance(given, str):
        return given
    names = tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [name for name in names if not isinstance(name, str)]:
        hint = "give text, or a list of it"
        raise UsageError(f"reading {what} {wrong[0]!r}: not a name", hint=hint)
    return names


def require_offered(kind: Kind, selection: Selection) -> None:
    """Raise UsageError for a market or an interval that the kind does not have."""
    if selection.market not in kind.markets:
        hint = f"{kind.name} are of {', '.join(sorted(kind.markets))}"
        raise UsageError(f"reading {kind.name} of {selection.market!r}: no such market", hint=hint)
    if kind.intervals and selection.interval not in kind.intervals:
        hint = f"its intervals are {', '.join(kind.intervals)}"
        raise UsageError(
            f"reading {kind.name} of {selection.interval!r}: no such interval", hint=hint
        )


def instant_of(given: Time) -> datetime:
    """Return an instant in UTC. Raises UsageError if it is none."""
    try:
        if isinstance(given, str) or str(given) == "NaT":  # pandas' datetime without a time
            given = datetime.fromisoformat(str(given))
        elif isinstance(given, int):
            given = datetime.fromtimestamp(given / 1000, UTC)
        if not isinstance(given, datetime):
            return datetime(given.year, given.month, given.day, tzinfo=UTC)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError, AttributeError, OSError) as error:
        hint = "write 2024-03-01 or 2024-03-01T09:30, with a zone if it is not UTC"
        raise UsageError(f"reading the time {given!r}: {error}", hint=hint) from error


def matching(patterns: str | Sequence[str], held: Sequence[str]) -> list[str]:
    """Return the symbols of those *held* that are meant, sorted.

    Patterns with `*` or `?` match any number, also none; `!` excludes. Raises UsageError for a name
    that is not held.
    """
    included, excluded = parted([patterns] if isinstance(patterns, str) else patterns)
    for name in included:
        if is_plain(name) and name not in held:
            raise UsageError(f"reading {name!r}: not in the lake", hint=_held(name, held))
    return sorted(n for n in held if fits(n, included) and not fits(n, excluded))


def _held(name: str, held: Sequence[str]) -> str:
    """Return what is said of the symbols that are held, the most similar ones first."""
    near = get_close_matches(name.upper(), held, 5, 0.5) or held[:5]
    if not held:
        return "it has none of that kind, market and interval; `lake.symbols()` lists what it has"
    return f"those of that kind, market and interval: {len(held):,}, such as {', '.join(near)}"


def rows_of(
    kind: Kind, selection: Selection, symbols: Sequence[str], held: int, mixed: Collection[str] = ()
) -> str:
    """Return the SQL of the rows of *symbols*, of which *held* are in the lake.

    Files are read one after the other, so the rows of a symbol are in the order of time, but for
    *mixed* symbols, which have followed rows from before their last partition: these are sorted.
    Raises UsageError for columns that there are not, and times that make no sense.
    """
    suffix = "_exact" if selection.exact else ""
    arguments = f"market_ := {quoted(selection.market)}"
    arguments += f", interval_ := {quoted(selection.interval)}" if kind.intervals else ""
    first, last = _bounds(kind, selection)
    shown = _shown(kind, selection.columns)
    is_few = len(symbols) <= max(_FEW, held * _FEW_SHARE)
    if is_few or (selection.start is None and selection.end is None):
        of_each: list[str] = []
        for symbol in symbols or [""]:  # which has no rows, of the right columns
            source = f"{kind.table}_of{suffix}({quoted(symbol)}, {arguments})"
            source += f" WHERE {kind.time} >= {first} AND {kind.time} < {last}"
            of_each.append(_select(shown, source, order_of(kind) if symbol in mixed else ""))
        return " UNION ALL ".join(of_each)
    source = f"{kind.table}_between{suffix}({first}, {last}, {arguments})"
    source += f" WHERE symbol IN ({', '.join(map(quoted, symbols))})"
    is_mixed = not set(symbols).isdisjoint(mixed)
    return _select(shown, source, f"symbol, {order_of(kind)}" if is_mixed else "")


def _select(shown: str, source: str, order: str) -> str:
    if not order:
        return f"SELECT {shown} FROM {source}"
    return f"SELECT {shown} FROM (SELECT * FROM {source} ORDER BY {order})"


def _bounds(kind: Kind, selection: Selection) -> tuple[str, str]:
    """Return the first time and the one after the last, as SQL."""
    start = EVER.start if selection.start is None else instant_of(selection.start)
    end = EVER.end if selection.end is None else instant_of(selection.end)
    if start > end:
        raise UsageError(f"reading {kind.name}: {start} is after {end}", hint="exchange the two")
    return f"TIMESTAMP '{start:%Y-%m-%d %H:%M:%S.%f}'", f"TIMESTAMP '{end:%Y-%m-%d %H:%M:%S.%f}'"


def _shown(kind: Kind, columns: str | Sequence[str] | None) -> str:
    """Return the columns as SQL. Raises UsageError for one that there is not, or none at all."""
    if columns is None:
        return "*"
    names = [columns] if isinstance(columns, str) else list(columns)
    keys = ["market", "symbol", "interval"] if kind.intervals else ["market", "symbol"]
    known = [*keys, *kind.names, *([VOID_COLUMN] if kind.void else []), "source"]
    wrong = next((name for name in names if name not in known), None if names else "")
    if wrong is not None:
        hint = f"its columns are {', '.join(known)}"
        raise UsageError(f"reading the column {wrong!r} of {kind.name}: there is none", hint=hint)
    return ", ".join(f'"{name}"' for name in names)
