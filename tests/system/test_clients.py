"""The stand-in for the vendor, as clients of other people find it (make test-clients)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fullpool.simulator import Bucket, Simulator, generate, spec_from

pytestmark = pytest.mark.clients

PYTHON = os.environ.get("CLIENTS_PYTHON", "")
SCRIPT = Path(__file__).parents[1] / "support" / "clients.py"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("vendor")
    first, last = date(2024, 6, 1), date(2024, 6, 2)
    series = (
        "spot/klines/BTCUSDT/1h", "spot/klines/ETHUSDT/1h", "um/klines/BTCUSDT/1h",
        "spot/aggTrades/BTCUSDT",
    )  # fmt: skip
    for one in series:
        list(generate(folder, spec_from(one, first, last, 250)))
    days = spec_from("spot/klines/BTCUSDT/1d", date(2021, 6, 1), date(2024, 6, 4), 0)
    list(generate(folder, days))
    with Simulator(Bucket(folder)) as served:
        yield served


@pytest.mark.parametrize("name", ["boto3", "ccxt", "python-binance", "binance-connector"])
def test_a_client_gets_along_with_it(vendor: Simulator, tmp_path: Path, name: str) -> None:
    if not PYTHON:
        pytest.skip("`make test-clients` installs the clients")
    done = subprocess.run(
        [PYTHON, str(SCRIPT), name, vendor.url, str(tmp_path)],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("version", ["true", "false"])
def test_rclone_copies_all_of_it(vendor: Simulator, tmp_path: Path, version: str) -> None:
    if shutil.which("rclone") is None:
        pytest.skip("rclone is not here (Debian's package rclone)")
    remote = f":s3,provider=Other,endpoint='{vendor.url}',list_version={1 + (version == 'true')}:"
    source = f"{remote}data.binance.vision/data/spot/daily/klines/BTCUSDT/1d"
    done = subprocess.run(
        ["rclone", "copy", "--config", os.devnull, source, str(tmp_path / "copy")],
        env={key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    copied = sorted(path.name for path in (tmp_path / "copy").iterdir())
    held = vendor.bucket.folder / "data/spot/daily/klines/BTCUSDT/1d"
    assert len(copied) == 2 * len(list(held.glob("*.zip"))) == 2200
    for path in held.glob("*.zip"):
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
