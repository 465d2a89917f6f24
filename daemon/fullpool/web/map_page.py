"""The page of the coverage map, and its table for those who cannot see it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.overview.coverage_map import (
    Columns,
    CoverageMap,
    MapRow,
    Unit,
    all_months,
    cells_of,
    coverage_map,
)
from fullpool.overview.states import STATES
from fullpool.store.catalogue.reader import is_number
from fullpool.web.series_name import SeriesName
from fullpool.web.series_page import require_known
from fullpool.web.site import MOST_SERIES, Site

_MONTH: Final = re.compile(r"(19[7-9]\d|2[01]\d\d)-(0[1-9]|1[0-2])", re.ASCII)
_TABLE_ROWS: Final = 100
SORTS: Final = {
    "name": "name",
    "missing": "rows missing",
    "explained": "rows explained",
    "lag": "lag",
    "rows": "rows",
}
_TOTALS: Final = """
    SELECT sum(row_count)::BIGINT AS rows, sum(expected_rows)::BIGINT AS expected_rows,
      (SELECT sum(row_count)::BIGINT FROM sync.followed) AS followed_rows,
      count(*) FILTER (expected_rows IS NULL) AS unchecked_series, sum(size_bytes)::BIGINT AS bytes,
      sum(patched_rows)::BIGINT AS patched_rows, sum(explained_rows)::BIGINT AS explained_rows,
      sum(open_rows)::BIGINT AS open_rows,
      max(lag_s) FILTER (is_trading) + date_diff('second', any_value(published_at), ?::TIMESTAMP)
        AS lag_s
    FROM sync.coverage, sync.published"""

_GAPS: Final = """
    SELECT gap_start, gap_end, status, explanation, row_count FROM sync.gaps WHERE {where}
    ORDER BY row_count DESC LIMIT 1000"""


def columns_of(site: Site, as_of: str, month: str) -> Columns:
    """Return all months, or the days of one. Raises UsageError."""
    if not month:
        return all_months(site.session(as_of))
    matched = _MONTH.fullmatch(month)
    if not matched:
        raise UsageError(f"reading the month {month!r}: it is none", hint="write 2024-03")
    year, number = int(matched[1]), int(matched[2])
    following = datetime(year + number // 12, number % 12 + 1, 1)  # noqa: DTZ001 - UTC
    first = datetime(year, number, 1)  # noqa: DTZ001 - UTC
    return Columns(Unit.DAY, first, (following - first).days)


def page(site: Site, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page of the map shows."""
    as_of, month = asked.get("as_of", ""), asked.get("month", "")
    head = site.head(as_of)
    found = _map(site, head, month)
    rows = [_behind(row, head) for row in _chosen(found.rows, asked)]
    until = (head["published_at"] if as_of else head["now"]).replace(tzinfo=None)
    (totals,) = site.session(as_of).query(_TOTALS, [until]).as_dicts()
    empty = sum(row.rows == 0 for row in found.rows)
    totals["accounted"] = accounted(totals["expected_rows"] or 0, totals["open_rows"] or 0)
    return {
        **head,
        "totals": {"series": len(found.rows), "empty_series": empty, **totals},
        "month": month,
        "query": asked.get("q", ""),
        "sort": asked.get("sort", "name"),
        "is_table": asked.get("view") == "table",
        "map": packed(found.columns, rows),
        "table": _table(rows, asked),
        "sorts": SORTS,
    }


def accounted(expected: int, missing: int) -> str:
    """Return what share of the expected rows is there or explained; 100 % only if none is open."""
    if not expected:
        return ""
    tenths = 1000 * (expected - missing) // expected
    return "100 %" if not missing else f"{min(tenths, 999) / 10:.1f} %"


def _map(site: Site, head: Mapping[str, Any], month: str) -> CoverageMap:
    as_of = head["as_of"]

    def make() -> CoverageMap:
        session = site.session(as_of).with_rows(MOST_SERIES)
        return coverage_map(session, columns_of(site, as_of, month))

    found: CoverageMap = site.kept("map", (as_of, month, head["published_at"]), make)
    return found


def _behind(row: MapRow, head: Mapping[str, Any]) -> MapRow:
    """Return a row whose lag is that of now; of a past generation that of its time."""
    if row.lag_s is None or head["as_of"]:
        return row
    since = (head["now"] - head["published_at"]).total_seconds()
    return replace(row, lag_s=row.lag_s + int(since))


def packed(columns: Columns, rows: list[MapRow]) -> dict[str, Any]:
    """Return a map as the script draws it: groups of rows, cells in runs."""
    grouped = groupby(rows, key=lambda row: row.group)
    groups = [{"name": name, "series": list(map(_packed, own))} for name, own in grouped]
    return {**asdict(columns), "states": [asdict(state) for state in STATES], "groups": groups}


def _packed(row: MapRow) -> list[Any]:
    counts = [row.rows, row.missing_rows, row.explained_rows, row.lag_s]
    return [row.symbol, *counts, row.is_checked, row.cells]


def _chosen(rows: tuple[MapRow, ...], asked: Mapping[str, str]) -> list[MapRow]:
    """Return the rows that are asked for, grouped, and sorted in their groups."""
    words = set(asked.get("q", "").lower().split())
    sort = asked.get("sort", "name")
    if sort not in SORTS:
        raise UsageError(f"sorting by {sort!r}: not possible", hint=f"by {', '.join(SORTS)}")
    found = [row for row in rows if all(map(row.name.lower().__contains__, words))]
    return sorted(found, key=lambda row: (row.group, _rank(row, sort), row.symbol))


def _rank(row: MapRow, sort: str) -> float:
    ranks = {
        "name": 0,
        "missing": -row.missing_rows,
        "explained": -row.explained_rows,
        "lag": -(row.lag_s or 0),
        "rows": -row.rows,
    }
    return ranks[sort]


def _table(rows: list[MapRow], asked: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of the table: a row a series, in the order of the map."""
    pages = max(1, -(-len(rows) // _TABLE_ROWS))
    text = asked.get("page", "1")
    number = min(max(int(text), 1), pages) if is_number(text) else 1
    shown = rows[(number - 1) * _TABLE_ROWS : number * _TABLE_ROWS]
    return {"page": number, "pages": pages, "count": len(rows), "rows": shown}


def cells(site: Site, query: Mapping[str, str], series: SeriesName) -> dict[str, Any]:
    """Return the cells of one series with their rows, for the numbers on hover."""
    as_of = query.get("as_of", "")
    columns = columns_of(site, as_of, query.get("month", ""))
    found = cells_of(site.session(as_of), columns, series.parts)
    if not found:  # none in this time, or no such series
        require_known(site.session(as_of), series)
    gaps = site.session(as_of).query(_GAPS.format(where=series.where)).as_dicts()
    return {"cells": [asdict(cell) for cell in found], "gaps": gaps}
