"""Rebuilding a state from 3,000 small files: files a second. Usage: rebuild.py [SYMBOLS]."""

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from fullpool.simulator.generate import zipped
from lab import HOUR, trade
from served import Vendor, dataset

DAYS, ROWS = 60, 20
KEY = "data/futures/um/daily/aggTrades/{s}/{s}-aggTrades-{day}"


def publish(vendor: Vendor, symbol: str) -> None:
    """Publish a small archive of trades for each day."""
    for number in range(DAYS):
        begins = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
        lines = [trade(number * ROWS + n, begins + n * HOUR) for n in range(ROWS)]
        key = KEY.format(s=symbol, day=begins.date())
        content = zipped(f"{key.rpartition('/')[2]}.csv", "".join(lines).encode())
        vendor.put_bytes(f"{key}.zip", content, datetime(2024, 6, 1, tzinfo=UTC))


def main() -> None:
    symbols = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    root = harness.CACHE / "rebuild"
    shutil.rmtree(root, ignore_errors=True)
    with Vendor(root / "vendor") as vendor:
        for number in range(symbols):
            publish(vendor, f"S{number:03d}USDT")
        text = dataset("um/aggTrades/S*USDT", start="2024-01-01", end="2024-02-29")
        config = root / "fullpool.toml"
        config.write_text(vendor.config_text(root / "lake", text))
        command = [sys.executable, "-m", "fullpool"]
        harness.run([*command, "sync", "-c", str(config)])
        runs = [harness.run([*command, "rebuild", "-c", str(config)]) for _ in range(3)]
    shutil.rmtree(root)
    files, best = symbols * DAYS, min(run.wall_s for run in runs)
    harness.save("rebuild", {"files": files, "wall_s": best, "files_a_second": round(files / best)})


if __name__ == "__main__":
    main()
