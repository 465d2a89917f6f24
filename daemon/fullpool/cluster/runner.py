"""A worker's connections and builders, which it keeps from step to step."""

import multiprocessing
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from threading import Event
from typing import Final
from uuid import uuid4

from fullpool.app import pools
from fullpool.app.assembly import fetcher_of, openers
from fullpool.app.configuration import tls_context
from fullpool.cluster.budget import ByteBudget
from fullpool.cluster.packing import packed
from fullpool.cluster.progress import Progress, Tell
from fullpool.cluster.settings import Session, WorkerSettings
from fullpool.errors import ClusterError
from fullpool.model import Stop
from fullpool.store.partitions.messages import Order
from fullpool.store.tree import Tree
from fullpool.sync.maps import Builders
from fullpool.sync.steps.fetch import Source
from fullpool.sync.steps.step import StepResult, Tools, run_step

_MB: Final = 1_000_000


class StepRunner:
    """Does steps as `LocalSteps` does, for a coordinator elsewhere."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._progress = Progress()
        self._stop = stop = Event()
        self._name = f"{gethostname()}-{uuid4().hex[:8]}"
        network, limits = settings.network, settings.limits
        staging_bytes = limits.staging_mb * _MB
        self._budget = ByteBudget(staging_bytes)
        with ExitStack() as stack:
            opened = stack.enter_context
            self._own = Path(opened(tempfile.TemporaryDirectory(prefix="fullpool-")))
            opener = opened(openers(network, tls_context(network), stop, self._progress.requested))
            self._fetcher = fetcher_of(network, limits, opener, self._progress.received)
            self._fetch_map = opened(pools.threads(network.connections, staging_bytes, stop))
            self._builders = opened(_builders(limits.builders, stop))
            self._stack = stack.pop_all()

    def run(self, order: Order, session: Session, tell: Tell) -> StepResult:
        """Do a step, and return what came of it. *tell* is told how it goes on."""
        self._progress.tell = tell
        with self._budget.taken(order.step.size_bytes):
            order = self._placed(order, session)
            tools = Tools(
                source=Source(self._fetcher, Tree(order.root), self._settings.checks),
                fetch_map=self._fetch_map, build_map=self._builders,
                is_ending=self._stop.is_set, is_over=self._stop.is_set,
            )  # fmt: skip
            result = packed(run_step(tools, order), is_shared=not self._settings.exchange)
        self._progress.tell_now()
        return result

    def _placed(self, order: Order, session: Session) -> Order:
        """Return the order with the folders that it is done in on this machine."""
        if self._settings.exchange:
            tree = Tree(self._own)
            tree.staging.mkdir(exist_ok=True)
            return replace(order, root=tree.root, staging=tree.staging)
        folder = session.folder / self._name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unseen(session.folder, gethostname(), error) from error
        return replace(order, staging=folder)

    def close(self) -> None:
        """End what is under way, and close the connections."""
        self._stop.set()
        self._stack.close()


def unseen(folder: Path, worker: str, reason: object) -> ClusterError:
    """Return the error of a worker that cannot write where the others do."""
    return ClusterError(
        f"using the worker {worker}: it cannot write in {folder}: {reason}",
        hint="mount the lake's file system there under the same path, writable, or set"
        " cluster.exchange to a bucket",
    )


def _builders(count: int, stop: Stop) -> AbstractContextManager[Builders]:
    """Return processes that build, or one thread where a worker may not start any.

    Dask's nannies start workers that may not, unless `distributed.worker.daemon` is false.
    """
    if multiprocessing.current_process().daemon:
        return pools.one_thread(stop)
    return pools.processes(count, stop)
