"""Drive binance-vision 0.1.0 over BTCUSDT 1m, 2024-01-01 to 2025-01-20, from a local mirror.

    HOME=<scratch> python drive_binance_vision.py BASE_URL OUTDIR

It plans 12 monthly and 20 daily archives, verifies each one's checksum and writes a single Parquet
file. It keeps no state: every run fetches everything. Its default of 8 threads is kept, as 16 were
not faster. Exits 1 if an archive failed or is missing.
"""

import json
import sys
from pathlib import Path

from binance_vision import _core

BARS = (366 + 20) * 1440


def main(base_url: str, outdir: str) -> int:
    _core.BASE_URL = base_url.rstrip("/")
    result = _core.fetch_data(
        "BTCUSDT",
        "2024-01-01",
        "2025-01-20",
        market="spot",
        data_type="klines",
        interval="1m",
        output_path=str(Path(outdir) / "BTCUSDT-1m.parquet"),
    )
    rows = len(result.data)
    print(json.dumps({"tool": "binance-vision", "rows": rows, "expected": BARS}))
    return 0 if rows == BARS and not result.failed and not result.missing else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
