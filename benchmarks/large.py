"""4 aggTrades archives of about 50 MB against the limit script; memory with a CSV of 1 GB."""

import shutil
import sys
from pathlib import Path

import data
import harness
from serve import Server, serving

ROUNDS = 5
SERIES = "um/aggTrades/BTCUSDT"
PREFIX = "data/futures/um/daily/aggTrades/BTCUSDT/"


def config(server: Server, lake: Path, path: Path, series: str) -> Path:
    market, kind, symbol = series.split("/")
    path.write_text(
        f"[lake]\npath = '{lake}'\n[network]\narchive_url = '{server.archive_url}'\n"
        f"listing_url = '{server.listing_url}'\nca_file = '{server.ca_file or ''}'\n"
        "[rest]\nenabled = false\n"
        f"[[dataset]]\nmarket = '{market}'\nkind = '{kind}'\nsymbols = ['{symbol}']\n"
    )
    return path


def sync(
    server: Server, scratch: Path, name: str, series: str = SERIES, *, watches_memory: bool = False
) -> harness.Run:
    lake = scratch / name
    path = config(server, lake, scratch / f"{name}.toml", series)
    command = [sys.executable, "-m", "fullpool", "sync", "-c", str(path)]
    found = harness.run(command, watches_memory=watches_memory)
    shutil.rmtree(lake)
    return found


def four(root: Path, scratch: Path) -> None:
    with serving(root, scratch / "nginx", tls=True) as server:

        def limit(number: int) -> harness.Run:
            return harness.limit(server, scratch / f"limit{number}", PREFIX)

        programs = {"limit": limit, "fullpool sync": lambda n: sync(server, scratch, f"lake{n}")}
        harness.save("large", harness.table(harness.interleaved(programs, ROUNDS), "limit"))


def one_gigabyte(root: Path, scratch: Path) -> None:
    with serving(root, scratch / "nginx", tls=True) as server:
        found = sync(server, scratch, "huge", watches_memory=True)
    peak_mb = round((found.peak_bytes or 0) / 1e6)
    print(f"  a CSV of 1 GB: {found.wall_s:.1f} s, peak {peak_mb} MB in all")
    rows = [{"program": "fullpool sync, a CSV of 1 GB", "wall_s": round(found.wall_s, 2),
             "cpu_s": round(found.cpu_s, 2), "peak_mb": peak_mb}]  # fmt: skip
    harness.save("memory", rows)


if __name__ == "__main__":
    print("4 aggTrades archives over TLS")
    run_folder = harness.CACHE / "run"
    shutil.rmtree(run_folder, ignore_errors=True)
    four(data.trades(harness.CACHE / "trades"), run_folder)
    one_gigabyte(data.huge(harness.CACHE / "huge"), run_folder)
