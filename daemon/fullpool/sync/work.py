"""Everything a pass works with, given by app or a test."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fullpool.config import Config
from fullpool.model import Stop
from fullpool.rest import Client
from fullpool.store.tree import Tree
from fullpool.sync.maps import Builders, Map
from fullpool.sync.steps.step import Steps
from fullpool.sync.watcher import Watcher
from fullpool.vision import Fetcher, Opener


class Following(Protocol):
    """Brings what is followed up to now."""

    def follow_now(self) -> None: ...
    def follow_if_due(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """Everything a pass acts through. *opener* and *fetcher* are those of the calling thread.

    *stop*: stop at once. *draining*: start no archive and no gap any more, but finish what was
    begun. *steps* fetches and builds, on this machine or on a cluster. *rest* asks the API; None if
    that is switched off. *following* keeps up with the market between two results, for a pass may
    take hours; None: the pass does so by its own connections, once.
    """

    config: Config
    tree: Tree
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    stop: Stop
    draining: Stop
    opener: Callable[[], Opener]
    fetcher: Callable[[], Fetcher]
    fetch_map: Map
    build_map: Builders
    steps: Steps
    watcher: Watcher
    rest: Client | None
    rest_map: Map
    following: Following | None = None

    def meanwhile(self) -> None:
        """Do what is due between two results."""
        if self.following is not None:
            self.following.follow_if_due()

    @property
    def is_ending(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.stop.is_set() or self.draining.is_set()
