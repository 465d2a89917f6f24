"""Following 600 spot and 500 USD-M series of 1m: how late each bar is, and what a minute costs.

A simulated vendor serves yesterday's archives, and its API today's bars. A daemon follows; readers
ask for the newest bars meanwhile. Usage: follow.py [MINUTES [SPOT UM]]
"""

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import harness

from fullpool.simulator import Api, Bucket, Simulator, generate, spec_from

READERS = 8
MINUTE = timedelta(minutes=1)


@dataclass
class Seen:
    """What readers saw: seconds from the close of each bar until all series had it, and errors."""

    lags_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    queries: int = 0


def invent(root: Path, counts: dict[str, int]) -> None:
    """Write archives of yesterday, and what the API knows of yesterday, today and tomorrow."""
    today = datetime.now(UTC).date()
    days = (today - timedelta(days=1), today + timedelta(days=1))
    for market, count in counts.items():
        for number in range(count):
            series = f"{market}/klines/S{number}USDT/1m"
            paths = list(generate(root / "twin", spec_from(series, *days)))
            (first,) = (path for path in paths if str(days[0]) in path.name)
            target = root / "archives" / first.relative_to(root / "twin")
            target.parent.mkdir(parents=True)
            shutil.copy(first, target)


def config(root: Path, served: Simulator, counts: dict[str, int]) -> Path:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    datasets = "".join(
        f"[[dataset]]\nmarket = '{market}'\nkind = 'klines'\nsymbols = ['*USDT']\n"
        f"intervals = ['1m']\nstart = {yesterday}\nfollow = true\n"
        for market, count in counts.items()
        if count
    )
    hosts = "".join(f"{market}_url = '{served.url}'\n" for market in ("spot", "um", "cm"))
    path = root / "fullpool.toml"
    path.write_text(
        f"[lake]\npath = '{root / 'lake'}'\n[network]\narchive_url = '{served.url}'\n"
        f"listing_url = '{served.listing_url}'\n[rest]\n{hosts}{datasets}"
    )
    return path


class Process:
    """What the kernel counts of a process."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def written_mb(self) -> float:
        lines = dict(line.split(": ") for line in (self._proc / "io").read_text().splitlines())
        return int(lines["write_bytes"]) / 1e6

    def memory_mb(self) -> float:
        return harness.pss_bytes(int(self._proc.name)) / 1e6


def watch(lake: Path, counts: dict[str, int], seen: Seen, stop: threading.Event) -> None:
    """Wait for each bar in turn, and note how long after its close all series have it."""
    bar = datetime.now(UTC).replace(second=0, microsecond=0)
    while not stop.is_set():
        closed = bar + MINUTE
        stop.wait(max((closed - datetime.now(UTC)).total_seconds(), 0))
        while not stop.is_set():
            if newest(lake, counts) >= bar.replace(tzinfo=None):
                seen.lags_s.append((datetime.now(UTC) - closed).total_seconds())
                break
            stop.wait(0.5)
        bar += MINUTE


def newest(lake: Path, counts: dict[str, int]) -> datetime:
    """Return the last bar that every series has."""
    with duckdb.connect(str(lake), read_only=True) as connection:
        found = connection.execute(
            "SELECT count(*), min(last) FROM (SELECT market, symbol, max(last_time) AS last"
            " FROM sync.followed GROUP BY ALL)"
        ).fetchone()
    assert found is not None
    return found[1] if found[0] == sum(counts.values()) else datetime(1970, 1, 1)  # noqa: DTZ001


def read(lake: Path, seen: Seen, stop: threading.Event) -> None:
    """Ask for one symbol's last hour again and again, slowly: eight of these share two cores."""
    while not stop.wait(4.0):
        try:
            with duckdb.connect(str(lake), read_only=True) as connection:
                connection.execute(
                    "SELECT count(*), max(open_time) FROM klines_of('S7USDT')"
                    " WHERE open_time >= (now() AT TIME ZONE 'UTC') - INTERVAL 1 HOUR"
                ).fetchone()
            seen.queries += 1
        except duckdb.Error as error:
            seen.errors.append(str(error))


def measure(minutes: int, counts: dict[str, int]) -> dict[str, object]:
    root = harness.CACHE / "follow"
    shutil.rmtree(root, ignore_errors=True)
    invent(root, counts)
    lake, seen, stop = root / "lake" / "lake.duckdb", Seen(), threading.Event()
    with Simulator(Bucket(root / "archives")) as served:
        served.api = Api(root / "twin")
        path = config(root, served, counts)
        command = [sys.executable, "-m", "fullpool", "sync", "-c", str(path)]
        harness.run(command)
        with (root / "daemon.log").open("w") as log:
            daemon = subprocess.Popen([*command[:3], "run", "-c", str(path)], stderr=log)
        time.sleep(90)  # the first pass, and what it has to catch up with
        process = Process(daemon.pid)
        before = (process.cpu_s(), process.written_mb(), time.monotonic())
        memory = [process.memory_mb()]
        threads = [threading.Thread(target=watch, args=(lake, counts, seen, stop))]
        threads += [threading.Thread(target=read, args=(lake, seen, stop)) for _ in range(READERS)]
        for thread in threads:
            thread.start()
        for _ in range(minutes):
            time.sleep(60)
            memory.append(process.memory_mb())
        spent = time.monotonic() - before[2]
        cpu, written = process.cpu_s() - before[0], process.written_mb() - before[1]
        stop.set()
        for thread in threads:
            thread.join()
        daemon.terminate()
        daemon.wait()
    generations = len(list((root / "lake" / ".catalogue").glob("[0-9]*")))
    shutil.rmtree(root)
    return {
        "series": sum(counts.values()),
        "minutes": minutes,
        "bars": len(seen.lags_s),
        "lag_median_s": round(statistics.median(seen.lags_s), 1),
        "lag_max_s": round(max(seen.lags_s), 1),
        "cpu_percent_of_a_core": round(100 * cpu / spent, 1),
        "written_mb_a_minute": round(written / spent * 60, 2),
        "memory_mb_first": round(memory[0]),
        "memory_mb_last": round(memory[-1]),
        "generations": generations,
        "queries": seen.queries,
        "errors": len(seen.errors),
    }


def main() -> None:
    minutes, spot, um = [*map(int, sys.argv[1:]), *(30, 600, 500)[len(sys.argv) - 1 :]]
    rows = [measure(minutes, counts) for counts in ({"spot": spot, "um": um}, {"spot": 1, "um": 0})]
    harness.save("follow", rows)


if __name__ == "__main__":
    main()
