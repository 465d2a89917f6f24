"""Connects to a cluster for one sync, once its workers have been looked at."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from distributed import Client

from fullpool import logs
from fullpool.app.configuration import tree_of
from fullpool.cluster.coordinator import Cluster, Coordinator
from fullpool.cluster.inspection import inspect_worker
from fullpool.cluster.runner import unseen
from fullpool.cluster.settings import Session, WorkerSettings, require_equal, versions
from fullpool.config import Config
from fullpool.config.addresses import SCHEDULERS
from fullpool.errors import ClusterError
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
    tree = tree_of(config)
    name = uuid4().hex
    session = Session(remote_record.name_of(tree), name, tree.staging / f"cluster-{name}")
    settings = WorkerSettings(
        config.network, config.limits, config.checks, versions(), config.cluster.exchange
    )
    exchange = _exchange(settings, session)
    session.folder.mkdir()
    try:
        with _connected(address) as client:
            _require_able(client, settings, session)
            if exchange:
                exchange.open()
            client.subscribe_topic(name, lambda event: _tell(watcher, event[1]))
            cluster = Cluster(client, address, settings, session, exchange)
            with ExitStack() as stack:
                yield lambda here: stack.enter_context(closing(Coordinator(cluster, here, stop)))
            if exchange:
                exchange.clear()
    finally:
        remove_folder(session.folder)


def _exchange(settings: WorkerSettings, session: Session) -> "Exchange | None":
    if not settings.exchange:
        return None
    from fullpool.remote.installed import require_installed  # noqa: PLC0415 - needs the extra s3

    require_installed(f"exchanging files by {settings.exchange}")
    from fullpool.cluster.exchange import Exchange  # noqa: PLC0415 - needs the extra s3

    return Exchange(settings.exchange, session.lake, session.name)


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
        client.close(timeout=1)


def _require_able(client: Client, settings: WorkerSettings, session: Session) -> None:
    """Raise ClusterError for the first worker that cannot do steps."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
        found = client.run(inspect_worker, settings, session, on_error="return")
    except Exception as error:
        raise ClusterError(f"looking at the workers: {error}") from error
    for worker, seen in found.items():
        if isinstance(seen, Exception):
            raise ClusterError(f"using the worker {worker}: {seen}")
        require_equal(settings.versions, seen.versions, f"{worker} ({seen.host})")
        if seen.trouble and settings.exchange:
            raise ClusterError(
                f"using the worker {worker} ({seen.host}): {seen.trouble}", hint=_BUCKET_HINT
            )
        if seen.trouble:
            raise unseen(session.folder, f"{worker} ({seen.host})", seen.trouble)
    threads = sum(client.nthreads().values())
    log.info("cluster.connected", workers=len(found), threads=threads)


def _tell(watcher: Watcher, message: dict[str, Any]) -> None:
    """Tell the watcher what a worker asked and received."""
    for host, status, count in message["requests"]:
        for _ in range(count):
            watcher.requested(host, status)
    watcher.received(message["received_bytes"])
