"""What the workers of a cluster run as a task."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from socket import gethostname
from typing import Final

from distributed import get_worker

from fullpool.cluster.runner import StepRunner
from fullpool.cluster.settings import Session, WorkerSettings, require_same
from fullpool.errors import FullpoolError
from fullpool.store.partitions.messages import Order
from fullpool.sync.steps.step import StepResult
from fullpool.sync.work import FATAL

_LOCK: Final = threading.Lock()
# By settings, which differ where one cluster serves several lakes; and how many steps use each.
_RUNNERS: Final[dict[WorkerSettings, StepRunner]] = {}
_USERS: Final[Counter[WorkerSettings]] = Counter()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a step, and where below the exchange its files are."""

    result: StepResult
    at: str = ""


def run_order(settings: WorkerSettings, session: Session, order: Order) -> Delivery:
    """Do a step. An error of ours is in what is returned."""
    try:
        require_same(settings)
        with _runner(settings) as runner:
            tell = partial(get_worker().log_event, session.name)
            result = runner.run(order, session, tell)
        if isinstance(result.error, FATAL):
            raise result.error
        if not settings.exchange or result.built is None:
            return Delivery(result)
        from fullpool.cluster.exchange import Exchange  # noqa: PLC0415 - needs the extra s3

        exchange = Exchange(settings.exchange, session.lake, session.name)
        return Delivery(result, exchange.send(result.order.root, result.built))
    except FATAL as error:
        told = type(error)(f"on the worker {gethostname()}: {error}", hint=error.hint)
        return Delivery(StepResult(order, error=told))
    except FullpoolError as error:
        return Delivery(StepResult(order, error=error))


@contextmanager
def _runner(settings: WorkerSettings) -> Iterator[StepRunner]:
    """Hold the runner of these settings; idle ones of others are closed."""
    with _LOCK:
        for other in [known for known in _RUNNERS if known != settings and not _USERS[known]]:
            _RUNNERS.pop(other).close()
        if settings not in _RUNNERS:
            _RUNNERS[settings] = StepRunner(settings)
        _USERS[settings] += 1
    try:
        yield _RUNNERS[settings]
    finally:
        with _LOCK:
            _USERS[settings] -= 1
