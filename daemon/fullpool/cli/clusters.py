"""Chooses where a sync fetches and builds."""

from typing import TYPE_CHECKING

from fullpool.errors import UsageError

if TYPE_CHECKING:
    from fullpool.app.syncing import Elsewhere
    from fullpool.config import Config
    from fullpool.model import Stop
    from fullpool.sync.watcher import Watcher


def elsewhere(
    settings: "Config", on: str | None, watcher: "Watcher", stop: "Stop"
) -> "Elsewhere | None":
    """Return what opens the cluster *on*, or the configured one; None for this machine.

    Raises UsageError for what is no address, ClusterError if the extra is not installed.
    """
    from fullpool.cluster.installed import require_installed

    address = settings.cluster.scheduler if on is None else _checked(on)
    if not address:
        return None
    require_installed()
    from fullpool.cluster.connecting import on_cluster

    return on_cluster(settings, address, watcher, stop)


def _checked(on: str) -> str:
    from fullpool.config.addresses import is_scheduler

    try:
        return is_scheduler(on or "-")  # which may be empty in the configuration alone
    except ValueError as error:
        raise UsageError(f"--on {on}: {error}", hint="write it as dask://host:8786") from error
