"""Readers of every kind while the lake is published 200 times: nobody waits, nobody errs.

Each publication is the end of a real audit: every archive was published anew, with other prices, so
that every row of the lake is of the same edition or an answer was torn. The readers are processes
with DuckDB 2.0, 1.5.6 and 1.1, with new and kept connections; one is rude and opens to write.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, working
from fullpool.app.lock import writing
from fullpool.app.signals import Flag
from fullpool.config import Config
from fullpool.simulator.generate import zipped
from fullpool.store.state.writer import State
from fullpool.sync.maps import Builders
from fullpool.sync.passes import run_audit
from served import Seen, Vendor, dataset, sync, tree_of

pytestmark = pytest.mark.readers

PUBLICATIONS, ALONE = 200, 20
SYMBOLS = ("AUSDT", "BUSDT")
FIRST, DAYS = datetime(2024, 6, 1, tzinfo=UTC), 1
VERSIONS = {"2.0": None, "1.5.6": "duckdb==1.5.6", "1.1": "duckdb==1.1.3"}
READERS = (
    ("2.0", "new"), ("2.0", "new"), ("2.0", "kept"), ("1.5.6", "new"), ("1.5.6", "kept"),
    ("1.1", "new"), ("1.1", "kept"), ("2.0", "rude"),
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def publish_edition(vendor: Vendor, number: int) -> None:
    """Have the vendor publish all archives anew; their closing price is *number*."""
    for symbol in SYMBOLS:
        for day in range(DAYS):
            start = FIRST + timedelta(days=day)
            opened = int(start.timestamp()) * 1000
            prices = f"1.0,{number + 1}.0,0.5,{number}.0,1.0"
            lines = (
                f"{moment},{prices},{moment + 59_999},1.0,1,1.0,1.0,0\n"
                for moment in range(opened, opened + 86_400_000, 60_000)
            )
            name = f"{symbol}-1m-{start:%Y-%m-%d}"
            content = zipped(f"{name}.csv", "".join(lines).encode())
            key = f"data/spot/daily/klines/{symbol}/1m/{name}.zip"
            vendor.put_bytes(key, content, FIRST + timedelta(days=9, minutes=number))


class Writer:
    """The daemon's part: one audit an edition, with the workers and the state kept open."""

    def __init__(self, vendor: Vendor, config: Config, state: State, builders: Builders) -> None:
        self._vendor = vendor
        self._config = config
        self._state = state
        self._builders = builders
        self._edition = 1

    def run(self, count: int) -> list[float]:
        """Publish so many editions; return the seconds each audit took."""
        took = []
        for _ in range(count):
            self._edition += 1
            publish_edition(self._vendor, self._edition)
            began = time.monotonic()
            with working(self._config, Seen(), Flag(), nullcontext(self._builders)) as work:
                outcome = run_audit(work, self._state, "audit")
            took.append(time.monotonic() - began)
            assert outcome.archives == len(SYMBOLS) * DAYS
        return took


@contextmanager
def writer(vendor: Vendor, config: Config) -> Iterator[Writer]:
    tree = tree_of(config)
    with (
        writing(tree, "run", clock.now()),
        opened_state(tree) as state,
        pools.processes(1, Flag()) as builders,
    ):
        yield Writer(vendor, config, state, builders)


def python_with(version: str) -> str:
    """Return a Python with that DuckDB; made below .venv once."""
    requirement = VERSIONS[version]
    if requirement is None:
        return sys.executable
    folder = ROOT / ".venv" / f"reader-{version}"
    if not (folder / ".made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", requirement], check=True)
        (folder / ".made").touch()
    return str(folder / "bin" / "python")


def reader(lake: Path, stop: Path, version: str, how: str) -> subprocess.Popen[str]:
    """Start a reader; as root without root's right to write what nobody may."""
    limits = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    start_us = str(int(FIRST.timestamp()) * 1_000_000)
    return subprocess.Popen(
        [*limits, python_with(version), str(Path(__file__).parents[1] / "support" / "reader.py"),
         str(lake / "lake.duckdb"), str(stop), how, ",".join(SYMBOLS), str(DAYS * 1440), start_us],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(output)
    return found


def test_200_publications_give_eight_readers_no_error(vendor: Vendor, tmp_path: Path) -> None:
    publish_edition(vendor, 1)
    end = FIRST.date() + timedelta(days=DAYS - 1)
    series = dataset(f"spot/klines/{','.join(SYMBOLS)}/1m", start=str(FIRST.date()), end=str(end))
    config = vendor.config(tmp_path / "lake", series, publish_every_s=3600.0)
    sync(config)
    stop = tmp_path / "stop"

    with writer(vendor, config) as publishing:
        alone = publishing.run(ALONE)
        readers = [reader(tree_of(config).root, stop, version, how) for version, how in READERS]
        try:
            among = publishing.run(PUBLICATIONS)
        finally:
            stop.touch()
            seen = [told(one) for one in readers]

    _show(alone, among, seen)
    assert [one["errors"] for one in seen] == [[] for _ in READERS]
    assert all(one["asked"] >= 50 for one in seen)
    assert all(
        one["seen"] > 10 for (_, how), one in zip(READERS, seen, strict=True) if how == "new"
    )


def _show(alone: list[float], among: list[float], seen: list[dict[str, Any]]) -> None:
    """Print the figures: benchmarks measure, this tells."""
    print(  # noqa: T201 - for whoever runs it
        f"\nan audit of {len(SYMBOLS) * DAYS} new editions, built and published:"
        f" {statistics.median(alone) * 1000:.0f} ms alone,"
        f" {statistics.median(among) * 1000:.0f} ms (at most {max(among) * 1000:.0f})"
        f" under 8 readers, in {PUBLICATIONS} publications"
    )
    for (version, how), one in zip(READERS, seen, strict=True):
        print(  # noqa: T201
            f"DuckDB {version:6}{how:5} {one['asked']:7,} questions, {one['seen']:4} editions seen,"
            f" longest {one['longest'] * 1000:,.0f} ms"
        )
