"""What the workers of a cluster run as a task."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from socket import gethostname
from typing import Final

from distributed import get_worker

from fullpool.cluster.runner import StepRunner
from fullpool.cluster.settings import Session, WorkerSettings, exchange_of, require_equal, versions
from fullpool.errors import FATAL, ClusterError, FullpoolError, UnexpectedError
from fullpool.store.partitions.messages import Order
from fullpool.sync.steps.step import StepResult

# So long a runner stays that nobody uses.
_IDLE_S: Final = 60.0
_LOCK: Final = threading.Lock()
# By the session: a cluster may serve several lakes.
_RUNNERS: Final[dict[str, StepRunner]] = {}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a step, and where in the exchange its files are."""

    result: StepResult
    at: str = ""


def run_order(settings: WorkerSettings, session: Session, order: Order) -> Delivery:
    """Do a step. What went wrong is in what is returned."""
    try:
        require_equal(settings.versions, versions(), f"worker {_name()}")
        with _runner(settings, session) as runner:
            result = runner.run(order)
            if not settings.exchange or result.built is None:
                return Delivery(replace(result, error=_with_host(result.error)))
            exchange = exchange_of(settings, session)
            return Delivery(result, exchange.send(result.order.root, result.built))
    except FullpoolError as error:
        return Delivery(StepResult(order, error=_with_host(error)))
    except Exception as error:  # noqa: BLE001 - a mistake of ours must cost one step
        unexpected = UnexpectedError(f"unexpected {type(error).__name__}: {error}")
        return Delivery(StepResult(order, error=unexpected))


def _with_host(error: FullpoolError | None) -> FullpoolError | None:
    """Name this machine in an error that ends the sync."""
    if isinstance(error, FATAL) and not isinstance(error, ClusterError):
        return type(error)(f"on the worker {_name()}: {error}", hint=error.hint)
    return error


def _name() -> str:
    return f"{get_worker().address} ({gethostname()})"


@contextmanager
def _runner(settings: WorkerSettings, session: Session) -> Iterator[StepRunner]:
    """Hold the runner of a session, which keeps its connections for the next steps."""
    worker = get_worker()
    with _LOCK:
        if session.name not in _RUNNERS:
            report = partial(worker.log_event, session.name)
            folder = worker.local_directory
            _RUNNERS[session.name] = StepRunner(settings, session, report, folder)
        runner = _RUNNERS[session.name]
        runner.users += 1
    try:
        yield runner
    finally:
        with _LOCK:
            runner.users -= 1
        timer = threading.Timer(_IDLE_S, _close_if_idle, [session.name])
        timer.daemon = True
        timer.start()


def _close_if_idle(name: str) -> None:
    with _LOCK:
        runner = _RUNNERS.get(name)
        if runner is None or not runner.is_idle_for(_IDLE_S):
            return
        del _RUNNERS[name]
    runner.close()
