"""Looking through 200 symbols x 24 months of 1m bars for gaps, in two processes."""

import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import harness

from fullpool.kinds import KINDS
from fullpool.model import (
    Cadence,
    Interval,
    Market,
    Partition,
    PartitionFile,
    Period,
    Series,
    period_from,
)
from fullpool.store.partitions.build import scan
from fullpool.store.partitions.messages import Scan
from fullpool.vendor import beginning

ROUNDS = 5


def files(root: Path) -> list[PartitionFile]:
    """Return the files of the lake that `queries` made, as if nobody had looked into them."""
    found: list[PartitionFile] = []
    for path in sorted((root / KINDS["klines"].table).rglob("*.parquet")):
        symbol = path.parent.name.removeprefix("symbol=")
        series = Series(Market.SPOT, "klines", symbol, Interval.M1)
        period: Period = period_from(path.name.partition(".")[0])
        name = str(path.relative_to(root))
        moment = beginning()
        found.append(PartitionFile(Partition(series, period), name, 1, 0, 0, moment, moment))
    assert all(file.partition.period.cadence is Cadence.YEAR for file in found)
    return found


def main() -> None:
    root = harness.CACHE / "lake200"
    if not root.exists():
        sys.exit("run benchmarks/queries.py first: it makes the lake")
    (root / ".staging").mkdir(exist_ok=True)
    held = files(root)
    orders = [Scan(tuple(held[at : at + 16]), root, 256) for at in range(0, len(held), 16)]
    seconds: list[float] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        list(processes.map(scan, orders[:2]))  # they have started
        for number in range(ROUNDS):
            started = time.perf_counter()
            scanned = [file for files_ in processes.map(scan, orders) for file in files_]
            seconds.append(time.perf_counter() - started)
            print(f"  round {number + 1}: {seconds[-1]:.2f} s", flush=True)
    rows = sum(
        (file.last_key - file.first_key) // 60_000_000 + 1 for file in scanned if not file.holes
    )
    shutil.rmtree(root / ".staging")
    (root / ".staging").mkdir()
    seconds.sort()
    harness.save(
        "gaps",
        [{"files": len(held), "million_rows": round(rows / 1e6, 1),
          "wall_s": round(seconds[len(seconds) // 2], 2), "min_s": round(seconds[0], 2),
          "max_s": round(seconds[-1], 2)}],
    )  # fmt: skip


if __name__ == "__main__":
    print("looking for gaps in 210 million rows")
    main()
