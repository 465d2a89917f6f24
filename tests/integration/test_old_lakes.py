"""A lake that an older version wrote opens, keeps every row and goes on."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import time_machine

from fullpool.app import syncing, verify
from fullpool.app.assembly import opened_state
from fullpool.app.doctor.examination import examine_lake
from fullpool.app.rebuild import rebuild
from fullpool.app.signals import Flag
from fullpool.config import Config
from fullpool.errors import Exit
from fullpool.model import Status
from fullpool.simulator import Api
from fullpool.store.catalogue.sync_tables import FORMAT
from fullpool.store.state.tables import known_in
from fullpool.store.tree import Tree
from served import Seen, Vendor, ask, dataset, sync

# Written by the last commit before the words were changed. In it are seven days of bars: one is in
# quarantine, one was published anew, two bars are from the API, and three are missing there too.
ARCHIVED = Path(__file__).parents[1] / "support" / "fixtures" / "lake-515d430.tar.xz"
# A lake of each format of before 0.1.0, of three days, and their archives.
FORMATS = ARCHIVED.with_name("lakes-of-formats-1-to-13.tar.xz")
WRITTEN = datetime(2026, 11, 28, 19, tzinfo=UTC)
DATASETS = dataset("spot/klines/BTCUSDT/1h", start="2024-03-04", end="2024-03-10") + dataset(
    "um/aggTrades/BTCUSDT", start="2024-03-08", end="2024-03-09"
)
ROWS = "SELECT open_time, volume, source FROM klines ORDER BY open_time"
GAPS = "SELECT gap_start, gap_end, status, explanation FROM sync.gaps ORDER BY gap_start"
ARCHIVES = "SELECT period, status FROM sync.archives ORDER BY key"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    with tarfile.open(ARCHIVED) as archived:
        archived.extractall(tmp_path, filter="data")
    state = tmp_path / "lake" / ".state" / "state.duckdb"
    with duckdb.connect(str(state)) as connection:
        # As after a pass that was cut short: listed, and not fetched yet.
        connection.execute("UPDATE sync.archives SET status = 'published' WHERE period LIKE '%-10'")
    # An hour after it was written: later, what is in quarantine is fetched again.
    with time_machine.travel(WRITTEN + timedelta(hours=1)):
        yield tmp_path


def config(vendor: Vendor, old: Path) -> Config:
    vendor.simulator.api = Api(old / "api")
    return vendor.config(old / "lake", DATASETS, rest={"enabled": "true"})


def test_old_lake_is_adopted_and_continued(old: Path) -> None:
    with Vendor(old / "vendor") as vendor:
        settings = config(vendor, old)
        rows, gaps = ask(settings, ROWS), ask(settings, GAPS)
        syncing.plan(settings, Seen(), Flag())  # from the generation that the old version published
        sync(settings)

        assert len(rows) == 141
        assert ask(settings, ROWS) == rows
        assert ask(settings, GAPS) == gaps
        assert [explanation for *_, explanation in gaps] == ["empty_at_source", None]
        statuses = {status for _, status in ask(settings, ARCHIVES)}
        assert statuses == {"present", "quarantined", "absent"}
        assert ask(settings, "SELECT count(*) FROM sync.conflicts") == [(0,)]
        assert ask(settings, "SELECT rows_changed FROM sync.revisions") == [(2,)]
        assert ask(settings, "SELECT count(*) FROM agg_trades") == [(120,)]


def fullpool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fullpool", *words], check=False, capture_output=True, text=True
    )


def of_format(number: int, folder: Path) -> Path:
    """Unpack the lakes and their vendor; return that of a format."""
    with tarfile.open(FORMATS) as archived:
        archived.extractall(folder, filter="tar")  # with the rights of its folders
    return folder / f"format-{number:02}"


@pytest.mark.parametrize("number", range(1, FORMAT))
def test_each_old_format_is_read_and_updated(tmp_path: Path, number: int) -> None:
    lake = of_format(number, tmp_path)
    with Vendor(tmp_path / "vendor") as vendor:
        days = dataset("spot/klines/BTCUSDT/1h", start="2024-03-04", end="2024-03-06")
        settings = vendor.config(lake, days)
        assert ask(settings, "SELECT count(*) FROM klines") == [(72,)]
        commands = (("status",), ("gaps",), ("generations",), ("report", str(tmp_path / "it.html")))
        for command in (*commands, ("export", str(tmp_path / "out"))):
            done = fullpool(*command, "--lake", str(lake))
            is_read = number >= 10 or command[0] not in {"report", "export"}
            assert done.returncode == (Exit.OK if is_read else Exit.NO_LAKE), done.stderr
            assert is_read or "an older version published it" in done.stderr
        told = [(one.what, one.advice) for one in examine_lake(Tree(lake))]
        assert [fix for _, fix in told] == ["`fullpool sync` publishes it again"], told
        outcome, _ = sync(settings)

        assert (outcome.archives, outcome.failed) == (0, {})
        assert ask(settings, "SELECT row_count, files FROM sync.coverage") == [(72, 1)]
        assert ask(settings, "SELECT DISTINCT status FROM sync.archives") == [("present",)]
        assert verify.verify(settings, Flag(), lambda _: None).is_whole
        assert examine_lake(Tree(lake)) == []

        shutil.rmtree(Tree(lake).state.parent)
        rebuild(settings, Flag())
        assert ask(settings, "SELECT row_count, files FROM sync.coverage") == [(72, 1)]


def test_commands_read_old_publications(old: Path) -> None:
    lake = str(old / "lake")
    status = fullpool("status", "--lake", lake)
    shown = fullpool("sql", "--lake", lake, "--csv", "SELECT count(*) FROM klines")

    assert (status.returncode, status.stderr) == (0, "")
    assert "spot/klines/1h" in status.stdout
    assert shown.stdout.split() == ["count_star()", "141"]


@pytest.mark.parametrize("number", [1, 5, 8, 11])
def test_old_format_lake_is_rebuilt_unmigrated(tmp_path: Path, number: int) -> None:
    lake = of_format(number, tmp_path)
    shutil.rmtree(lake / ".state")
    with Vendor(tmp_path / "vendor") as vendor:
        days = dataset("spot/klines/BTCUSDT/1h", start="2024-03-04", end="2024-03-06")
        settings = vendor.config(lake, days)
        rebuild(settings, Flag())
        outcome, _ = sync(settings)

    assert (outcome.archives, outcome.failed) == (0, {})
    assert ask(settings, "SELECT count(*) FROM klines") == [(72,)]
    assert ask(settings, "SELECT count(*) > 0 FROM sync.passes WHERE version <> ''") == [(True,)]


def test_old_lake_without_state_is_rebuilt(old: Path) -> None:
    with Vendor(old / "vendor") as vendor:
        settings = config(vendor, old)
        rows, revisions = ask(settings, ROWS), ask(settings, "FROM sync.revisions")
        shutil.rmtree(old / "lake" / ".state")
        rebuild(settings, Flag())
        sync(settings)

        assert ask(settings, ROWS) == rows
        assert ask(settings, "FROM sync.revisions") == revisions


DYING = """
import os, sys
from pathlib import Path
import duckdb
from fullpool.store import duck
from fullpool.store.state import opening
from fullpool.app.clock import now

class Dying:
    def __init__(self, connection): self.connection, self.left = connection, int(sys.argv[2])
    def execute(self, *args):
        if not self.left: os._exit(7)
        self.left -= 1
        return self.connection.execute(*args)

state = Path(sys.argv[1])
with duckdb.connect() as connection:
    opening._attach(connection, state)
    opening._migrate(Dying(connection), state, now())
"""


def test_lake_opens_after_killed_migration(old: Path) -> None:
    state = Tree(old / "lake").state
    before, lives = state.read_bytes(), 0
    while run_until_dead(state, lives):
        with opened_state(Tree(old / "lake")) as opened:
            assert opened.queries.missing()["listed"] == 1
            assert len(opened.queries.files.current()) == 3
        for left in state.parent.glob("state.duckdb*"):
            left.unlink()
        state.write_bytes(before)
        lives += 1

    assert lives >= 6


def run_until_dead(state: Path, lives: int) -> bool:
    """Migrate in a process that dies after so many statements; return whether it died."""
    done = subprocess.run([sys.executable, "-c", DYING, state, str(lives)], check=False)
    assert done.returncode in (0, 7)
    return done.returncode == 7


def test_old_generation_s_published_means_listed() -> None:
    """A generation of before stays readable until the next pass publishes."""
    row = ("spot", "klines", "AUSDT", "1m", "2024-03-05", "published", "", "e", 5, None, 0, None,
           False, None, None, "", None)  # fmt: skip
    assert known_in(row).status is Status.LISTED
