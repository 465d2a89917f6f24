"""A sync of 10,000 archives: here, and on a Dask cluster of 1, 2 and 4 workers, at 20 and 150 ms.

Workers are processes of this machine, each with 32 connections, as many as a sync here has.
Usage: cluster.py [ARCHIVES]
"""

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import data
import harness
from serve import Server, serving

from dask_cluster import DaskCluster

ROUNDS = 1
WORKERS = (1, 2, 4)
DELAYS_MS = (20, 150)


def config(server: Server, lake: Path, path: Path, symbols: int) -> Path:
    last = data.SMALL_FIRST + timedelta(days=data.SMALL_DAYS - 1)
    names = ", ".join(f'"{symbol}"' for symbol in data.many_symbols(symbols))
    path.write_text(
        f"[lake]\npath = '{lake}'\n[network]\narchive_url = '{server.archive_url}'\n"
        f"listing_url = '{server.listing_url}'\nca_file = '{server.ca_file or ''}'\n"
        "[rest]\nenabled = false\n"
        f"[[dataset]]\nmarket = 'spot'\nkind = 'klines'\nsymbols = [{names}]\nintervals = ['1m']\n"
        f"start = {data.SMALL_FIRST}\nend = {last}\n"
    )
    return path


def measure(root: Path, delay_ms: int, symbols: int) -> None:
    scratch = harness.CACHE / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    with serving(root, scratch / "nginx", tls=True, delay_ms=delay_ms) as server:

        def sync(name: str, *options: str) -> harness.Run:
            path = config(server, scratch / name, scratch / f"{name}.toml", symbols)
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
