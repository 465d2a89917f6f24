"""The SQL of the views, macros and tables that a generation has."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool import vendor
from fullpool.grid import bars
from fullpool.kinds import BY_MONTH_ONLY, HIVE_KEYS, KINDS, Column, Derived, Kind, Type
from fullpool.model import Cadence, Interval, PartitionFile
from fullpool.store.catalogue.universe import instrument_statements
from fullpool.store.duck import quoted
from fullpool.store.partitions.csv_rows import ARCHIVE, DAILY, EXACT_WIDE, SOURCE_COLUMN, sql_type
from fullpool.store.state.tables import MISSING

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


def hive_keys(kind: Kind) -> tuple[str, ...]:
    """Return the columns that come from the folders' names."""
    return tuple(key for key in HIVE_KEYS if kind.intervals or key != "interval")


def skeleton_path(kind: Kind, flavour: str) -> str:
    folders = "/".join(f"{key}=_" for key in hive_keys(kind))
    return f".catalogue/skeleton/{kind.table}/{folders}/{flavour}.parquet"


def skeleton_select(kind: Kind, flavour: str) -> str:
    """Select no rows of the types that a view of that flavour shows."""
    columns = (f"NULL::{_shown_type(column, flavour)} AS {column.name}" for column in kind.kept)
    return f"SELECT {', '.join(columns)}, NULL::VARCHAR AS {SOURCE_COLUMN} LIMIT 0"


def _shown_type(column: Column | Derived, flavour: str) -> str:
    if flavour == DOUBLES and column.type in _DECIMALS:
        return "DOUBLE"
    return sql_type(column.type, EXACT_WIDE)


def rooted(root: Path, path: str) -> str:
    """Return the SQL of a path that still works when the lake is moved: SET VARIABLE lake_root."""
    return f"coalesce(getvariable('lake_root'), {quoted(root)}) || {quoted('/' + path)}"


def _rooted_list(root: Path, paths: str) -> str:
    """Return the SQL of a list of paths. *paths* is SQL of a text like `@/a.parquet|@/b.parquet`.

    One text that is split plans ten times as fast as a list of as many expressions. Neither sign
    can stand in a path of ours.
    """
    prefix = f"coalesce(getvariable('lake_root'), {quoted(root)})"
    return f"string_split(replace({paths}, '@', {prefix}), '|')"


def _text(paths: Iterable[str]) -> str:
    return "|".join(f"@/{path}" for path in paths)


def kind_statements(kind: Kind, files: Sequence[PartitionFile], root: Path) -> Iterator[str]:
    """Yield what creates the views and macros of one kind over its current files."""
    for flavour in FLAVOURS:
        yield _view(kind.table + _SUFFIX[flavour], kind, flavour, files, root)
        yield _macro(kind, flavour, files, root)
    by_interval: dict[str, list[PartitionFile]] = defaultdict(list)
    for file in files:
        if file.partition.series.interval:
            by_interval[file.partition.series.interval].append(file)
    for interval, own in sorted(by_interval.items()):
        yield _view(f"{kind.table}_{interval}", kind, DOUBLES, own, root)


def _view(name: str, kind: Kind, flavour: str, files: Sequence[PartitionFile], root: Path) -> str:
    paths = quoted(_text([skeleton_path(kind, flavour), *(file.path for file in files)]))
    return f"CREATE VIEW {name} AS {_select(kind, flavour, _rooted_list(root, paths))}"


def _select(kind: Kind, flavour: str, source: str) -> str:
    names = [key for key in ("market", "symbol", "interval") if key in hive_keys(kind)]
    shown = [_shown(kind, column, flavour) for column in kind.kept]
    shown += [f"{kind.void} AS {VOID_COLUMN}"] if kind.void else []
    columns = [*names, *shown, _SHOWN_SOURCE]
    types = ", ".join(f"{key}: VARCHAR" for key in hive_keys(kind))
    return (
        f"SELECT {', '.join(columns)} FROM read_parquet({source}, hive_partitioning=true,"
        f" hive_types={{{types}}})"
    )


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


def _macro(kind: Kind, flavour: str, files: Sequence[PartitionFile], root: Path) -> str:
    """Return a table macro that knows the files of each series, so that it opens no others.

    A series that is not there has no rows.
    """
    by_series: dict[str, list[str]] = defaultdict(list)
    for file in files:
        series = file.partition.series
        parts = (series.market, series.interval or "", series.symbol)
        by_series["/".join(part for part in parts if part)].append(file.path)
    keys = ", ".join(map(quoted, (*by_series, "-")))
    lists = ", ".join(map(quoted, (*("|" + _text(paths) for paths in by_series.values()), "")))
    wanted = "market_ || '/' || " + ("interval_ || '/' || " if kind.intervals else "") + "symbol_"
    found = f"list_extract(map_extract(map([{keys}], [{lists}]), {wanted}), 1)"
    paths = f"{quoted(_text([skeleton_path(kind, flavour)]))} || coalesce({found}, '')"
    parameters = f"symbol_, market_ := {quoted(kind.default_market)}"
    parameters += ", interval_ := '1m'" if kind.intervals else ""
    name = f"{kind.table}_of{_SUFFIX[flavour]}"
    select = _select(kind, flavour, _rooted_list(root, paths))
    return f"CREATE MACRO {name}({parameters}) AS TABLE {select}"


def sync_statements(now: datetime) -> Iterator[str]:
    """Yield what creates the tables that describe the lake.

    They are tables, not views: DuckDB 1.1 finds no table behind a view once the catalogue is
    attached under another name.
    """
    series = "market, kind, symbol, interval"
    yield (
        f"CREATE TABLE sync.files AS SELECT path, {series}, period, generation, row_count,"
        " size_bytes, first_time, last_time, written_at"
        " FROM sync.partitions ORDER BY path"
    )
    yield (
        f"CREATE TABLE sync.patched AS SELECT {series}, runs.first_time, runs.last_time,"
        " runs.row_count, path FROM state.sync.runs"
        " JOIN sync.partitions USING (path) ORDER BY ALL"
    )
    yield _coverage(series, now)
    yield (
        f"CREATE TABLE sync.missing AS SELECT {series}, period, period_start, period_end, status,"
        f" reason, checksum, attempts, tried_at, next_try_at FROM {MISSING} ORDER BY ALL"
    )
    yield "CREATE TABLE sync.open_gaps AS FROM sync.gaps WHERE status = 'open'"
    yield (
        f"CREATE TABLE sync.freshness AS SELECT {series}, max(last_time) AS last_time,"
        f" date_diff('second', max({_end_of('last_time')}), TIMESTAMP '{now}') AS lag_s"
        " FROM sync.partitions GROUP BY ALL ORDER BY lag_s DESC"
    )
    yield from instrument_statements()
    yield (
        f"CREATE TABLE sync.published AS SELECT TIMESTAMP '{now}' AS published_at,"
        f" {FORMAT} AS format"
    )


# Tables of the state that a generation has a copy of.
TABLES: Final = (
    "archives", "partitions", "listings", "symbols", "passes", "generations", "gaps", "expected",
    "conflicts", "rest_bans", "wanted", "config_edits", "revisions",
    "retired", "holes", "compared", "instruments", "instrument_lists",
)  # fmt: skip
# Counts up when the tables or views change: then the lake is published again.
FORMAT: Final = 9


def is_by_month(table: str = "") -> str:
    """Return the SQL of whether a series is published by month alone; *table* is an alias."""
    intervals = ", ".join(map(quoted, sorted(BY_MONTH_ONLY)))
    kinds = ", ".join(quoted(k.name) for k in KINDS.values() if Cadence.DAY not in k.cadences)
    # An interval that is none makes the whole NULL, not false.
    return f"(coalesce({table}interval, '') IN ({intervals}) OR {table}kind IN ({kinds}))"


def _uneven() -> str:
    """Return the SQL of the kinds whose rows are not equally far from each other."""
    kinds = (k for k in KINDS.values() if not k.intervals and (k.step is None or k.spacing))
    return ", ".join(quoted(kind.name) for kind in kinds)


def _days(cadence: Cadence) -> str:
    return f"INTERVAL {vendor.STOPPED_AFTER[cadence].days} DAY"


# Of a wanted series w, listed as l: archives of it are still to come. Those whose last one is long
# ago no longer trade, and more than the configuration's end is not wanted: their lag says nothing.
TRADING: Final = (
    "w.wanted_to > l.known_until"
    f" AND l.known_until >= l.listed_at - CASE WHEN {is_by_month('w.')}"
    f" THEN {_days(Cadence.MONTH)} ELSE {_days(Cadence.DAY)} END"
    " AND NOT EXISTS (SELECT 1 FROM sync.gaps AS g WHERE g.explanation = 'delisted'"
    " AND g.market = w.market AND g.kind = w.kind AND g.symbol = w.symbol"
    " AND g.interval IS NOT DISTINCT FROM w.interval AND g.gap_end >= l.known_until)"
)


def _end_of(opened: str) -> str:
    """Return the SQL of when the bar ends that opened then; of a trade its own time."""
    lengths = " ".join(
        f"WHEN {quoted(interval)} THEN INTERVAL "
        + (f"{step.total_seconds():.0f} SECOND" if (step := bars(interval).step) else "1 MONTH")
        for interval in Interval
    )
    return f"{opened} + CASE interval {lengths} ELSE INTERVAL 0 SECOND END"


def rows_inside() -> str:
    """Return the SQL of how many rows of a run from REST lie in what is expected.

    Bars are equally far from each other, months of the calendar. Of what is uneven, such as
    trades, all are expected.
    """
    before = (
        "least(greatest(CASE n.interval WHEN '1mo' THEN date_diff('month', n.first_time, {0})"
        " + (date_trunc('month', {0}) < {0})::INTEGER"
        " ELSE ceil((n.row_count - 1) * (date_diff('us', n.first_time, {0})"
        " / date_diff('us', n.first_time, n.last_time)::DOUBLE) - 0.1) END, 0), n.row_count)"
    )
    return (
        f"CASE WHEN n.kind IN ({_uneven()}) OR e.expected_from IS NULL THEN n.row_count"
        " WHEN n.row_count = 1 THEN"
        " (n.first_time >= e.expected_from AND n.first_time < e.expected_until)::INTEGER"
        f" ELSE greatest(0, {before.format('e.expected_until')}"
        f" - {before.format('e.expected_from')}) END"
    )


def _coverage(series: str, now: datetime) -> str:
    """Return what creates one row a series: what should be there, and what became of it."""
    own = ", ".join(f"n.{name}" for name in series.split(", "))
    return (
        f"CREATE TABLE sync.coverage AS WITH held AS (SELECT {series},"
        " min(first_time) AS first_time, max(last_time) AS last_time,"
        " sum(row_count)::BIGINT AS row_count, count(*) AS files,"
        " sum(size_bytes)::BIGINT AS size_bytes,"
        f" date_diff('second', max({_end_of('last_time')}), TIMESTAMP '{now}') AS lag_s"
        " FROM sync.partitions GROUP BY ALL),"
        f" patched AS (SELECT {own},"
        f" sum(if(n.kind IN ({_uneven()}) AND e.part > 1, 0, {rows_inside()}))::BIGINT"
        " AS patched_rows FROM sync.patched AS n"
        f" LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY {series} ORDER BY expected_from)"
        f" AS part FROM sync.expected) AS e ON {_same('e')} GROUP BY ALL),"
        f" expected AS (SELECT {series}, min(expected_from) AS expected_from,"
        " max(expected_until) AS expected_until, sum(row_count)::BIGINT AS row_count"
        " FROM sync.expected GROUP BY ALL),"
        f" missing_rows AS (SELECT {series},"
        " coalesce(sum(row_count) FILTER (status = 'explained'), 0)::BIGINT AS explained_rows,"
        " coalesce(sum(row_count) FILTER (status = 'open'), 0)::BIGINT AS open_rows"
        " FROM sync.gaps GROUP BY ALL)"
        f" SELECT {own},"
        " first_time, last_time, coalesce(held.row_count, 0) AS row_count,"
        " coalesce(files, 0) AS files, coalesce(size_bytes, 0) AS size_bytes, lag_s,"
        " expected_from, expected_until, expected.row_count AS expected_rows,"
        " coalesce(expected.row_count - coalesce(patched_rows, 0) - coalesce(explained_rows, 0)"
        " - coalesce(open_rows, 0), held.row_count - coalesce(patched_rows, 0), 0)"
        " AS present_rows,"
        " coalesce(patched_rows, 0) AS patched_rows,"
        " coalesce(explained_rows, 0) AS explained_rows, coalesce(open_rows, 0) AS open_rows,"
        " w.symbol IS NOT NULL AS is_wanted,"
        f" coalesce({TRADING}, false) AS is_trading"
        f" FROM (SELECT {series} FROM held UNION SELECT {series} FROM sync.expected) AS n"
        f" LEFT JOIN held ON {_same('held')} LEFT JOIN expected ON"
        f" {_same('expected')} LEFT JOIN missing_rows ON {_same('missing_rows')}"
        f" LEFT JOIN patched ON {_same('patched')}"
        f" LEFT JOIN sync.wanted AS w ON {_same('w')}"
        f" LEFT JOIN sync.listings AS l ON {_same('l')} ORDER BY ALL"
    )


def _same(table: str) -> str:
    """Return the condition that a row of *table* is of the series n; trades have no interval."""
    names = ("market", "kind", "symbol", "interval")
    return " AND ".join(f"{table}.{name} IS NOT DISTINCT FROM n.{name}" for name in names)
