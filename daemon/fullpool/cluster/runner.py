"""A worker's connections and builders for one sync, which it keeps from step to step."""

import multiprocessing
import tempfile
import time
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
from fullpool.cluster.progress import Progress, Report
from fullpool.cluster.settings import Session, WorkerSettings, unseen
from fullpool.model import Stop
from fullpool.store.partitions.messages import Order
from fullpool.store.tree import Tree
from fullpool.sync.maps import Builders
from fullpool.sync.steps.fetch import ArchiveSource
from fullpool.sync.steps.step import StepResult, Tools, run_step, weight_of

_MB: Final = 1_000_000
# What an archive of unknown size counts at least, of the bytes that are fetched ahead.
_LEAST_BYTES: Final = 1_000_000


class StepRunner:
    """Does steps as `LocalSteps` does, for a coordinator elsewhere.

    *report* gets how they go on; what is this machine's own lies in *folder*. Its owner counts its
    *users*.
    """

    def __init__(
        self, settings: WorkerSettings, session: Session, report: Report, folder: str
    ) -> None:
        self.users = 0
        self._settings, self._session = settings, session
        self._progress = Progress(report)
        self._stop = stop = Event()
        self._used_at = time.monotonic()
        self._name = f"{gethostname()}-{uuid4().hex[:8]}"
        network, limits = settings.network, settings.limits
        staging_bytes = limits.staging_mb * _MB
        self._budget = ByteBudget(staging_bytes)
        with ExitStack() as stack:
            opened = stack.enter_context
            own = opened(tempfile.TemporaryDirectory(prefix="fullpool-", dir=folder))
            self._own = Tree(Path(own))
            opener = opened(openers(network, tls_context(network), stop, self._progress.requested))
            self._fetcher = fetcher_of(network, limits, opener, self._progress.received)
            self._fetch_map = opened(pools.threads(network.connections, staging_bytes, stop))
            self._builders = opened(_builders(limits.builders, stop))
            self._stack = stack.pop_all()

    def run(self, order: Order) -> StepResult:
        """Do a step, and return what came of it."""
        with self._budget.taken(weight_of(order.step, _LEAST_BYTES)):
            order = self._placed(order)
            source = ArchiveSource(self._fetcher, Tree(order.root), self._settings.checks)
            is_over = self._stop.is_set
            tools = Tools(source, self._fetch_map, self._builders, is_over, is_over)
            result = packed(run_step(tools, order), is_shared=not self._settings.exchange)
        self._progress.report_now()
        self._used_at = time.monotonic()
        return result

    def _placed(self, order: Order) -> Order:
        """Return the order with the folders that it is done in on this machine."""
        if self._settings.exchange:
            self._own.staging.mkdir(exist_ok=True)
            return replace(order, root=self._own.root, staging=self._own.staging)
        folder = self._session.folder / self._name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unseen(self._session.folder, gethostname(), error) from error
        return replace(order, staging=folder)

    def is_idle_for(self, seconds: float) -> bool:
        """Whether no step was done for so long, and none is."""
        return not self.users and time.monotonic() - self._used_at >= seconds

    def close(self) -> None:
        """End what is under way, and close the connections."""
        self._stop.set()
        self._stack.close()


def _builders(count: int, stop: Stop) -> AbstractContextManager[Builders]:
    """Return processes that build, or one thread where a worker may not start any.

    Dask's nannies start workers that may not, unless `distributed.worker.daemon` is false.
    """
    if multiprocessing.current_process().daemon:
        return pools.one_thread(stop)
    return pools.processes(count, stop)
