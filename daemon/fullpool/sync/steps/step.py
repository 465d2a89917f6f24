"""Does one step: fetches its archives and builds its partitions.

The threads and processes of this machine run this function, and so do the workers of a cluster.
What it means for the state is decided where that is (`answers`, `rounds`).
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from fullpool.errors import FATAL, FullpoolError, RedirectedError, UnreachableError
from fullpool.model import Known, Span, Step
from fullpool.store.partitions.build import build
from fullpool.store.partitions.messages import Built, Followed, Input, Order, end_of
from fullpool.sync.maps import Map
from fullpool.sync.steps.fetch import (
    ArchiveResult,
    ArchiveSource,
    Value,
    fetch,
    input_of,
    staged_name,
)

# This many in a row that find no host: it is away, and the others would only wait for the same.
AWAY_AFTER: Final = 8


@dataclass(frozen=True, slots=True)
class Tools:
    """What a machine does steps with: connections, builders, and when it begins no more.

    Once *is_ending* no step is begun. Once *is_over* nobody waits for what comes of one.
    """

    source: ArchiveSource
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
    answers: tuple[ArchiveResult, ...] = ()
    built: Built | None = None
    error: FullpoolError | None = None


class Steps(Protocol):
    """Does many steps at once, and yields in any order what came of each."""

    def __call__(self, orders: Iterable[Order]) -> Generator[StepResult, None, None]: ...


def run_step(tools: Tools, order: Order) -> StepResult:
    """Fetch the archives of a step, and build its partitions of those that came."""
    if order.step.archives and tools.is_ending():
        return StepResult(order)
    answers = _answers(tools, order)
    tried = [input_of(answer, tools.source.checks) for answer in answers]
    inputs = sorted(filter(None, tried), key=_span_of)
    order = replace(order, inputs=tuple(inputs), followed=_followed(order, inputs))
    if (order.step.archives and not inputs) or tools.is_over():
        return StepResult(order, answers)
    done = next(iter(tools.build_map(build, [order], lambda _: 1)), None)
    if done is None:
        return StepResult(order)
    return StepResult(order, answers, done.value, done.error)


def failed(order: Order, error: FullpoolError) -> StepResult:
    """Return a step of which nothing came: each of its archives is tried again."""
    if isinstance(error, FATAL):
        return StepResult(order, error=error)
    return StepResult(
        order, tuple(ArchiveResult(known, error=error) for known in order.step.archives)
    )


def _answers(tools: Tools, order: Order) -> tuple[ArchiveResult, ...]:
    """Fetch the archives of a step, side by side, until it is of no use to go on."""
    answers, unreachable = [], 0
    fetch_one = partial(_fetch, tools, order.staging)
    for done in tools.fetch_map(fetch_one, order.step.archives, _size_bytes):
        answers.append(ArchiveResult(done.item, done.value, done.error))
        unreachable = unreachable + 1 if is_away(done.error) else 0
        if ends_pass(done.error) or unreachable >= AWAY_AFTER:
            break
    return tuple(answers)


def is_away(error: FullpoolError | None) -> bool:
    """Whether an archive's host did not answer, or sent us elsewhere."""
    return isinstance(error, UnreachableError | RedirectedError)


def ends_pass(error: FullpoolError | None) -> bool:
    """Whether other archives would meet the same; one that is redirected may be the only one."""
    return isinstance(error, FATAL) and not isinstance(error, RedirectedError)


def _fetch(tools: Tools, staging: Path, known: Known) -> Value | None:
    if tools.is_over():
        return None
    return fetch(tools.source, known, staging / staged_name(known.archive))


def _span_of(item: Input) -> Span:
    return item.edition.archive.period.span


def _size_bytes(known: Known) -> int:
    return known.identity.size_bytes if known.identity else 0


def weight_of(step: Step, least_bytes: int) -> int:
    """Return the bytes that a step takes up, where each archive counts *least_bytes* at least."""
    return sum(max(_size_bytes(known), least_bytes) for known in step.archives)


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

    def __call__(self, orders: Iterable[Order]) -> Generator[StepResult, None, None]:
        is_left = Event()
        tools = replace(self._tools, is_over=lambda: is_left.is_set() or self._tools.is_over())
        try:
            for done in self._map(partial(run_step, tools), orders, self._weight):
                if done.error is not None:
                    yield failed(done.item, done.error)
                elif done.value is not None:
                    yield done.value
        finally:
            is_left.set()  # what is still being fetched is of no use

    def _weight(self, order: Order) -> int:
        return weight_of(order.step, self._least_bytes)
