"""Threads that download and processes that build, each as a bounded `Map`.

A build runs in a process of its own because inflating beside busy Python threads starves, and
because DuckDB aborts its process when it runs out of file descriptors: that must cost one step,
not the daemon.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from fullpool import logs
from fullpool.app import clock
from fullpool.errors import ArchiveError, FullpoolError, UnexpectedError
from fullpool.model import Stop
from fullpool.store.partitions import worker
from fullpool.sync.maps import Builders, Done, Map

log = logs.get_logger()

# How soon a map notices that the work is to stop.
_LOOK_EVERY_S: Final = 0.2
# Locks of a process that is ended by force are cleared away by another, which would warn of them.
_QUIET: Final = "ignore::UserWarning:multiprocessing.resource_tracker"

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def threads(count: int, limit: int, stop: Stop, *, ahead: int = 8) -> Iterator[Map]:
    """Yield a map over *count* threads that draws items up to *limit* of weight.

    It draws so many *ahead* of each thread that nobody idles while the consumer is busy elsewhere.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix="fetch")
    try:
        yield partial(_bounded, pool, _Bounds(ahead * count, limit, stop))
    finally:
        # A thread that waits for a host would keep a daemon that is to stop.
        pool.shutdown(wait=not stop.is_set(), cancel_futures=True)


@contextmanager
def processes(
    count: int, stop: Stop, started: Callable[[int], None] = lambda _: None
) -> Iterator[Builders]:
    """Yield a map over *count* processes; one that dies fails its item and is replaced.

    *started* is told the number of each process. Where processes cannot share anything (a container
    whose /dev/shm cannot be written), a thread of this one builds.
    """
    clock.add_to_variable("PYTHONWARNINGS", _QUIET)
    if not _has_semaphores():
        log.warning("workers.unavailable", path="/dev/shm", builders=1)  # noqa: S108
        with one_thread(stop) as build_map:
            yield build_map
        return
    workers = _Workers(count, stop, started)
    try:
        yield workers
    finally:
        workers.shutdown()


@contextmanager
def one_thread(stop: Stop) -> Iterator[Builders]:
    """Yield a map over one thread of this process."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="build")
    try:
        yield _InProcess(partial(_bounded, pool, _Bounds(8, 1, stop)))
    finally:
        pool.shutdown(cancel_futures=True)  # what it is at writes into the lake


def _has_semaphores() -> bool:
    """Whether this process can share a lock with others, as workers do."""
    try:
        # As for a forked process: a lock for spawned ones would start a process that tracks it.
        multiprocessing.get_context("fork").Lock()
    except OSError:
        return False
    return True


# A process has one connection to build with, of whichever lake that is.
_ALONE: Final = threading.Lock()


class _InProcess:
    """Builders that are one thread."""

    def __init__(self, build_map: Map) -> None:
        self._map = build_map

    def start(self) -> None:
        """Start nobody: the thread is there when it is needed."""

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        return self._map(partial(_alone, function), items, weight)


def _alone(function: Callable[[A], B], item: A) -> B:
    with _ALONE:
        return function(item)


class Idle:
    """Builders for who only reads: there is nothing to build."""

    def start(self) -> None:
        """Start nobody."""

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        del function, items, weight
        raise AssertionError("a plan builds nothing")


@dataclass(frozen=True, slots=True)
class _Bounds:
    """At most *ahead* items and *limit* of weight under way, and nothing once *stop* is set."""

    ahead: int
    limit: int
    stop: Stop

    def has_room_beside(self, running: Mapping[Future[Any], int]) -> bool:
        """Whether one more may begin beside those *running*, of these weights."""
        return not running or (len(running) < self.ahead and sum(running.values()) < self.limit)


def _bounded(
    pool: ThreadPoolExecutor,
    bounds: _Bounds,
    function: Callable[[A], B],
    items: Iterable[A],
    weight: Callable[[A], int],
) -> Iterator[Done[A, B]]:
    """Yield what is done, in any order. What is not done when the work is stopped is left out."""
    source = iter(items)
    running: dict[Future[Done[A, B]], int] = {}
    done: SimpleQueue[Future[Done[A, B]]] = SimpleQueue()
    is_over = False
    try:
        while running or not is_over:
            while not is_over and bounds.has_room_beside(running):
                item = next(source, _END)
                if isinstance(item, _End):
                    is_over = True
                    break
                # Each with a copy of the context: what is bound to the log goes along.
                future = pool.submit(copy_context().run, _result_of, function, item)
                running[future] = weight(item)
                future.add_done_callback(done.put)
            if running:
                finished = _next(done, bounds.stop)
                if finished is None:
                    return
                del running[finished]
                yield finished.result()
    finally:
        for future in running:
            future.cancel()


def _next(done: SimpleQueue[A], stop: Stop) -> A | None:
    """Return what is done next; None if the work is to stop."""
    while not stop.is_set():
        try:
            return done.get(timeout=_LOOK_EVERY_S)
        except Empty:
            continue
    return None


class _End:
    """Marks the end of the items."""


_END = _End()


def _result_of(function: Callable[[A], B], item: A) -> Done[A, B]:
    try:
        return Done(item, function(item), None)
    except FullpoolError as error:
        return Done(item, None, error)
    except Exception as error:  # noqa: BLE001 - a mistake of ours must cost one item, not the pass
        return Done(item, None, UnexpectedError(f"unexpected {type(error).__name__}: {error}"))


class _Workers:
    """A map over processes: each thread of a pool has one of its own."""

    def __init__(self, count: int, stop: Stop, started: Callable[[int], None]) -> None:
        self._count = count
        self._stop = stop
        self._started = started
        # Workers end when the other end of their leash is closed.
        self._held, self._leash = multiprocessing.Pipe(duplex=False)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="build")
        self._mine = threading.local()
        self._all: list[ProcessPoolExecutor] = []
        self._is_started = False

    def start(self) -> None:
        if not self._is_started:
            self._is_started = True
            for _ in range(self._count):
                self._pool.submit(self._start_mine)

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        self.start()
        ahead = 2 * self._count
        bounds = _Bounds(ahead, ahead, self._stop)
        return _bounded(self._pool, bounds, partial(self.run, function), items, weight)

    def _start_mine(self) -> None:
        """Give the calling thread its process, ready to work, and wait until it is."""
        self._executor()

    def run(self, function: Callable[[A], B], item: A) -> B:
        try:
            return self._executor().submit(function, item).result()
        except BrokenProcessPool as error:
            del self._mine.executor
            raise ArchiveError(f"building: the worker process died: {error}") from error

    def _executor(self) -> ProcessPoolExecutor:
        executor: ProcessPoolExecutor | None = getattr(self._mine, "executor", None)
        if executor is None:
            context = multiprocessing.get_context("spawn")
            executor = ProcessPoolExecutor(
                1, mp_context=context, initializer=worker.prepare, initargs=(self._held,)
            )
            self._mine.executor = executor
            self._all.append(executor)
            # What is started now has these signals kept from it until it has begun.
            signal.pthread_sigmask(signal.SIG_BLOCK, worker.HELD_BACK)
            try:
                started = executor.submit(os.getpid)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, worker.HELD_BACK)
            self._started(started.result())
        return executor

    def shutdown(self) -> None:
        if self._stop.is_set():
            # What they were at is done again; half of it is in staging, where nobody looks.
            self._leash.close()
        self._pool.shutdown(cancel_futures=True)
        for executor in self._all:
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in self._all:
            executor.shutdown()
        self._leash.close()
        self._held.close()


def give_back_memory() -> None:
    """Collect what a pass left in cycles, and have the C library give it back.

    `collect_rarely` would leave it for days: TLS contexts are among it, of a megabyte each.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
