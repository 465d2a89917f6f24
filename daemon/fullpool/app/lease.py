"""The lease in the lake that keeps a second machine out, where locks do not reach it.

The lock (flock) of a share may hold on one machine alone. So its holder also leaves a lease and
renews it. Who finds one of a process that this machine can see knows at once whether it lives; one
of another machine, or from before a start of this one, is watched for a while: it is renewed, or
was left behind by a crash.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool.errors import LakeBusyError

RENEW_S: Final = 5.0
# Renewed three times in this, if its holder lives.
_WATCH_S: Final = 3 * RENEW_S
_LOOK_S: Final = 0.5
# A process that was killed lets its lock go a moment before it has ended.
_TO_END_S: Final = 1.0
# The states of a process that nobody has taken note of yet: zombie, dead.
_ENDED: Final = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Lease:
    """Who writes: *boot* tells the machine since its start, *namespace* where *pid* is a number.

    *began* is when the process was started, in ticks since the boot: numbers are used again.
    """

    command: str
    host: str
    boot: str
    namespace: str
    pid: int
    began: int
    since: str
    renewed: int = 0

    def __str__(self) -> str:
        where = "" if self.host == os.uname().nodename else f" on {self.host}"
        return f"`fullpool {self.command}` (process {self.pid}{where}, since {self.since})"

    def is_seen_from(self, other: "Lease") -> bool:
        """Whether its process is among those that *other* can see."""
        return (self.boot, self.namespace) == (other.boot, other.namespace)

    @property
    def is_alive(self) -> bool:
        """Whether its process, which can be seen, has not ended."""
        return bool(self.began) and _began(self.pid) == self.began


def own(command: str, now: datetime) -> Lease:
    """Return the lease of this process."""
    pid = os.getpid()
    return Lease(
        command=command,
        host=os.uname().nodename,
        boot=_boot(),
        # Without a /proc nobody can be seen: every lease is watched.
        namespace=_namespace() or str(pid),
        pid=pid,
        began=_began(pid),
        since=f"{now:%Y-%m-%dT%H:%M:%SZ}",
    )


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _began(pid: int) -> int:
    """Return when a process was started; 0 if there is none, or it has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if after_name[0] in _ENDED else int(after_name[19])
    except (OSError, ValueError, IndexError):
        return 0


def read(path: Path) -> Lease | None:
    """Return the lease in a file; None if there is none."""
    try:
        return Lease(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def require_free(
    path: Path, mine: Lease, sleep: Callable[[float], None], *, is_look: bool = False
) -> Lease | None:
    """Raise LakeBusyError if another process holds the lease, naming it.

    Returns the lease of one that is dead, if there is any. *is_look*: watch no other machine's.
    """
    found = read(path)
    if found is None:
        return None
    if found.is_seen_from(mine):
        if _lives_on(found, mine, sleep):
            raise _busy(found)
        return found
    renewed_at = _renewed_at(path)
    for _ in range(1 if is_look else int(_WATCH_S / _LOOK_S)):
        sleep(_LOOK_S)
        if (later := read(path)) is None:
            return None
        if is_look or later != found or _renewed_at(path) != renewed_at:
            raise _busy(later)
    return found


def _busy(holder: Lease | None) -> LakeBusyError:
    return LakeBusyError(f"locking the lake: {holder} is writing it")


def _renewed_at(path: Path) -> int:
    """Return when the file was last touched, in ns: a holder without room can do that still."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _lives_on(found: Lease, mine: Lease, sleep: Callable[[float], None]) -> bool:
    """Whether a process that has the lease is another than this one, and does not end just now."""
    for _ in range(int(_TO_END_S / _LOOK_S) + 1):
        if found.pid == mine.pid or not found.is_alive:
            return False
        sleep(_LOOK_S)
    return True


@contextmanager
def held(
    path: Path, mine: Lease, dead: Lease | None, sleep: Callable[[float], None]
) -> Iterator[None]:
    """Leave the lease and renew it; take it away in the end, unless it is another's by then.

    *dead* is the one that it takes the place of. Raises LakeBusyError if another machine that
    starts just now was sooner.
    """
    ended = threading.Event()
    _take(path, mine, dead, sleep)
    renewing = threading.Thread(target=_renew, args=(path, mine, ended), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        if is_own(path, mine):
            path.unlink(missing_ok=True)


def is_own(path: Path, mine: Lease) -> bool:
    """Whether no one else has taken the lease."""
    found = read(path)
    return found is None or replace(found, renewed=0) == mine


def _take(path: Path, mine: Lease, dead: Lease | None, sleep: Callable[[float], None]) -> None:
    if dead is None:
        try:
            path.touch(exist_ok=False)  # of all machines that do so one has its way
        except FileExistsError:
            sleep(2 * _LOOK_S)  # one that is being written, or nothing that was ever a lease
            if (other := read(path)) is not None:
                raise _busy(other) from None
        except OSError:
            return  # a full disk is no reason not to start: the first pass reports it
    _write(path, mine)
    if dead is not None and not dead.is_seen_from(mine):
        sleep(2 * _LOOK_S)  # until whoever watched it as well has written
    if not is_own(path, mine):
        raise _busy(read(path))


def _renew(path: Path, mine: Lease, ended: threading.Event) -> None:
    count = 0
    while not ended.wait(RENEW_S):
        count += 1
        if not is_own(path, mine):
            return
        _write(path, replace(mine, renewed=count))


def _write(path: Path, lease: Lease) -> None:
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(json.dumps(asdict(lease)) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError:  # a full disk, as the pass tells
        with suppress(OSError):
            os.utime(path)
