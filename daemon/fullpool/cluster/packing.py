"""What goes from a worker to the coordinator: no bytes but those that are to be in quarantine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fullpool.errors import MalformedError
from fullpool.model import Archive, Zipped
from fullpool.store.partitions.messages import Input
from fullpool.sync.steps.fetch import ArchiveResult, Recalled, drop, is_lasting
from fullpool.sync.steps.step import StepResult
from fullpool.vision import Fetched, WrongSum

Pack = Callable[[Zipped], Zipped]


def packed(result: StepResult, *, is_shared: bool) -> StepResult:
    """Return what came of a step without the archives, and throw these away.

    Those that were rejected stay: as files, if the coordinator sees them too.
    """
    keep: Pack = _as_is if is_shared else _as_bytes
    rejected = _rejected(result)
    inputs = tuple(_input(item, keep, rejected) for item in result.order.inputs)
    answers = tuple(_answer(answer, keep) for answer in result.answers)
    return replace(result, order=replace(result.order, inputs=inputs), answers=answers)


def _rejected(result: StepResult) -> set[Archive]:
    """Return the archives whose rows are wrong."""
    if isinstance(result.error, MalformedError):
        return {item.edition.archive for item in result.order.inputs}
    found = result.built.rejected if result.built else ()
    return {one.edition.archive for one in found}


def _input(item: Input, keep: Pack, rejected: set[Archive]) -> Input:
    is_kept = item.edition.archive in rejected
    return replace(item, zipped=(keep if is_kept else _nothing)(item.zipped))


def _answer(answer: ArchiveResult, keep: Pack) -> ArchiveResult:
    match answer.value:
        case Fetched() | Recalled():  # an input has the bytes
            return replace(answer, value=replace(answer.value, zipped=b""))
        case WrongSum(fetched):
            zipped = (keep if is_lasting(answer.known) else _nothing)(fetched.zipped)
            fetched = replace(fetched, zipped=zipped)
            return replace(answer, value=replace(answer.value, fetched=fetched))
        case _:
            return answer


def _as_is(zipped: Zipped) -> Zipped:
    return zipped


def _as_bytes(zipped: Zipped) -> Zipped:
    content = zipped.read_bytes() if isinstance(zipped, Path) else zipped
    drop(zipped)
    return content


def _nothing(zipped: Zipped) -> Zipped:
    drop(zipped)
    return b""
