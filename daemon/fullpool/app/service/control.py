"""The control socket: `fullpool reload` asks the running daemon over it.

The socket is the lake's own: whoever may write there reaches the daemon that holds it, and nobody
else, in whatever PID namespace either of them is.
"""

import grp
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from fullpool import logs
from fullpool.app.signals import Flag
from fullpool.errors import NotRunningError

log = logs.get_logger()

_RELOAD: Final = b"reload\n"
_OWNER, _GROUPS, _ENTERED = 0o600, 0o660, 0o711
# A caller that says nothing for so long is not waited for.
_CALLER_S: Final = 2.0
# The daemon answers within this, or something is wrong with it.
_ANSWER_S: Final = 120.0
_CALLERS: Final = 16
_LOOK_EVERY_S: Final = 0.2
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ReloadReply:
    """What a look at the configuration came to, and what the daemon is doing."""

    config: str
    problems: tuple[str, ...]
    status: str


class Asked(Flag):
    """Set when somebody wants the configuration looked at; those who wait get the answer."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        super().__init__()
        self._waiting: SimpleQueue[Future[ReloadReply]] = SimpleQueue()
        self._taken: list[Future[ReloadReply]] = []

    def ask(self) -> Future[ReloadReply]:
        """Ask for a look that begins after this; the answer is in what is returned."""
        future: Future[ReloadReply] = Future()
        self._waiting.put(future)
        self.set()
        return future

    def clear(self) -> None:
        """Take it back, for the look begins now: it answers all who asked before."""
        super().clear()
        with suppress(Empty):
            while True:
                self._taken.append(self._waiting.get_nowait())

    def answer(self, answer: ReloadReply) -> None:
        """Tell those whom the look that has ended was for."""
        for future in self._taken:
            future.set_result(answer)
        self._taken.clear()


def look_on_signal() -> Asked:
    """Return what SIGHUP sets too."""
    asked = Asked()
    signal.signal(signal.SIGHUP, lambda _number, _frame: asked.set())
    return asked


@contextmanager
def listening(path: Path, group: str, asked: Asked) -> Iterator[None]:
    """Answer whoever asks at the socket *path*; its owner may, and members of *group* if given.

    Where the file system has no sockets, that is logged, and the daemon goes on without.
    """
    try:
        server = _opened(path, group)
    except OSError as error:
        log.warning("control.unavailable", path=str(path), reason=str(error))
        yield
        return
    made = path.stat()
    with closing(server):
        threading.Thread(target=_serve, args=(server, asked), name="control", daemon=True).start()
        try:
            yield
        finally:
            with suppress(OSError):  # not the socket of a daemon that took the lake over
                if os.path.samestat(path.stat(), made):
                    path.unlink()


def _opened(path: Path, group: str) -> socket.socket:
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(_ENTERED)
    path.unlink(missing_ok=True)  # of a daemon that was killed: this one holds the lake
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            server.bind(short)
        path.chmod(_OWNER)  # before it listens: until then nobody gets in
        server.listen()
    except BaseException:
        server.close()
        path.unlink(missing_ok=True)
        raise
    if group:
        _let_in(path, group)
    return server


def _let_in(path: Path, group: str) -> None:
    """Let the members of a group ask; if that cannot be, the owner may all the same."""
    try:
        number = grp.getgrnam(group).gr_gid
        if path.stat().st_gid != number:
            os.chown(path, -1, number)
        path.chmod(_GROUPS)
    except (OSError, KeyError) as error:
        log.warning("control.unavailable", path=str(path), group=group, reason=str(error))


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a name for *path* that a socket can have: 107 bytes are the most."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _serve(server: socket.socket, asked: Asked) -> None:
    room, pause = threading.BoundedSemaphore(_CALLERS), threading.Event()
    while server.fileno() != -1:  # or it was closed: the daemon ends
        try:
            caller, _ = server.accept()
        except OSError:
            pause.wait(_LOOK_EVERY_S)  # no descriptor is left, or the caller is gone again
            continue
        if not room.acquire(blocking=False):
            caller.close()
            continue
        # Each in a thread of its own: one who says nothing keeps no other waiting.
        hearing = threading.Thread(target=_hear, args=(caller, asked, room), name="caller")
        hearing.daemon = True
        hearing.start()


def _hear(caller: socket.socket, asked: Asked, room: threading.BoundedSemaphore) -> None:
    with ExitStack() as stack, caller, suppress(OSError, TimeoutError):
        stack.callback(room.release)
        caller.settimeout(_CALLER_S)
        if caller.recv(len(_RELOAD)) == _RELOAD:
            answer = asked.ask().result(_ANSWER_S)
            caller.sendall(json.dumps(asdict(answer), ensure_ascii=False).encode())


def ask(path: Path, timeout_s: float) -> ReloadReply:
    """Ask the daemon that listens at *path* to look at its configuration now.

    Raises NotRunningError if nobody listens there, or does not answer in time.
    """
    doing = f"asking the daemon at {path}"
    try:
        with (
            _short(path) as short,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon,
        ):
            daemon.settimeout(timeout_s)
            daemon.connect(short)
            daemon.sendall(_RELOAD)
            said = b"".join(iter(lambda: daemon.recv(_MOST_BYTES), b""))
    except PermissionError as error:
        raise NotRunningError(
            f"{doing}: {error}",
            hint="run this as its user or as root, name a group in lake.control_group, or save the"
            " file again",
        ) from error
    except TimeoutError as error:
        raise NotRunningError(f"{doing}: no answer in {timeout_s:.0f} s") from error
    except OSError as error:
        raise NotRunningError(
            f"{doing}: {error}", hint="it has no socket; edits are noticed without it"
        ) from error
    return _parsed(said, doing)


def _parsed(said: bytes, doing: str) -> ReloadReply:
    try:
        found = json.loads(said)
        return ReloadReply(found["config"], tuple(found["problems"]), found["status"])
    except (ValueError, KeyError) as error:
        raise NotRunningError(f"{doing}: it ended without an answer") from error
