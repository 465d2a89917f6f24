"""Notices edits of the configuration file. Owns watchfiles.

An event only says that something may have happened: editors write in place, rename, link, remove
and recreate. What counts is that the content is stable and differs. The folder is watched,
not the file, whose inode many editors replace; and it is looked at every few seconds anyway, for
edits that no event reports (the target of a link, a folder that was made again).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from watchfiles import watch

from fullpool.config import Config, parse_bytes
from fullpool.errors import ConfigError

_POLL_MS: Final = 2000
# Two readings this far apart that agree are a file nobody is writing.
_SETTLE_S: Final = 0.25
_MOST_READINGS: Final = 40
_UNREAD: Final = "unread"
# Looks in a row without a file before it counts as gone: editors take it away for a moment.
_GONE_AFTER: Final = 3


class Flag(Protocol):
    """Something that is set or not; `clear` takes it back."""

    def is_set(self) -> bool: ...
    def clear(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What a look at the file showed: a new configuration, what is wrong with it, or neither.

    *is_asked*: somebody waits for the answer (SIGHUP). *is_new*: the content was not judged before.
    """

    config: Config | None
    error: ConfigError | None
    sha256: str
    is_asked: bool
    is_new: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """Every mistake, if it is wrong."""
        return self.error.problems if self.error else ()

    @property
    def is_news(self) -> bool:
        return self.config is not None or self.error is not None


class Lookout:
    """Watches *path*, whose content now stands for *current*."""

    def __init__(  # noqa: PLR0913 - each is one thing that only app can give
        self,
        path: Path,
        current: Config,
        accept: Callable[[Config], None],
        *,
        stop: Flag,
        asked: Flag,
        sleep: Callable[[float], None],
    ) -> None:
        """*accept* raises ConfigError for a configuration that cannot take the place of another."""
        self._path = path
        self._current = current
        self._accept = accept
        self._stop = stop
        self._asked = asked
        self._sleep = sleep
        self._seen = _UNREAD
        self._is_refused = False
        self._missed = 0

    def looks(self) -> Iterator[ConfigChange]:
        """Yield what is new, and an answer whenever one was asked for, until stopped."""
        while not self._stop.is_set():
            try:
                folder = self._path.parent.stat().st_ino
                for _ in self._events():
                    yield from self._look(is_asked=False)
                    if self._path.parent.stat().st_ino != folder:
                        break  # it was made again: watch that one
            except (OSError, RuntimeError):
                # The folder is away, or the system has no watches left: look without. (watchfiles
                # has an error of its own for the latter, a RuntimeError.)
                self._sleep(_POLL_MS / 1000)
                yield from self._look(is_asked=False)
            if self._asked.is_set():
                self._asked.clear()
                yield from self._look(is_asked=True)

    def is_set(self) -> bool:
        """Whether to stop waiting for events; watchfiles asks every 50 ms."""
        return self._stop.is_set() or self._asked.is_set()

    def _events(self) -> Iterator[object]:
        return watch(
            self._path.parent,
            watch_filter=None,
            recursive=False,
            stop_event=self,
            step=50,
            debounce=400,
            rust_timeout=_POLL_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )

    def _look(self, *, is_asked: bool) -> Iterator[ConfigChange]:
        content = self._stable_content()
        self._missed = self._missed + 1 if content is None else 0
        is_away = content is None and self._missed < _GONE_AFTER
        found = _sum(content)
        is_new = found != self._seen
        if is_asked or not is_away:
            self._seen = found
        if is_asked or (is_new and not is_away):
            config, error = self._judged(content, is_new=is_new)
            look = ConfigChange(config, error, found, is_asked, is_new)
            if look.is_news or is_asked:
                yield look

    def _judged(
        self, content: bytes | None, *, is_new: bool
    ) -> tuple[Config | None, ConfigError | None]:
        """Return the configuration if it is another, or what is wrong with it."""
        if not is_new and not self._is_refused:
            return None, None
        try:
            config = _parsed(content, self._path)
            self._accept(config)
        except ConfigError as error:
            self._is_refused = True
            return None, error
        is_same = config == self._current and not self._is_refused
        self._is_refused, self._current = False, config
        return None if is_same else config, None

    def _stable_content(self) -> bytes | None:
        """Return the content once nobody is writing it; None if there is no file."""
        content = _read(self._path)
        if _sum(content) == self._seen:
            return content
        for _ in range(_MOST_READINGS):
            self._sleep(_SETTLE_S)
            before, content = content, _read(self._path)
            if content == before or self._stop.is_set():
                break
        return content


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sum(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _parsed(content: bytes | None, path: Path) -> Config:
    if content is None:
        raise ConfigError(str(path), ("cannot be read: there is no such file, or no permission",))
    return parse_bytes(content, str(path))
