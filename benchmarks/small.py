"""2,000 daily 1m archives over TLS, to the lake: against the limit script, at 0 and 20 ms."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import data
import harness
from serve import Server, serving

ROUNDS = 5
PREFIXES = [f"data/spot/daily/klines/{symbol}/1m/" for symbol in data.SMALL_SYMBOLS]


def config(
    server: Server, lake: Path, path: Path, symbols: Sequence[str] = data.SMALL_SYMBOLS
) -> Path:
    last = data.SMALL_FIRST.replace(month=9, day=8)
    names = ", ".join(f'"{symbol}"' for symbol in symbols)
    path.write_text(
        f"[lake]\npath = '{lake}'\n[network]\narchive_url = '{server.archive_url}'\n"
        f"listing_url = '{server.listing_url}'\nca_file = '{server.ca_file or ''}'\n"
        "[rest]\nenabled = false\n"
        f"[[dataset]]\nmarket = 'spot'\nkind = 'klines'\nsymbols = [{names}]\nintervals = ['1m']\n"
        f"start = {data.SMALL_FIRST}\nend = {last}\n"
    )
    return path


def measure(root: Path, delay_ms: int) -> None:
    scratch = harness.CACHE / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    with serving(root, scratch / "nginx", tls=True, delay_ms=delay_ms) as server:

        def limit(number: int, *options: str) -> harness.Run:
            return harness.limit(server, scratch / f"limit{number}", *options, *PREFIXES)

        def ours(number: int) -> harness.Run:
            lake = scratch / f"lake{number}"
            path = config(server, lake, scratch / f"lake{number}.toml")
            return harness.run([sys.executable, "-m", "fullpool", "sync", "-c", str(path)])

        def again(number: int) -> harness.Run:
            path = scratch / f"lake{number}.toml"
            found = harness.run([sys.executable, "-m", "fullpool", "sync", "-c", str(path)])
            assert "nothing new" in found.output, found.output
            shutil.rmtree(scratch / f"lake{number}")
            return found

        programs = {
            "limit": limit,
            "limit without CHECKSUM": lambda number: limit(number, "--no-checksum"),
            "fullpool sync": ours,
            "fullpool sync, nothing new": again,
        }
        rows = harness.table(harness.interleaved(programs, ROUNDS), "limit")
    harness.save(f"small-{delay_ms}ms", rows)


if __name__ == "__main__":
    print("2,000 daily 1m archives over TLS")
    archives = data.small(harness.CACHE / "small")
    for milliseconds in (0, 20):
        print(f" {milliseconds} ms")
        measure(archives, milliseconds)
