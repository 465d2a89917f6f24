"""Reports the daemon's status to systemd, the metrics and the status file."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from fullpool import logs
from fullpool.app import clock
from fullpool.app.configuration import tree_of
from fullpool.app.service.liveness import Liveness
from fullpool.app.service.progress import Activity
from fullpool.app.service.status_file import DaemonStatus, mark_alive
from fullpool.app.service.watchdog import Keepalive, Service
from fullpool.app.signals import Flag
from fullpool.config import Config, Metrics
from fullpool.errors import MetricsError
from fullpool.metrics import Endpoint, Gauges, Live
from fullpool.notify import Manager, watchdog_s
from fullpool.store import remote_record
from fullpool.store.catalogue.figures import Figures
from fullpool.store.remote_record import RemoteRecord

log = logs.get_logger()

_WRITE_METRICS_S: Final = 30.0
_MEASURE_S: Final = 50.0


class Reporting:
    """Says how the daemon is, every second, from a thread of its own."""

    def __init__(self, path: Path, config: Config, stop: Flag) -> None:
        self._path = path
        self.liveness = Liveness()
        self.activity = Activity(self.liveness)
        self.manager = Manager(clock.variable("NOTIFY_SOCKET"))
        self.next_tick: datetime | None = None
        self.config = config
        self.weights: Mapping[str, int] = {}
        self._since = self._alive_at = clock.now()
        self._tree = tree_of(config)
        self._written: DaemonStatus | None = None
        self._saying = threading.Lock()  # the main thread, the lookout, the keepalive
        self._wrote = self._measured = time.monotonic()
        self._gauges = Gauges(self._live, clock.now)
        self._metrics = Metrics(file="")
        self._endpoint = ExitStack()
        granted = watchdog_s(
            clock.variable("WATCHDOG_USEC"), clock.variable("WATCHDOG_PID"), os.getpid()
        )
        self._keepalive = Keepalive(
            Service(self.manager, self.liveness, stop, self.say, self.alive, granted)
        )
        self.apply(config.metrics)

    def __enter__(self) -> Self:
        self._keepalive.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._keepalive.__exit__()
        self._endpoint.close()
        if self._written is not None:
            self._written.remove(self._tree)
        self._remove(self._metrics.file)

    def apply(self, metrics: Metrics) -> None:
        """Serve the metrics where *metrics* says. Raises MetricsError; then they stay as before."""
        before = self._metrics
        if (metrics.listen, metrics.anyone) != (before.listen, before.anyone):
            self._endpoint.close()  # or its port would be in use
            try:
                self._serve(metrics)
            except MetricsError:
                self._serve(before)
                raise
        self._metrics = metrics
        if before.file != metrics.file:
            self._remove(before.file)

    def _remove(self, file: str) -> None:
        """Remove the metrics file: its numbers would stay as they are."""
        if file:
            with suppress(OSError):
                (self._tree.root / file).unlink()

    def _serve(self, metrics: Metrics) -> None:
        with ExitStack() as opened:
            if metrics.listen:
                endpoint = Endpoint(self._gauges, metrics.listen, anyone=metrics.anyone)
                opened.enter_context(endpoint)
            self._endpoint = opened.pop_all()

    def ready(self) -> None:
        self._keepalive.ready()
        self.say()

    def looked(self, problems: tuple[str, ...]) -> None:
        """Record that the configuration was looked at, and what is wrong with it."""
        self.activity.refused = problems
        self.say()

    def measured(self, figures: Figures) -> None:
        """Hand new numbers to the monitors."""
        self._gauges.figures, self._measured = figures, time.monotonic()
        self.activity.open_gaps = figures.open_gaps
        with self._saying:
            self._write_metrics()

    def measured_if_old(self, measure: Callable[[], Figures]) -> None:
        """Hand over new numbers if those at hand are of a minute ago: following changes the lag."""
        if time.monotonic() - self._measured >= _MEASURE_S:
            self.measured(measure())

    def _write_metrics(self) -> None:
        self._wrote = time.monotonic()
        if self._metrics.file:
            try:
                self._gauges.write(self._tree.root / self._metrics.file)
            except MetricsError as error:
                log.warning("metrics.failed", reason=str(error), hint=error.hint)

    @contextmanager
    def timed(self, command: str) -> Iterator[None]:
        """Measure how long a pass takes, for the monitors."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._gauges.took(command, time.monotonic() - began)

    def text(self) -> str:
        """Return what is going on, in a line."""
        return self.activity.text(self.next_tick)

    def say(self) -> None:
        """Tell the manager and the file for `status` what is going on, if that is news."""
        with self._saying:
            status = self._status()
            if status != self._written:
                self.manager.status(status.status)
                with suppress(OSError):  # a full disk is reported by the log
                    status.write(self._tree)
                    mark_alive(self._tree, self._alive_at)
                    self._written = status
            if time.monotonic() - self._wrote >= _WRITE_METRICS_S:
                self._write_metrics()

    def alive(self) -> None:
        """Have the file for `health` tell that the work makes progress."""
        with self._saying, suppress(OSError):
            self._alive_at = clock.now()
            mark_alive(self._tree, self._alive_at)

    def _status(self) -> DaemonStatus:
        return DaemonStatus(
            pid=os.getpid(),
            since=f"{self._since:%Y-%m-%dT%H:%M:%SZ}",
            status=self.text(),
            config=str(self._path),
            config_problems=self.activity.refused,
        )

    def _live(self) -> Live:
        return Live(
            since=self._since,
            downloaded_bytes=self.activity.downloaded_bytes,
            weights=self.weights,
            is_edit_refused=bool(self.activity.refused),
            free_bytes=shutil.disk_usage(self._tree.root).free,
            requests=dict(self.activity.requests),
            quarantines=self.activity.quarantines,
            remote=self._remote(),
            follow_behind=self.activity.follow_behind,
            follow_failed=self.activity.follow_failed,
        )

    def _remote(self) -> RemoteRecord | None:
        """Return how far the copy in object storage is; None if there is to be none."""
        to = self.config.publish.to
        return remote_record.read_for(self._tree, to) if to else None
