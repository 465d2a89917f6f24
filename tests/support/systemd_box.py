"""A real systemd, booted in a container, with the service and a vendor in it.

Needs root, systemd-nspawn, the folder made by tests/support/systemd_tree.sh, and ../shared/tools.
The container has no network but its own loopback, where the simulator stands in for the vendor.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from served import wait

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / ".cache" / "systemd"
SUITE = os.environ.get("SUITE", "bookworm")
TOOL = ROOT.parent / "shared" / "tools" / "sdbox.sh"
NAME = "fullpool-test"
PROGRAM = "/opt/fullpool/bin/fullpool"
LAKE = "--lake /srv/fullpool"


class Box:
    """A booted container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "SDBOX_RUN": str(folder)}

    def up(self, *binds: str) -> None:
        done = self._tool("up", str(MADE / SUITE), NAME, *binds)
        if done.returncode:
            pytest.skip(f"NOT RUN: the container cannot be booted: {done.stdout} {done.stderr}")

    def down(self) -> None:
        self._tool("down", NAME)

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside, as root."""
        done = self._tool("exec", NAME, "bash", "-c", command)
        assert not check or done.returncode == 0, self._told(command, done)
        return done

    def _told(self, command: str, done: subprocess.CompletedProcess[str]) -> str:
        journal = self._tool("exec", NAME, "journalctl", "-u", "fullpool", "-n", "40", "--no-pager")
        return f"{command}\n{done.stdout}\n{done.stderr}\n{journal.stdout}"

    def out(self, command: str) -> str:
        return self.run(command).stdout.strip()

    def shown(self, name: str) -> str:
        """Return one property of the service."""
        return self.out(f"systemctl show fullpool -p {name} --value")

    def until(self, is_so: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := is_so():
                return found
            wait(0.2)
        log = self.out("systemctl status fullpool --no-pager -l -n 60 || true")
        raise AssertionError(f"never so:\n{log}")

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """Ask the lake as the reader alice."""
        done = self.run(f"runuser -u alice -- {PROGRAM} sql {LAKE} --json {sql!r}", check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def rows(self, table: str) -> int:
        found = self.ask(f"SELECT count(*) AS n FROM {table}")
        return int(found[0]["n"]) if found else 0

    def reader(self, seconds: float) -> subprocess.Popen[str]:
        """Have alice query the lake for so long."""
        leader = (self.folder / f"{NAME}.leader").read_text().strip()
        return subprocess.Popen(
            ["nsenter", "-t", leader, "-m", "-u", "-i", "-n", "-p", "-C", "--", "runuser", "-u",
             "alice", "--", "/opt/fullpool/bin/python", "/vendor/reader.py", str(seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def events(self, *fields: str) -> list[dict[str, Any]]:
        """Return the events of the daemon in the journal; *fields* narrow them down."""
        matches = " ".join(fields)
        text = self.out(f"journalctl -u fullpool -o json --no-pager {matches}")
        messages = [str(json.loads(line)["MESSAGE"]) for line in text.splitlines()]
        return [json.loads(message) for message in messages if message.startswith("{")]

    def _tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(TOOL), *arguments],
            check=False, capture_output=True, text=True, env=self.env, timeout=180,
        )  # fmt: skip


def config(*datasets: str) -> str:
    addresses = "\n".join(
        f'{market}_url = "http://127.0.0.1:8765"' for market in ("spot", "um", "cm")
    )
    return (
        '[lake]\npath = "/srv/fullpool"\nmin_free_gb = 0.0\n'
        '[network]\narchive_url = "http://127.0.0.1:8765"\n'
        'listing_url = "http://127.0.0.1:8765/data.binance.vision"\n'
        f"[rest]\n{addresses}\n"
        '[schedule]\ntick = "2s"\npatch = "5s"\n[limits]\nbuilders = 2\npublish_every_s = 1.0\n'
        + "".join(datasets)
    )


def told(part: str) -> str:
    """Return the commands of docs/operate.md that contain *part*."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "operate.md").read_text(), re.DOTALL)
    (found,) = (block for block in blocks if part in block)
    return str(found)


def write(box: Box, *datasets: str) -> None:
    """Write the configuration as `sed -i` does."""
    (box.folder / "vendor" / "new.toml").write_text(config(*datasets))
    box.run("cd /etc/fullpool && cp /vendor/new.toml .new && mv .new fullpool.toml")


@contextmanager
def booted(folder: Path) -> Iterator[Box]:
    """Boot a container that has at /src what is installed from, and at /vendor that of *folder*."""
    if not (MADE / SUITE / ".made").exists() or not (MADE / "wheels").exists():
        pytest.skip(f"NOT RUN: there is no {MADE / SUITE}; make test-systemd tells why")
    if not TOOL.exists():
        pytest.skip(f"NOT RUN: {TOOL} is not here")
    (folder / "vendor").mkdir(mode=0o755, exist_ok=True)
    for name in ("config", "systemd", "docs", "dist"):
        shutil.copytree(ROOT / name, folder / "source" / name)
    for name in ("requirements-service.lock", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    box = Box(folder)
    box.up(
        f"--bind={folder}/source:/src",
        f"--bind={folder}/vendor:/vendor",
        f"--bind-ro={MADE / 'wheels'}:/wheels",
    )
    try:
        yield box
    finally:
        box.down()
