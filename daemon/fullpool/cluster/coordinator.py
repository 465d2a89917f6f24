"""Sends steps to the workers of a cluster, and collects what came of them."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from distributed import CancelledError, Client, Future

from fullpool import logs
from fullpool.cluster.settings import Session, WorkerSettings
from fullpool.cluster.worker import Delivery, run_order
from fullpool.errors import ArchiveError, ClusterError, FullpoolError, refused
from fullpool.model import Stop
from fullpool.store.partitions.messages import Order
from fullpool.sync.steps.step import StepResult, Steps, failed

if TYPE_CHECKING:
    from fullpool.cluster.exchange import Exchange

log = logs.get_logger()

Task = Future[Any]
Inbox = SimpleQueue[tuple[Task, StepResult]]

# So many steps wait for each thread of the workers, so that none idles.
_AHEAD: Final = 2
_LOOK_EVERY_S: Final = 0.2
_COUNT_EVERY_S: Final = 5.0
# Without any worker for so long the sync ends.
_NO_WORKER_LIMIT_S: Final = 60.0
_COLLECTORS: Final = 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is connected, its workers' *threads*, and what they are told."""

    client: Client
    address: str
    threads: int
    settings: WorkerSettings
    session: Session
    exchange: "Exchange | None"

    def lost(self, reason: str) -> ClusterError:
        """Return the error of a cluster that cannot be used any more."""
        return ClusterError(f"using the scheduler {self.address}: {reason}")


class Coordinator:
    """Has workers do steps. Those that they cannot do, *local_steps* does afterwards.

    Without a file system that all see, these are the steps that keep rows of files in the lake.
    Its threads may wait for a scheduler that is gone, and the program ends all the same.
    """

    def __init__(self, cluster: Cluster, local_steps: Steps, stop: Stop) -> None:
        self._cluster = cluster
        self._local_steps = local_steps
        self._stop = stop
        self._threads = cluster.threads
        self._workless_since: float | None = None
        self._is_closed = Event()
        self._finished: SimpleQueue[tuple[Inbox, Order, Task]] = SimpleQueue()
        for act in (self._count, *[self._collect] * _COLLECTORS):
            Thread(target=act, name="cluster", daemon=True).start()

    def close(self) -> None:
        """Take no more from workers."""
        self._is_closed.set()

    def __call__(self, orders: Iterable[Order]) -> Generator[StepResult, None, None]:
        local_orders: list[Order] = []
        with closing(self._by_workers(self._sent(orders, local_orders))) as results:
            yield from results
        with closing(self._local_steps(local_orders)) as results:
            yield from results

    def _sent(self, orders: Iterable[Order], local_orders: list[Order]) -> Iterator[Order]:
        """Yield what workers can do, and put the rest into *local_orders*."""
        for order in orders:
            needs_lake = order.step.files or order.step.beside or order.followed
            if not order.step.archives or (self._cluster.exchange and needs_lake):
                local_orders.append(order)
                continue
            # One thread, so that each try of a step writes the same bytes.
            memory_mb = self._cluster.settings.limits.builder_memory_mb
            staging = self._cluster.session.folder
            yield replace(order, threads=1, memory_mb=memory_mb, staging=staging)

    def _by_workers(self, orders: Iterator[Order]) -> Generator[StepResult, None, None]:
        inbox: Inbox = SimpleQueue()
        running: set[Task] = set()
        try:
            while True:
                for order in self._next_orders(orders, len(running)):
                    running.add(self._submitted(order, inbox))
                received = self._next(inbox) if running else None
                if received is None:
                    return
                task, result = received
                running.remove(task)
                task.release()
                yield result
        finally:
            for task in running:
                task.release()  # the scheduler forgets what nobody waits for

    def _next_orders(self, orders: Iterator[Order], running: int) -> Iterator[Order]:
        while running < max(1, _AHEAD * self._threads):
            order = next(orders, None)
            if order is None:
                return
            running += 1
            yield order

    def _submitted(self, order: Order, inbox: Inbox) -> Task:
        cluster, step = self._cluster, order.step
        # Two tasks of one name are one to Dask, whichever sync they are of.
        name = f"step-{cluster.session.name}-{step.series}/{step.unit}-g{order.generation}"
        try:
            task = cluster.client.submit(
                run_order, cluster.settings, cluster.session, order, key=name, pure=False, retries=0
            )
            self._await(inbox, order, task)
        except Exception as error:
            raise cluster.lost(_summary(error)) from error
        return task

    def _await(self, inbox: Inbox, order: Order, task: Task) -> None:
        """Have a collector look at a task once it has ended."""
        task.add_done_callback(partial(self._finished_one, inbox, order))

    def _finished_one(self, inbox: Inbox, order: Order, task: Task) -> None:
        self._finished.put((inbox, order, task))

    def _next(self, inbox: Inbox) -> tuple[Task, StepResult] | None:
        """Return what has come next; None if the work is to stop. Raises ClusterError."""
        while not self._stop.is_set():
            if self._cluster.client.status != "running":
                raise self._cluster.lost("the connection was lost")
            since = self._workless_since
            if since is not None and time.monotonic() - since > _NO_WORKER_LIMIT_S:
                raise self._cluster.lost(f"it has had no worker for {_NO_WORKER_LIMIT_S:.0f} s")
            try:
                return inbox.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
        return None

    def _count(self) -> None:
        """Count the threads of all workers, which come and go. Runs in a thread of its own."""
        while not self._is_closed.wait(_COUNT_EVERY_S):
            with suppress(Exception):  # what it is, the connection's status says
                self._threads = sum(self._cluster.client.nthreads().values())
                self._note_workers()

    def _note_workers(self) -> None:
        if self._threads:
            self._workless_since = None
        elif self._workless_since is None:
            self._workless_since = time.monotonic()
            address = self._cluster.address
            log.error("cluster.deserted", scheduler=address, limit_s=_NO_WORKER_LIMIT_S)

    def _collect(self) -> None:
        """Collect what workers return. Runs in threads of its own."""
        while not self._is_closed.is_set():
            try:
                inbox, order, task = self._finished.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
            if task.status in ("pending", "lost"):  # its worker died, and another begins anew
                self._await(inbox, order, task)
            else:
                inbox.put((task, self._result_of(order, task)))

    def _result_of(self, order: Order, task: Task) -> StepResult:
        """Return what a worker did, as if it had been done here."""
        delivery = self._delivery(order, task)
        result = delivery.result
        if result.error is not None and not result.answers:
            return failed(order, result.error)
        try:
            self._bring(delivery, order)
        except FullpoolError as error:
            return failed(order, error)
        except OSError as error:
            return failed(order, refused(error, f"bringing {order.step.series} into the lake"))
        inputs, followed = result.order.inputs, result.order.followed
        return replace(result, order=replace(order, inputs=inputs, followed=followed))

    def _delivery(self, order: Order, task: Task) -> Delivery:
        """Return what Dask has of a task, or the error of what ended its worker."""
        error: FullpoolError
        try:
            delivery: Delivery = task.result()
        except CancelledError:
            error = self._cluster.lost("the connection was lost")
        except ImportError as cause:
            error = ClusterError(f"using a worker: {cause}")
        except Exception as cause:  # noqa: BLE001 - whatever it was, it costs one step
            error = ArchiveError(f"its worker was lost: {_summary(cause)}")
        else:
            return delivery
        return Delivery(StepResult(order, error=error))

    def _bring(self, delivery: Delivery, order: Order) -> None:
        built = delivery.result.built
        if self._cluster.exchange and built:
            self._cluster.exchange.take(delivery.at, built, order.root, order.staging)


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:200]
