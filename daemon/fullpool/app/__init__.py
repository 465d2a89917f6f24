"""Puts the pieces together. The only reader of the clock and the environment."""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fullpool.app import pools
from fullpool.app.lock import writing
from fullpool.config import Config, Network, parse
from fullpool.errors import ConfigError, IncompleteError, UntrustedError
from fullpool.model import Ban, Step, Stop
from fullpool.rest import Client
from fullpool.store import catalogue
from fullpool.store.memory import no_memory
from fullpool.store.reader import reading
from fullpool.store.state import State, open_state
from fullpool.store.tree import Tree, empty
from fullpool.sync import Builders, Outcome, Watcher, Work, preview, run_pass
from fullpool.vision import Access, Fetcher, Opener


def clock() -> datetime:
    """Return the time."""
    return datetime.now(UTC)  # noqa: TID251 - here it is read, and nowhere else


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), (f"cannot be read: {error}",)) from error
    return parse(text, str(path))


def find_config(given: Path | None) -> Path:
    """Return the configuration file to use: the one given, else the first of the usual places.

    Raises ConfigError if there is none.
    """
    if given is not None:
        return given
    home = Path("~/.config/fullpool/fullpool.toml").expanduser()
    named = os.environ.get("FULLPOOL_CONFIG")
    places = [Path(named)] if named else [*map(Path, _PLACES), home, _SYSTEM_WIDE]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ConfigError("the configuration", (f"there is none; looked for {looked}",))


_PLACES: Final = ("fullpool.toml", "config/fullpool.toml")
_SYSTEM_WIDE: Final = Path("/etc/fullpool/fullpool.toml")


def tree_of(config: Config) -> Tree:
    return Tree(Path(config.lake.path).expanduser().absolute())


def sync(config: Config, watcher: Watcher, stop: Stop, *, command: str = "sync") -> Outcome:
    """Run one pass over everything configured, retrying what fails in its rounds.

    Raises whatever made the pass stop; what is still missing by its end is in the outcome.
    """
    tree = tree_of(config)
    pools.collect_rarely()
    with writing(tree, command, clock()), _state(tree) as state:
        catalogue.sweep(state, tree, clock())
        builders = pools.processes(config.limits.builders)
        with _work(config, watcher, stop, builders, state.memory.bans()) as work:
            return run_pass(work, state, command)


def require_complete(outcome: Outcome) -> None:
    """Raise IncompleteError if something is missing for a reason that is ours or the network's."""
    if not outcome.is_complete:
        raise IncompleteError(_account(outcome))


def plan(config: Config, watcher: Watcher, stop: Stop) -> list[Step]:
    """Return the steps of the next pass, from what is published and what the vendor lists."""
    tree = tree_of(config)
    with _work(config, watcher, stop, nullcontext(pools.Idle())) as work:
        if not tree.current.exists():
            return preview(work, no_memory())
        with reading(tree) as reader:
            return preview(work, reader.memory)


def _account(outcome: Outcome) -> str:
    reasons = [f"{archive}: {reason}" for archive, reason in outcome.failed.items()]
    reasons += [f"{series}: {reason}" for series, reason in outcome.unlisted.items()]
    reasons += [f"gap {gap}: {reason}" for gap, reason in outcome.open_gaps.items()]
    shown = "\n".join(f"  {reason}" for reason in reasons[:10])
    more = f"\n  and {len(reasons) - 10} more" if len(reasons) > 10 else ""
    return f"syncing: {len(reasons)} could not be brought into the lake\n{shown}{more}"


@contextmanager
def _state(tree: Tree) -> Iterator[State]:
    empty(tree.staging)
    state = open_state(tree.state, tree.staging / "spill", clock())
    try:
        yield state
    finally:
        state.close()


@contextmanager
def _work(
    config: Config,
    watcher: Watcher,
    stop: Stop,
    builders: AbstractContextManager[Builders],
    bans: Sequence[Ban] = (),
) -> Iterator[Work]:
    limits, connections, at_once = (
        config.limits, config.network.connections, config.rest.max_keepalive_connections
    )  # fmt: skip
    context = _context(config.network)
    with (
        openers(config.network, context, stop) as opener,
        builders as build_map,
        pools.threads(connections, limits.staging_mb * 1_000_000) as fetch_map,
        pools.threads(at_once, 8 * at_once) as rest_map,
        _client(config, context, stop, bans) as client,
    ):
        yield Work(
            config=config,
            tree=tree_of(config),
            now=clock,
            sleep=_sleeper(stop),
            stop=stop,
            opener=opener,
            fetcher=lambda: Fetcher(
                opener(),
                config.network.archive_url,
                limits.archive_mb * 1_000_000,
                watcher.received,
            ),
            fetch_map=fetch_map,
            build_map=build_map,
            watcher=watcher,
            rest=client if config.rest.enabled else None,
            rest_map=rest_map,
        )


def _client(config: Config, context: ssl.SSLContext, stop: Stop, bans: Sequence[Ban]) -> Client:
    return Client(
        config.rest,
        context,
        bans=bans,
        now=clock,
        monotonic=time.monotonic,
        sleep=_sleeper(stop),
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


def _context(network: Network) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=network.ca_file or None)
    except OSError as error:
        raise UntrustedError(
            f"loading the CA certificates {network.ca_file}: {error}",
            hint="check network.ca_file: it must be a file of PEM certificates",
        ) from error


def _sleeper(stop: Stop) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))  # noqa: TID251 - here it is waited, and nowhere else

    return sleep
