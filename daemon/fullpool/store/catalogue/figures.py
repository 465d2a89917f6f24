"""Counts of the state, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import duckdb

from fullpool import vendor
from fullpool.following import LastRow
from fullpool.model import Series
from fullpool.store import duck
from fullpool.store.catalogue.sync_tables import (
    HELD,
    IS_TRADING,
    TRADING,
    end_of,
    is_by_month,
)
from fullpool.store.catalogue.universe import is_traded
from fullpool.store.duck import quoted
from fullpool.store.state.gap_rows import MISSING_ROWS, WANTED_GAPS
from fullpool.store.state.tables import at_utc, naive, series_in


@dataclass(frozen=True, slots=True)
class Freshness:
    """Of the wanted series of one market, kind and interval that still trade: how fresh they are.

    *newest* is the last row of the series that is the least up to date; *empty* have no rows yet.
    """

    market: str
    kind: str
    interval: str
    series: int
    empty: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The last pass of one command: when it ended, and whether nothing was left to do."""

    command: str
    at: datetime
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of one moment.

    *gap_rows* counts missing rows by what is known of them, from when trading began on.
    """

    freshness: tuple[Freshness, ...]
    archives: Mapping[str, int]
    open_gaps: int
    gap_rows: Mapping[str, int]
    rows: int
    files: int
    size_bytes: int
    generation: int
    passes: tuple[Ended, ...]
    edits_refused: int
    bans: Mapping[str, datetime]


def figures_of(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Return the numbers of the state as it is now."""

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    with duck.map_errors("counting what the state holds"):
        files, held, size_bytes = rows(
            "SELECT coalesce(sum(files), 0)::BIGINT, coalesce(sum(row_count), 0)::BIGINT,"
            f" coalesce(sum(size_bytes), 0)::BIGINT FROM ({HELD})"
        )[0]
        return Figures(
            freshness=tuple(Freshness(*_utc(row)) for row in rows(_FRESHNESS)),
            archives=_counts(rows("SELECT status, count(*) FROM sync.archives GROUP BY ALL")),
            open_gaps=_number(rows(f"SELECT count(*) FROM {WANTED_GAPS} AND status = 'open'")),
            gap_rows=_counts(rows(MISSING_ROWS)),
            rows=held,
            files=files,
            size_bytes=size_bytes,
            generation=_number(rows("SELECT coalesce(max(generation), 0) FROM sync.generations")),
            passes=tuple(Ended(*_utc(row)) for row in rows(_PASSES)),
            edits_refused=_number(
                rows("SELECT count(*) FROM sync.config_edits WHERE outcome = 'refused'")
            ),
            bans={host: at_utc(end) for host, end in rows(_BANS)},
        )


def trading(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[Series, LastRow | None]:
    """Return the wanted series that still trade, with the last row in partitions.

    And those that are new, or wanted from so short a time ago that no archive can be there.
    """
    with duck.map_errors("looking for what still trades"):
        found = connection.execute(_LAST_ROWS, {"now": naive(now)}).fetchall()
    return {series_in(row): LastRow(at_utc(row[4]), row[5]) if row[4] else None for row in found}


_SERIES: Final = ("market", "kind", "symbol", "interval")


def _wanted(join: str, last: str, held: str) -> str:
    """Return what selects wanted series w, *join* their listings l, with their *last* rows h."""
    return (
        f"FROM sync.wanted AS w {join} internal.listings AS l ON {_same('l')}"
        f" LEFT JOIN (SELECT {', '.join(_SERIES)}, {last} FROM {held}"
        f" GROUP BY ALL) AS h ON {_same('h')}"
    )


def _same(table: str) -> str:
    """Return the condition that a row of *table* is of the series w."""
    return " AND ".join(f"{table}.{name} = w.{name}" for name in _SERIES)


_LAST: Final = (
    f"max(last_time) AS last_time, max({end_of('last_time')}) FILTER (files = 0) AS followed_until"
)
_FRESHNESS: Final = (
    "SELECT w.market, w.kind, w.interval, count(*), count(*) FILTER (h.last_time IS NULL),"
    f" min(h.last_time) {_wanted('LEFT JOIN', _LAST, f'({HELD})')}"
    f" WHERE {IS_TRADING} GROUP BY ALL ORDER BY ALL"
)
_NEWEST: Final = "max(last_time) AS last_time, arg_max(last_key, (last_time, last_key)) AS last_key"
# A symbol that was listed, or first seen, or wanted from so short a time ago has no archive yet:
# those of whole months come by the second month's end. One that is followed goes on being that.
_NEW_FOR: Final = f"CASE WHEN {is_by_month('w.')} THEN INTERVAL 62 DAY ELSE INTERVAL 7 DAY END"
_LISTED: Final = (
    "coalesce(i.listed_at, (SELECT min(v.valid_from) FROM internal.instruments AS v"
    " WHERE v.market = i.market AND v.symbol = i.symbol))"
)
_IS_NEW: Final = (
    f"(l.known_until IS NULL AND {is_traded('w.')} AND EXISTS (SELECT 1 FROM internal.instruments"
    f" AS i WHERE i.valid_to IS NULL AND i.status = {quoted(vendor.TRADING)}"
    f" AND i.market = w.market AND i.symbol = w.symbol AND {_LISTED} <= $now"
    f" AND (greatest({_LISTED}, w.wanted_from) > $now - {_NEW_FOR}"
    f" OR EXISTS (SELECT 1 FROM sync.followed AS f WHERE {_same('f')}))))"
)
_LAST_ROWS: Final = (
    "SELECT w.market, w.kind, w.symbol, w.interval, h.last_time, h.last_key"
    f" {_wanted('JOIN', _NEWEST, 'internal.partitions')} WHERE ({TRADING} OR {_IS_NEW})"
    " AND w.wanted_from <= $now AND w.wanted_to > $now ORDER BY ALL"
)
_PASSES: Final = (
    "SELECT command, ended_at, outcome = 'complete' FROM sync.passes WHERE ended_at IS NOT NULL"
    " QUALIFY row_number() OVER (PARTITION BY command ORDER BY id DESC) = 1 ORDER BY command"
)


_BANS: Final = "SELECT host, max(banned_until) FROM sync.rest_bans GROUP BY host ORDER BY host"


def _utc(row: tuple[Any, ...]) -> list[Any]:
    return [at_utc(value) if isinstance(value, datetime) else value for value in row]


def _counts(rows: list[tuple[Any, ...]]) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows}


def _number(rows: list[tuple[Any, ...]]) -> int:
    return int(rows[0][0])
