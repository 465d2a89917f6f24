"""Does one step: fetches its archives and builds its partitions.

The threads and processes of this machine run this function, and so do the workers of a cluster.
What it means for the state is decided where that is (`answers`, `rounds`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Protocol

from fullpool.errors import FullpoolError
from fullpool.model import Known, Span
from fullpool.store.partitions.build import build
from fullpool.store.partitions.messages import Built, Followed, Input, Order, end_of
from fullpool.sync.maps import Map
from fullpool.sync.steps.fetch import Answer, Source, Value, fetch, input_of, staged_name


@dataclass(frozen=True, slots=True)
class Tools:
    """What a machine does steps with: connections, builders, and when it begins no more.

    Once *is_ending* no archive is begun. Once *is_over* nobody waits for what comes of it.
    """

    source: Source
    fetch_map: Map
    build_map: Map
    is_ending: Callable[[], bool]
    is_over: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step. *order* has the inputs that were built, or were to be.

    Without *built* and *error* nothing was built: no archive came, or the work was to stop.
    """

    order: Order
    answers: tuple[Answer, ...] = ()
    built: Built | None = None
    error: FullpoolError | None = None


class Steps(Protocol):
    """Does many steps at once, and yields in any order what came of each."""

    def __call__(self, orders: Iterable[Order]) -> Iterator[StepResult]: ...


def run_step(tools: Tools, order: Order) -> StepResult:
    """Fetch the archives of a step, and build its partitions of those that came."""
    answers = _answers(tools, order)
    found = (input_of(answer, tools.source.checks) for answer in answers)
    inputs = sorted((item for item in found if item), key=_span_of)
    order = replace(order, inputs=tuple(inputs), followed=_followed(order, inputs))
    if (order.step.archives and not inputs) or tools.is_over():
        return StepResult(order, answers)
    done = next(iter(tools.build_map(build, [order], lambda _: 1)), None)
    if done is None:
        return StepResult(order)
    return StepResult(order, answers, done.value, done.error)


def _answers(tools: Tools, order: Order) -> tuple[Answer, ...]:
    """Fetch the archives of a step, side by side."""
    done = tools.fetch_map(partial(_fetch, tools, order.staging), order.step.archives, _size_bytes)
    return tuple(Answer(one.item, one.value, one.error) for one in done)


def _fetch(tools: Tools, staging: Path, known: Known) -> Value | None:
    if tools.is_ending() or tools.is_over():
        return None
    return fetch(tools.source, known, staging / staged_name(known.archive))


def _span_of(item: Input) -> Span:
    return item.edition.archive.period.span


def _size_bytes(known: Known) -> int:
    return known.identity.size_bytes if known.identity else 0


def _followed(order: Order, inputs: Sequence[Input]) -> Followed | None:
    """Return the followed rows that the partitions take in, for not all archives have come."""
    spans = [*map(_span_of, inputs), *(patch.span for patch in order.patches)]
    return order.followed and order.followed.before(end_of(order.step, spans))


class LocalSteps:
    """Does steps by the threads and processes of this machine.

    *step_map* draws as many as fit in its limit of bytes, where an archive counts *least_bytes* at
    the least: of small ones, too, only some are fetched ahead of what is built.
    """

    def __init__(self, tools: Tools, step_map: Map, least_bytes: int) -> None:
        self._tools = tools
        self._map = step_map
        self._least_bytes = least_bytes

    def __call__(self, orders: Iterable[Order]) -> Iterator[StepResult]:
        is_left = Event()
        tools = replace(self._tools, is_over=lambda: is_left.is_set() or self._tools.is_over())
        try:
            for done in self._map(partial(run_step, tools), orders, self._weight):
                yield done.value or StepResult(done.item, error=done.error)
        finally:
            is_left.set()  # what is still being fetched is of no use

    def _weight(self, order: Order) -> int:
        return sum(max(_size_bytes(known), self._least_bytes) for known in order.step.archives)
