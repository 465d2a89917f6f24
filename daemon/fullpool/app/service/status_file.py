"""The file in the lake that says what its running daemon is doing."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from fullpool.app.lock import is_held
from fullpool.errors import NotRunningError, UnhealthyError
from fullpool.store.tree import Tree

# As long as systemd's watchdog waits; one answer may take half a minute.
_STUCK_S: Final = 180.0
# What the daemon's line says if something could not be done: see `Activity.text`.
_TROUBLES: Final = (" except ", "waiting: ", "attempt failed", "was refused")


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What a running daemon says of itself.

    *since* is when it started (ISO 8601, UTC), *status* one line for people, *config* the path of
    its configuration, *config_problems* why the last edit of that was refused.
    """

    pid: int
    since: str
    status: str
    config: str
    config_problems: tuple[str, ...] = ()

    def write(self, tree: Tree) -> None:
        """Replace the file. Raises OSError."""
        new = tree.daemon.with_name(tree.daemon.name + ".new")
        new.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(tree.daemon)

    def remove(self, tree: Tree) -> None:
        """Remove the file, unless another daemon has written it since."""
        if read(tree) == self:
            with suppress(OSError):
                tree.daemon.unlink()


def read(tree: Tree) -> DaemonStatus | None:
    """Return what the file says; None if there is none, or another version wrote it."""
    try:
        content: Any = json.loads(tree.daemon.read_text(encoding="utf-8"))
        problems = tuple(content.pop("config_problems"))
        return DaemonStatus(config_problems=problems, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_fine(status: str) -> bool:
    """Whether a daemon's line tells of nothing that it could not do."""
    return not any(word in status for word in _TROUBLES)


def mark_alive(tree: Tree, at: datetime) -> None:
    """Have the time of the file say when the work last made progress. Raises OSError."""
    os.utime(tree.daemon, (at.timestamp(), at.timestamp()))


def require_alive(tree: Tree, now: datetime) -> DaemonStatus:
    """Return what the daemon is doing. Raises NotRunningError, or UnhealthyError if it is stuck."""
    status = status_of(tree)
    try:
        age_s = abs(now.timestamp() - tree.daemon.stat().st_mtime)
    except FileNotFoundError:  # it was stopped just now, or none was there
        status = None
    if status is None:
        raise NotRunningError(f"looking for the daemon of {tree.root}: none is running")
    if age_s > _STUCK_S:
        raise UnhealthyError(
            f"looking at the daemon of {tree.root} (process {status.pid}): it has made no"
            f" progress for {age_s:,.0f} s; it says: {status.status}",
            hint="restart it; its log shows what it was doing",
        )
    return status


def status_of(tree: Tree) -> DaemonStatus | None:
    """Return what the daemon of a lake is doing; None if none runs there.

    The file stays when a daemon is killed, so it counts only while somebody holds the lake.
    """
    status = read(tree)
    return status if status is not None and is_held(tree) else None
