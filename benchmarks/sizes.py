"""Bytes for each row of real archives: as downloaded, and in the lake.

Usage: sizes.py [FOLDER], which holds `data/` as the vendor's bucket does.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness

import fullpool
from fullpool.simulator import Bucket, Simulator

REAL = harness.HERE.parent.parent / "shared" / "real" / "archives"
ASKED = (
    ("spot", "klines", ("1m", "5m", "15m")), ("um", "klines", ("1m",)), ("um", "aggTrades", ()),
    ("um", "metrics", ()),
)  # fmt: skip
SIZES = """
    WITH archived AS (SELECT market, kind, interval, sum(held_bytes) AS size_bytes,
        sum(row_count)::BIGINT AS row_count
      FROM sync.archives WHERE status = 'present' GROUP BY ALL),
    held AS (SELECT market, kind, interval, sum(size_bytes) / sum(row_count) AS bytes_a_row
      FROM sync.files GROUP BY ALL)
    SELECT concat_ws('/', a.market, a.kind, a.interval) AS series,
      round(a.size_bytes / a.row_count, 1) AS zip_bytes_a_row,
      round(h.bytes_a_row, 1) AS lake_bytes_a_row, a.row_count
    FROM archived AS a JOIN held AS h ON h.market = a.market AND h.kind = a.kind
      AND h.interval IS NOT DISTINCT FROM a.interval ORDER BY series"""


def config(simulator: Simulator, lake: Path) -> str:
    text = (
        f"[lake]\npath = '{lake}'\n[network]\narchive_url = '{simulator.url}'\n"
        f"listing_url = '{simulator.listing_url}'\n[rest]\nenabled = false\n"
    )
    for market, kind, intervals in ASKED:
        text += f"[[dataset]]\nmarket = '{market}'\nkind = '{kind}'\nsymbols = ['*']\n"
        text += f"intervals = {list(intervals)}\n" if intervals else ""
    return text


def measured(root: Path) -> list[dict[str, Any]]:
    scratch = harness.CACHE / "sizes"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with Simulator(Bucket(root)) as simulator:
        path = scratch / "fullpool.toml"
        path.write_text(config(simulator, scratch / "lake"))
        subprocess.run([sys.executable, "-m", "fullpool", "sync", "-c", str(path)], check=True)
    with fullpool.open(scratch / "lake") as lake:
        rows = lake.sql(SIZES)
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def main(root: Path) -> None:
    if not root.exists():
        print(f"NOT RUN: the real archives are not in {root}; the figures of before stay")
        return
    rows = measured(root)
    for row in rows:
        print(row)
    harness.save("sizes", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REAL)
