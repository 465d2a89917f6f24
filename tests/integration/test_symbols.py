"""`fullpool symbols`: what the vendor has, before anything is configured."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from fullpool.app.symbols import wanted_in
from fullpool.errors import UsageError
from fullpool.model import Interval
from served import Vendor


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Path:
    vendor.publish("um/klines/BTCUSDT/1d", date(2024, 1, 30), date(2024, 2, 2))
    vendor.publish("um/klines/BTCUSDT/4h", date(2024, 1, 31), date(2024, 1, 31))
    vendor.publish("um/klines/ETHUSDT/1d", date(2024, 2, 1), date(2024, 2, 1))
    vendor.publish("um/klines/ETHBTC/1d", date(2024, 2, 1), date(2024, 2, 1))
    vendor.publish("um/fundingRate/BTCUSDT", date(2024, 1, 1), date(2024, 2, 29))
    vendor.publish("um/metrics/BTCUSDT", date(2024, 2, 1), date(2024, 2, 1))
    vendor.publish("um/klines/OLDUSD/1d", date(2024, 1, 20), date(2024, 2, 29))
    vendor.remove("data/futures/um/monthly/klines/OLDUSD/1d/OLDUSD-1d-2024-01.zip")
    path = tmp_path / "fullpool.toml"
    path.write_text(
        vendor.config_text(
            tmp_path / "lake",
            '[[dataset]]\nmarket = "um"\nkind = "metrics"\nsymbols = ["X"]\n',
            rest={"enabled": "true"},
        )
    )
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fullpool", "symbols", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_symbols_show_days_status_intervals_and_bytes(vendor: Vendor, config: Path) -> None:
    done = run("um/*USDT", "-c", str(config), "--json")

    assert done.returncode == 0, done.stderr
    btc, eth = json.loads(done.stdout)
    folder = vendor.folder / "data/futures/um"
    paths = [folder / "monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2024-01.zip"]
    paths += [folder / f"daily/klines/BTCUSDT/1d/BTCUSDT-1d-2024-02-0{day}.zip" for day in (1, 2)]
    assert btc == {
        "market": "um", "kind": "klines", "symbol": "BTCUSDT", "status": "TRADING",
        "first_day": "2024-01-01", "last_day": "2024-02-02", "intervals": "4h 1d",
        "interval": "1d", "archives": 3,
        "size_bytes": sum(path.stat().st_size for path in paths),
    }  # fmt: skip
    assert (eth["symbol"], eth["first_day"], eth["archives"]) == ("ETHUSDT", "2024-02-01", 1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("um/fundingRate/*", ("2024-01-01", "2024-02-29", 2)),
        ("um/metrics/BTC*", ("2024-02-01", "2024-02-01", 1)),
        ("um/klines/BTCUSDT/4h", ("2024-01-01", "2024-01-31", 1)),
    ],
)
def test_other_kinds_and_intervals_are_found(
    config: Path, pattern: str, expected: tuple[str, str, int]
) -> None:
    done = run(pattern, "-c", str(config), "--json")

    (found,) = json.loads(done.stdout)
    assert (found["first_day"], found["last_day"], found["archives"]) == expected


def test_days_before_the_first_month_count(config: Path) -> None:
    done = run("um/OLDUSD", "-c", str(config), "--json")

    (found,) = json.loads(done.stdout)
    assert (found["first_day"], found["last_day"]) == ("2024-01-20", "2024-02-29")
    assert found["archives"] == 12 + 1


def test_people_get_a_table(config: Path) -> None:
    done = run("um/ETH*", "-c", str(config))

    assert done.returncode == 0
    assert "ETHBTC" in done.stdout
    assert "2024-02-01" in done.stdout


def test_that_no_symbol_matches_is_told(config: Path) -> None:
    done = run("um/btc*", "-c", str(config))

    assert done.returncode == 2
    assert "has no klines of um that match 'btc*'" in done.stderr


def test_an_absent_vendor_is_an_error(config: Path, vendor: Vendor) -> None:
    vendor.simulator.__exit__()

    assert run("um/*", "-c", str(config)).returncode not in (0, 1)
    vendor.simulator = type(vendor.simulator)(vendor.simulator.bucket)
    vendor.simulator.__enter__()


@pytest.mark.parametrize(
    "text", ["", "um", "moon/*", "um/klines/*/5d", "spot/metrics/*", "spot/a/b/c", "um/trades/*/1m"]
)
def test_what_is_no_pattern_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="looking for symbols"):
        wanted_in(text)


def test_one_second_bars_are_of_spot() -> None:
    assert wanted_in("spot/*/1s").interval is Interval.S1
    with pytest.raises(UsageError):
        wanted_in("um/*/1s")
