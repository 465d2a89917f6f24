"""The SQL of the schemas `sync` and `internal`: the tables that describe the lake."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from fullpool import vendor
from fullpool.grid import bars
from fullpool.kinds import BY_MONTH_ONLY, KINDS
from fullpool.model import Cadence, Interval
from fullpool.store.catalogue.relations import Relation
from fullpool.store.catalogue.universe import INSTRUMENTS
from fullpool.store.duck import quoted
from fullpool.store.state.tables import MISSING, qualified, same_series

# That of a generation in `sync.generations`: its number, its time, whether it only follows.
Record = tuple[int, datetime, bool]


def copied(record: Record) -> Iterator[Relation]:
    """Yield the tables of the state as a generation has them, with its own *record* in them."""
    number, at, is_tail = record
    for table in TABLES:
        select = f"FROM state.{qualified(table)}"
        if table in _OF_SERIES:
            select = f"SELECT * REPLACE (nullif(interval, '') AS interval) {select}"
        elif table == "generations":
            select += f" UNION ALL SELECT {number}, TIMESTAMP '{at}', {is_tail}"
        yield Relation(qualified(table), select, is_of_symbols=table in _OF_SYMBOLS)


def files_of(partitions: str) -> str:
    """Return what creates `sync.files`, of the source that *partitions* are published in."""
    # No view finds a table: see `derived`.
    what = "TABLE" if partitions == "internal.partitions" else "VIEW"
    return (
        f"CREATE {what} sync.files AS SELECT path, market,"
        " kind, symbol, interval, period, generation, row_count, size_bytes, first_time,"
        f" last_time, written_at FROM {partitions}"
    )


def derived(now: datetime) -> Iterator[Relation]:
    """Yield what follows from the tables that are there, in the order in which it is to be made.

    DuckDB 1.1 finds no table behind a view once the catalogue is attached under another name.
    """
    series = "market, kind, symbol, interval"
    yield Relation(
        "sync.patched",
        f"SELECT {series}, runs.first_time, runs.last_time, runs.row_count, path"
        " FROM state.sync.runs JOIN internal.partitions USING (path) ORDER BY ALL",
    )
    yield Relation("sync.coverage", _coverage(series, now))
    yield Relation(
        "sync.missing",
        f"SELECT {series}, period, period_start, period_end, status, reason, checksum, attempts,"
        f" tried_at, if(status = 'failed', NULL, next_try_at) AS next_try_at"
        f" FROM {MISSING} ORDER BY ALL",
    )
    yield Relation("sync.open_gaps", "SELECT * FROM sync.gaps WHERE status = 'open'")
    yield Relation(
        "sync.freshness",
        f"SELECT {series}, max(last_time) AS last_time,"
        f" date_diff('second', max({end_of('last_time')}), TIMESTAMP '{now}') AS lag_s"
        f" FROM ({HELD}) GROUP BY ALL ORDER BY lag_s DESC",
    )
    yield Relation("instruments", INSTRUMENTS)


def published(now: datetime) -> str:
    """Return what creates `sync.published`, by which a generation is known."""
    columns = f"TIMESTAMP '{now}' AS published_at, {FORMAT} AS format"
    return f"CREATE VIEW sync.published AS SELECT {columns}"


# Tables of the state that a generation has a copy of.
TABLES: Final = (
    "archives", "partitions", "listings", "symbols", "passes", "generations", "gaps", "expected",
    "conflicts", "rest_bans", "wanted", "config_edits", "revisions",
    "retired", "holes", "compared", "instruments", "instrument_lists", "tail_files", "followed",
)  # fmt: skip
_OF_SERIES: Final = (
    "archives", "partitions", "listings", "gaps", "expected", "conflicts", "wanted", "revisions",
    "tail_files", "followed",
)  # fmt: skip
_OF_SYMBOLS: Final = (*_OF_SERIES[:-2], "followed", "symbols", "instruments")
# Counts up when the tables or views change: then the lake is published again.
FORMAT: Final = 14


# What is held of each series: in files, and of what is followed.
HELD: Final = (
    "SELECT market, kind, symbol, interval, first_time, last_time, row_count, size_bytes,"
    " 1 AS files FROM internal.partitions UNION ALL SELECT market, kind, symbol, interval,"
    " first_time, last_time, row_count, 0, 0 FROM sync.followed"
)


def is_by_month(table: str = "") -> str:
    """Return the SQL of whether a series is published by month alone; *table* is an alias."""
    intervals = ", ".join(map(quoted, sorted(BY_MONTH_ONLY)))
    kinds = ", ".join(quoted(k.name) for k in KINDS.values() if Cadence.DAY not in k.cadences)
    # An interval that is none makes the whole NULL, not false.
    return f"(coalesce({table}interval, '') IN ({intervals}) OR {table}kind IN ({kinds}))"


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


# The same; also of one that is followed and has no archive yet.
IS_TRADING: Final = f"coalesce({TRADING}, w.wanted_to > followed_until, false)"


def end_of(opened: str) -> str:
    """Return the SQL of when the bar ends that opened then; of a trade its own time."""
    lengths = " ".join(
        f"WHEN {quoted(interval)} THEN INTERVAL "
        + (f"{step.total_seconds():.0f} SECOND" if (step := bars(interval).step) else "1 MONTH")
        for interval in Interval
    )
    return f"{opened} + CASE interval {lengths} ELSE INTERVAL 0 SECOND END"


def rows_inside() -> str:
    """Return the SQL of how many rows of a run from REST lie in what is expected.

    They are taken to be equally far from each other, months as in the calendar.
    """
    before = (
        "least(greatest(CASE n.interval WHEN '1mo' THEN date_diff('month', n.first_time, {0})"
        " + (date_trunc('month', {0}) < {0})::INTEGER"
        " ELSE ceil((n.row_count - 1) * (date_diff('us', n.first_time, {0})"
        " / date_diff('us', n.first_time, n.last_time)::DOUBLE) - 0.1) END, 0), n.row_count)"
    )
    return (
        "CASE WHEN e.expected_from IS NULL THEN n.row_count WHEN n.row_count = 1 THEN"
        " (n.first_time >= e.expected_from AND n.first_time < e.expected_until)::INTEGER"
        f" ELSE greatest(0, {before.format('e.expected_until')}"
        f" - {before.format('e.expected_from')}) END"
    )


def _held(series: str, now: datetime) -> str:
    """Return the queries of what is held of each series, and of how much of that is expected."""
    return (
        f"held AS (SELECT {series},"
        " min(first_time) AS first_time, max(last_time) AS last_time,"
        " sum(row_count)::BIGINT AS row_count, sum(files)::BIGINT AS files,"
        " sum(size_bytes)::BIGINT AS size_bytes,"
        f" date_diff('second', max({end_of('last_time')}), TIMESTAMP '{now}') AS lag_s"
        f" FROM ({HELD}) GROUP BY ALL),"
        f" archived AS (SELECT {series}, max(period_end) AS archived_until FROM sync.archives"
        " WHERE status = 'present' GROUP BY ALL),"
        f" tails AS (SELECT {series}, max({end_of('last_time')}) AS followed_until"
        " FROM sync.followed GROUP BY ALL),"
        " cuts AS (SELECT path, sum(row_count) AS row_count, sum(patched_rows) AS patched_rows"
        " FROM state.internal.cuts GROUP BY path),"
        f" beside AS (SELECT path, 0 AS row_count, 0 AS patched_rows FROM internal.partitions AS p"
        f" JOIN internal.expected AS e ON {same_series('e', 'p')} GROUP BY path HAVING bool_and("
        "p.last_time < e.expected_from OR p.first_time >= coalesce(e.wanted_to, 'infinity'))),"
        f" inside AS (SELECT {series},"
        " sum(coalesce(cuts.row_count, beside.row_count, p.row_count))::BIGINT AS row_count,"
        " sum(coalesce(cuts.patched_rows, beside.patched_rows, p.patched_rows))::BIGINT"
        " AS patched_rows FROM internal.partitions AS p LEFT JOIN cuts USING (path)"
        " LEFT JOIN beside USING (path) GROUP BY ALL)"
    )


def _of_followed(own: str) -> str:
    """Return the query of how many followed rows are expected: of trades, with their archive."""
    return (
        f"followed AS (SELECT {own}, sum(if(first_id IS NULL, {rows_inside()}, 0))::BIGINT"
        " AS row_count FROM sync.followed AS n LEFT JOIN internal.expected AS e"
        f" ON {same_series('e', 'n')} GROUP BY ALL)"
    )


def _coverage(series: str, now: datetime) -> str:
    """Select one row a series: what should be there, and what became of it."""
    own = ", ".join(f"n.{name}" for name in series.split(", "))
    # Files that are lost since gaps were looked for had rows that are neither here nor in a gap.
    patched = "(coalesce(inside.patched_rows, 0) + coalesce(followed.row_count, 0))"
    archived = "(coalesce(inside.row_count, 0) - coalesce(inside.patched_rows, 0))"
    left = (
        f"(expected.row_count - {patched} - coalesce(explained_rows, 0) - coalesce(open_rows, 0))"
    )
    return (
        f"WITH {_held(series, now)}, {_of_followed(own)},"
        f" expected AS (SELECT {series}, min(expected_from) AS expected_from,"
        " max(expected_until) AS expected_until, sum(row_count)::BIGINT AS row_count"
        " FROM internal.expected GROUP BY ALL),"
        f" missing_rows AS (SELECT {series},"
        " coalesce(sum(row_count) FILTER (status = 'explained'), 0)::BIGINT AS explained_rows,"
        " coalesce(sum(row_count) FILTER (status = 'open'), 0)::BIGINT AS open_rows"
        " FROM sync.gaps GROUP BY ALL)"
        f" SELECT {own},"
        " first_time, last_time, coalesce(held.row_count, 0) AS row_count,"
        " coalesce(files, 0) AS files, coalesce(size_bytes, 0) AS size_bytes, lag_s,"
        " expected_from, expected_until, expected.row_count AS expected_rows,"
        f" greatest(coalesce(least({left}, {archived}), {archived}), 0) AS present_rows,"
        f" {patched} AS patched_rows,"
        " coalesce(explained_rows, 0) AS explained_rows,"
        f" coalesce(open_rows, 0) + coalesce(greatest({left} - {archived}, 0), 0) AS open_rows,"
        " w.symbol IS NOT NULL AS is_wanted,"
        f" {IS_TRADING} AS is_trading,"
        " archived_until, followed_until"
        f" FROM (SELECT {series} FROM held UNION SELECT {series} FROM internal.expected) AS n"
        f" LEFT JOIN held ON {same_series('held', 'n')}"
        f" LEFT JOIN expected ON {same_series('expected', 'n')}"
        f" LEFT JOIN missing_rows ON {same_series('missing_rows', 'n')}"
        f" LEFT JOIN followed ON {same_series('followed', 'n')}"
        f" LEFT JOIN archived ON {same_series('archived', 'n')}"
        f" LEFT JOIN tails ON {same_series('tails', 'n')}"
        f" LEFT JOIN inside ON {same_series('inside', 'n')}"
        f" LEFT JOIN sync.wanted AS w ON {same_series('w', 'n')}"
        f" LEFT JOIN internal.listings AS l ON {same_series('l', 'n')} ORDER BY ALL"
    )
