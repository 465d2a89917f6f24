"""What a new user does first, in the order of the README, against the simulated vendor."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

import fullpool
from fullpool.app import clock
from served import Vendor

TODAY = clock.now().date()


class Shell:
    """A terminal in the user's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> str:
        """Run a command of fullpool's that ends well; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "fullpool", *words],
            cwd=self.folder, check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_tutorial_runs_from_nothing(vendor: Vendor, shell: Shell, tmp_path: Path) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        first = TODAY - timedelta(days=9)
        vendor.publish(f"spot/klines/{symbol}/1h", first, TODAY - timedelta(days=1))

    # Say what to keep, and where. The tutorial's vendor is not the real one.
    lake = str(tmp_path / "lake")
    said = shell.run("init", "--lake", lake, "--symbols", "*USDT", "--intervals", "1h")
    assert "fullpool sync --config fullpool.toml" in said
    file = tmp_path / "fullpool.toml"
    text = file.read_text()
    for key, address in (
        ("archive_url", vendor.simulator.url), ("listing_url", vendor.simulator.listing_url),
    ):  # fmt: skip
        text = text.replace(f'\n{key} = "', f'\n{key} = "{address}" # "')
    file.write_text(text.replace("\nenabled = true", "\nenabled = false"))
    assert "fullpool.toml is valid" in shell.run("check", "fullpool.toml")

    # See what that means before anything is downloaded, then do it.
    assert "18 archives" in shell.run("plan")
    assert "rows: 432" in shell.run("sync")
    assert "spot/klines/1h" in shell.run("status")
    assert "0 archives" in shell.run("plan")

    # Ask: from the shell, from DuckDB, from Python.
    count = "SELECT symbol, count(*) AS bars FROM klines GROUP BY symbol ORDER BY symbol"
    expected = [{"symbol": "BTCUSDT", "bars": 216}, {"symbol": "ETHUSDT", "bars": 216}]
    assert json.loads(shell.run("sql", count, "--json")) == expected
    with duckdb.connect(f"{lake}/lake.duckdb", read_only=True) as connection:
        assert connection.execute(count).fetchall() == [("BTCUSDT", 216), ("ETHUSDT", 216)]
    with fullpool.open(lake) as opened:
        assert opened.klines("BTCUSDT", "1h").count() == 216
        # After midnight the day before has no archive yet.
        before = opened.gaps().sql(f"FROM these WHERE gap_start < TIMESTAMP '{TODAY}'")
        assert before.fetchall() == []

    # Take some of it elsewhere, and look after the lake.
    assert "1 file, 24 rows" in shell.run(
        "export", "btc", "--symbols", "BTCUSDT", "--start", str(TODAY - timedelta(days=1))
    )
    assert shell.run("verify")
    assert "do not read" in (tmp_path / "lake" / "README.txt").read_text().lower()
