"""The daemon at sixty times its pace, under readers, edits and archives republished.

An hour of its usual schedule passes in a minute. Sampled from outside: memory, threads, file
descriptors, generations and files on disk. What grows in ten minutes would fill a machine in years.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import harness
import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from fullpool.simulator import Bucket, Simulator, generate, spec_from
from fullpool.simulator.generate import zipped

SECONDS: Final = float(os.environ.get("SOAK_S", "600"))
SAMPLE_S: Final = 1.0
SYMBOLS: Final = [f"S{number:02d}USDT" for number in range(20)]
FIRST: Final = datetime(2024, 6, 1, tzinfo=UTC)
DAYS: Final = 20
# An hour of the shipped schedule in a minute; audits far oftener, so that files are replaced.
SCHEDULE: Final = """
[schedule]
tick = "5s"
patch = "15s"
audit = "30s"
publish = "1m"
housekeeping = "20s"
jitter_s = 0.0
"""
WORK: Final = harness.CACHE / "soak"


@dataclass
class Samples:
    """What was seen, one list a quantity, over `at_s`."""

    at_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    state_kb: list[float] = field(default_factory=list)


def config(served: Simulator, symbols: list[str]) -> str:
    names = ", ".join(f'"{symbol}"' for symbol in symbols)
    hosts = "\n".join(f'{market}_url = "{served.url}"' for market in ("spot", "um", "cm"))
    return (
        f"[lake]\npath = '{WORK / 'lake'}'\nretain_hours = {1 / 60}\nmin_free_gb = 0.0\n"
        f'[network]\narchive_url = "{served.url}"\nlisting_url = "{served.listing_url}"\n'
        f"[rest]\n{hosts}\n{SCHEDULE}"
        f'[[dataset]]\nmarket = "spot"\nkind = "klines"\nsymbols = [{names}]\nintervals = ["1m"]\n'
        f"start = {FIRST:%Y-%m-%d}\nend = {FIRST + timedelta(days=DAYS - 1):%Y-%m-%d}\n"
    )


def edit(served: Simulator, path: Path, number: int) -> None:
    """Take some symbols out, or make a mistake, every third time."""
    chance = random.Random(number)  # noqa: S311 - the same every time
    text = config(served, sorted(chance.sample(SYMBOLS, 15)))
    new = path.with_suffix(".new")
    new.write_text(text.replace("spot", "sopt") if number % 3 == 2 else text)
    new.replace(path)


def revise(served: Simulator, number: int) -> None:
    """Publish one archive anew, with other prices, and minutes missing in it."""
    chance = random.Random(number)  # noqa: S311 - the same every time
    symbol, day = chance.choice(SYMBOLS), FIRST + timedelta(days=chance.randrange(DAYS))
    opened = int(day.timestamp()) * 1000
    moments = [opened + 60_000 * m for m in range(1440) if not 600 <= m < 600 + number % 30]
    rest = f"1.0,{number + 1}.0,0.5,{number}.0,1.0"
    lines = "".join(f"{m},{rest},{m + 59_999},1.0,1,1.0,1.0,0\n" for m in moments)
    name = f"{symbol}-1m-{day:%Y-%m-%d}"
    path = WORK / f"bucket/data/spot/daily/klines/{symbol}/1m/{name}.zip"
    path.write_bytes(zipped(f"{name}.csv", lines.encode()))
    served.bucket.refresh()


def again(every_s: float, act: Callable[[int], None], over: threading.Event) -> threading.Thread:
    def run() -> None:
        number = 0
        while not over.wait(every_s):
            number += 1
            act(number)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def read(errors: list[str], asked: list[int]) -> None:
    """Ask the lake as a reader does; it is there after the first publication."""
    path = WORK / "lake" / "lake.duckdb"
    if not path.exists():
        return
    try:
        with duckdb.connect(str(path), read_only=True) as lake:
            found = lake.execute(
                "SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines"
            ).fetchone()
            lake.execute("FROM sync.coverage").fetchall()
    except duckdb.Error as error:
        errors.append(str(error))
        return
    asked.append(1)
    if found is None or found[0] != found[1]:
        errors.append(f"rows {found}")


def sample(number: int, samples: Samples, started: float) -> None:
    family = harness.family(number)
    try:
        samples.memory_mb.append(sum(harness.pss_bytes(one) for one in family) / 1e6)
        samples.threads.append(len(list(Path(f"/proc/{number}/task").iterdir())))
        samples.descriptors.append(len(list(Path(f"/proc/{number}/fd").iterdir())))
    except OSError:
        return
    lake = WORK / "lake"
    samples.at_s.append(time.monotonic() - started)
    samples.generations.append(len(list((lake / ".catalogue").glob("[0-9]*"))))
    samples.files.append(sum(1 for _ in (lake / "klines").rglob("*.parquet")))
    state = (file for file in (lake / ".state").glob("*") if file.is_file())
    samples.state_kb.append(sum(file.stat().st_size for file in state) / 1e3)


def soak(served: Simulator) -> dict[str, Any]:
    path = WORK / "fullpool.toml"
    path.write_text(config(served, SYMBOLS))
    samples, over = Samples(), threading.Event()
    errors: list[str] = []
    asked: list[int] = []
    with (WORK / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "fullpool", "run", "-c", str(path)], stderr=log
        )
    started = time.monotonic()
    threads = [
        again(20.0, lambda number: edit(served, path, number), over),
        again(3.0, lambda number: revise(served, number), over),
        again(0.2, lambda _: read(errors, asked), over),
        again(0.3, lambda _: read(errors, asked), over),
        again(SAMPLE_S, lambda _: sample(daemon.pid, samples, started), over),
    ]
    over.wait(SECONDS)
    over.set()
    for thread in threads:
        thread.join()
    stopping = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    code = daemon.wait(30)
    plot(samples)
    return verdict(samples) | {
        "reader_questions": len(asked),
        "reader_errors": len(errors),
        "stopped_with": code,
        "stopped_in_s": round(time.monotonic() - stopping, 2),
    }


def verdict(samples: Samples) -> dict[str, Any]:
    """Compare the second fifth of the time with the last."""
    count = len(samples.at_s)
    early, late = slice(count // 5, 2 * count // 5), slice(4 * count // 5, count)
    found: dict[str, Any] = {"minutes": round(samples.at_s[-1] / 60, 1)}
    for name in ("memory_mb", "threads", "descriptors", "generations", "files", "state_kb"):
        values = getattr(samples, name)
        before, after = (sum(values[part]) / len(values[part]) for part in (early, late))
        found[name] = f"{before:.1f} -> {after:.1f} (most {max(values):.1f})"
    return found


def plot(samples: Samples) -> None:
    names = ("memory_mb", "threads", "descriptors", "generations", "files", "state_kb")
    figure, grid = plt.subplots(3, 2, figsize=(10, 8), sharex=True)
    minutes = [at / 60 for at in samples.at_s]
    for name, axes in zip(names, grid.flat, strict=True):
        axes.plot(minutes, getattr(samples, name), color="#3b6ea5", linewidth=0.8)
        axes.set_title(name)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("minutes, each an hour of the schedule")
    figure.tight_layout()
    figure.savefig(harness.RESULTS / "soak.png", dpi=100)


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "bucket").mkdir(parents=True)
    last = (FIRST + timedelta(days=DAYS - 1)).date()
    for symbol in SYMBOLS:
        list(generate(WORK / "bucket", spec_from(f"spot/klines/{symbol}/1m", FIRST.date(), last)))
    with Simulator(Bucket(WORK / "bucket")) as served:
        harness.save("soak", [soak(served)])


if __name__ == "__main__":
    print(f"the daemon for {SECONDS:.0f} s")
    main()
