"""Builds what a pass works with: connections, threads, processes, the state."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from fullpool.app import clock, pools
from fullpool.app.configuration import tls_context, tree_of
from fullpool.app.lock import Held
from fullpool.config import Config, Limits, Network
from fullpool.counting import CountRequest, uncounted
from fullpool.errors import StateDamagedError, UsageError
from fullpool.model import Ban, Stop
from fullpool.proxies import Route, proxies
from fullpool.rest import Client
from fullpool.store import inventory
from fullpool.store.state.opening import open_state
from fullpool.store.state.writer import State
from fullpool.store.tree import SPILL, Tree, empty
from fullpool.sync.maps import Builders
from fullpool.sync.steps.fetch import ArchiveSource
from fullpool.sync.steps.step import LocalSteps, Steps, Tools
from fullpool.sync.watcher import Watcher
from fullpool.sync.work import Following, Work
from fullpool.vision import Access, Fetcher, Opener

_MB: Final = 1_000_000
# API requests that wait for a thread: each is a few hundred bytes.
AHEAD: Final = 160
# Steps that are being built, or wait for that, while as many as there are connections are fetched.
_STEPS_AHEAD: Final = 16
# Archives of steps under way, for each connection.
_ARCHIVES_AHEAD: Final = 8


@contextmanager
def opened_state(tree: Tree, held: Held | None = None) -> Iterator[State]:
    """Open the state of a lake that this process holds for writing.

    It is made where there is none, unless there are files that it would have to know of: then
    StateDamagedError. Each write to it raises LakeBusyError once *held* is held no more.
    """
    if not tree.state.exists() and next(inventory.partition_files(tree), None):
        raise StateDamagedError(f"opening the state of {tree.root}: it is missing")
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
    draining: Stop | None = None,
    sleep: Callable[[float], None] | None = None,
    following: Following | None = None,
    client: Client | None = None,
    elsewhere: Callable[[Steps], Steps] | None = None,
) -> Iterator[Work]:
    """Open what one pass works with. Once *draining* is set it starts nothing new.

    The API is asked through *client*, which stays open, if there is one. *elsewhere* makes what
    does steps on other machines, given what does them here.
    """
    rest, context = config.rest, tls_context(config.network)
    sleep, draining = sleep or clock.sleeper(stop), draining or stop
    with (
        openers(config.network, context, stop, watcher.requested) as opener,
        builders as build_map,
        pools.threads(config.network.connections, _staging_bytes(config), stop) as fetch_map,
        pools.threads(rest.max_keepalive_connections, AHEAD, stop) as rest_map,
        nullcontext(client)
        if client
        else _client(config, context, stop, bans, sleep, watcher.requested) as rest_client,
    ):
        fetcher = fetcher_of(config.network, config.limits, opener, watcher.received)
        source = ArchiveSource(fetcher, tree_of(config), config.checks)
        tools = Tools(source, fetch_map, build_map, draining.is_set, stop.is_set)
        with _local_steps(config, tools, stop) as here:
            yield Work(
                config=config, tree=source.tree, watcher=watcher, following=following,
                now=clock.now, monotonic=time.monotonic, sleep=sleep, stop=stop, draining=draining,
                opener=opener, fetcher=fetcher, fetch_map=fetch_map, build_map=build_map,
                steps=elsewhere(here) if elsewhere else here,
                rest=rest_client if rest.enabled else None, rest_map=rest_map,
            )  # fmt: skip


@contextmanager
def _local_steps(config: Config, tools: Tools, stop: Stop) -> Iterator[LocalSteps]:
    """Yield what does steps here: some are built, while others are fetched by all connections."""
    connections, limit_bytes = config.network.connections, _staging_bytes(config)
    least_bytes = limit_bytes // (_ARCHIVES_AHEAD * connections)
    with pools.threads(connections + _STEPS_AHEAD, limit_bytes, stop, ahead=1) as step_map:
        yield LocalSteps(tools, step_map, least_bytes)


def _staging_bytes(config: Config) -> int:
    return config.limits.staging_mb * _MB


def fetcher_of(
    network: Network, limits: Limits, opener: Callable[[], Opener], received: Callable[[int], None]
) -> Callable[[], Fetcher]:
    """Return what gives each thread its own fetcher; *received* is told of bytes as they arrive."""
    url, limit_bytes = network.archive_url, limits.archive_mb * _MB
    return lambda: Fetcher(opener(), url, limit_bytes, received)


@contextmanager
def opened_client(
    config: Config,
    stop: Stop,
    sleep: Callable[[float], None] | None = None,
    count: CountRequest = uncounted,
) -> Iterator[Client]:
    """Open a client of the API by itself."""
    context = tls_context(config.network)
    with _client(config, context, stop, (), sleep or clock.sleeper(stop), count) as client:
        yield client


def _client(  # noqa: PLR0913, PLR0917 - each is one thing that only the caller can give
    config: Config,
    context: ssl.SSLContext,
    stop: Stop,
    bans: Sequence[Ban],
    sleep: Callable[[float], None],
    count: CountRequest,
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
        count=count,
    )


@contextmanager
def openers(
    network: Network, context: ssl.SSLContext, stop: Stop, count: CountRequest = uncounted
) -> Iterator[Callable[[], Opener]]:
    """Yield what gives each thread its own opener; all share one TLS context."""
    access = Access(
        context=context,
        monotonic=time.monotonic,
        stop=stop,
        allow_http=network.allow_http,
        route=_route(network),
        read_timeout_s=network.read_timeout_s,
        deadline_s=network.deadline_s,
        count=count,
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


def _route(network: Network) -> Route:
    try:
        return Route(network.connect_timeout_s, proxies(network.proxy, clock.proxies()))
    except ValueError as error:
        raise UsageError(
            f"looking for a proxy in the environment: {error}",
            hint='unset it, or set network.proxy to "none" or to another proxy',
        ) from error
