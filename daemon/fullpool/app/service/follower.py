"""The daemon's following of the market: its connections are kept from one minute to the next."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from fullpool import logs
from fullpool.app import clock, pools
from fullpool.app.assembly import AHEAD, rest_client
from fullpool.app.configuration import tree_of
from fullpool.config import Config
from fullpool.errors import LakeBusyError
from fullpool.jobs import Job
from fullpool.model import Stop
from fullpool.store.state.writer import State
from fullpool.sync.follow import Follow, Followed, Wire

log = logs.get_logger()


class Follower:
    """Follows what a configuration says, at any time; one that is new opens new connections."""

    def __init__(self, state: State, stop: Stop) -> None:
        self._state = state
        self._stop = stop
        self._due = threading.Event()
        self._opened = ExitStack()
        self._config: Config | None = None
        self._follow: Follow | None = None
        self._wire: Wire | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def before(self, put: Callable[[Job], None]) -> Callable[[Job], None]:
        """Return what takes a job of the timetable: that following is due is known at once."""

        def take(job: Job) -> None:
            if job is Job.FOLLOW:
                self._due.set()
            put(job)

        return take

    def is_due(self) -> bool:
        """Whether the timetable has asked since the last run."""
        return self._due.is_set()

    def run(self, config: Config) -> Followed | None:
        """Ask for what was closed since the last time; None if nothing is to be followed."""
        self._due.clear()
        if config is not self._config:
            self._opened.close()
            self._config, self._wire = config, None
            self._follow = Follow(config, self._state, tree_of(config))
        assert self._follow is not None
        if not self._follow.is_on:
            return None
        if self._wire is None:
            self._wire = self._connected(config)
        try:
            return self._follow.run(self._wire)
        except LakeBusyError:
            raise
        except Exception as error:  # noqa: BLE001 - archives and gaps go on, whatever it is
            log.error("follow.failed", series="all", reason=str(error))  # noqa: TRY400 - it is told
            return Followed(troubles={"all": str(error)})

    def _connected(self, config: Config) -> Wire:
        enter = self._opened.enter_context
        client = enter(rest_client(config, self._stop))
        connections = config.rest.max_keepalive_connections
        rest_map = enter(pools.threads(connections, AHEAD, self._stop))
        return Wire(client, rest_map, clock.now)
