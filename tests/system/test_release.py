"""From the wheel, in a bare container without a network: a new user's way, until it is removed."""

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from fullpool import __version__
from fullpool.store.catalogue.sync_tables import FORMAT
from podman import BASE, LIMITS, podman, runtime

pytestmark = pytest.mark.containers
__all__ = ["runtime"]  # a fixture
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "systemd"
FIXTURES = ROOT / "tests" / "support" / "fixtures"

# How the image is built without a network.
IMAGE = {
    "BASE": BASE,
    "BUILD_OPTIONS": f"--isolation chroot --volume {CACHE / 'wheels'}:/wheels:ro"
    " --build-arg PIP_FIND_LINKS=/wheels --build-arg PIP_NO_INDEX=1",
}
# Each step is what the documentation tells a new user to do.
STORY = ROOT / "tests" / "support" / "new_user.sh"


@pytest.fixture(scope="module")
def dist(runtime: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what is released, built from the files that git knows."""
    assert runtime is not None
    source = tmp_path_factory.mktemp("release") / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    (source / ".venv").symlink_to(ROOT / ".venv")
    done = subprocess.run(
        ["sh", "tests/support/release.sh", "python3", ".venv"],
        cwd=source, check=False, capture_output=True, text=True, env={**os.environ, **IMAGE},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return source / "dist"


def test_new_user_gets_to_lake_and_back(runtime: tuple[str, ...], dist: Path) -> None:
    said = podman(
        *runtime, "run", "--rm", *LIMITS, "--network", "none", "--shm-size", "256m",
        "--env", f"VERSION={__version__}", "--volume", f"{dist}:/dist:ro",
        "--volume", f"{CACHE / 'wheels'}:/wheels:ro", "--volume", f"{FIXTURES}:/fixtures:ro",
        "--volume", f"{STORY}:/story.sh:ro", BASE, "sh", "/story.sh",
    )  # fmt: skip

    lines = said.splitlines()
    assert f"fullpool {__version__}" in lines
    assert "removed" in lines, said
    whole, followed = lines[lines.index("whole,followed") + 1].split(",")
    assert whole == "true"
    assert int(followed) > 0
    assert {"daemon: 0", "notebook: True True", "web: ok", "python: 2"} <= set(lines), said
    upgraded = [line for line in lines if line.startswith("upgraded:")]
    assert len(upgraded) == FORMAT - 1
    assert all(line.endswith(" 72") for line in upgraded), upgraded


def test_what_is_released_is_whole(dist: Path) -> None:
    assert (dist / f"fullpool-{__version__}-image.tar.gz").stat().st_size > 1_000_000
    wheel, sdist = (next(dist.glob(form)) for form in ("*.whl", "fullpool-?.?.?.tar.gz"))
    sums = dict(line.split()[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    for file in dist.iterdir():
        if file.name != "SHA256SUMS":
            assert sums[file.name] == hashlib.sha256(file.read_bytes()).hexdigest()

    assert __version__ in wheel.name
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"README.md", "daemon", "tests", "docs", "Makefile", "LICENSE"} <= tops
    assert not {".venv", ".cache", ".hypothesis", ".git"} & tops
    bill = json.loads((dist / f"fullpool-{__version__}.cdx.json").read_text())
    assert bill["metadata"]["component"]["version"] == __version__
    listed = {one["name"]: one["version"] for one in bill["components"]}
    locked = (ROOT / "requirements-service.lock").read_text()
    assert f"duckdb=={listed['duckdb']}" in locked
    assert locked.count(" \\\n    --hash") >= len(listed) > 20
