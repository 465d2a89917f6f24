"""Prints the lake's gaps and revisions, symbols, and a checked configuration."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fullpool.cli import screen
from fullpool.config import Config
from fullpool.config.spelling import nearest
from fullpool.errors import UsageError
from fullpool.store.catalogue.reader import Reader

if TYPE_CHECKING:
    from fullpool.app.symbols import Found

_SHOWN_GAPS: Final = 200


def remarks(said: Iterable[str]) -> None:
    """Print what is to be said of the symbols that are asked for."""
    for one in said:
        sys.stdout.write(f"{one}\n")


_GAPS_SQL: Final = """
    SELECT market, kind, symbol, interval, gap_start, gap_end, row_count AS rows, status,
           explanation, reason, attempts, asked_at, next_try_at FROM sync.gaps
    WHERE ($1 = '' OR symbol = $1) AND ($2 = false OR status = 'open')
    ORDER BY ALL"""


# Rows of files that were lost since gaps were last looked for: they are in no gap yet.
_LOST_SQL: Final = """
    SELECT coalesce(sum(greatest(c.open_rows - coalesce(g.row_count, 0), 0)), 0)::BIGINT
    FROM sync.coverage AS c LEFT JOIN (
        SELECT market, kind, symbol, interval, sum(row_count) AS row_count FROM sync.gaps
        WHERE status = 'open' GROUP BY ALL) AS g
      ON c.market = g.market AND c.kind = g.kind AND c.symbol = g.symbol
     AND c.interval IS NOT DISTINCT FROM g.interval
    WHERE c.is_wanted AND $1 IN ('', c.symbol)"""


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
    ((lost,),) = reader.query(_LOST_SQL, [symbol]).rows
    if lost:
        sys.stdout.write(
            f"{lost:,} more rows were in files that are lost:"
            " `fullpool sync` downloads them again\n"
        )
    if not answer.rows:
        sys.stdout.write(_no_gaps(reader, symbol, is_open=is_open))
        return
    screen.show_table("", answer.columns, answer.rows[:_SHOWN_GAPS])
    if len(answer.rows) > _SHOWN_GAPS:
        more = len(answer.rows) - _SHOWN_GAPS
        sys.stdout.write(f"and {more:,} more: give --symbol, or query sync.gaps\n")


def _no_gaps(reader: Reader, symbol: str, *, is_open: bool) -> str:
    """Return what is said where no gap is to be shown."""
    explained = len(reader.query(_GAPS_SQL, [symbol, False]).rows) if is_open else 0
    if explained:
        return f"no open gaps ({explained:,} explained: `fullpool gaps`)\n"
    return "no open gaps\n" if is_open else "no gaps\n"


def require_symbol(reader: Reader, symbol: str) -> None:
    """Raise UsageError for a symbol that the lake does not have; "" means all."""
    held = [str(name) for (name,) in reader.query(_SYMBOLS_SQL).rows]
    if symbol and symbol not in held:
        raise UsageError(
            f"looking for {symbol}: the lake knows no such symbol{nearest(symbol, held)}",
            hint="`fullpool status` shows what it has",
        )


_SYMBOLS_SQL: Final = """
    SELECT symbol FROM sync.coverage UNION SELECT symbol FROM sync.wanted
    UNION SELECT symbol FROM sync.archives UNION SELECT symbol FROM sync.revisions ORDER BY ALL"""
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
    follows = parsed.rest.enabled
    rows = [
        (
            dataset.market,
            dataset.kind,
            " ".join(dataset.symbols),
            " ".join(dataset.intervals),
            str(dataset.start or "listing"),
            str(dataset.end or ("now" if follows and dataset.follow else "newest archive")),
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
