"""`fullpool reload`: asks the daemon to reload, and what a reload cannot change."""

from fullpool.app.service import control
from fullpool.app.service.status_file import status_of
from fullpool.config import Config
from fullpool.errors import ConfigError, NotRunningError
from fullpool.store.tree import Tree


def ask_to_reload(tree: Tree, timeout_s: float) -> str:
    """Return what the daemon is doing, once it has looked at its configuration.

    Raises ConfigError if it refuses it, NotRunningError if there is no daemon or no answer.
    """
    if status_of(tree) is None:
        raise NotRunningError(f"asking the daemon of {tree.root} to reload: no daemon is running")
    answer = control.ask(tree.control, timeout_s)
    if answer.problems:
        raise ConfigError(answer.config, answer.problems)
    return answer.status


def require_same_lake(before: Config, after: Config) -> None:
    """Raise ConfigError if *after* cannot take the place of *before* in a running daemon."""
    if before.lake.path != after.lake.path:
        raise ConfigError(
            "the configuration",
            (f"lake.path: {after.lake.path} is another lake; stop the daemon to change it",),
        )
