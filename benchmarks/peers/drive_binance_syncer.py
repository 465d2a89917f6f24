"""Drive binance-syncer 4.0.1 over every BTCUSDT 1m spot archive of a local mirror.

    HOME=<scratch> python drive_binance_syncer.py BASE_URL OUTDIR

It has no date range: it lists both prefixes and fetches what is not yet in OUTDIR, so the mirror
must hold just the 12 months of 2024 and the 20 days of 2025-01. It leaves one Parquet file per
archive and reads no checksum. Its default batches of 20 are kept, as one batch was not faster.
Importing it writes settings files under HOME. Exits 1 if files are missing.
"""

import asyncio
import json
import sys
from pathlib import Path

from binance_syncer import utils
from binance_syncer.constant import DataType, KlineInterval, MarketType
from binance_syncer.syncer import Syncer

FILES = 12 + 20


def main(base_url: str, outdir: str) -> int:
    utils.BASE_URL = base_url.rstrip("/") + "/data.binance.vision"  # the bucket, path style
    Syncer.LOCAL_PREFIX = outdir
    syncer = Syncer(MarketType.SPOT, DataType.KLINES, KlineInterval.M1)
    asyncio.run(syncer.sync(["BTCUSDT"]))
    files = sum(1 for _ in Path(outdir).rglob("*.parquet"))
    print(json.dumps({"tool": "binance-syncer", "files": files, "expected": FILES}))
    return 0 if files == FILES else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
