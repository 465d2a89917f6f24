"""The daemon's following of the market: its connections are kept from one minute to the next."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from fullpool import logs
from fullpool.app import clock, pools
from fullpool.app.assembly import AHEAD, opened_client
from fullpool.app.configuration import tree_of
from fullpool.config import Config
from fullpool.counting import CountRequest
from fullpool.errors import LakeBusyError
from fullpool.jobs import Job
from fullpool.model import Stop
from fullpool.rest import Client
from fullpool.store.state.writer import State
from fullpool.sync.follow import Follow, Followed, Wire

log = logs.get_logger()


class Follower:
    """Follows what a configuration says, at any time; one that is new opens new connections.

    *moved* is called while the API's weight is waited for, *count* is told of each request.
    """

    def __init__(
        self, state: State, stop: Stop, moved: Callable[[], None], count: CountRequest
    ) -> None:
        self._state = state
        self._stop = stop
        self._sleep = clock.sleeper(stop, moved)
        self._count = count
        self._due = threading.Event()
        self._opened = ExitStack()
        self._outdated = ExitStack()
        self._is_lent = False
        self._config: Config | None = None
        self._follow: Follow | None = None
        self._wire: Wire | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._outdated.close()
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

    @contextmanager
    def lent(self, config: Config) -> Iterator[Client | None]:
        """Lend the client to a pass, which may go on after an edit; None if there is none."""
        self._take_over(config)
        if self._wire is not None:
            self._wire.client.forget_info()
        self._is_lent = True
        try:
            yield self._wire.client if self._wire else None
        finally:
            self._is_lent = False
            self._outdated.close()

    def run(self, config: Config) -> Followed | None:
        """Ask for what was closed since the last time; None if nothing is to be followed."""
        self._due.clear()
        self._take_over(config)
        if self._follow is None or self._wire is None:
            return None
        try:
            return self._follow.run(self._wire)
        except LakeBusyError:
            raise
        except Exception as error:  # noqa: BLE001 - archives and gaps go on, whatever it is
            log.error("follow.failed", series="all", reason=str(error))  # noqa: TRY400 - it is told
            return Followed(troubles={"all": str(error)})

    def _take_over(self, config: Config) -> None:
        """Follow what *config* says from now on, through connections of its own."""
        if config is self._config:
            return
        self._outdated.enter_context(self._opened.pop_all())
        if not self._is_lent:
            self._outdated.close()
        self._config = config
        self._follow = Follow(config, self._state, tree_of(config))
        self._wire = self._connected(config) if self._follow.is_on else None

    def _connected(self, config: Config) -> Wire:
        """Open connections; a pass that has them as well has threads for those that are kept."""
        enter = self._opened.enter_context
        client = enter(opened_client(config, self._stop, self._sleep, self._count))
        count = config.rest.max_connections - config.rest.max_keepalive_connections
        return Wire(client, enter(pools.threads(max(count, 1), AHEAD, self._stop)), clock.now)
