"""What all pages share: the lake, its sessions, and what is kept of the newest generation."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from fullpool.app import clock
from fullpool.app.service.status_file import DaemonStatus, is_fine, require_alive, status_of
from fullpool.config import Config
from fullpool.errors import ConfigError, NotRunningError, UnhealthyError
from fullpool.store.catalogue.bounded import BoundedSession, Limits
from fullpool.store.catalogue.reader import generation_at, require_whole
from fullpool.store.tree import Tree

_PAST_SESSIONS: Final = 2
_KEPT: Final = 4
# More than a query of one row a series may have.
MOST_SERIES: Final = 500_000


@dataclass(slots=True)
class Site:
    """One lake, as it is shown. May be used from many threads.

    *load_config* returns the configuration as it is now; None if the lake was not found by one. It
    raises ConfigError.
    """

    tree: Tree
    load_config: Callable[[], Config | None]
    limits: Limits
    now: Callable[[], datetime] = clock.now
    _sessions: OrderedDict[str, BoundedSession] = field(default_factory=OrderedDict)
    _whole: set[str] = field(default_factory=set)
    _kept: dict[str, OrderedDict[Any, Any]] = field(default_factory=dict)
    _making: dict[Any, threading.Lock] = field(default_factory=dict)
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
            found = self._sessions[number]
        if number not in self._whole:  # not under the lock: a query may have to wait for its turn
            require_whole(found)
            self._whole.add(number)
        return found

    def _outdated(self) -> list[str]:
        """Return the sessions that are too many, or of generations that were removed."""
        past = [name for name in self._sessions if name]
        gone = [name for name in past if not self.tree.catalogue(int(name)).exists()]
        return [*gone, *[name for name in past if name not in gone][:-_PAST_SESSIONS]]

    def kept(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return what *make* makes; the last few of a *name* are kept, by their keys."""
        with self._lock:
            known = self._kept.setdefault(name, OrderedDict())
            if key in known:
                known.move_to_end(key)
                return known[key]
            making = self._making.setdefault((name, key), threading.Lock())
        with making:  # who asks for the same meanwhile waits for it
            if key not in known:
                made = make()
                with self._lock:
                    known[key] = made
                    self._making.pop((name, key), None)
                    while len(known) > _KEPT:
                        known.popitem(last=False)
                return made
        return self.kept(name, key, make)

    def config(self) -> Config | None:
        """Return the configuration, if there is a right one."""
        try:
            return self.load_config()
        except ConfigError:
            return None

    def daemon(self) -> DaemonStatus | None:
        """Return what the running daemon says of itself."""
        return status_of(self.tree)

    def _stuck(self) -> str:
        """Return what is said of a daemon that makes no progress."""
        try:
            require_alive(self.tree, self.now())
        except UnhealthyError as error:
            return str(error)
        except NotRunningError:
            return ""
        return ""

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
            "is_fine": daemon is not None and is_fine(daemon.status),
            "stuck": self._stuck(),
            "config_problems": list(daemon.config_problems) if daemon else [],
        }
