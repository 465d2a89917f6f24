"""Prints the lake's status: what it holds, how fresh that is, and what needs attention."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from fullpool.app import clock
from fullpool.app.configuration import tree_of
from fullpool.app.remarks import behind, remarks_by, without_rows
from fullpool.app.service.progress import counted
from fullpool.app.service.status_file import DaemonStatus, status_of
from fullpool.cli import map_report, report, screen
from fullpool.config import Config
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import Reader, reading
from fullpool.store.catalogue.sync_tables import is_by_month
from fullpool.store.remote_record import words_of
from fullpool.store.state.tables import series_in
from fullpool.store.tree import Tree
from fullpool.unknown import and_more

_MB: Final = 1_000_000
_SHOWN: Final = 10
_NAMED: Final = 3
# A daily archive is there ten hours after its day by the latest, most of the time; one of a month
# some days after that.
_LATE_H: Final = f"if({is_by_month('c.')}, 40 * 24, 48)"
_UNITS: Final = ("", "k", "M", "G", "T")

# Of a series c of the coverage, with when that was published: seconds since its last row ended,
# and how many of its archives are missing.
_LAG_S: Final = "(c.lag_s + date_diff('second', published_at, now() AT TIME ZONE 'UTC'))"
_OWN_MISSING: Final = """
    (SELECT count(*) FROM sync.missing AS m
     WHERE m.market = c.market AND m.kind = c.kind AND m.symbol = c.symbol
       AND m.interval IS NOT DISTINCT FROM c.interval{0})"""

_SERIES_SQL: Final = f"""
    SELECT c.market, c.kind, c.symbol, c.interval, c.first_time, c.last_time,
           c.row_count AS rows, c.expected_rows AS expected, c.present_rows AS present,
           c.patched_rows AS patched,
           c.explained_rows AS explained, c.open_rows AS open, c.is_wanted AS configured, c.files,
           round(c.size_bytes / 1e6, 1) AS mb,
           round({_LAG_S} / 3600, 1) AS lag_h, {_OWN_MISSING.format("")} AS missing_archives
    FROM sync.coverage AS c, sync.published WHERE $1 = '' OR c.symbol = $1 ORDER BY ALL"""

# Of series that ended, or that nobody wants, the lag says nothing.
_KINDS_SQL: Final = f"""
    SELECT concat_ws('/', c.market, c.kind, nullif(c.interval, '')), count(*),
           sum(c.row_count)::BIGINT,
           max({_LAG_S}) FILTER (c.is_trading) / 3600,
           sum(c.present_rows)::BIGINT, sum(c.patched_rows)::BIGINT, sum(c.explained_rows)::BIGINT,
           sum(c.open_rows)::BIGINT AS open
    FROM sync.coverage AS c, sync.published GROUP BY 1 ORDER BY open > 0 DESC, 1"""
_NAMES: Final = ("series", "rows", "lag h", "present", "patched", "explained", "open")

_HAS_FAILED: Final = " AND m.status IN ('failed', 'quarantined')"
_ATTENTION_SQL: Final = f"""
    SELECT name, missing_archives, open_rows, if(is_late, lag_h, NULL) FROM (
      SELECT *, is_trading AND lag_h > late_h AS is_late FROM (
        SELECT concat_ws('/', c.market, c.kind, c.symbol, nullif(c.interval, '')) AS name,
               c.open_rows, c.is_trading, {_LATE_H} AS late_h,
               {_LAG_S} / 3600 AS lag_h, {_OWN_MISSING.format(_HAS_FAILED)} AS missing_archives
        FROM sync.coverage AS c, sync.published WHERE c.is_wanted))
    WHERE missing_archives > 0 OR open_rows > 0 OR is_late
    ORDER BY missing_archives DESC, open_rows DESC, lag_h DESC, name"""

_MISSING_SQL: Final = """
    SELECT status, reason, count(*) AS archives, min(period) AS first, max(period) AS last
    FROM sync.missing WHERE $1 = '' OR symbol = $1 GROUP BY ALL ORDER BY archives DESC LIMIT 20"""

_LEFT_SQL: Final = """
    SELECT market, kind, symbol, interval FROM sync.coverage WHERE NOT is_wanted ORDER BY ALL"""

_REPLACED_SQL: Final = """
    SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::BIGINT AS bytes FROM internal.retired"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be shown: a line for each kind, or each series, of one *symbol* if given.

    As a map, the months of each series.
    """

    is_json: bool
    is_by_series: bool
    symbol: str
    is_map: bool = False


def show(settings: Config, shown: Shown) -> None:
    """Print the status of the daemon and of the lake. Raises NoLakeError."""
    tree = tree_of(settings)
    of_daemon = status_of(tree)
    daemon(of_daemon, shown)
    if not shown.is_json:
        _remote(settings, tree)
    with reading(tree) as reader:
        report.require_symbol(reader, shown.symbol)
        remarks = remarks_by(reader, settings)
        if of_daemon:  # without a daemon bars are followed as often as somebody runs a sync
            remarks = [*behind(reader, settings, clock.now()), *remarks]
        status(reader, tree, of_daemon, remarks, shown)
        if not shown.is_json:
            _left(reader, settings)


def daemon(status: DaemonStatus | None, shown: Shown) -> None:
    """Print what the daemon is doing; as JSON it is part of the status."""
    if shown.is_json:
        return
    if status is None:
        sys.stdout.write("no daemon is running\n")
        return
    sys.stdout.write(f"daemon (process {status.pid}): {status.status}\n")
    for problem in status.config_problems:
        sys.stdout.write(f"  refused: {problem}\n")


def _remote(settings: Config, tree: Tree) -> None:
    """Print how far the copy in object storage is."""
    if settings.publish.to:
        to = settings.publish.to
        known = remote_record.read_for(tree, to)
        sys.stdout.write(f"{to}: {words_of(known, tree.published())}\n")


def status(
    reader: Reader, tree: Tree, of_daemon: DaemonStatus | None, of_symbols: Sequence[str],
    shown: Shown,
) -> None:  # fmt: skip
    """Print coverage, freshness, what is missing and the last pass."""
    if shown.is_json:
        _as_json(reader, tree, of_daemon, of_symbols, shown)
        return
    published = reader.query("SELECT published_at FROM sync.published").rows[0][0]
    title = f"{tree.root}, published {published:%Y-%m-%d %H:%M:%S} UTC"
    if shown.is_map:
        sys.stdout.write(f"{title}\n")
        map_report.show(reader, shown.symbol)
    elif shown.is_by_series or shown.symbol:
        series = reader.query(_SERIES_SQL, [shown.symbol])
        screen.show_table(title, series.columns, series.rows)
    else:
        _kinds(title, reader)
        _attention(reader)
    _replaced(reader)
    missing = reader.query(_MISSING_SQL, [shown.symbol])
    if missing.rows:
        screen.show_table("missing archives", missing.columns, missing.rows)
    report.remarks(of_symbols)


def _as_json(
    reader: Reader, tree: Tree, of_daemon: DaemonStatus | None, of_symbols: Sequence[str],
    shown: Shown,
) -> None:  # fmt: skip
    last = reader.query("SELECT * FROM sync.passes ORDER BY id DESC LIMIT 1")
    (replaced,) = reader.query(_REPLACED_SQL).as_dicts()
    screen.show_json(
        {
            "lake": str(tree.root),
            "daemon": asdict(of_daemon) if of_daemon else None,
            "published_at": reader.query("SELECT published_at FROM sync.published").rows[0][0],
            "series": reader.query(_SERIES_SQL, [shown.symbol]).as_dicts(),
            "missing": reader.query(_MISSING_SQL, [shown.symbol]).as_dicts(),
            "last_pass": last.as_dicts(),
            "replaced": replaced,
            "remote": asdict(remote) if (remote := remote_record.read(tree)) else None,
            "remarks": of_symbols,
        }
    )


def _kinds(title: str, reader: Reader) -> None:
    """Print a line for each market, kind and interval."""
    rows = [
        (name, short(series), short(held), "" if lag is None else f"{lag:,.1f}", *map(short, rest))
        for name, series, held, lag, *rest in reader.query(_KINDS_SQL).rows
    ]
    screen.show_lines(title, ("", *_NAMES), rows)


def short(number: float) -> str:
    """Return a count in at most five characters: 9,999, then 10.0k, 2.46G."""
    if number < 10_000:
        return f"{number:,}"
    power = 0
    while number >= 999.5 and power < len(_UNITS) - 1:
        number, power = number / 1000, power + 1
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}{_UNITS[power]}"


def _attention(reader: Reader) -> None:
    """Print the series that miss something, or are late; the worst first."""
    rows = reader.query(_ATTENTION_SQL).rows
    named = {row[0] for row in rows}
    empty = [name for name in without_rows(reader) if name not in named]
    if not (rows or empty):
        return
    sys.stdout.write("needs attention:\n")
    if empty:
        sys.stdout.write(f"  no rows yet: {_few(empty)}\n")
    for name, *told in rows[:_SHOWN]:
        sys.stdout.write(f"  {name}: {', '.join(_told(*told))}\n")
    if len(rows) > _SHOWN:
        sys.stdout.write(f"  and {len(rows) - _SHOWN:,} more series: `fullpool status --series`\n")


def _few(names: Sequence[str]) -> str:
    """Return some names, and how many more there are."""
    return and_more(names, names[:_NAMED])


def _told(missing: int, open_rows: int, lag_h: float | None) -> Iterator[str]:
    if missing:
        yield f"{counted(missing, 'archive')} failed"
    if open_rows:
        yield f"{counted(open_rows, 'row')} missing"
    if lag_h is not None:
        yield f"{lag_h:,.0f} h behind"


def _replaced(reader: Reader) -> None:
    """Print what is kept though nobody asks for it any more: replaced files, and old series."""
    (replaced,) = reader.query(_REPLACED_SQL).as_dicts()
    if replaced["files"]:
        size = f"{replaced['bytes'] / _MB:,.1f} MB"
        sys.stdout.write(
            f"replaced files: {replaced['files']:,}, {size}, deleted after lake.retain_hours\n"
        )


def _left(reader: Reader, settings: Config) -> None:
    """Print the series that are kept although nobody asks for them any more."""
    found = map(series_in, reader.query(_LEFT_SQL).rows)
    left = [str(series) for series in found if not settings.wants(series)]
    if left:
        sys.stdout.write(f"no longer configured, kept until `fullpool forget`: {_few(left)}\n")
