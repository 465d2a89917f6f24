"""Has the lake published to object storage while the daemon runs, by a process of its own.

A bucket that is slow, or away, delays nothing: neither the daemon nor its passes wait for it.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Final, Self

from fullpool import logs
from fullpool.app import clock
from fullpool.app.configuration import tree_of
from fullpool.config import Config
from fullpool.errors import Exit
from fullpool.store import remote_record
from fullpool.store.remote_record import RemoteRecord

log = logs.get_logger()

_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 2.0
# Of how these ends came about the process has told itself, or there is nothing to tell.
_TOLD: Final = (Exit.OK, Exit.REMOTE, Exit.LAKE_BUSY)
# For the C library: one heap for all threads of obstore, which saves 8 of 150 MB.
_FRUGAL: Final = {"MALLOC_ARENA_MAX": "1"}


class RemoteCopy:
    """Starts a publication when there is a newer generation; *config* is what is in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._tree = tree_of(config())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = float("-inf")
        self._to = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_S):
            if self._is_due():
                self._start()

    def _is_due(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return False
        self._note_end()
        publish = self._config().publish
        if not publish.to or time.monotonic() - self._started < publish.every_s:
            return False
        known, newest = remote_record.read(self._tree), self._tree.published()
        if not newest or known is None or not known.has(newest, publish.to):
            return bool(newest)
        return not known.is_done(clock.now(), delta=publish.delta)

    def _note_end(self) -> None:
        """Record that the last process ended in a way of which it could say nothing itself."""
        ended, self._process = self._process, None
        if ended is None or ended.returncode in _TOLD:
            return
        record = remote_record.read_for(self._tree, self._to) or RemoteRecord(self._to)
        if not record.reason:
            reason = f"the process ended with {ended.returncode}: see the log"
            log.error("remote.failed", reason=reason)
            with suppress(OSError):
                record.failed(reason, clock.now()).write(self._tree)

    def _start(self) -> None:
        config, self._started = self._config(), time.monotonic()
        self._to = config.publish.to
        order = {
            "root": str(self._tree.root),
            "publish": asdict(config.publish),
            "grace_s": config.lake.grace.total_seconds(),
        }
        command = [sys.executable, "-P", "-m", "fullpool.remote", json.dumps(order)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own
                command,
                stdin=subprocess.DEVNULL,
                process_group=0,
                env={**clock.environment(), **_FRUGAL},
            )
        except OSError as error:
            log.error("remote.failed", reason=str(error))  # noqa: TRY400 - it is told
