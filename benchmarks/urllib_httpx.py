"""The claim that urllib is twice as fast as httpx for large archives, measured again."""

import shutil
import ssl
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import data
import harness
import httpx
from serve import serving

from fullpool.decode import CHUNK_BYTES
from fullpool.vision import Access, Opener

ROUNDS = 7


def with_urllib(url: str, context: ssl.SSLContext) -> int:
    opener = Opener(Access(context, time.monotonic, threading.Event()))
    buffer, total = memoryview(bytearray(CHUNK_BYTES)), 0
    with opener.open(url) as response:
        while count := response.readinto(buffer):
            total += count
    opener.close()
    return total


def with_httpx(url: str, context: ssl.SSLContext, chunk_bytes: int) -> int:
    with httpx.Client(verify=context) as client, client.stream("GET", url) as response:
        return sum(len(chunk) for chunk in response.iter_raw(chunk_bytes))


def measure(url: str, context: ssl.SSLContext) -> list[dict[str, object]]:
    clients: dict[str, Callable[[], int]] = {
        "urllib, 1 MiB": lambda: with_urllib(url, context),
        "httpx, 64 KiB": lambda: with_httpx(url, context, 1 << 16),
        "httpx, 1 MiB": lambda: with_httpx(url, context, CHUNK_BYTES),
    }
    wall: dict[str, list[float]] = {name: [] for name in clients}
    cpu: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(ROUNDS):
        for name, client in clients.items():
            started, used = time.perf_counter(), time.process_time()
            assert client() > 100_000_000
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    base = statistics.median(wall["urllib, 1 MiB"])
    return [
        {"program": name, "wall_s": round(statistics.median(wall[name]), 3),
         "cpu_s": round(statistics.median(cpu[name]), 3),
         "times_urllib": round(statistics.median(wall[name]) / base, 2)}
        for name in clients
    ]  # fmt: skip


def main() -> None:
    print("one large archive: urllib against httpx")
    root, scratch = data.huge(harness.CACHE / "huge"), harness.CACHE / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    (path,) = root.rglob("*.zip")
    rows = []
    for tls in (False, True):
        with serving(root, scratch / "nginx", tls=tls) as server:
            context = ssl.create_default_context(cafile=server.ca_file)
            url = f"{server.archive_url}/{Path(path).relative_to(root).as_posix()}"
            for row in measure(url, context):
                rows.append({"transport": "TLS" if tls else "plain", **row})
                print(" ", rows[-1])
    harness.save("urllib-httpx", rows)


if __name__ == "__main__":
    main()
