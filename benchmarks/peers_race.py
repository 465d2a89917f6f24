"""One symbol, 12 monthly and 20 daily archives: against four other tools, first and second run.

They do different work: binance-bulk-downloader leaves CSV files and verifies nothing,
binance-syncer and gapless-crypto-data verify nothing, binance-vision verifies and keeps no state.
The limit script runs beside them: what the same files cost at least, if they are to be Parquet.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import data
import harness
from serve import Server, serving

ROUNDS = 5
DELAY_MS = 20
TOOLS = {
    "gapless-crypto-data": "5.0.3",
    "binance-syncer": "4.0.1",
    "binance-vision": "0.1.0",
    "binance-bulk-downloader": "1.1.0.1",
}
PREFIXES = [f"data/spot/{cadence}/klines/BTCUSDT/1m/" for cadence in ("monthly", "daily")]


def python_of(tool: str, version: str) -> str:
    """Return the interpreter of an environment that has the tool, made if need be."""
    folder = harness.CACHE / "peers" / tool
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", f"{tool}=={version}"], check=True
        )
    return str(python)


def theirs(tool: str, python: str, server: Server, scratch: Path, number: int) -> harness.Run:
    return harness.run(*driven(tool, python, server.archive_url, scratch / f"{tool}{number}"))


def driven(
    tool: str, python: str, archive_url: str, home: Path
) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a tool into `out` below *home*, and its environment."""
    home.mkdir(exist_ok=True)
    driver = harness.HERE / "peers" / f"drive_{tool.replace('-', '_')}.py"
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TZ": "UTC"}
    return [python, str(driver), archive_url, str(home / "out")], env


def ours(server: Server, scratch: Path, number: int) -> harness.Run:
    lake = scratch / f"lake{number}"
    return harness.run(synced(server.archive_url, server.listing_url, lake))


def synced(archive_url: str, listing_url: str, lake: Path) -> list[str]:
    """Return the command that fills *lake*, whose configuration is written beside it."""
    path = lake.with_suffix(".toml")
    path.write_text(
        f"[lake]\npath = '{lake}'\n[network]\narchive_url = '{archive_url}'\n"
        f"listing_url = '{listing_url}'\n[rest]\nenabled = false\n"
        "[[dataset]]\nmarket = 'spot'\nkind = 'klines'\n"
        "symbols = ['BTCUSDT']\nintervals = ['1m']\nstart = 2024-01-01\nend = 2025-01-20\n"
    )
    return [sys.executable, "-m", "fullpool", "sync", "-c", str(path)]


def main() -> None:
    print("one symbol, 12 monthly and 20 daily archives, 20 ms")
    pythons = {tool: python_of(tool, version) for tool, version in TOOLS.items()}
    root, scratch = data.one_symbol(harness.CACHE / "one"), harness.CACHE / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    with serving(root, scratch / "nginx", tls=False, delay_ms=DELAY_MS) as server:
        programs: dict[str, Callable[[int], harness.Run]] = {
            "limit": lambda number: harness.limit(server, scratch / f"limit{number}", *PREFIXES)
        }
        for tool, python in pythons.items():
            run = partial(theirs, tool, python, server, scratch)
            programs |= {f"{tool}, first": run, f"{tool}, second": run}
        run = partial(ours, server, scratch)
        programs |= {"fullpool, first": run, "fullpool, second": run}
        runs = harness.interleaved(programs, ROUNDS)
    harness.save("peers", harness.table(runs, "fullpool, first"))


if __name__ == "__main__":
    main()
