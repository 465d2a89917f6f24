"""The page of one series: its gaps, archives and revisions, and the lines that read it."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from fullpool.overview.states import MEANINGS
from fullpool.store.catalogue.bounded import BoundedSession
from fullpool.web.series_name import SeriesName, UnknownSeriesError
from fullpool.web.site import Site

_SHOWN: Final = 100

_COVERAGE: Final = """
    SELECT c.*, lag_s + date_diff('second', published_at, ?::TIMESTAMP) AS lag_now_s
    FROM sync.coverage AS c, sync.published WHERE {where}"""
_GAPS: Final = """
    SELECT gap_start, gap_end, row_count, status, explanation, reason, evidence, found_at, asked_at,
      attempts, next_try_at
    FROM sync.gaps WHERE {where} ORDER BY status DESC, gap_start DESC LIMIT {limit}"""
_ARCHIVES: Final = """
    SELECT period, status, reason, checksum, etag, size_bytes, row_count, modified_at, tried_at,
      attempts, next_try_at
    FROM sync.archives WHERE {where}
    ORDER BY status IN ('present', 'expected'), period_start DESC LIMIT {limit}"""
_REVISIONS: Final = """
    SELECT period, found_at, old_etag, new_etag, old_size_bytes, new_size_bytes, old_modified_at,
      new_modified_at, rows_added, rows_removed, rows_changed, generation
    FROM sync.revisions WHERE {where} ORDER BY found_at DESC LIMIT {limit}"""
_CONFLICTS: Final = """
    SELECT row_time, column_name, kept_source, kept_value, other_source, other_value, found_at
    FROM sync.conflicts WHERE {where} ORDER BY row_time DESC LIMIT {limit}"""
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM sync.gaps WHERE {where}) AS gaps,
      (SELECT count(*) FROM sync.archives WHERE {where}) AS archives,
      (SELECT count(*) FROM sync.revisions WHERE {where}) AS revisions,
      (SELECT count(*) FROM sync.conflicts WHERE {where}) AS conflicts"""


def coverage_of(session: BoundedSession, series: SeriesName, now: Any) -> dict[str, Any]:
    """Return the coverage of a series; of one without rows yet only that. Raises UsageError."""
    answer = session.query(_COVERAGE.format(where=series.where), [now])
    if answer.rows:
        return answer.as_dicts()[0]
    require_known(session, series)
    numbers = ("row_count", "files", "size_bytes", "present_rows", "patched_rows",
               "explained_rows", "open_rows")  # fmt: skip
    empty = dict.fromkeys(answer.columns) | dict.fromkeys(numbers, 0)
    return empty | {"interval": series.interval or None, "is_wanted": True, "is_trading": True}


def require_known(session: BoundedSession, series: SeriesName) -> None:
    """Raise UsageError for a series that the lake neither has nor wants."""
    sql = f"""SELECT count(*) FROM (SELECT symbol FROM sync.coverage WHERE {series.where}
        UNION ALL SELECT symbol FROM sync.wanted WHERE {series.where})"""
    if session.query(sql).rows == [(0,)]:
        raise UnknownSeriesError(
            f"looking for the series {series.name}: it is not in the lake",
            hint="the coverage map lists what is",
        )


def page(site: Site, query: Mapping[str, str], series: SeriesName) -> dict[str, Any]:
    """Return what the page of a series shows. Raises UsageError, QueryError."""
    as_of = query.get("as_of", "")
    head, session = site.head(as_of), site.session(as_of)
    until = head["published_at"] if as_of else head["now"]

    def rows(sql: str) -> list[dict[str, Any]]:
        return session.query(sql.format(where=series.where, limit=_SHOWN)).as_dicts()

    return {
        **head,
        "series": dict(zip(("market", "kind", "symbol", "interval"), series.parts, strict=True)),
        "name": series.name,
        "coverage": coverage_of(session, series, until.replace(tzinfo=None)),
        "counts": rows(_COUNTS)[0],
        "gaps": [_told(gap) for gap in rows(_GAPS)],
        "archives": rows(_ARCHIVES),
        "revisions": rows(_REVISIONS),
        "conflicts": rows(_CONFLICTS),
        "shown": _SHOWN,
        "lines": _lines(series, head["lake"], str(head["generation"]) if as_of else ""),
    }


def _told(gap: dict[str, Any]) -> dict[str, Any]:
    """Return a gap with what its explanation means, and its evidence as an object."""
    meaning = MEANINGS.get(gap["explanation"] or "", "")
    try:
        return {**gap, "meaning": meaning, "evidence": json.loads(gap["evidence"] or "null")}
    except ValueError:
        return {**gap, "meaning": meaning}


def _lines(series: SeriesName, lake: str, generation: str) -> dict[str, str]:
    """Return the lines that read the series, to copy; of a past *generation* if there is one."""
    arguments = [json.dumps(series.symbol, ensure_ascii=False)]
    arguments += [json.dumps(series.interval)] if series.interval else []
    arguments += [f'market="{series.market}"']
    past = f", as_of={generation}" if generation else ""
    opened = f"lake = fullpool.open({json.dumps(lake, ensure_ascii=False)}{past})"
    rows = f"rows = lake.{series.kind.table}({', '.join(arguments)})"
    sql = f"SELECT * FROM {series.macro}\nORDER BY {series.kind.time} DESC LIMIT 10"
    option = f" --as-of {generation}" if generation else ""
    return {
        "SQL": sql,
        "Python": f"import fullpool\n{opened}\n{rows}\n"
        "print(rows.head().fetchall())  # or rows.df() with pandas, rows.pl() with Polars",
        "Command line": f"fullpool sql --lake {shlex.quote(lake)}{option} {_argument(sql)}",
    }


def _argument(sql: str) -> str:
    """Return SQL as an argument of a shell; between double quotes if that does no harm."""
    line = sql.replace("\n", " ")
    return shlex.quote(line) if set(line) & set('"$`\\!') else f'"{line}"'
