"""`fullpool web` as a process, and a client of it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Site:
    """The page of a lake, at a free port or a socket; a context manager."""

    def __init__(self, lake: Path, *options: str | Path) -> None:
        where = () if "--socket" in options else ("--port", "0")
        command = [sys.executable, "-m", "fullpool", "web", "--lake", str(lake), *where]
        self._options = [str(option) for option in options]
        self._command = [*command, *self._options]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        self.address = said.rpartition(" ")[2].strip()
        if not self.address:
            _, error = self.process.communicate(timeout=10)
            raise AssertionError(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    @property
    def port(self) -> int:
        return int(self.address.partition("//")[2].partition("/")[0].rpartition(":")[2])

    def ended(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; return its exit code and what it said."""
        self.process.send_signal(number)
        _, error = self.process.communicate(timeout=10)
        return self.process.returncode, error

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path as it is, of this machine or of the socket."""
        connection = self._connection()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, headers=names)
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, body)

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix:"):
            return _UnixConnection(Path(self.address.removeprefix("unix:")))
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)


def made_demo(folder: Path) -> Path:
    """Fill the demo's lake in a folder; return the lake's."""
    command = [sys.executable, "-m", "fullpool", "demo", str(folder)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ, timeout=300)
    return folder / "lake"
