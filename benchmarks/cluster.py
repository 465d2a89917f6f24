"""A sync of 10,000 archives: here, and on a Dask cluster of 1, 2 and 4 workers, at 20 and 150 ms.

Workers are processes of this machine, each with 32 connections, as many as a sync here has.
Usage: cluster.py [ARCHIVES]
"""

import shutil
import sys
from pathlib import Path

import data
import harness
import small
from serve import serving

from dask_cluster import DaskCluster

ROUNDS = 1
WORKERS = (1, 2, 4)
DELAYS_MS = (20, 150)


def measure(root: Path, delay_ms: int, symbols: int) -> None:
    scratch = harness.CACHE / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    with serving(root, scratch / "nginx", tls=True, delay_ms=delay_ms) as server:

        def sync(name: str, *options: str) -> harness.Run:
            names = data.many_symbols(symbols)
            path = small.config(server, scratch / name, scratch / f"{name}.toml", names)
            done = harness.run(
                [sys.executable, "-m", "fullpool", "sync", "-c", str(path), *options]
            )
            shutil.rmtree(scratch / name)
            return done

        def on(workers: int) -> harness.Run:
            with DaskCluster(scratch / f"dask{workers}") as cluster:
                for _ in range(workers):
                    cluster.start_worker(threads=32)
                sync("warm", "--on", cluster.address)  # a cluster stands, its workers are warm
                return sync(f"lake{workers}", "--on", cluster.address)

        programs = {"here": lambda _: sync("here")} | {
            f"{count} workers": lambda _, count=count: on(count) for count in WORKERS
        }
        rows = harness.table(harness.interleaved(programs, ROUNDS), "here")
    harness.save(f"cluster-{delay_ms}ms", rows)


def main() -> None:
    symbols = int(sys.argv[1]) // data.SMALL_DAYS if len(sys.argv) > 1 else 100
    archives = data.many(harness.CACHE / f"many-{symbols}", symbols)
    for delay_ms in DELAYS_MS:
        print(f"{symbols * data.SMALL_DAYS} archives, {delay_ms} ms a request", flush=True)
        measure(archives, delay_ms, symbols)


if __name__ == "__main__":
    main()
