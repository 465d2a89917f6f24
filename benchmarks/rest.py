"""500 gaps of 60 to 1,500 bars at 20 ms: the pooled client, a connection a call, one after another.

And the same rows by archives: what the archive path takes for as many bars, inflated to text.
"""

import multiprocessing
import random
import shutil
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import harness
import httpx
import trustme

from fullpool.config import Rest
from fullpool.decode import decode
from fullpool.grid import Places, bars
from fullpool.kinds import KINDS
from fullpool.model import (
    Archive,
    Cadence,
    Interval,
    Market,
    Period,
    Series,
    Span,
    period_from,
    periods,
)
from fullpool.rest import Client, Window, ask, windows
from fullpool.simulator import Bucket, Simulator, generate, spec_from
from fullpool.vendor import member_name
from fullpool.vision import Access, Fetched, Fetcher, Opener

ROUNDS = 5
GAPS = 500
DELAY_S = 0.02
SERIES = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
GRID = bars(Interval.M1)
FIRST, LAST = date(2024, 1, 1), date(2024, 12, 31)


def serve(folder: Path, certificate: Path, pipe: Connection) -> None:
    """Serve in a process of its own; answer every message with the connections since the last."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Simulator(Bucket(folder), delay_s=DELAY_S, tls=context) as vendor:
        vendor.api.weights["spot"] = 1_000_000_000
        pipe.send(vendor.url)
        seen = 0
        while pipe.recv():
            pipe.send(vendor.connections - seen)
            seen = vendor.connections


@contextmanager
def vendor(folder: Path, scratch: Path) -> Iterator[tuple[str, ssl.SSLContext, Connection]]:
    scratch.mkdir(parents=True, exist_ok=True)
    authority, pem = trustme.CA(), scratch / "rest.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, pem, theirs))
    process.start()
    try:
        yield ours.recv(), context, ours
    finally:
        ours.send(None)
        process.join()


def questions() -> list[Window]:
    """Return the windows of 500 gaps, the same in every run."""
    chance = random.Random(7)  # noqa: S311 - not for secrets
    whole = GRID.places(Span(*(datetime(y, 1, 1, tzinfo=UTC) for y in (2024, 2025))))
    found: list[Window] = []
    for _ in range(GAPS):
        size = chance.randint(60, 1500)
        first = chance.randrange(whole.first, whole.end - size)
        found += windows(SERIES, GRID, Places(first, first + size))
    return found


def client_of(url: str, context: ssl.SSLContext) -> Client:
    return Client(
        Rest(spot_url=url, weight_share=1.0),
        context,
        bans=(),
        now=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        sleep=time.sleep,
        stop=threading.Event(),
    )


def pooled(url: str, context: ssl.SSLContext, asked: list[Window], at_once: int) -> int:
    with client_of(url, context) as client, ThreadPoolExecutor(at_once) as threads:
        return sum(len(a.lines) for a in threads.map(lambda w: ask(client, GRID, w), asked))


def a_connection_a_call(url: str, context: ssl.SSLContext, asked: list[Window]) -> int:
    def one(window: Window) -> int:
        query: dict[str, str | int] = {
            "symbol": "BTCUSDT", "interval": "1m", "limit": len(window.places),
            "startTime": int(GRID.opens(window.places.first).timestamp() * 1000),
            "endTime": int(GRID.opens(window.places.end - 1).timestamp() * 1000),
        }  # fmt: skip
        return len(httpx.get(f"{url}/api/v3/klines", params=query, verify=context).json())

    with ThreadPoolExecutor(20) as threads:
        return sum(threads.map(one, asked))


class Nowhere:
    """A sink that counts."""

    def write(self, chunk: bytes) -> int:
        return len(chunk)


def by_archives(url: str, context: ssl.SSLContext, rows: int) -> int:
    """Fetch, verify and inflate as many daily archives as hold *rows* bars."""
    year = Span(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    days = list(periods(year, Cadence.DAY))
    access = Access(context, time.monotonic, threading.Event())
    mine = threading.local()

    def one(day: Period) -> int:
        if not hasattr(mine, "fetcher"):
            mine.fetcher = Fetcher(Opener(access), url, 1 << 30, lambda _: None)
        archive = Archive(SERIES, day)
        found = mine.fetcher.fetch(archive, None, Path("/nonexistent"))
        assert isinstance(found, Fetched)
        sink: Any = Nowhere()
        member, kind = member_name(archive), KINDS["klines"]
        return decode(found.zipped, member, kind, 1 << 30, lambda _: sink).rows

    with ThreadPoolExecutor(32) as threads:
        return sum(threads.map(one, days[: -(-rows // 1440)]))


def timed(function: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    rows = function()
    return time.perf_counter() - started, rows


def main() -> None:
    print("500 gaps over REST, 20 ms, TLS")
    folder, scratch = harness.CACHE / "rest", harness.CACHE / "run"
    if not folder.exists():
        for path in generate(folder, spec_from("spot/klines/BTCUSDT/1m", FIRST, LAST)):
            if period_from(path.stem.partition("-1m-")[2]).cadence is Cadence.MONTH:
                path.unlink()
    asked = questions()
    rows = sum(len(window.places) for window in asked)
    shutil.rmtree(scratch, ignore_errors=True)
    with vendor(folder, scratch) as (url, context, pipe):
        pooled(url, context, asked[:1], 1)  # the rows are read once
        programs: dict[str, Callable[[], int]] = {
            "pooled client, 20 at once": lambda: pooled(url, context, asked, 20),
            "one connection a call, 20 at once": lambda: a_connection_a_call(url, context, asked),
            "one after another, pooled": lambda: pooled(url, context, asked, 1),
            "archives of as many bars": lambda: by_archives(url, context, rows),
        }
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        connections: dict[str, int] = {}
        for number in range(ROUNDS):
            for name, program in programs.items():
                pipe.send("count")
                pipe.recv()
                taken, found = timed(program)
                assert found >= rows, (name, found, rows)
                seconds[name].append(taken / found * rows)
                pipe.send("count")
                connections[name] = max(connections.get(name, 0), pipe.recv())
                print(f"  round {number + 1}: {name:<36} {taken:7.2f} s", flush=True)
    base = statistics.median(seconds["one after another, pooled"])
    harness.save(
        "rest",
        [
            {
                "program": name,
                "wall_s": round(statistics.median(all_), 3),
                "min_s": round(min(all_), 3),
                "max_s": round(max(all_), 3),
                "requests": len(asked) if "archives" not in name else 2 * -(-rows // 1440),
                "connections": connections[name],
                "rate_vs_sequential": round(base / statistics.median(all_), 1),
            }
            for name, all_ in seconds.items()
        ],
    )


if __name__ == "__main__":
    main()
