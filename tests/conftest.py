"""What the tests share: a vendor on loopback, a lake in a temporary folder, the real files."""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fullpool import logs
from running import QUICK, Running
from served import Vendor, sync
from site_client import made_demo
from world import World

# Tests that take long, a line each: `make test` leaves them to `make test-slow`.
SLOW = Path(__file__).with_name("slow.txt")
REAL = Path(__file__).resolve().parents[2] / "shared" / "real"

# How long an example takes says nothing of the code where other things run.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = set(SLOW.read_text().split())
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker("slow")


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


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of `make demo`, made once for all workers of a run: nobody writes to it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo-lake"
    with folder.with_name("demo-lake.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            made_demo(folder)
            (folder / "made").touch()
    return folder / "lake"


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What the lake holds if nothing goes wrong."""
    folder = tmp_path_factory.mktemp("clean")
    with Vendor(folder / "vendor") as vendor:
        world = World(vendor, folder)
        sync(world.config)
        return world.digest()


@pytest.fixture
def world(vendor: Vendor, tmp_path: Path) -> World:
    return World(vendor, tmp_path)


@pytest.fixture
def daemon(world: World) -> Iterator[Running]:
    world.path.write_text(QUICK + world.path.read_text())
    with Running(world.path, world.lake) as one:
        one.until(lambda: "up to date" in one.status())
        yield one


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
