"""The same real archives from a real S3 server: SeaweedFS, started for this test."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fullpool.config import parse
from real_lake import DATASETS, in_lake
from real_reader import archives, content
from served import reading_of, sync

pytestmark = pytest.mark.seaweed
BUCKET = "data.binance.vision"


def free_ports(count: int) -> int:
    """Return the first of *count* ports in a row that nobody uses."""
    for first in range(18_300, 30_000, 50):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    pytest.fail("no free ports")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start SeaweedFS with an anonymous, writable bucket; yield its address."""
    python = os.environ.get("SEAWEED_PYTHON", sys.executable)
    find = (
        "import shutil, sysconfig; print(shutil.which('weed', path=sysconfig.get_path('scripts')))"
    )
    weed = subprocess.run(
        [python, "-c", find], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(weed).exists():
        pytest.skip("SeaweedFS is not installed: make test-s3 installs it")
    folder, port = tmp_path_factory.mktemp("weed"), free_ports(5)
    actions = ["Admin", "Read", "Write", "List"]
    identities = {"identities": [{"name": "anonymous", "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    arguments = [
        "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.port={port}", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0",
        f"-master.port={port + 1}", f"-volume.port={port + 2}", "-filer", f"-filer.port={port + 3}",
        "-volume.max=5", "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([weed, *arguments], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address)
        yield address
    finally:
        server.kill()
        server.wait()


def _wait_for(address: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            _put(f"{address}/{BUCKET}", b"")
        except OSError:
            time.sleep(0.5)  # noqa: TID251 - another program comes up
        else:
            return
    pytest.fail("SeaweedFS did not come up")


def _put(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, data=body, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def test_real_archives_come_out_of_a_real_s3_server_exactly(
    real: Path, s3: str, tmp_path: Path
) -> None:
    zips = archives(real / "archives")
    for path in zips:
        key = path.relative_to(real / "archives").as_posix()
        found = content(path)
        body = path.read_bytes()
        _put(f"{s3}/{BUCKET}/{key}", body)
        _put(f"{s3}/{BUCKET}/{key}.CHECKSUM", _checksum(body, path.name, found.market))
    text = (
        f"[lake]\npath = '{tmp_path}/lake'\nmin_free_gb = 0.0\n[network]\n"
        f'archive_url = "{s3}/{BUCKET}"\nlisting_url = "{s3}/{BUCKET}"\n'
        f"[rest]\nenabled = false\n{DATASETS}"
    )
    config = parse(text, "s3.toml")

    sync(config)
    again, _ = sync(config)

    expected = [content(path) for path in zips]
    with reading_of(config) as reader:
        assert [in_lake(reader, one) for one in expected] == [
            (one.rows, one.first, one.last, one.sums) for one in expected
        ]
    assert again.archives == 0
    assert again.built == 0


def _checksum(body: bytes, name: str, market: str) -> bytes:
    newline = "" if market == "spot" else "\n"
    return f"{hashlib.sha256(body).hexdigest()}  {name}{newline}".encode()
