"""Prints the lake's status, gaps and revisions, and a checked configuration."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fullpool.app.service.status_file import DaemonStatus
from fullpool.cli import screen
from fullpool.config import Config
from fullpool.store.catalogue.reader import QueryResult, Reader
from fullpool.store.tree import Tree

if TYPE_CHECKING:
    from fullpool.app.symbols import Found

_MB: Final = 1_000_000
_SHOWN_GAPS: Final = 200
# A lake of more series is shown by kind, and those of them that most is to be told of.
_SHOWN_SERIES: Final = 40


def remarks(said: Iterable[str]) -> None:
    """Print what is to be said of the symbols that are asked for."""
    for one in said:
        sys.stdout.write(f"{one}\n")


_STATUS_SQL: Final = """
    SELECT c.market, c.kind, c.symbol, c.interval, c.first_time, c.last_time,
           c.row_count AS rows, c.expected_rows AS expected, c.present_rows AS present,
           c.patched_rows AS patched,
           c.explained_rows AS explained, c.open_rows AS open, c.is_wanted AS kept, c.files,
           round(c.size_bytes / 1e6, 1) AS mb,
           round((c.lag_s + date_diff('second', published_at, now() AT TIME ZONE 'UTC')) / 3600, 1)
           AS lag_h,
           (SELECT count(*) FROM sync.missing AS m
            WHERE m.market = c.market AND m.kind = c.kind AND m.symbol = c.symbol
              AND m.interval IS NOT DISTINCT FROM c.interval) AS missing_archives
    FROM sync.coverage AS c, sync.published ORDER BY ALL"""

_KINDS_SQL: Final = """
    SELECT c.market, c.kind, c.interval, count(*) AS series, min(c.first_time) AS first_time,
           max(c.last_time) AS last_time, sum(c.row_count)::BIGINT AS rows,
           sum(c.patched_rows)::BIGINT AS patched, sum(c.explained_rows)::BIGINT AS explained,
           sum(c.open_rows)::BIGINT AS open, sum(c.files)::BIGINT AS files,
           round(sum(c.size_bytes) / 1e6, 1) AS mb
    FROM sync.coverage AS c GROUP BY ALL ORDER BY ALL"""

_MISSING_SQL: Final = """
    SELECT status, reason, count(*) AS archives, min(period) AS first, max(period) AS last
    FROM sync.missing GROUP BY ALL ORDER BY archives DESC LIMIT 20"""

_REPLACED_SQL: Final = """
    SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::BIGINT AS bytes FROM sync.retired"""

_GAPS_SQL: Final = """
    SELECT market, kind, symbol, interval, gap_start, gap_end, row_count AS rows, status,
           explanation, reason, attempts, asked_at, next_try_at FROM sync.gaps
    WHERE ($1 = '' OR symbol = $1) AND ($2 = false OR status = 'open')
    ORDER BY ALL"""


def gaps(reader: Reader, *, symbol: str, is_open: bool, is_json: bool) -> None:
    """Print what rows are missing and why; with the evidence as JSON."""
    if is_json:
        sql = _GAPS_SQL.replace("attempts, ", "evidence, attempts, ")
        found = reader.query(sql, [symbol, is_open]).as_dicts()
        for gap in found:
            gap["evidence"] = json.loads(gap["evidence"] or "null")
        screen.show_json(found)
        return
    answer = reader.query(_GAPS_SQL, [symbol, is_open])
    if not answer.rows:
        sys.stdout.write("no gaps\n")
        return
    screen.show_table("", answer.columns, answer.rows[:_SHOWN_GAPS])
    if len(answer.rows) > _SHOWN_GAPS:
        more = len(answer.rows) - _SHOWN_GAPS
        sys.stdout.write(f"and {more:,} more: give --symbol, or query sync.gaps\n")


_REVISIONS_SQL: Final = """
    SELECT market, kind, symbol, interval, period, found_at, old_modified_at, new_modified_at,
           old_size_bytes, new_size_bytes, rows_added AS added, rows_removed AS removed,
           rows_changed AS changed, generation
    FROM sync.revisions WHERE ($1 = '' OR symbol = $1) ORDER BY found_at DESC, key"""


def revisions(reader: Reader, *, symbol: str, is_json: bool) -> None:
    """Print the archives that were republished, the latest first; with hashes as JSON."""
    if is_json:
        sql = _REVISIONS_SQL.replace("added,", "added, old_sha256, new_sha256, old_etag, new_etag,")
        screen.show_json(reader.query(sql, [symbol]).as_dicts())
        return
    answer = reader.query(_REVISIONS_SQL, [symbol])
    if not answer.rows:
        sys.stdout.write("the vendor republished no archive of this lake\n")
        return
    screen.show_table("", answer.columns, answer.rows)
    sys.stdout.write(
        "`fullpool sql --as-of N` with N below `generation` queries the lake before the change\n"
    )


def daemon(status: DaemonStatus | None, *, is_json: bool) -> None:
    """Print what the daemon is doing; as JSON it is part of the status."""
    if is_json:
        return
    if status is None:
        sys.stdout.write("no daemon is running\n")
        return
    sys.stdout.write(f"daemon (process {status.pid}): {status.status}\n")
    for problem in status.config_problems:
        sys.stdout.write(f"  refused: {problem}\n")


def status(
    reader: Reader, tree: Tree, of_daemon: DaemonStatus | None, of_symbols: Sequence[str],
    *, is_json: bool,
) -> None:  # fmt: skip
    """Print coverage, freshness, what is missing and the last pass."""
    series, missing = reader.query(_STATUS_SQL), reader.query(_MISSING_SQL)
    published = reader.query("SELECT published_at FROM sync.published").rows[0][0]
    (replaced,) = reader.query(_REPLACED_SQL).as_dicts()
    if is_json:
        last = reader.query("SELECT * FROM sync.passes ORDER BY id DESC LIMIT 1")
        screen.show_json(
            {
                "lake": str(tree.root),
                "daemon": asdict(of_daemon) if of_daemon else None,
                "published_at": published,
                "series": series.as_dicts(),
                "missing": missing.as_dicts(),
                "last_pass": last.as_dicts(),
                "replaced": replaced,
                "remarks": of_symbols,
            }
        )
        return
    _coverage(f"{tree.root}, published {published:%Y-%m-%d %H:%M:%S} UTC", reader, series)
    if replaced["files"]:
        size = f"{replaced['bytes'] / _MB:,.1f} MB"
        sys.stdout.write(
            f"replaced files: {replaced['files']:,}, {size}, deleted after lake.retain_hours\n"
        )
    left = sum(not row["kept"] for row in series.as_dicts())
    if left:
        sys.stdout.write(f"{left:,} series no longer configured; their data stays (kept: false)\n")
    if missing.rows:
        screen.show_table("missing archives", missing.columns, missing.rows)
    remarks(of_symbols)


def _coverage(title: str, reader: Reader, series: QueryResult) -> None:
    """Print what is held of each series; of many, of each kind, and what stands out."""
    if len(series.rows) <= _SHOWN_SERIES:
        screen.show_table(title, series.columns, series.rows)
        return
    kinds = reader.query(_KINDS_SQL)
    screen.show_table(title, kinds.columns, kinds.rows)
    told = {name: index for index, name in enumerate(series.columns)}
    weights = [told[name] for name in ("missing_archives", "open", "lag_h")]
    rows = sorted(series.rows, key=lambda row: [-(row[index] or 0) for index in weights])
    screen.show_table(
        f"{_SHOWN_SERIES} of {len(rows):,} series: those that miss or lag most"
        " (`fullpool sql 'FROM sync.coverage'` has all)",
        series.columns,
        rows[:_SHOWN_SERIES],
    )


def symbols(found: "Sequence[Found]", *, is_json: bool) -> None:
    """Print what the vendor has."""
    rows = [
        {
            "market": one.series.market,
            "kind": one.series.kind,
            "symbol": one.series.symbol,
            "status": one.status,
            "first_day": one.first_day,
            "last_day": one.last_day,
            "intervals": " ".join(one.intervals),
            "interval": one.series.interval,
            "archives": one.archives,
            "size_bytes": one.size_bytes,
        }
        for one in found
    ]
    if is_json:
        screen.show_json(rows)
        return
    empty = {name for name in rows[0] if not any(map(itemgetter(name), rows))}
    names = [name for name in rows[0] if name not in empty]
    screen.show_table("", names, list(map(itemgetter(*names), rows)))


def choices(parsed: Config) -> Iterator[str]:
    """Yield what is right as it is, and to be known."""
    if parsed.metrics.is_beyond:
        yield (
            f"metrics.listen: anyone who can reach {parsed.metrics.listen} can read the metrics"
            " (metrics.anyone)"
        )


def config(parsed: Config, file: Path, said: Sequence[str], *, is_json: bool) -> None:
    """Print what a configuration asks for, and what is to be said of that."""
    rows = [
        (
            dataset.market,
            dataset.kind,
            " ".join(dataset.symbols),
            " ".join(dataset.intervals),
            str(dataset.start or "listing"),
            str(dataset.end or "follows the market"),
        )
        for dataset in parsed.dataset
    ]
    names = ("market", "kind", "symbols", "intervals", "from", "to")
    if is_json:
        screen.show_json(
            {
                "file": str(file),
                "datasets": [dict(zip(names, row, strict=True)) for row in rows],
                "remarks": said,
            }
        )
        return
    screen.show_table(f"{file} is valid; the lake is {parsed.lake.path}", names, rows)
    remarks(said)
