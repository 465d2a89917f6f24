"""The vendor, as the tests see it: a folder of archives served by the simulator."""

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any, Self
from zipfile import ZipFile

from fullpool.app import clock, configuration, pools, syncing
from fullpool.app.assembly import opened_state, working
from fullpool.app.lock import writing
from fullpool.app.signals import Flag
from fullpool.config import Config, parse
from fullpool.model import Known, Step
from fullpool.simulator import Bucket, Fault, Simulator, generate, spec_from
from fullpool.simulator.generate import zipped
from fullpool.store.catalogue.reader import Reader, reading
from fullpool.store.tree import Tree
from fullpool.sync.outcome import Outcome
from fullpool.sync.passes import run_audit

# Read in place of all authorities that this machine knows: no test reaches any of their hosts.
_CA = Path(__file__).parent / "fixtures" / "ca.pem"
# Waits for so many seconds; for processes and threads that are real.
wait = clock.sleeper(Flag())


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


KLINE = (
    "{t},1.00000000,2.00000000,0.50000000,1.50000000,10.00000000,{c},15.00000000,3,"
    "4.00000000,6.00000000,0\n"
)


@dataclass
class Seen:
    """A watcher that remembers."""

    records: list[Known] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)

    def listing(self, series: int) -> None: ...
    def asking(self, gaps: int, requests: int) -> None: ...
    def answered(self) -> None: ...
    def listed(self) -> None: ...
    def discovered(self, series: int) -> None: ...
    def planned(self, steps: Sequence[Step]) -> None: ...
    def requested(self, host: str, status: int | None) -> None: ...
    def received(self, size_bytes: int) -> None: ...
    def recorded(self, known: Known) -> None:
        self.records.append(known)

    def published(self, generation: int) -> None:
        self.generations.append(generation)


class Vendor:
    """A bucket whose archives tests make, damage and publish anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.simulator = Simulator(Bucket(folder))

    def __enter__(self) -> Self:
        self.simulator.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.simulator.__exit__()

    def publish(self, series: str, first: date, last: date, trades_a_day: int = 500) -> list[Path]:
        """Publish invented archives of a series."""
        paths = list(generate(self.folder, spec_from(series, first, last, trades_a_day)))
        self.simulator.bucket.refresh()
        self.simulator.api.refresh()
        return paths

    def put(self, key: str, text: str, *, member: str | None = None) -> Path:
        """Publish one ZIP of *text* under *key*."""
        name = key.rpartition("/")[2].removesuffix(".zip")
        return self.put_bytes(key, zipped(member or f"{name}.csv", text.encode()))

    def put_bytes(self, key: str, content: bytes, at: datetime | None = None) -> Path:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        moment = (at or datetime(2024, 6, 1, tzinfo=UTC)).timestamp()
        os.utime(path, (moment, moment))
        self.simulator.bucket.refresh()
        self.simulator.api.refresh()
        return path

    def text_of(self, key: str) -> str:
        """Return the rows of a ZIP that was published."""
        with ZipFile(self.folder / key) as zipped_file:
            return zipped_file.read(zipped_file.namelist()[0]).decode()

    def remove(self, key: str) -> None:
        """Serve it no more."""
        (self.folder / key).unlink()
        self.simulator.bucket.refresh()

    def fail(self, *faults: Fault) -> None:
        self.simulator.faults[:] = faults

    def archive_requests(self) -> list[str]:
        return self.simulator.archive_requests()

    def rest_text(self, **settings: Any) -> str:
        hosts = {f"{market}_url": f"'{self.simulator.url}'" for market in ("spot", "um", "cm")}
        return "\n".join(f"{key} = {value}" for key, value in (hosts | settings).items())

    def config(
        self, lake: Path, datasets: str, *, rest: dict[str, Any] | None = None, **limits: Any
    ) -> Config:
        """Return a configuration; the API is only asked if *rest* has settings for it."""
        config = parse(self.config_text(lake, datasets, rest=rest, **limits), "test.toml")
        return replace(config, network=replace(config.network, ca_file=str(_CA)))

    def config_text(
        self, lake: Path, datasets: str, *, rest: dict[str, Any] | None = None, **limits: Any
    ) -> str:
        settings = {"builders": 1, **limits}
        lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
        return (
            f"[lake]\npath = '{lake}'\nmin_free_gb = 0.0\n"
            f'[network]\narchive_url = "{self.simulator.url}"\n'
            f'listing_url = "{self.simulator.listing_url}"\nread_timeout_s = 5.0\nconnections = 8\n'
            f"[rest]\n{self.rest_text(**(rest or {'enabled': 'false'}))}\n"
            f"[limits]\n{lines}\n{datasets}"
        )


def dataset(series: str, *, start: str = "", end: str = "", follow: str = "") -> str:
    """Return the TOML of a dataset of one series, `spot/klines/BTCUSDT/1m`; symbols may be many."""
    market, kind, symbols, *interval = series.split("/")
    names = ", ".join(f'"{symbol}"' for symbol in symbols.split(","))
    lines = [f'[[dataset]]\nmarket = "{market}"\nkind = "{kind}"\nsymbols = [{names}]']
    lines += [f'intervals = ["{interval[0]}"]'] if interval else []
    lines += [f"start = {start}"] if start else []
    lines += [f"end = {end}"] if end else []
    lines += [f"follow = {follow}"] if follow else []
    return "\n".join(lines) + "\n"


def sync(config: Config) -> tuple[Outcome, Seen]:
    """Run one sync for real: threads, processes, sockets, disk."""
    seen = Seen()
    outcome = syncing.sync(config, seen, Event())
    syncing.require_complete(outcome)
    return outcome, seen


def audit(config: Config) -> Outcome:
    """Compare everything with the vendor's listing, as the daemon's audit does."""
    stop, tree = Flag(), tree_of(config)
    with (
        writing(tree, "run", clock.now()),
        opened_state(tree) as state,
        working(config, Seen(), stop, pools.processes(1, stop)) as work,
    ):
        return run_audit(work, state, "audit")


def ask(config: Config, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one query against the newest generation."""
    with reading(tree_of(config)) as reader:
        return list(reader.query(sql, values).rows)


def reading_of(config: Config) -> AbstractContextManager[Reader]:
    """Open the newest generation."""
    return reading(tree_of(config))


def tree_of(config: Config) -> Tree:
    return configuration.tree_of(config)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every Parquet file below *folder* with its inode and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*.parquet"))
        if ".catalogue" not in path.parts
    }


def kline(moment: datetime, *, step_ms: int = 60_000, unit: int = 1000) -> str:
    """Return one line of a spot kline file that opens at *moment*."""
    opened = int(moment.timestamp()) * unit
    return KLINE.format(t=opened, c=opened + step_ms * unit // 1000 - 1)
