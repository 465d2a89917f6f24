"""Which hosts of the API are not to be asked now, and until when."""

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from fullpool import logs
from fullpool.errors import RestBannedError, RestError, RestRefusedError
from fullpool.model import Ban

log = logs.get_logger()

REFUSALS: Final = (HTTPStatus.FORBIDDEN, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS)
# This many requests in a row without any answer: the host is away, and left alone for a while.
_AWAY_AFTER: Final = 8
_AWAY_FOR: Final = timedelta(minutes=5)


class Bans:
    """The bans known, by host; every method may be called from several threads at once."""

    def __init__(self, bans: Iterable[Ban], now: Callable[[], datetime]) -> None:
        self._bans = {ban.host: ban for ban in bans}
        self._now = now
        self._lock = threading.Lock()
        self._silent: dict[str, int] = {}

    def all(self) -> list[Ban]:
        """Return the bans known, those that have ended as well."""
        with self._lock:
            return list(self._bans.values())

    def learn(self, bans: Iterable[Ban]) -> None:
        """Take over what others know: of two bans of a host the longer one."""
        with self._lock:
            for ban in bans:
                own = self._bans.get(ban.host)
                if own is None or own.until < ban.until:
                    self._bans[ban.host] = ban

    def check(self, host: str) -> None:
        """Raise RestBannedError or RestRefusedError if a host is not to be asked now."""
        with self._lock:
            ban = self._bans.get(host)
        if ban is None or ban.until <= self._now():
            return
        until = f"{ban.until:%Y-%m-%dT%H:%M:%SZ}"
        if ban.status in REFUSALS:
            raise RestRefusedError(f"{host} refused with HTTP {ban.status}: {ban.reason}")
        seconds = (ban.until - self._now()).total_seconds()
        raise RestBannedError(f"{host} must not be asked before {until}", seconds=seconds)

    def heard(self, host: str) -> None:
        """Record that a host answers."""
        with self._lock:
            self._silent.pop(host, None)

    def silent(self, host: str, error: RestError) -> None:
        """Count requests without an answer; after some the host counts as away."""
        with self._lock:
            self._silent[host] = self._silent.get(host, 0) + 1
            is_away = self._silent[host] == _AWAY_AFTER
        if is_away:
            self.ban(host, 0, str(error), _AWAY_FOR)

    def ban(self, host: str, status: int, reason: str, length: timedelta) -> None:
        """Record that a host is not to be asked for so long; a longer ban stays."""
        now = self._now()
        with self._lock:
            old = self._bans.get(host)
            is_news = old is None or old.until <= now
            until = now + length if old is None else max(now + length, old.until)
            self._bans[host] = Ban(host, status, reason, now, until)
        if is_news:
            event = "rest.refused" if status in REFUSALS else "rest.banned"
            event = event if status else "rest.unreachable"
            log.warning(event, host=host, status=status, reason=reason, until=until.isoformat())
