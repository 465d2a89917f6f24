"""The pages of time travel: the generations that are kept, and what differs between two."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.store.catalogue.reader import generations, is_number
from fullpool.store.state.tables import same_series
from fullpool.web.site import Site

_SHOWN: Final = 200

# The state of each is a table of its generation; `older` is the other one.
_FILES: Final = """
    SELECT count(*) FILTER (o.path IS NULL) AS added, count(*) FILTER (n.path IS NULL) AS removed,
      count(*) FILTER (o.path = n.path) AS same,
      coalesce(sum(n.size_bytes) FILTER (o.path IS NULL), 0)::BIGINT AS added_bytes,
      coalesce(sum(o.size_bytes) FILTER (n.path IS NULL), 0)::BIGINT AS removed_bytes
    FROM older.sync.files AS o FULL JOIN sync.files AS n USING (path)"""
_SERIES: Final = f"""
    SELECT coalesce(n.market, o.market) AS market, coalesce(n.kind, o.kind) AS kind,
      coalesce(n.symbol, o.symbol) AS symbol, coalesce(n.interval, o.interval) AS interval,
      coalesce(o.row_count, 0) AS rows_before, coalesce(n.row_count, 0) AS rows_after,
      rows_after - rows_before AS rows_more,
      coalesce(n.patched_rows, 0) - coalesce(o.patched_rows, 0) AS patched_more,
      coalesce(n.explained_rows, 0) - coalesce(o.explained_rows, 0) AS explained_more,
      coalesce(n.open_rows, 0) - coalesce(o.open_rows, 0) AS open_more,
      coalesce(r.rows_changed, 0)::BIGINT AS rows_changed
    FROM older.sync.coverage AS o FULL JOIN sync.coverage AS n ON {same_series("o", "n")}
      LEFT JOIN (SELECT market, kind, symbol, interval, sum(rows_changed) AS rows_changed
        FROM sync.revisions
        WHERE generation > (SELECT max(generation) FROM older.sync.generations)
        GROUP BY ALL) AS r ON {same_series("r", "n")}
    WHERE rows_changed > 0 OR rows_more <> 0 OR patched_more <> 0 OR explained_more <> 0
      OR open_more <> 0
    ORDER BY abs(rows_more) DESC, market, kind, symbol, interval LIMIT {_SHOWN}"""
_ARCHIVES: Final = f"""
    SELECT n.market, n.kind, n.symbol, n.interval, n.period, o.status AS status_before,
      n.status AS status_after, o.etag AS etag_before, n.etag AS etag_after,
      n.modified_at, r.rows_added, r.rows_removed, r.rows_changed
    FROM sync.archives AS n JOIN older.sync.archives AS o USING (key)
      LEFT JOIN (SELECT key, sum(rows_added)::BIGINT AS rows_added,
        sum(rows_removed)::BIGINT AS rows_removed, sum(rows_changed)::BIGINT AS rows_changed
        FROM sync.revisions
        WHERE generation > (SELECT max(generation) FROM older.sync.generations)
        GROUP BY key) AS r USING (key)
    WHERE o.etag <> '' AND o.etag <> n.etag ORDER BY n.key LIMIT {_SHOWN}"""


def page(site: Site, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the generations that can be read, the newest first."""
    del asked
    found = [asdict(one) for one in reversed(generations(site.tree))]
    # Where the newest one is damaged, others can be read all the same.
    as_of = "" if not found or found[0]["is_current"] else str(found[0]["number"])
    return {**site.head(as_of), "generations": found}


def differences(site: Site, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what differs between the generations *from* and *to*. Raises UsageError."""
    older, newer = asked.get("from", ""), asked.get("to", "")
    if not (is_number(older) and is_number(newer) and int(older) < int(newer)):
        raise UsageError(
            f"comparing generations {older!r} and {newer!r}: the first must be the older one",
            hint="give two numbers, such as ?from=7&to=9",
        )
    session = site.session(newer)
    return {
        **site.head(newer),
        "older": int(older),
        "newer": int(newer),
        "files": session.compare(older, _FILES).as_dicts()[0],
        "series": session.compare(older, _SERIES).as_dicts(),
        "archives": session.compare(older, _ARCHIVES).as_dicts(),
        "shown": _SHOWN,
    }
