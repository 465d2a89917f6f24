"""The daemon as a process, with a service manager that listens: for tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from served import wait

QUICK = '[schedule]\ntick = "1s"\npatch = "2s"\naudit = "1h"\npublish = "1h"\nhousekeeping = "1h"\n'


class Running:
    """`fullpool run` on one configuration file."""

    def __init__(self, config: Path, lake: Path, **env: str) -> None:
        self.config = config
        self.lake = lake
        self.log = config.with_suffix(".log")
        self.told: list[str] = []
        self._address = config.with_suffix(".notify")
        self._env = env
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(self._address))
        self._manager.setblocking(False)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._manager.close()

    def start(self) -> None:
        """Start it, again perhaps, and wait until it says that it is ready."""
        env = {**os.environ, "NOTIFY_SOCKET": str(self._address), **self._env}
        env["WATCHDOG_PID"] = ""
        command = [sys.executable, "-m", "fullpool", "run", "-c", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=env)
        self.told.clear()
        self.until(lambda: "READY=1" in self.listen())

    @property
    def number(self) -> int:
        assert self.process is not None
        return self.process.pid

    def listen(self) -> list[str]:
        """Return everything that the service manager was told so far, line by line."""
        with suppress(BlockingIOError):
            while True:
                self.told += self._manager.recv(65_536).decode().splitlines()
        return self.told

    def status(self) -> str:
        """Return the last STATUS."""
        found = [line for line in self.listen() if line.startswith("STATUS=")]
        return found[-1].removeprefix("STATUS=") if found else ""

    def until(self, is_so: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """Wait until something is so, and return it; fail with the log if it does not come."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := is_so():
                return found
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            wait(0.05)
        raise AssertionError(f"never so; {self.status()}\n{self.log.read_text()[-4000:]}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name in the log."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == name:
                    found.append(event)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def workers(self) -> list[int]:
        """Return the numbers of the worker processes."""
        return workers_of(self.number)


def workers_of(number: int) -> list[int]:
    """Return the numbers of the workers of a process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            is_worker = b"spawn_main" in process.joinpath("cmdline").read_bytes()
            if is_worker and int(parent) == number:
                found.append(int(process.name))
    return found
