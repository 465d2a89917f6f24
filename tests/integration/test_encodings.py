"""Letters, paths and homes as machines have them: each works, or is told in a sentence."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from damaging import run
from fullpool.errors import Exit
from served import Vendor, dataset, kline

DAY = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-01.zip"
ONE = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-01")


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Path:
    vendor.put(DAY, kline(datetime(2024, 6, 1, tzinfo=UTC)))
    path = tmp_path / "fullpool.toml"
    path.write_text(vendor.config_text(tmp_path / "lake", ONE))
    assert run("sync", "-c", path).returncode == Exit.OK
    return path


@pytest.mark.parametrize("name", ["what?", "back\\slash", "a|b", "a*b", "la[k]e"])
def test_lakes_duckdb_cannot_find_are_refused(vendor: Vendor, tmp_path: Path, name: str) -> None:
    path = tmp_path / "fullpool.toml"
    path.write_text(vendor.config_text(tmp_path / name, dataset("spot/klines/AUSDT/1m")))
    checked = run("check", path)

    assert checked.returncode == Exit.CONFIG
    assert "DuckDB would not find the files there" in checked.stderr
    assert run("status", "--lake", tmp_path / name).returncode == Exit.USAGE


@pytest.fixture
def chinese(vendor: Vendor, tmp_path: Path) -> Path:
    """Return the configuration of a symbol that Binance lists in Chinese."""
    vendor.publish("um/klines/币安人生USDT/1h", date(2024, 6, 1), date(2024, 6, 2))
    path = tmp_path / "fullpool.toml"
    text = dataset("um/klines/币安人生USDT/1h", start="2024-06-01", end="2024-06-02")
    path.write_text(vendor.config_text(tmp_path / "lake", text), encoding="utf-8")
    return path


@pytest.fixture
def latin(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a machine whose locale is Latin-1."""
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode or not (tmp_path / "en_US.ISO-8859-1").exists():
        pytest.skip("localedef has no sources of locales here (Debian's package locales)")
    return {"LOCPATH": str(tmp_path), "LC_ALL": "en_US.ISO-8859-1"}


def in_chinese(path: Path, env: dict[str, str]) -> None:
    """Hold every command to it that it gets along with letters that the output lacks."""
    ask = "SELECT symbol, count(*) AS rows FROM klines GROUP BY ALL"
    for arguments in (
        ["check", str(path)], ["sync", "-c", str(path)], ["status", "-c", str(path)],
        ["sql", "-c", str(path), ask], ["sql", "-c", str(path), "--csv", ask],
        ["verify", "-c", str(path)],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "fullpool", *arguments],
            check=False, capture_output=True, env={**os.environ, **env},
        )  # fmt: skip
        assert done.returncode == Exit.OK, (arguments, done.stderr)
        assert b"UnicodeEncodeError" not in done.stderr
    assert run("sql", "-c", path, "--csv", ask).stdout.splitlines()[1] == "币安人生USDT,48"


def test_letters_an_output_lacks_become_numbers(chinese: Path) -> None:
    in_chinese(chinese, {"PYTHONIOENCODING": "cp1252"})


def test_file_names_are_always_utf_8(chinese: Path, latin: dict[str, str]) -> None:
    in_chinese(chinese, latin)
    (folder,) = (chinese.parent / "lake" / "klines").rglob("symbol=*")
    assert folder.name == "symbol=币安人生USDT"


def test_sql_must_be_in_utf_8(config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "sql", "-c", str(config), "-"],
        check=False, capture_output=True, input=b"SELECT \xff",
    )  # fmt: skip

    assert done.returncode == Exit.USAGE
    assert b"pass it in UTF-8" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user without a home: needs root")
def test_without_home_it_says_where_it_looked() -> None:
    env = {key: value for key, value in os.environ.items() if key != "HOME"}

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            check=False, capture_output=True, text=True, env=env, cwd="/", user=54_321,
        )  # fmt: skip

    try:
        is_to_be_run = as_nobody("-c", "import fullpool.cli").returncode == 0
    except OSError:
        is_to_be_run = False
    if not is_to_be_run:
        pytest.skip("another user may not run this Python")
    done = as_nobody("-m", "fullpool", "status")

    assert done.returncode == Exit.CONFIG
    assert "looked for fullpool.toml" in done.stderr


def test_check_notes_figures_others_may_read(config: Path) -> None:
    listen = "[metrics]\nlisten = '0.0.0.0:9187'\nanyone = true\n"
    config.write_text(listen + config.read_text())
    done = run("check", config)

    assert done.returncode == Exit.OK
    assert "metrics.listen: anyone who can reach 0.0.0.0:9187 can read the metrics" in done.stdout
