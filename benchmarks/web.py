"""How soon Chromium shows the coverage map of 5,000 series by 107 months, and how large it is.

The lake is that of full.py, with gaps in every series. Usage: web.py [SERIES]
"""

import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import harness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.append(str(Path(__file__).parents[1] / ".venv" / "browser"))

import full
from playwright.sync_api import sync_playwright

from fullpool import logs
from fullpool.store.state.opening import open_state
from fullpool.store.tree import Tree
from fullpool.sync.publishing import publish_state
from site_client import Site

VISITS = 5
WARM_S = 5  # it makes the first map by itself
_GAPS = """
    INSERT INTO sync.gaps BY NAME SELECT market, kind, symbol, interval,
      TIMESTAMP '2018-02-01' + to_days((hash(symbol || k) % 3000)::INTEGER) AS gap_start,
      gap_start + to_days(1 + k) AS gap_end, 0 AS first_place, 1440 * (1 + k) AS end_place,
      1440 * (1 + k) AS row_count, 'explained' AS status, 'empty_at_source' AS explanation,
      '' AS reason, '' AS evidence, TIMESTAMP '2026-11-28' AS found_at, 0 AS attempts
    FROM (SELECT DISTINCT market, kind, symbol, interval FROM sync.archives), range(6) AS r(k)"""


def invent(root: Path, series: int) -> Path:
    full.invent(root, series)
    tree = Tree(root / "lake")
    state = open_state(tree.state, tree.staging / "spill", full.NOW)
    state.connection.execute(_GAPS)
    publish_state(state, tree, state.next_value("generation"), full.NOW)
    state.close()
    return tree.root


def visit(browser: Any, address: str) -> dict[str, float]:
    """Open the map in a fresh browser profile; return milliseconds, and kilobytes over the wire."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, sizes = context.new_page(), []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()))
    page.goto(f"{address}coverage")
    page.wait_for_selector("html[data-map-drawn]")
    drawn = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.wait_for_load_state("networkidle")
    wire = sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)
    context.close()
    return {"first_paint_ms": paint, "map_drawn_ms": drawn, "wire_kb": wire / 1000}


def main() -> None:
    logs.configure("CRITICAL")
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    root = harness.CACHE / f"web{series}"
    lake = invent(root, series)
    with Site(lake) as site, sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        time.sleep(WARM_S)
        first = visit(browser, site.address)
        later = [visit(browser, site.address) for _ in range(VISITS)]
        page_kb = len(site.get("/coverage").body) / 1000
        status = Path(f"/proc/{site.process.pid}/status").read_text()
        browser.close()
    peak = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) // 1000
    medians = {name: statistics.median(one[name] for one in later) for name in first}
    rows = [
        {"series": series, "visit": "the first", **_rounded(first)},
        {"series": series, "visit": f"median of {VISITS}", **_rounded(medians)},
        {"series": series, "visit": "page and server", "page_kb": round(page_kb), "peak_mb": peak},
    ]
    for row in rows:
        print(row)
    harness.save("web", rows)
    shutil.rmtree(root)


def _rounded(found: dict[str, float]) -> dict[str, int]:
    return {name: round(value) for name, value in found.items()}


if __name__ == "__main__":
    main()
