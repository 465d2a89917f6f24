"""What the tests share: a vendor on loopback, a lake in a temporary folder, the real files."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fullpool import logs
from vendor import Vendor

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    logs.configure("CRITICAL")


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with Vendor(tmp_path / "vendor") as served:
        yield served


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real files; tests that need it skip where it is not."""
    if not REAL.exists():
        pytest.skip("the real files in ../shared/real are not here")
    return REAL
