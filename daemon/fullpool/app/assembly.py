"""Puts together what a pass works with: connections, threads, processes, the state."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from fullpool.app import clock, pools
from fullpool.app.lock import Held
from fullpool.config import Config, Network, misread_signs
from fullpool.errors import ConfigError, StateDamagedError, UntrustedError, UsageError
from fullpool.kinds import is_hive_key
from fullpool.model import Ban, Stop
from fullpool.proxies import Route, proxies
from fullpool.rest import Client
from fullpool.store import inventory
from fullpool.store.state.opening import open_state
from fullpool.store.state.writer import State
from fullpool.store.tree import SPILL, Tree, empty
from fullpool.sync import Builders, Watcher, Work
from fullpool.vision import Access, Fetcher, Opener

_MB: Final = 1_000_000
# API requests that wait for a thread: each is a few hundred bytes.
_AHEAD: Final = 160


def tree_of(config: Config) -> Tree:
    """Return the lake's tree.

    Raises UsageError for the home of a user that is not there, and where DuckDB would not find the
    files, or would have a folder's name stand in every row.
    """
    try:
        root = Path(config.lake.path).expanduser().absolute()
        if signs := misread_signs(str(root)):
            raise UsageError(
                f"looking for the lake {root}: DuckDB finds no files below a name with {signs}",
                hint="rename that folder, or put the lake elsewhere",
            )
        if wrong := next((name for name in root.parts if is_hive_key(name)), None):
            raise UsageError(
                f"looking for the lake {root}: DuckDB would read the folder {wrong} as a column",
                hint="rename that folder, or put the lake elsewhere",
            )
        return Tree(root)
    except RuntimeError as error:
        raise UsageError(
            f"looking for the lake {config.lake.path}: {error}", hint="give the path in full"
        ) from error


@contextmanager
def opened_state(tree: Tree, held: Held | None = None) -> Iterator[State]:
    """Open the state of a lake that this process holds for writing.

    It is made where there is none, unless there are files that it would have to know of: then
    StateDamagedError. Each write to it raises LakeBusyError once *held* is held no more.
    """
    if not tree.state.exists() and next(inventory.partition_files(tree), None):
        raise StateDamagedError(f"opening the state of {tree.root}: it is gone")
    empty(tree.staging)
    state = open_state(tree.state, tree.staging / SPILL, clock.now())
    if held is not None:
        state.require_ours = held.require_ours
    try:
        yield state
    finally:
        state.close()


@contextmanager
def working(  # noqa: PLR0913 - each is one thing that only the caller can give
    config: Config,
    watcher: Watcher,
    stop: Stop,
    builders: AbstractContextManager[Builders],
    *,
    bans: Sequence[Ban] = (),
    enough: Stop | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[Work]:
    """Open what one pass works with. *enough* has it begin nothing new once it is set."""
    limits, rest, context = config.limits, config.rest, _context(config.network)
    sleep = sleep or clock.sleeper(stop)
    with (
        openers(config.network, context, stop) as opener,
        builders as build_map,
        pools.threads(config.network.connections, limits.staging_mb * _MB, stop) as fetch_map,
        pools.threads(rest.max_keepalive_connections, _AHEAD, stop) as rest_map,
        _client(config, context, stop, bans, sleep) as client,
    ):
        yield Work(
            config=config,
            tree=tree_of(config),
            now=clock.now,
            monotonic=time.monotonic,
            sleep=sleep,
            stop=stop,
            enough=enough or stop,
            opener=opener,
            fetcher=lambda: Fetcher(
                opener(), config.network.archive_url, limits.archive_mb * _MB, watcher.received
            ),
            fetch_map=fetch_map,
            build_map=build_map,
            watcher=watcher,
            rest=client if rest.enabled else None,
            rest_map=rest_map,
        )


def _client(
    config: Config,
    context: ssl.SSLContext,
    stop: Stop,
    bans: Sequence[Ban],
    sleep: Callable[[float], None],
) -> Client:
    return Client(
        config.rest,
        context,
        route=_route(config.network),
        bans=bans,
        now=clock.now,
        monotonic=time.monotonic,
        sleep=sleep,
        stop=stop,
    )


@contextmanager
def openers(
    network: Network, context: ssl.SSLContext, stop: Stop
) -> Iterator[Callable[[], Opener]]:
    """Hand out what gives each thread its own opener; all share one TLS context."""
    access = Access(
        context=context,
        monotonic=time.monotonic,
        stop=stop,
        allow_http=network.allow_http,
        route=_route(network),
        read_timeout_s=network.read_timeout_s,
        deadline_s=network.deadline_s,
    )
    mine = threading.local()
    opened: list[Opener] = []

    def opener() -> Opener:
        if not hasattr(mine, "opener"):
            mine.opener = Opener(access)
            opened.append(mine.opener)
        found: Opener = mine.opener
        return found

    try:
        yield opener
    finally:
        for one in opened:
            one.close()


def require_certificates(config: Config, source: str) -> None:
    """Raise ConfigError if the configuration *source* names a file that holds no certificates."""
    try:
        _context(config.network)
    except UntrustedError as error:
        raise ConfigError(source, (f"{error}; {error.hint}",)) from error


def _context(network: Network) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=network.ca_file or None)
        # Python 3.13 and newer refuse what many companies' own certificates lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    except OSError as error:
        raise UntrustedError(
            f"loading the CA certificates {network.ca_file}: {error}",
            hint="check network.ca_file: it must be a file of PEM certificates",
        ) from error
    return context


def _route(network: Network) -> Route:
    try:
        return Route(network.connect_timeout_s, proxies(network.proxy, clock.proxies()))
    except ValueError as error:
        raise UsageError(
            f"looking for a proxy in the environment: {error}",
            hint='unset it, or say network.proxy = "none", or the address of another one',
        ) from error
