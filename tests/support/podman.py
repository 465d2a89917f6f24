"""Containers by podman, for the tests that need some."""

import shutil
import subprocess
from typing import Final

import pytest

BASE: Final = "localhost/fullpool-base"
# Limits that any machine lets a container have.
LIMITS: Final = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def podman(*words: str, check: bool = True) -> str:
    """Run podman; return what it prints."""
    done = subprocess.run(
        ["podman", *words], check=False, capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def runtime() -> tuple[str, ...]:
    """The options of podman with which a container runs here."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed: make test-containers installs it, as root")
    said = podman("image", "exists", BASE, check=False)
    for options in ((), ("--runtime", "runc")):
        said = podman(*options, "run", "--rm", *LIMITS, BASE, "true", check=False)
        if not said.strip():
            return options
    pytest.skip(f"podman runs no container here: {said.strip().splitlines()[-1]}")
