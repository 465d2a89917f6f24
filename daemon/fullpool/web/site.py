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
from fullpool.store.tree import Tree

_PAST_SESSIONS: Final = 4


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
    _kept: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def session(self, as_of: str = "") -> BoundedSession:
        """Return what reads a generation, by default always the newest.

        Raises NoLakeError if there is none, UsageError.
        """
        with self._lock:
            if as_of not in self._sessions:
                self._sessions[as_of] = BoundedSession(self.tree, self.limits, as_of or None)
            self._sessions.move_to_end(as_of)
            for name in [n for n in self._sessions if n][:-_PAST_SESSIONS]:
                self._sessions.pop(name).close()
            return self._sessions[as_of]

    def kept(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return what *make* makes, which is made again only when the *key* is another."""
        with self._making:
            known = self._kept.get(name)
            if known is None or known[0] != key:
                known = self._kept[name] = (key, make())
            return known[1]

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
