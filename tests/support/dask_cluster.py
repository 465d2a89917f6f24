"""A Dask scheduler and its workers as processes of their own, on this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import pytest

from served import free_port, wait

_STARTED_S: Final = 60.0


def wait_until(is_so: Callable[[], bool], what: str, within_s: float = _STARTED_S) -> None:
    """Wait for what other processes do; fail the test if they do not."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"not within {within_s:.0f} s: {what}")
        wait(0.05)


class DaskCluster:
    """One scheduler, and workers without nannies: who is killed stays dead.

    *tls* holds Dask's options for that, *of_scheduler* variables of the scheduler alone.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str] | None = None,
        tls: Sequence[str] = (),
        of_scheduler: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._env = (
            dict(os.environ) | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"} | dict(env or {})
        )
        self.port = free_port()
        self.scheme = "tls" if tls else "tcp"
        self.address = f"{'dask+tls' if tls else 'dask'}://127.0.0.1:{self.port}"
        self._tls, self._of_scheduler = tls, of_scheduler or {}
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.start_scheduler(**self._of_scheduler)
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                self.kill(process)

    def start_scheduler(self, **env: str) -> None:
        self.scheduler = self._start(
            "scheduler", "--host", f"{self.scheme}://127.0.0.1", "--port", str(self.port),
            "--dashboard-address", "127.0.0.1:0", "--no-show", *self._tls,
            env=env,
        )  # fmt: skip
        wait_until(self._answers, "the scheduler answers")

    def add_environment(self, env: Mapping[str, str]) -> None:
        """Give variables to what is started from now on."""
        self._env |= env

    def start_worker(
        self,
        *options: str,
        threads: int = 8,
        nanny: str = "--no-nanny",
        before: Sequence[str] = (),
        **env: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker, perhaps under another program; return once it is ready for work."""
        name = f"worker{len(self.workers)}"
        worker = self._start(
            "worker", f"{self.scheme}://127.0.0.1:{self.port}", nanny, "--no-dashboard",
            "--nthreads", str(threads), "--host", f"{self.scheme}://127.0.0.1", "--name", name,
            "--local-directory", str(self._folder / name), *self._tls, *options,
            log=name, before=before, env=env,
        )  # fmt: skip
        self.workers.append(worker)
        wait_until(lambda: b"Registered to" in self.log(name), f"{name} is registered")
        return worker

    def log(self, name: str) -> bytes:
        return (self._folder / f"{name}.log").read_bytes()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and its own with SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(
        self,
        *command: str,
        log: str = "scheduler",
        before: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        with (self._folder / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *command],
                env={**self._env, **(env or {})},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
