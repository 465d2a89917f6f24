"""Prometheus metrics, as a text file and over HTTP. Owns prometheus_client."""

import platform
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
    write_to_textfile,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from fullpool import __version__
from fullpool.config.addresses import LOOPBACK, host_and_port, name_in_host
from fullpool.errors import MetricsError
from fullpool.gaps import Explanation, GapStatus
from fullpool.grid import bars
from fullpool.model import Interval, Status
from fullpool.store.catalogue.figures import Figures
from fullpool.store.remote_record import RemoteRecord
from fullpool.vendor import REST_URL

_DURATIONS_S: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400)
_VERSIONS: Final = {"version": __version__, "python": platform.python_version()}
_USED_WEIGHT: Final = "fullpool_rest_used_weight"


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running daemon knows. *weights* is what was used of each API's.

    *requests* counts them by host and status, *quarantines* archives that failed a check. The last
    run of following left *follow_behind* series to the next, and failed for *follow_failed* series
    and markets.
    """

    since: datetime
    downloaded_bytes: int
    weights: Mapping[str, int]
    is_edit_refused: bool
    free_bytes: int
    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    quarantines: int = 0
    remote: RemoteRecord | None = None
    follow_behind: int = 0
    follow_failed: int = 0


class Gauges(Collector):
    """Turns the newest figures into metrics whenever somebody asks."""

    def __init__(self, live: Callable[[], Live], now: Callable[[], datetime]) -> None:
        self.figures: Figures | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.registry.register(self)
        # The names of node_exporter's own process must not be ours, too.
        ProcessCollector(namespace="fullpool", registry=self.registry)
        self._durations = Histogram(
            "fullpool_pass_duration_seconds",
            "how long passes took",
            ["command"],
            registry=self.registry,
            buckets=_DURATIONS_S,
        )
        self._live = live
        self._now = now

    def took(self, command: str, seconds: float) -> None:
        """Record how long a pass took."""
        self._durations.labels(command).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        yield from self._of_daemon(self._live())
        if self.figures is not None:
            yield from self._of_series(self.figures)
            yield from _of_lake(self.figures)

    def write(self, path: Path) -> None:
        """Write all metrics to *path*, in one step. Raises MetricsError."""
        try:
            if path.exists() and not path.is_file():
                raise MetricsError(f"writing the metrics to {path}: it is not a regular file")
            write_to_textfile(str(path), self.registry)
            path.chmod(0o644)
        except OSError as error:
            raise MetricsError(f"writing the metrics to {path}: {error}") from error

    def _of_daemon(self, live: Live) -> Iterator[Metric]:
        yield _gauge("time_seconds", "when this was written", self._now().timestamp())
        yield _gauge("start_time_seconds", "when the daemon started", live.since.timestamp())
        yield _gauge(
            "config_edit_refused", "1 while the last edit is refused", live.is_edit_refused
        )
        yield _gauge("disk_free_bytes", "room left on the lake's disk", live.free_bytes)
        yield _counter("downloaded_bytes", "bytes of archives received", live.downloaded_bytes)
        yield _counter("quarantines", "archives that failed a check", live.quarantines)
        yield from _of_remote(live.remote)
        yield _gauge("follow_behind", "series that wait for the API's weight", live.follow_behind)
        yield _gauge(
            "follow_failed", "series and markets that could not be followed", live.follow_failed
        )
        yield _labelled(
            "rest_used_weight", "weight used at the API in the last minute asked", "market",
            dict.fromkeys(map(str, REST_URL), 0) | dict(live.weights),
        )  # fmt: skip
        requests = CounterMetricFamily(
            "fullpool_requests", "requests by host and HTTP status", labels=["host", "status"]
        )
        for labels, count in live.requests.items():
            requests.add_metric(labels, count)
        yield requests
        build = GaugeMetricFamily(
            "fullpool_build_info", "versions of what runs", labels=list(_VERSIONS)
        )
        build.add_metric(list(_VERSIONS.values()), 1)
        yield build

    def _of_series(self, figures: Figures) -> Iterator[Metric]:
        names = ["market", "kind", "interval"]
        lag = GaugeMetricFamily(
            "fullpool_lag_seconds",
            "age of the end of the last bar, or of the last trade, of the series that lags most",
            labels=names,
        )
        series = GaugeMetricFamily("fullpool_series", "series that still trade", labels=names)
        empty = GaugeMetricFamily("fullpool_series_empty", "those without rows", labels=names)
        for one in figures.freshness:
            labels = [one.market, one.kind, one.interval]
            series.add_metric(labels, one.series)
            empty.add_metric(labels, one.empty)
            if one.newest is not None:
                lag.add_metric(
                    labels, (self._now() - _end(one.newest, one.interval)).total_seconds()
                )
        yield lag
        yield series
        yield empty


def last_written(path: Path) -> Mapping[str, float]:
    """Return the weight that was used of each market's API, by a file that the daemon wrote.

    Nothing is returned if there is no such file.
    """
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (OSError, ValueError):
        return {}
    samples = (sample for family in families for sample in family.samples)
    return {s.labels["market"]: s.value for s in samples if s.name == _USED_WEIGHT}


def _end(opened: datetime, interval: str) -> datetime:
    """Return when the bar that opened then ended; of a trade its own time."""
    if not interval:
        return opened
    grid = bars(Interval(interval))
    # A bar of three days or a week opens where its own grid has it, not where this one would.
    return opened + grid.step if grid.step else grid.opens(grid.at(opened) + 1)


def _of_lake(figures: Figures) -> Iterator[Metric]:
    statuses = dict.fromkeys(map(str, Status), 0)
    yield _labelled("archives", "archives by status", "status", statuses | dict(figures.archives))
    yield _gauge("open_gaps", "gaps without an explanation", figures.open_gaps)
    known = dict.fromkeys([str(GapStatus.OPEN), *map(str, Explanation)], 0)
    missing = known | dict(figures.gap_rows)
    yield _labelled("missing_rows", "missing rows by what is known", "what", missing)
    yield _gauge("rows", "rows in the lake", figures.rows)
    yield _gauge("files", "partition files in the lake", figures.files)
    yield _gauge("lake_bytes", "bytes of the partition files", figures.size_bytes)
    yield _gauge("generation", "the newest generation", figures.generation)
    yield _counter("config_edits_refused", "edits that were ever refused", figures.edits_refused)
    ends = {host: end.timestamp() for host, end in figures.bans.items()}
    yield _labelled("rest_ban_end_time_seconds", "when a host's last ban ends", "host", ends)
    ended = {one.command: one.at.timestamp() for one in figures.passes}
    yield _labelled("last_pass_time_seconds", "when the last pass ended", "command", ended)
    whole = {one.command: int(one.is_complete) for one in figures.passes}
    yield _labelled("last_pass_complete", "1 if it left nothing to do", "command", whole)


def _of_remote(known: RemoteRecord | None) -> Iterator[Metric]:
    """Yield how far the copy in object storage is, if there is to be one."""
    if known is not None:
        at = known.published_at
        yield _gauge("remote_generation", "the generation in object storage", known.generation)
        yield _gauge(
            "remote_published_time_seconds", "when that was published there",
            at.timestamp() if at else 0,
        )  # fmt: skip
        yield _gauge("remote_failed", "1 if the last attempt failed", bool(known.reason))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fullpool_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(f"fullpool_{name}", text)
    family.add_metric([], value)
    return family


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"fullpool_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


class Endpoint:
    """Serves the metrics at an address of this machine, to those who name it as such.

    A web page could otherwise have a browser read them, by a name of its own that leads here. Where
    *anyone* may read them, by any name.
    """

    def __init__(self, gauges: Gauges, address: str, *, anyone: bool = False) -> None:
        host, port = host_and_port(address)
        application = make_wsgi_app(gauges.registry)

        def guarded(environ: Any, start: Any) -> Any:
            if not anyone and name_in_host(environ.get("HTTP_HOST", "")) not in LOOPBACK:
                start("403 Forbidden", [("Content-Type", "text/plain")])
                return [b"this address answers to the names of this machine only\n"]
            return application(environ, start)

        try:
            server = _Server6 if ":" in host else _Server
            self._server = make_server(host, port, guarded, server, _Silent)
        except OSError as error:
            raise MetricsError(f"serving the metrics at {address}: {error}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(WSGIServer):
    def server_bind(self) -> None:
        """Bind without asking the DNS for a name, as HTTPServer would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    timeout = 10  # nobody keeps the one thread for longer

    def log_message(self, *_: object) -> None:
        """Say nothing of a request."""
