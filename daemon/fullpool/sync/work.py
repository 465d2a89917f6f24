"""What a pass works with: handed in by app, or by a test."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from fullpool.config import Config
from fullpool.errors import DiskFullError, FullpoolError, LakeUnwritableError, UntrustedError
from fullpool.model import Known, Step, Stop
from fullpool.rest import Client
from fullpool.store.tree import Tree
from fullpool.vision import Fetcher, Opener

# Errors that would be the same for every archive: the pass ends instead of failing each.
FATAL: Final = (DiskFullError, LakeUnwritableError, UntrustedError)
# This many in a row that find no host: it is away, and the others would only wait for the same.
AWAY_AFTER: Final = 8

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


class Watcher(Protocol):
    """Is told how a pass goes on; `listed`, `received` and `answered` by several threads."""

    def listing(self, series: int) -> None: ...
    def listed(self) -> None: ...
    def discovered(self, series: int) -> None: ...
    def planned(self, steps: Sequence[Step]) -> None: ...
    def received(self, size_bytes: int) -> None: ...
    def settled(self, known: Known) -> None: ...
    def published(self, generation: int) -> None: ...
    def asking(self, gaps: int, requests: int) -> None: ...
    def answered(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """Everything a pass acts through. *opener* and *fetcher* are those of the calling thread.

    *stop*: leave off at once. *enough*: begin no archive and no gap any more, but finish what was
    begun. *rest* asks the API; None if that is switched off.
    """

    config: Config
    tree: Tree
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    stop: Stop
    enough: Stop
    opener: Callable[[], Opener]
    fetcher: Callable[[], Fetcher]
    fetch_map: Map
    build_map: Builders
    watcher: Watcher
    rest: Client | None
    rest_map: Map

    @property
    def is_ending(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.stop.is_set() or self.enough.is_set()
