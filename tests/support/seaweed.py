"""SeaweedFS, a real S3 server, for tests; and a proxy before it that fails on purpose."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

import pytest

from fullpool.errors import RemoteError
from fullpool.remote.bucket import Bucket

# Whoever has these may do everything.
KEY, SECRET = "lake", "lake-secret"
_IDENTITIES: Final = {
    "identities": [
        {"name": "anonymous", "actions": ["Admin", "Read", "Write", "List"]},
        {
            "name": "lake",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
    ]
}


def credentials(address: str) -> dict[str, str]:
    """Return the environment of a client of the server at *address*."""
    return {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }  # fmt: skip


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


def installed() -> Path:
    """Return the server's program; skip the test where it is not installed."""
    python = os.environ.get("SEAWEED_PYTHON", sys.executable)
    find = (
        "import shutil, sysconfig; print(shutil.which('weed', path=sysconfig.get_path('scripts')))"
    )
    weed = subprocess.run(
        [python, "-c", find], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(weed).exists():
        pytest.skip("SeaweedFS is not installed: make test-s3 installs it")
    return Path(weed)


@contextmanager
def served(folder: Path, *buckets: str) -> Iterator[str]:
    """Start a server with buckets that everybody may write; yield its address."""
    weed, port = installed(), free_ports(5)
    (folder / "s3.json").write_text(json.dumps(_IDENTITIES))
    arguments = [
        "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.port={port}", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-master.port={port + 1}", f"-volume.port={port + 2}", "-filer", f"-filer.port={port + 3}",
        "-volume.max=100", "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([weed, *arguments], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for bucket in buckets:
            _make(address, bucket)
        yield address
    finally:
        server.kill()
        server.wait()


def _make(address: str, bucket: str) -> None:
    """Make a bucket, by an object in it, as soon as the server can."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            Bucket(f"s3://{bucket}", credentials(address)).put("made", b"")
        except RemoteError:
            time.sleep(0.5)  # noqa: TID251 - another program comes up
        else:
            return
    pytest.fail("SeaweedFS did not come up")


def put(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, data=body, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


class Faulty:
    """A proxy before a server, which does with writes what *act* says of each: by its number.

    `""` lets one through; `lose` has it done, and its answer lost; `refuse` answers 503; `reset`
    closes the connection before it is done; `stall` keeps silent.
    """

    def __init__(self, address: str, act: Callable[[int, str], str] = lambda *_: "") -> None:
        self.upstream = address.removeprefix("http://")
        self.act = act
        self.writes: list[str] = []
        self._lock = threading.Lock()
        self.over = threading.Event()
        faulty = self

        class Handler(_Handler):
            proxy = faulty

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def note(self, path: str) -> str:
        """Count a write; return what is to be done with it."""
        with self._lock:
            self.writes.append(path)
            return self.act(len(self.writes), path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Faulty

    def log_message(self, *_: object) -> None:
        """Say nothing of a request."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_write = self.command in ("PUT", "POST", "DELETE")
        what = self.proxy.note(self.path) if is_write else ""
        if what == "refuse":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if what == "stall":
            self.proxy.over.wait(60)
        if what in ("stall", "reset"):
            self._cut()
            return
        with closing(http.client.HTTPConnection(self.proxy.upstream, timeout=60)) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
        if what == "lose":
            self._cut()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815
