"""Lakes of 1,000 and of 10,000 files: rebuilding the state, and a pass that has lost every file.

Ten times the files are to take at most twelve times the time.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import harness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from fullpool import logs
from fullpool.app import rebuild, syncing
from fullpool.simulator.generate import zipped
from served import Seen, Vendor, dataset

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")
FIRST = date(2019, 1, 1)
KEY = "data/spot/daily/aggTrades/{symbol}/{symbol}-aggTrades-{day}.zip"


def publish(folder: Path, days: int) -> None:
    """Write archives of one trade a day."""
    for symbol in SYMBOLS:
        for number in range(days):
            day = FIRST + timedelta(days=number)
            path = folder / KEY.format(symbol=symbol, day=day)
            path.parent.mkdir(parents=True, exist_ok=True)
            at = int((day - date(1970, 1, 1)).total_seconds()) * 1000 + 1
            line = f"{number + 1},1.5,1.0,{number + 1},{number + 1},{at},True,True\n"
            path.write_bytes(zipped(path.name.replace(".zip", ".csv"), line.encode()))


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure(files: int) -> dict[str, float]:
    scratch = harness.CACHE / "many-files"
    shutil.rmtree(scratch, ignore_errors=True)
    publish(scratch / "vendor", files // len(SYMBOLS))
    with Vendor(scratch / "vendor") as vendor:
        end = FIRST + timedelta(days=files // len(SYMBOLS) - 1)
        text = dataset(f"spot/aggTrades/{','.join(SYMBOLS)}", start=str(FIRST), end=str(end))
        config = vendor.config(scratch / "lake", text, builders=2)

        def sync() -> None:
            syncing.require_complete(syncing.sync(config, Seen(), Event()))

        def lose() -> None:
            for path in (scratch / "lake" / "agg_trades").rglob("*.parquet"):
                path.unlink()

        found = {
            "first sync": seconds(sync),
            "rebuild": seconds(lambda: rebuild.rebuild(config, Event())),
        }
        lose()
        return found | {"sync that has lost every file": seconds(sync)}


def main() -> None:
    logs.configure("CRITICAL")
    few, many = (measure(files) for files in (1_000, 10_000))
    rows = [
        {
            "what": what,
            "1,000 files, s": round(few[what], 2),
            "10,000 files, s": round(many[what], 2),
            "ratio": round(many[what] / few[what], 1),
        }
        for what in few
    ]
    for row in rows:
        print(row)
    (harness.RESULTS / "many-files.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
