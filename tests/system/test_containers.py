"""The image: built without a network, run as an id that owns nothing, with a read-only root."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from fullpool.metrics import Gauges, Live
from fullpool.store.catalogue.figures import Ended, Figures, Freshness
from podman import BASE, LIMITS, podman, runtime
from served import Vendor, dataset, wait

pytestmark = pytest.mark.containers
__all__ = ["runtime"]  # a fixture
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "systemd"
IMAGE = "localhost/fullpool-test"
NAME = f"fullpool-test-{os.getpid()}"
TEMPORARY = "/tmp"  # noqa: S108 - in the container


@pytest.fixture(scope="module")
def image(runtime: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the files that git knows, and of wheels that were downloaded before."""
    context = tmp_path_factory.mktemp("context")
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, files.split("\0")):
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    podman(
        *runtime, "build", "--isolation", "chroot", "--format", "docker",
        "--volume", f"{CACHE / 'wheels'}:/wheels:ro", "--build-arg", f"BASE={BASE}",
        "--build-arg", "PIP_FIND_LINKS=/wheels", "--build-arg", "PIP_NO_INDEX=1",
        "--tag", IMAGE, "--file", "Containerfile", str(context),
    )  # fmt: skip
    return IMAGE


class Contained:
    """A daemon in a container, its lake and the folder of its configuration."""

    def __init__(self, vendor: Vendor, folder: Path, options: tuple[str, ...]) -> None:
        self.vendor = vendor
        self.lake, self.etc = folder / "lake", folder / "etc"
        self.options = options

    def write(self, text: str) -> None:
        """Replace the file of the configuration, as editors do."""
        new = self.etc / "new"
        new.write_text(text)
        new.rename(self.etc / "fullpool.toml")

    def text(self, symbols: str) -> str:
        """Return a configuration of some symbols."""
        return self.vendor.config_text(
            Path("/lake"),
            dataset(f"spot/klines/{symbols}/1m", start="2024-06-01", end="2024-06-02"),
        )

    def start(self, *more: str, timezone: str = "Asia/Kolkata") -> None:
        podman(
            *self.options, "run", "--detach", "--name", NAME, *LIMITS, "--network", "host",
            "--read-only", "--tmpfs", TEMPORARY, "--cap-drop", "ALL", "--env", f"TZ={timezone}",
            "--security-opt", "no-new-privileges", "--volume", f"{self.lake}:/lake",
            "--volume", f"{self.etc}:/etc/fullpool:ro", *more, IMAGE,
        )  # fmt: skip

    def symbols(self) -> list[str]:
        """Return the symbols that the lake has, as a reader outside of the container sees them."""
        with duckdb.connect(str(self.lake / "lake.duckdb"), read_only=True) as connection:
            connection.execute(f"SET VARIABLE lake_root = '{self.lake}'")
            found = connection.execute("SELECT DISTINCT symbol FROM klines ORDER BY 1").fetchall()
        return [symbol for (symbol,) in found]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, podman("logs", NAME, check=False)
        wait(0.5)


@pytest.fixture
def contained(
    vendor: Vendor, tmp_path: Path, image: str, runtime: tuple[str, ...]
) -> Iterator[Contained]:
    assert image
    for symbol in ("AUSDT", "BUSDT"):
        vendor.publish(f"spot/klines/{symbol}/1m", date(2024, 6, 1), date(2024, 6, 2))
    made = Contained(vendor, tmp_path, runtime)
    made.lake.mkdir()
    made.etc.mkdir()
    os.chown(made.lake, 10001, 10001)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    made.write(made.text("AUSDT"))
    yield made
    podman("rm", "--force", "--time", "10", NAME, check=False)


def test_the_daemon_runs_in_a_container(contained: Contained) -> None:
    contained.start()
    healthy = "1 series up to date"
    until(lambda: healthy in podman("exec", NAME, "fullpool", "health", check=False))
    assert contained.symbols() == ["AUSDT"]
    owners = {path.stat().st_uid for path in (contained.lake / "klines").rglob("*")}
    assert owners == {10001}
    assert "+05:30" not in podman("logs", NAME)  # times are UTC, whatever TZ says

    # An editor replaces the file: that is seen.
    contained.write(contained.text("AUSDT,BUSDT"))
    until(lambda: "2 series up to date" in podman("exec", NAME, "fullpool", "health"))
    assert contained.symbols() == ["AUSDT", "BUSDT"]

    # A reload, and a signal, from outside.
    assert podman("exec", NAME, "fullpool", "reload")
    contained.write("nonsense")
    until(lambda: "config.refused" in podman("logs", NAME))
    contained.write(contained.text("BUSDT"))
    podman("kill", "--signal", "HUP", NAME)
    until(lambda: "1 series up to date" in podman("exec", NAME, "fullpool", "health"))

    podman("stop", "--time", "15", NAME)
    state = podman("inspect", "--format", "{{.State.ExitCode}} {{.State.Status}}", NAME)
    assert state.split() == ["0", "exited"]


@pytest.mark.parametrize("timezone", ["America/New_York", "Nowhere/Land"])
def test_mounted_file_written_in_place_is_seen(contained: Contained, timezone: str) -> None:
    """No event tells of it: the folder that is watched is the image's."""
    file = contained.etc / "fullpool.toml"
    contained.start("--volume", f"{file}:/etc/fullpool/fullpool.toml:ro", timezone=timezone)
    until(lambda: "1 series up to date" in podman("exec", NAME, "fullpool", "health", check=False))
    file.write_text(contained.text("AUSDT,BUSDT"))
    until(lambda: "2 series up to date" in podman("exec", NAME, "fullpool", "health"))

    assert contained.symbols() == ["AUSDT", "BUSDT"]


def test_lake_of_another_owner_is_told(contained: Contained) -> None:
    os.chown(contained.lake, 0, 0)
    contained.start()
    until(lambda: "exited" in podman("inspect", "--format", "{{.State.Status}}", NAME))

    said = podman("logs", NAME)
    assert "error: " in said
    assert "hint: check the folder's owner" in said
    code = podman("inspect", "--format", "{{.State.ExitCode}}", NAME)
    assert code.strip() == "7"


@pytest.mark.parametrize("command", ["check rules", "test rules"])
def test_the_alarms_are_right(command: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: make test-containers installs it, as root")
    file = "fullpool.rules.yml" if command.startswith("check") else "fullpool.test.yml"
    done = subprocess.run(
        ["promtool", *command.split(), file],
        cwd=ROOT / "monitoring", check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_has_nothing_against_the_metrics(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: make test-containers installs it, as root")
    live = Live(datetime.now(UTC), 7, {"spot": 1}, False, 9, {("api.binance.com", "200"): 3}, 1)  # noqa: TID251
    series = Freshness("spot", "klines", "1m", 1, 0, live.since)
    gauges = Gauges(lambda: live, lambda: live.since)
    gauges.figures = Figures(
        (series,), {"present": 3}, 1, {"open": 2}, 5, 1, 9, 7,
        (Ended("tick", live.since, True),), 1, {"api.binance.com": live.since},
    )  # fmt: skip
    gauges.took("tick", 1)
    gauges.write(tmp_path / "fullpool.prom")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        check=False, capture_output=True, input=(tmp_path / "fullpool.prom").read_bytes(),
    )  # fmt: skip

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
