"""What all pages share: the lake, its sessions, and what is kept of the newest generation."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from fullpool.app import clock
from fullpool.app.service.status_file import DaemonStatus, status_of
from fullpool.config import Config
from fullpool.store.catalogue.bounded import BoundedSession, Limits
from fullpool.store.catalogue.reader import generation_at
from fullpool.store.tree import Tree

_PAST_SESSIONS: Final = 4
_KEPT: Final = 4


@dataclass(slots=True)
class Site:
    """One lake, as it is shown. May be used from many threads.

    *config* is there if the lake was found by one: then it is known what is followed.
    """

    tree: Tree
    config: Config | None
    limits: Limits
    now: Callable[[], datetime] = clock.now
    _sessions: OrderedDict[str, BoundedSession] = field(default_factory=OrderedDict)
    _kept: dict[str, OrderedDict[Any, Any]] = field(default_factory=dict)
    _making: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: threading.BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = self.limits.turns()

    def session(self, as_of: str = "") -> BoundedSession:
        """Return what reads a generation, by default always the newest.

        *as_of* is a number or a time. Raises NoLakeError if there is none, UsageError.
        """
        number = str(generation_at(self.tree, as_of)) if as_of else ""
        with self._lock:
            if number not in self._sessions:
                self._sessions[number] = BoundedSession(
                    self.tree, self.limits, number or None, self._turns
                )
            self._sessions.move_to_end(number)
            for name in self._outdated():
                self._sessions.pop(name).close()
            return self._sessions[number]

    def _outdated(self) -> list[str]:
        """Return the sessions that are too many, or of generations that were removed."""
        past = [name for name in self._sessions if name]
        gone = [name for name in past if not self.tree.catalogue(int(name)).exists()]
        return [*gone, *[name for name in past if name not in gone][:-_PAST_SESSIONS]]

    def kept(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return what *make* makes; the last few of a *name* are kept, by their keys."""
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            known = self._kept.setdefault(name, OrderedDict())
            if key not in known:
                known[key] = make()
            known.move_to_end(key)
            while len(known) > _KEPT:
                known.popitem(last=False)
            return known[key]

    def daemon(self) -> DaemonStatus | None:
        """Return what the running daemon says of itself."""
        return status_of(self.tree)

    def head(self, as_of: str = "") -> dict[str, Any]:
        """Return what stands at the top of every page."""
        session, daemon = self.session(as_of), self.daemon()
        published = session.published_at()
        ((generation,),) = session.query("SELECT max(generation) FROM sync.generations").rows
        return {
            "lake": str(self.tree.root),
            "generation": generation,
            "published_at": published,
            "now": self.now().astimezone(UTC),
            "as_of": as_of,
            "daemon": daemon.status if daemon else None,
            "config_problems": list(daemon.config_problems) if daemon else [],
        }
