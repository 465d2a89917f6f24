"""Drive gapless-crypto-data 5.0.3 over BTCUSDT 1m, 2024-01 to 2025-01-20, from a local mirror.

    HOME=<scratch> python drive_gapless_crypto_data.py BASE_URL OUTDIR

It asks for 13 months one after another. 2025-01 has no monthly archive, so it falls back to
that month's daily ones and asks for all 31 days: 11 of those answers are 404. A daily fallback
is never cached; monthly archives stay under HOME with their ETags, so keep HOME for a second run.
Parquet is its faster format; its REST gap filling is left out. Nothing is verified: the
archives' checksums are not read. Exits 1 if bars are missing.
"""

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

from gapless_crypto_data import BinancePublicDataCollector

BARS = (366 + 20) * 1440


def main(base_url: str, outdir: str) -> int:
    with redirect_stdout(StringIO()):
        collector = BinancePublicDataCollector(
            symbol="BTCUSDT",
            start_date="2024-01-01",
            end_date="2025-01-20",
            output_dir=outdir,
            output_format="parquet",
        )
        collector.base_url = base_url.rstrip("/") + "/data/spot/monthly/klines"
        rows = len(collector.collect_timeframe_data("1m")["dataframe"])
    print(json.dumps({"tool": "gapless-crypto-data", "rows": rows, "expected": BARS}))
    return 0 if rows == BARS else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
