"""Puts the pieces together. The only reader of the clock and the environment."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, require_certificates, tree_of, working
from fullpool.app.doctor.checks_sql import Finding
from fullpool.app.doctor.examination import examine, examine_lake
from fullpool.app.lock import writing
from fullpool.app.rebuild import Rebuilt, rebuild
from fullpool.app.remarks import remarks_by, remarks_on
from fullpool.app.service.control import Asked, look_on_signal
from fullpool.app.service.progress import counted
from fullpool.app.service.reload_request import ask_to_reload
from fullpool.app.service.status_file import status_of
from fullpool.app.signals import (
    Flag,
    Interrupted,
    exit_code,
    is_stopped,
    leave,
    say_stopped,
    stop_on_signals,
    watch_signals,
)
from fullpool.app.verify import Verified, compare_with_vendor, repair, verify
from fullpool.config import Config, Lake, parse_bytes
from fullpool.errors import ConfigError, IncompleteError
from fullpool.model import Stop
from fullpool.store import inventory
from fullpool.store.catalogue.reader import reading
from fullpool.store.partitions import worker
from fullpool.store.state.queries import no_memory
from fullpool.store.state.writer import State
from fullpool.sync import (
    Outcome,
    Preview,
    Watcher,
    Work,
    preview,
    run_audited_pass,
    run_pass,
    tell_gone,
)

__all__ = [
    "Finding",
    "Interrupted",
    "Rebuilt",
    "Verified",
    "ask_to_reload",
    "audited_sync",
    "checked_config",
    "clock",
    "compare_with_vendor",
    "counted",
    "examine",
    "examine_lake",
    "exit_code",
    "find_config",
    "is_stopped",
    "leave",
    "load_config",
    "load_lake_config",
    "look_on_signal",
    "plan",
    "rebuild",
    "remarks_by",
    "remarks_on",
    "repair",
    "require_complete",
    "require_listed",
    "run",
    "say_stopped",
    "status_of",
    "stop_on_signals",
    "sync",
    "tree_of",
    "verify",
    "watch_signals",
]


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), (f"cannot be read: {error}",)) from error
    return parse_bytes(content, str(path))


def checked_config(path: Path) -> Config:
    """Read a configuration file and what it names. Raises ConfigError."""
    config = load_config(path)
    require_certificates(config, str(path))
    return config


def load_lake_config(config: Path | None, lake: Path | None) -> Config:
    """Return the configuration, or what stands for one where only the *lake* is named."""
    if lake is None:
        return load_config(find_config(config))
    return Config(lake=Lake(path=str(lake)), dataset=())


def find_config(given: Path | None) -> Path:
    """Return the configuration file to use: the one given, else the first of the usual places.

    Raises ConfigError if there is none.
    """
    if given is not None:
        return given
    named = clock.variable("FULLPOOL_CONFIG")
    places = [Path(named)] if named else [*map(Path, _PLACES), *_at_home(), _SYSTEM_WIDE]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ConfigError("the configuration", (f"there is none; looked for {looked}",))


def _at_home() -> list[Path]:
    """Return where a user's own configuration is; nowhere if the user has no home."""
    try:
        return [Path("~/.config/fullpool/fullpool.toml").expanduser()]
    except RuntimeError:
        return []


_PLACES: Final = ("fullpool.toml", "config/fullpool.toml")
_SYSTEM_WIDE: Final = Path("/etc/fullpool/fullpool.toml")


def sync(config: Config, watcher: Watcher, stop: Stop, *, command: str = "sync") -> Outcome:
    """Run one pass over everything configured, retrying what fails in its rounds.

    It audits once a day. Raises whatever made the pass stop; what is still missing by its end is in
    the outcome.
    """
    return _synced(config, watcher, stop, command, run_pass)


def audited_sync(config: Config, watcher: Watcher, stop: Stop) -> Outcome:
    """Do what `sync` does, and audit, whenever that was done last."""
    return _synced(config, watcher, stop, "sync", run_audited_pass)


def _synced(
    config: Config,
    watcher: Watcher,
    stop: Stop,
    command: str,
    act: Callable[[Work, State, str], Outcome],
) -> Outcome:
    tree = tree_of(config)
    worker.collect_rarely()
    with writing(tree, command, clock.now()) as held, opened_state(tree, held) as state:
        tell_gone(inventory.sweep(state, tree, clock.now()))
        builders = pools.processes(config.limits.builders, stop)
        with (
            inventory.swept_if_cut_short(state, tree, stop, held.is_ours),
            working(config, watcher, stop, builders, bans=state.memory.bans()) as work,
        ):
            return act(work, state, command)


def run(path: Path, config: Config, stop: Flag, asked: Asked) -> None:
    """Keep the lake full until *stop* is set; see `daemon.run`."""
    # What only the daemon needs takes a tenth of a second to load.
    from fullpool.app.service import daemon  # noqa: PLC0415

    daemon.run(path, config, stop, asked)


def require_complete(outcome: Outcome) -> None:
    """Raise IncompleteError if something is missing for a reason that is ours or the network's."""
    if reasons := outcome.troubles:
        raise IncompleteError(
            f"syncing: {len(reasons)} could not be brought into the lake\n{_first(reasons)}",
            hint=outcome.hint or None,
        )


def require_listed(found: Preview) -> None:
    """Raise IncompleteError if a series could not be listed, so that the plan lacks it."""
    if found.failed:
        reasons = [f"{name}: {reason}" for name, reason in found.failed.items()]
        raise IncompleteError(
            f"planning: {len(reasons)} could not be listed\n{_first(reasons)}",
            hint="check the network and listing_url; plan again",
        )


def plan(config: Config, watcher: Watcher, stop: Stop) -> Preview:
    """Return what the next pass would do, from what is published and what the vendor lists."""
    tree = tree_of(config)
    with working(config, watcher, stop, nullcontext(pools.Idle())) as work:
        if not tree.current.exists():
            return preview(work, no_memory())
        with reading(tree) as reader:
            return preview(work, reader.memory)


def _first(reasons: Sequence[str]) -> str:
    """Return the first of many reasons, a line each."""
    shown = "\n".join(f"  {reason}" for reason in reasons[:10])
    return shown + (f"\n  and {len(reasons) - 10} more" if len(reasons) > 10 else "")
