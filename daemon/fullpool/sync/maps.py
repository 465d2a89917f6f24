"""The interface of thread and process pools, as a pass sees them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fullpool.errors import FullpoolError

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Done(Generic[A, B]):
    """What became of one item of a map: a value, or the error that stopped it."""

    item: A
    value: B | None
    error: FullpoolError | None


class Map(Protocol):
    """Applies a function to many items at once, yields in any order what is done.

    It draws no more items than fit in its limit of *weight*, and no error of one item stops it.
    """

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]: ...


class Builders(Map, Protocol):
    """A map whose workers take a moment to start; they start with its first use at the latest."""

    def start(self) -> None: ...
