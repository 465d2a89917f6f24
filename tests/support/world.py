"""A small lake that faults happen to, and what must be true of it afterwards."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from threading import Event
from typing import Any, Final

from fullpool.app import configuration, syncing, verify
from fullpool.errors import Exit
from served import Seen, Vendor, ask, dataset, tree_of

KLINES: Final = ("spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m")
TRADES: Final = "um/aggTrades/CUSDT"
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 3)
DAYS: Final = {"start": str(FIRST), "end": str(LAST)}
DATASETS: Final = dataset("spot/klines/AUSDT,BUSDT/1m", **DAYS) + dataset(TRADES, **DAYS)
ROWS: Final = (
    "SELECT count(*), md5(string_agg(r::VARCHAR, '|' ORDER BY r::VARCHAR)) FROM klines_exact AS r",
    """SELECT count(*), md5(string_agg(r::VARCHAR, '|' ORDER BY r::VARCHAR))
    FROM agg_trades_exact AS r""",
)
# How a run may end that met a fault: incomplete, unreachable, unwritable, full, damaged state, ...
OURS: Final = {
    Exit.OK, Exit.INCOMPLETE, Exit.UNREACHABLE, Exit.UNTRUSTED, Exit.LAKE_UNWRITABLE,
    Exit.DISK_FULL, Exit.STATE_DAMAGED, Exit.LAKE_BUSY,
}  # fmt: skip
KILLED: Final = {-9, 137}


class World:
    """A vendor, a configuration, a lake."""

    def __init__(self, vendor: Vendor, folder: Path) -> None:
        self.vendor = vendor
        self.folder = folder
        self.lake = folder / "lake"
        self.path = folder / "fullpool.toml"
        self.datasets = DATASETS
        for series in (*KLINES, TRADES):
            vendor.publish(series, FIRST, LAST, trades_a_day=300)
        self.configure()

    def configure(self, **limits: Any) -> None:
        text = self.vendor.config_text(self.lake, self.datasets, **limits)
        self.path.write_text(text)
        self.config = configuration.load_config(self.path)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "fullpool", "sync", "-c", str(self.path)]

    def sync(
        self, *before: str, timeout: float = 120, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `fullpool sync` as a process, perhaps under a program that injects faults."""
        return subprocess.run(
            [*before, *self.command],
            check=False, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, **env},
        )  # fmt: skip

    def under_strace(
        self, *rules: str, paths: Sequence[Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a sync some of whose system calls fail, or kill it."""
        calls = sorted({rule.split(":")[0] for rule in rules})
        injected = [part for rule in rules for part in ("-e", f"inject={rule}")]
        only = [part for path in paths for part in ("-P", str(path))]
        trace = ["-e", f"trace={','.join(calls)}"]
        return self.sync("strace", "-f", "-qq", "-o", "/dev/null", *only, *trace, *injected)

    def digest(self) -> list[tuple[object, ...]]:
        """Return the number of rows and a hash of all of them, a table."""
        return [ask(self.config, sql)[0] for sql in ROWS]

    def require_clean_end(self, done: subprocess.CompletedProcess[str]) -> None:
        """Whatever happened, it is one message of ours with a hint, and no traceback."""
        assert done.returncode in OURS | KILLED, (done.returncode, done.stderr[-2000:])
        # A fault may hit Python's own semaphores at the end, which it tells and goes on.
        told = done.stderr.split("Exception ignored in")[0]
        assert "Traceback" not in told, done.stderr[-3000:]
        if done.returncode in OURS - {Exit.OK}:
            assert "error: " in done.stderr
            assert "hint: " in done.stderr

    def require_no_torn_file(self) -> None:
        """What readers see meanwhile is whole: every file that a generation names can be read."""
        if (self.lake / "lake.duckdb").exists():
            self.digest()

    def require_sound(self, clean: list[tuple[object, ...]]) -> None:
        """After the fault: one more sync, and the lake is as if nothing had happened."""
        self.require_no_torn_file()
        self.vendor.fail()
        before = len(self.vendor.archive_requests())
        outcome = syncing.sync(self.config, Seen(), Event())
        if not outcome.is_complete:  # what waited for its next try
            outcome = syncing.sync(self.config, Seen(), Event())
        assert outcome.is_complete, outcome
        assert self.digest() == clean
        found = verify.verify(self.config, Event(), lambda _: None)
        assert found.is_whole, found
        staging = list(tree_of(self.config).staging.iterdir())
        assert [one.name for one in staging if one.name != "spill"] == []
        self.again = len(self.vendor.archive_requests()) - before
