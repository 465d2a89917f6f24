"""Drive binance-bulk-downloader 1.1.0.1 over every BTCUSDT 1m spot archive of a local mirror.

    HOME=<scratch> python drive_binance_bulk_downloader.py BASE_URL OUTDIR

It has no date range: it lists a prefix and fetches each zip whose CSV is not in OUTDIR, so the
mirror must hold just the 12 months of 2024 and the 20 days of 2025-01. It leaves CSV files and
reads no checksum. Its threads race to create the target folder; the losers' files are dropped
without an error, so this driver creates the folders first. Exits 1 if files are missing.
"""

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from binance_bulk_downloader.downloader import BinanceBulkDownloader

FILES = 12 + 20


def main(base_url: str, outdir: str) -> int:
    base = base_url.rstrip("/")
    # It has no public setting for the address.
    BinanceBulkDownloader._BINANCE_DATA_S3_BUCKET_URL = base + "/data.binance.vision"  # noqa: SLF001
    BinanceBulkDownloader._BINANCE_DATA_DOWNLOAD_BASE_URL = base  # noqa: SLF001
    for period in ("monthly", "daily"):
        (Path(outdir) / f"data/spot/{period}/klines/BTCUSDT/1m").mkdir(parents=True, exist_ok=True)
        with redirect_stdout(StringIO()):
            BinanceBulkDownloader(outdir, "klines", "1m", "spot", period, "BTCUSDT").run_download()
    files = sum(1 for _ in Path(outdir).rglob("*.csv"))
    print(json.dumps({"tool": "binance-bulk-downloader", "files": files, "expected": FILES}))
    return 0 if files == FILES else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
