"""Connects to a cluster for one sync, once its workers have been looked at."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from distributed import Client

from fullpool import logs
from fullpool.app.configuration import tree_of
from fullpool.cluster.coordinator import Cluster, Coordinator
from fullpool.cluster.deadline import within
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
# Dask's own limit is for the first answer alone.
_CONNECT_LIMIT_S: Final = 15.0
_ANSWER_LIMIT_S: Final = 60.0
_INSTALL_HINT: Final = "run there: pip install 'fullpool[cluster]', in the version of this machine"
_TLS_HINT: Final = (
    "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and"
    " DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
)
_BUCKET_HINT: Final = (
    "check cluster.exchange, and AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, here and where the workers run"
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
            threads = _require_able(client, address, settings, session)
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
    try:
        exchange.open()
    except RemoteError as error:
        raise ClusterError(f"using cluster.exchange: {error}", hint=_BUCKET_HINT) from error
    try:
        yield
    finally:
        with suppress(RemoteError):
            exchange.clear()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    doing = f"connecting to the scheduler {address}"
    try:
        client = within(_CONNECT_LIMIT_S, partial(_client, address))
    except TimeoutError as error:
        raise ClusterError(
            f"{doing}: it answers, but not as a scheduler of Dask",
            hint="its port is 8786 unless another was given; 8787 is that of the dashboard",
        ) from error
    except TypeError as error:  # of Dask's, if it has no certificates
        raise ClusterError(f"{doing}: {error}", hint=_TLS_HINT) from error
    except (OSError, ValueError) as error:
        raise ClusterError(f"{doing}: {error}") from error
    try:
        yield client
    finally:
        with suppress(TimeoutError, OSError, AssertionError):  # the scheduler may hang
            client.close(timeout=_CLOSE_TIMEOUT_S)


def _client(address: str) -> Client:
    parts = urlsplit(address)
    return Client(
        f"{SCHEDULERS[parts.scheme]}://{parts.netloc}",
        timeout=_CONNECT_TIMEOUT_S, set_as_default=False, name="fullpool",
    )  # fmt: skip


def _require_able(client: Client, address: str, settings: WorkerSettings, session: Session) -> int:
    """Return the threads of all workers. Raises ClusterError if one cannot do steps.

    So does a scheduler of another version, for Dask's reads the steps as well.
    """
    try:
        _require_scheduler(client, address, settings)
        _wait_for_worker(client, address)
        ask = partial(client.run, report_on_worker, settings, session, on_error="return")
        found = within(_ANSWER_LIMIT_S, ask)
        threads = sum(within(_ANSWER_LIMIT_S, client.nthreads).values())
    except FullpoolError:
        raise
    except Exception as error:
        reason = str(error) or "no answer"
        raise ClusterError(f"looking at the workers of {address}: {reason}") from error
    for worker, report in found.items():
        _require_worker(settings, worker, report)
    log.info("cluster.connected", workers=len(found), threads=threads)
    return int(threads)


def _require_scheduler(client: Client, address: str, settings: WorkerSettings) -> None:
    try:
        theirs = within(_ANSWER_LIMIT_S, partial(client.run_on_scheduler, versions))
    except ImportError as error:
        raise ClusterError(f"using the scheduler {address}: {error}", hint=_INSTALL_HINT) from error
    require_equal(settings.versions, theirs, f"scheduler {address}")


def _wait_for_worker(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
    except TimeoutError as error:
        raise ClusterError(
            f"using the scheduler {address}: it has no worker, for {_WORKERS_TIMEOUT_S} s now",
            hint="start `dask worker` for it, and again if it was restarted",
        ) from error


def _require_worker(
    settings: WorkerSettings, address: str, report: WorkerReport | Exception
) -> None:
    if isinstance(report, Exception):
        hint = _INSTALL_HINT if isinstance(report, ImportError) else None
        raise ClusterError(f"using the worker {address}: {report}", hint=hint)
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
