"""The report: the coverage map and what needs attention, as one file that can be mailed."""

import base64
import hashlib
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from fullpool.web import map_page, now_page
from fullpool.web.rendering import rendered
from fullpool.web.site import Site

_SHOWN: Final = 100
_GAPS: Final = f"""
    SELECT concat_ws('/', market, kind, symbol, nullif(interval, '')) AS series, gap_start, gap_end,
      row_count, status, explanation, reason
    FROM sync.gaps ORDER BY status DESC, row_count DESC, series, gap_start LIMIT {_SHOWN}"""
_MISSING: Final = """
    SELECT status, reason, count(*) AS archives, min(period) AS first, max(period) AS last
    FROM sync.missing GROUP BY ALL ORDER BY archives DESC LIMIT 20"""


def report(site: Site) -> str:
    """Return the report as HTML that needs nothing else. Raises NoLakeError, QueryError."""
    style, script = _part("style.css"), _part("map.js")
    session = site.session()
    return rendered(
        "report.html",
        {
            **map_page.page(site, {}),
            "problems": now_page.page(site, {"part": "problems"})["problems"],
            "gaps": session.query(_GAPS).as_dicts(),
            "missing": session.query(_MISSING).as_dicts(),
            "gap_count": session.query("SELECT count(*) FROM sync.gaps").rows[0][0],
            "style": Markup(style),  # noqa: S704 - our own file
            "script": Markup(script),  # noqa: S704 - our own file
            "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        },
    )


def _part(name: str) -> str:
    return (files("fullpool.web") / "static" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return how a policy names a style or a script that is part of the page."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
