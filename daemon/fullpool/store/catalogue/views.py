"""The SQL of the views and macros that a generation has of each kind."""

from collections.abc import Iterator, Sequence
from typing import Final

from fullpool.kinds import Column, Derived, Kind, Type
from fullpool.store.catalogue.paths import FILES_VARIABLE, Files, hive_keys, market_keys, root_of
from fullpool.store.duck import listed, quoted
from fullpool.store.partitions.csv_rows import ARCHIVE, DAILY, EXACT_WIDE, SOURCE_COLUMN, sql_type
from fullpool.store.partitions.tails import SYMBOL

DOUBLES: Final = "double"
EXACT: Final = "exact"
FLAVOURS: Final = (DOUBLES, EXACT)

# Whether the vendor took a row back.
VOID_COLUMN: Final = "is_void"
_DECIMALS: Final = (Type.PRICE, Type.AMOUNT, Type.FINE)
_SUFFIX: Final = {DOUBLES: "", EXACT: "_exact"}
# Which archive a row is from is what the next build needs to know.
_SHOWN_SOURCE: Final = (
    f"CASE {SOURCE_COLUMN} WHEN {quoted(DAILY)} THEN {quoted(ARCHIVE)} ELSE {SOURCE_COLUMN} END"
    f" AS {SOURCE_COLUMN}"
)


def skeleton_path(kind: Kind, flavour: str) -> str:
    return _skeleton(kind, hive_keys(kind), flavour)


def skeleton_select(kind: Kind, flavour: str) -> str:
    """Select no rows of the types that a view of that flavour shows."""
    columns = (f"NULL::{_shown_type(column, flavour)} AS {column.name}" for column in kind.kept)
    return f"SELECT {', '.join(columns)}, NULL::VARCHAR AS {SOURCE_COLUMN} LIMIT 0"


def tail_skeleton_path(kind: Kind) -> str:
    return _skeleton(kind, market_keys(kind), "tail")


def tail_skeleton_select(kind: Kind) -> str:
    """Select no rows of the types that files of followed rows have."""
    return f"SELECT NULL::VARCHAR AS {SYMBOL}, * FROM ({skeleton_select(kind, EXACT)})"


def _skeleton(kind: Kind, keys: Sequence[str], name: str) -> str:
    folders = "/".join(f"{key}=_" for key in keys)
    return f".catalogue/skeleton/{kind.table}/{folders}/{name}.parquet"


def _shown_type(column: Column | Derived, flavour: str) -> str:
    if flavour == DOUBLES and column.type in _DECIMALS:
        return "DOUBLE"
    return sql_type(column.type, EXACT_WIDE)


def statements(files: Files, flavour: str) -> Iterator[str]:
    """Yield what creates the views and macros of one kind, over all of its current files."""
    kind, name = files.kind, files.kind.table + _SUFFIX[flavour]
    yield _view(name, files, flavour)
    yield from _macros(kind, flavour, files)
    if kind.intervals and flavour == DOUBLES:
        for interval, own in files.by_interval():
            yield _view(f"{kind.table}_{interval}", own, DOUBLES)


def _view(name: str, files: Files, flavour: str) -> str:
    """Return what creates a view. DuckDB looks at every file of one as it creates it."""
    listed = f"coalesce(getvariable({quoted(FILES_VARIABLE)}), {files.all()})"
    return f"CREATE OR REPLACE VIEW {name} AS {_select(files.kind, flavour, listed, files.tail())}"


def _macros(kind: Kind, flavour: str, files: Files) -> Iterator[str]:
    """Yield what creates the table macros, which open no files but those that are asked for.

    A series, a market or an interval that is not there has no rows.
    """
    suffix, time, tail = _SUFFIX[flavour], kind.time, _guarded(kind, files)
    market = f"market_ := {quoted(kind.default_market)}"
    market += ", interval_ := '1m'" if kind.intervals else ""
    own = f"{SYMBOL} = symbol_" if tail else ""
    of = _select(kind, flavour, files.of_series(), tail, own)
    yield f"CREATE OR REPLACE MACRO {kind.table}_of{suffix}(symbol_, {market}) AS TABLE {of}"
    slack = f"INTERVAL {kind.slack.total_seconds():.0f} SECOND"
    start, end = instant("from_"), instant("to_")
    first = f"strftime({start} - {slack}, '%Y-%m-%d')"
    last = f"strftime({end} + {slack} - INTERVAL 1 MICROSECOND, '%Y-%m-%d')"
    inside = f"{time} >= {start} AND {time} < {end}"
    between = _select(kind, flavour, files.between(first, last), tail, inside)
    span = f"from_, to_, {market}"
    yield f"CREATE OR REPLACE MACRO {kind.table}_between{suffix}({span}) AS TABLE {between}"
    latest = _latest(kind, flavour, files.newest().of_market(), tail)
    yield f"CREATE OR REPLACE MACRO {kind.table}_latest{suffix}({market}) AS TABLE {latest}"


def instant(parameter: str) -> str:
    """Return the SQL of a parameter as a time in UTC, which it is unless it says its own zone.

    DuckDB casts a time with a zone to that of the session, and DuckDB 2 drops the zone of a text.
    """
    zone = r" ?(Z|[+-]\d\d(:?\d\d)*|[A-Za-z][A-Za-z0-9_/+-]*) *"
    zoned = rf"regexp_matches({parameter}::VARCHAR, ':\d\d(\.\d+)?{zone}$')"
    utc = f"make_timestamp(epoch_us({parameter}::TIMESTAMPTZ))"
    return f"CASE WHEN {zoned} THEN {utc} ELSE {parameter}::TIMESTAMP END"


def _guarded(kind: Kind, files: Files) -> str:
    """Return the SQL of the files of followed rows that a macro opens: at least one without rows.

    DuckDB opens no empty list.
    """
    found = files.tail_of_market()
    if not found:
        return ""
    first = f"{root_of(files.root)} || {quoted('/' + tail_skeleton_path(kind))}"
    return f"list_concat([{first}], {found})"


def _latest(kind: Kind, flavour: str, files: str, tail: str) -> str:
    """Select the last row of each series, or all of its last instant if no id tells them apart."""
    keys = ", ".join(hive_keys(kind))
    rows = f"SELECT {keys}, {kind.time} FROM {_source(files, hive_keys(kind))}"
    if tail:
        rows += f" UNION ALL SELECT {keys}, {kind.time} FROM {_source(tail, market_keys(kind))}"
    last = f"SELECT {keys}, max({kind.time}) AS {kind.time} FROM ({rows}) GROUP BY {keys}"
    select = f"WITH latest AS ({last}) SELECT * FROM ({_select(kind, flavour, files, tail)})"
    select += f" JOIN latest USING ({keys}, {kind.time})"
    if not kind.counter:
        return select
    return f"{select} QUALIFY rank() OVER (PARTITION BY {keys} ORDER BY {kind.counter} DESC) = 1"


def select_in(
    kind: Kind, flavour: str, files: Sequence[str], tails: Sequence[str], which: str
) -> str:
    """Select rows as the views do, of files of partitions and of followed rows, by their paths."""
    return _select(kind, flavour, listed(list(files)), listed(list(tails)) if tails else "", which)


def _select(kind: Kind, flavour: str, files: str, tail: str, which: str = "") -> str:
    """Select the rows of lists of files: of partitions, and followed ones where *which* is true."""
    names = [key for key in ("market", "symbol", "interval") if key in hive_keys(kind)]
    shown = [_shown(kind, column, flavour) for column in kind.kept]
    shown += [f"{kind.void} AS {VOID_COLUMN}"] if kind.void else []
    columns = ", ".join([*names, *shown, _SHOWN_SOURCE])
    where = f" WHERE {which}" if which else ""
    select = f"SELECT {columns} FROM {_source(files, hive_keys(kind))}{where}"
    if tail:
        select += f" UNION ALL SELECT {columns} FROM {_source(tail, market_keys(kind))}{where}"
    return select


def _source(files: str, keys: Sequence[str]) -> str:
    """Return the SQL of the rows in *files*, SQL of a list, with the folders' *keys* as columns.

    The symbol of followed rows is a column of their files.
    """
    types = ", ".join(f"{key}: VARCHAR" for key in keys)
    return f"read_parquet({files}, hive_partitioning=true, hive_types={{{types}}})"


def _shown(kind: Kind, column: Column | Derived, flavour: str) -> str:
    """Return a column of a view. The price of a trade that was taken back is NULL, not 0.

    Adding zero keeps DuckDB 1.5 from comparing the file's decimals with a constant rounded to
    theirs: `volume < 0.123456784` found no row of 0.12345678.
    """
    if _shown_type(column, flavour) == "DOUBLE":
        value = f"{column.name} + 0::DOUBLE"
        if column.name in kind.priced:
            value = f"CASE WHEN NOT ({kind.void}) THEN {value} END"
        return f"{value} AS {column.name}"
    return column.name
