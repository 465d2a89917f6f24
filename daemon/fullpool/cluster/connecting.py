"""Connects to a cluster for one sync, once its workers have been looked at."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from distributed import Client

from fullpool import logs
from fullpool.app.configuration import tree_of
from fullpool.cluster.coordinator import Cluster, Coordinator
from fullpool.cluster.inspection import WorkerReport, report_on_worker
from fullpool.cluster.settings import (
    Session,
    WorkerSettings,
    exchange_of,
    require_equal,
    versions,
)
from fullpool.config import Config
from fullpool.config.addresses import SCHEDULERS
from fullpool.errors import ClusterError, FullpoolError, RemoteError
from fullpool.model import Stop
from fullpool.store import remote_record
from fullpool.store.tree import remove_folder
from fullpool.sync.steps.step import Steps
from fullpool.sync.watcher import Watcher

if TYPE_CHECKING:
    from fullpool.cluster.exchange import Exchange

log = logs.get_logger()

_CONNECT_TIMEOUT_S: Final = 10
_WORKERS_TIMEOUT_S: Final = 30
_CLOSE_TIMEOUT_S: Final = 2
_BUCKET_HINT: Final = (
    "give the workers the variables that this machine has: AWS_ENDPOINT_URL, AWS_REGION,"
    " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
)


@contextmanager
def on_cluster(
    config: Config, address: str, watcher: Watcher, stop: Stop
) -> Iterator[Callable[[Steps], Steps]]:
    """Yield what makes steps be done by the workers of the scheduler at *address*.

    Raises ClusterError if it does not answer, has no workers, or has some that cannot do them.
    """
    tree, name = tree_of(config), uuid4().hex
    session = Session(remote_record.name_of(tree), name, tree.staging / f"cluster-{name}")
    settings = WorkerSettings(
        config.network, config.limits, config.checks, versions(), config.cluster.exchange
    )
    exchange = _exchange(settings, session)
    session.folder.mkdir()
    try:
        with _connected(address) as client, _opened(exchange), ExitStack() as stack:
            threads = _require_able(client, settings, session)
            client.subscribe_topic(name, lambda event: _report(watcher, event[1]))
            cluster = Cluster(client, address, threads, settings, session, exchange)
            yield lambda local: stack.enter_context(closing(Coordinator(cluster, local, stop)))
    except (OSError, RuntimeError) as error:  # of Dask, which has one class for each way to be away
        if type(error).__module__.partition(".")[0] not in {"distributed", "tornado"}:
            raise
        raise ClusterError(f"using the scheduler {address}: {error}") from error
    finally:
        remove_folder(session.folder)


def _exchange(settings: WorkerSettings, session: Session) -> "Exchange | None":
    if not settings.exchange:
        return None
    from fullpool.remote.installed import require_installed  # noqa: PLC0415 - needs the extra s3

    require_installed(f"exchanging files by {settings.exchange}")
    return exchange_of(settings, session)


@contextmanager
def _opened(exchange: "Exchange | None") -> Iterator[None]:
    """Have the exchange open, and clear it at the end; what stays, the next sync clears."""
    if exchange is None:
        yield
        return
    exchange.open()
    try:
        yield
    finally:
        with suppress(RemoteError):
            exchange.clear()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    parts = urlsplit(address)
    try:
        client = Client(
            f"{SCHEDULERS[parts.scheme]}://{parts.netloc}",
            timeout=_CONNECT_TIMEOUT_S, set_as_default=False, name="fullpool",
        )  # fmt: skip
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(f"connecting to the scheduler {address}: {error}") from error
    try:
        yield client
    finally:
        with suppress(TimeoutError, OSError, AssertionError):  # the scheduler may hang
            client.close(timeout=_CLOSE_TIMEOUT_S)


def _require_able(client: Client, settings: WorkerSettings, session: Session) -> int:
    """Return the threads of all workers. Raises ClusterError if one cannot do steps.

    So does a scheduler of another version, for Dask's reads the steps as well.
    """
    try:
        theirs = client.run_on_scheduler(versions)
        require_equal(settings.versions, theirs, "scheduler")
        client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
        found = client.run(report_on_worker, settings, session, on_error="return")
        threads = sum(client.nthreads().values())
    except FullpoolError:
        raise
    except Exception as error:
        raise ClusterError(f"looking at the scheduler and its workers: {error}") from error
    for address, report in found.items():
        _require_worker(settings, address, report)
    log.info("cluster.connected", workers=len(found), threads=threads)
    return int(threads)


def _require_worker(
    settings: WorkerSettings, address: str, report: WorkerReport | Exception
) -> None:
    if isinstance(report, Exception):
        raise ClusterError(f"using the worker {address}: {report}")
    name = f"worker {address} ({report.host})"
    require_equal(settings.versions, report.versions, name)
    if isinstance(report.problem, ClusterError):
        raise report.problem
    if report.problem is not None:
        hint = _BUCKET_HINT if isinstance(report.problem, RemoteError) else report.problem.hint
        raise ClusterError(f"using the {name}: {report.problem}", hint=hint)


def _report(watcher: Watcher, message: dict[str, Any]) -> None:
    """Tell the watcher what a worker asked and received."""
    for host, status, count in message["requests"]:
        for _ in range(count):
            watcher.requested(host, status)
    watcher.received(message["received_bytes"])
