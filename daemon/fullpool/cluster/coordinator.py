"""Hands steps to the workers of a cluster, and takes what came of them."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from distributed import CancelledError, Client, Future

from fullpool.cluster.settings import Session, WorkerSettings
from fullpool.cluster.worker import Delivery, run_order
from fullpool.errors import ArchiveError, ClusterError, FullpoolError
from fullpool.model import Stop
from fullpool.store.partitions.messages import Order
from fullpool.sync.steps.fetch import Answer
from fullpool.sync.steps.step import StepResult, Steps
from fullpool.sync.work import FATAL

if TYPE_CHECKING:
    from fullpool.cluster.exchange import Exchange

Result = Future[Any]
Inbox = SimpleQueue[tuple[Result, StepResult]]

# So many steps wait for each thread of the workers, so that none idles.
_AHEAD: Final = 2
_LOOK_EVERY_S: Final = 0.2
_COUNT_EVERY_S: Final = 5.0
# Without any worker for so long the sync ends.
_DESERTED_S: Final = 60.0
_COLLECTORS: Final = 4
_RESULT_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is connected, and what its workers are told."""

    client: Client
    address: str
    settings: WorkerSettings
    session: Session
    exchange: "Exchange | None"


class Coordinator:
    """Has workers do steps. Those that they cannot do are done *here* afterwards.

    Without a file system that all see, these are the steps that keep rows of files in the lake.
    """

    def __init__(self, cluster: Cluster, here: Steps, stop: Stop) -> None:
        self._cluster = cluster
        self._here = here
        self._stop = stop
        self._threads = 0
        self._counted = self._manned = time.monotonic()
        self._count()
        self._collectors = ThreadPoolExecutor(_COLLECTORS, thread_name_prefix="collect")

    def close(self) -> None:
        """Take no more from workers."""
        self._collectors.shutdown(wait=False, cancel_futures=True)

    def __call__(self, orders: Iterable[Order]) -> Iterator[StepResult]:
        mine: list[Order] = []
        yield from self._by_workers(self._handed_out(orders, mine))
        yield from self._here(mine)

    def _handed_out(self, orders: Iterable[Order], mine: list[Order]) -> Iterator[Order]:
        """Yield what workers can do, and put the rest aside."""
        for order in orders:
            needs_lake = order.step.files or order.step.beside or order.followed
            if order.step.archives and not (self._cluster.exchange and needs_lake):
                # One thread, so that each try of a step writes the same bytes.
                memory_mb = self._cluster.settings.limits.builder_memory_mb
                yield replace(
                    order, threads=1, memory_mb=memory_mb, staging=self._cluster.session.folder
                )
            else:
                mine.append(order)

    def _by_workers(self, orders: Iterator[Order]) -> Iterator[StepResult]:
        done: Inbox = SimpleQueue()
        running: dict[Result, Order] = {}
        try:
            while True:
                for order in self._next_orders(orders, len(running)):
                    future = self._submitted(order)
                    running[future] = order
                    future.add_done_callback(partial(self._collect, done, order))
                finished = self._next(done) if running else None
                if finished is None:
                    return
                future, result = finished
                del running[future]
                future.release()
                yield result
        finally:
            for future in running:
                future.release()  # the scheduler forgets what nobody waits for

    def _collect(self, done: Inbox, order: Order, future: Result) -> None:
        """Have what a worker returned taken, and put into *done*."""
        with suppress(RuntimeError):  # nobody waits for it any more
            self._collectors.submit(lambda: done.put((future, self._taken(order, future))))

    def _next_orders(self, orders: Iterator[Order], running: int) -> Iterator[Order]:
        while running < max(1, _AHEAD * self._threads):
            order = next(orders, None)
            if order is None:
                return
            running += 1
            yield order

    def _submitted(self, order: Order) -> Result:
        cluster = self._cluster
        name = f"step-{order.step.series}/{order.step.unit}-g{order.generation}"
        try:
            return cluster.client.submit(
                run_order, cluster.settings, cluster.session, order, key=name, pure=False, retries=0
            )
        except Exception as error:
            raise self._away(str(error)) from error

    def _next(self, done: Inbox) -> tuple[Result, StepResult] | None:
        """Return what is done next; None if the work is to stop. Raises ClusterError."""
        while not self._stop.is_set():
            if self._cluster.client.status != "running":
                raise self._away("the connection was lost")
            self._look_at_workers()
            try:
                return done.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
        return None

    def _look_at_workers(self) -> None:
        now = time.monotonic()
        if now - self._manned > _DESERTED_S:
            raise self._away(f"it has had no worker for {_DESERTED_S:.0f} seconds")
        if now - self._counted >= _COUNT_EVERY_S:
            self._counted = now
            self._collectors.submit(self._count)

    def _count(self) -> None:
        """Count the threads of all workers, which come and go. Runs in a collector."""
        self._threads = sum(self._cluster.client.nthreads().values())
        if self._threads:
            self._manned = time.monotonic()

    def _away(self, reason: str) -> ClusterError:
        return ClusterError(f"using the scheduler {self._cluster.address}: {reason}")

    def _taken(self, order: Order, future: Result) -> StepResult:
        """Return what a worker did, as if it had been done here."""
        try:
            delivery: Delivery = future.result(timeout=_RESULT_TIMEOUT_S)
            result = delivery.result
            if self._cluster.exchange and result.built:
                folder = self._cluster.session.folder
                self._cluster.exchange.take(delivery.at, result.built, order.root, folder)
        except FullpoolError as error:
            return _failed(order, error)
        except CancelledError:
            return _failed(order, self._away("it has forgotten what it was to do"))
        except ImportError as error:
            return _failed(order, ClusterError(f"using a worker: {error}"))
        except Exception as error:  # noqa: BLE001 - whatever ended a worker costs one step
            return _failed(order, ArchiveError(f"its worker was lost: {_said(error)}"))
        if result.error is not None and not result.answers:
            return _failed(order, result.error)
        told = replace(order, inputs=result.order.inputs, followed=result.order.followed)
        return replace(result, order=told)


def _failed(order: Order, error: FullpoolError) -> StepResult:
    """Return a step of which nothing came: each of its archives is tried again."""
    if isinstance(error, FATAL):
        return StepResult(order, error=error)
    return StepResult(order, tuple(Answer(known, error=error) for known in order.step.archives))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:200]
