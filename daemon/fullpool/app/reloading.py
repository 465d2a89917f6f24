"""Asking a running daemon to look at its configuration now, and waiting for what it says."""

import os
import signal
import time

from fullpool.app import clock
from fullpool.app.said import status_of
from fullpool.app.signals import Flag
from fullpool.config import Config
from fullpool.errors import ConfigError, NotRunningError
from fullpool.store.tree import Tree


def ask_to_reload(tree: Tree, timeout_s: float) -> str:
    """Return what the daemon is doing, once it has looked at its configuration.

    Raises ConfigError if it refuses it, NotRunningError if there is no daemon or no answer.
    """
    before = status_of(tree)
    if before is None:
        raise NotRunningError(f"asking for the daemon of {tree.root}: none is running there")
    try:
        os.kill(before["pid"], signal.SIGHUP)
    except PermissionError as error:
        raise NotRunningError(
            f"sending SIGHUP to process {before['pid']}: {error}",
            hint="it runs as another user: run this as that one or as root, or save the file again",
        ) from error
    except OSError as error:
        raise NotRunningError(f"sending SIGHUP to process {before['pid']}: {error}") from error
    sleep, end = clock.sleeper(Flag()), time.monotonic() + timeout_s
    while time.monotonic() < end:
        after = status_of(tree)
        if after is not None and after["config_looks"] != before["config_looks"]:
            if after["config_problems"]:
                raise ConfigError(after["config"], tuple(after["config_problems"]))
            return str(after["status"])
        sleep(0.1)
    raise NotRunningError(
        f"waiting for process {before['pid']} to look at {before['config']}:"
        f" no answer in {timeout_s:.0f} s"
    )


def require_same_lake(before: Config, after: Config) -> None:
    """Raise ConfigError if *after* cannot take the place of *before* in a running daemon."""
    if before.lake.path != after.lake.path:
        raise ConfigError(
            "the configuration",
            (f"lake.path: {after.lake.path} is another lake; stop the daemon to change it",),
        )
