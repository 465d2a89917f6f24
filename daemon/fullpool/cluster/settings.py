"""What a worker is told with each step: a machine that has neither configuration nor state."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from socket import gethostname
from typing import Final

from fullpool import __version__
from fullpool.config import Checks, Limits, Network
from fullpool.errors import ClusterError

# Two versions of these would write other files.
_COMPARED: Final = ("duckdb",)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How archives are asked for, what is accepted, and where files go.

    *versions* are the coordinator's. *exchange* is the bucket that files are sent to; "" if the
    workers write into the lake.
    """

    network: Network
    limits: Limits
    checks: Checks
    versions: tuple[str, ...]
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One sync of a *lake*: its *name*, and the folder in staging that is there while it runs.

    A worker that is thought dead and goes on writes nothing once the folder is gone.
    """

    lake: str
    name: str
    folder: Path


def versions() -> tuple[str, ...]:
    """Return what must be the same on all machines, each as "name version"."""
    return (f"fullpool {__version__}", *(f"{name} {version(name)}" for name in _COMPARED))


def require_same(settings: WorkerSettings) -> None:
    """Raise ClusterError if this worker has another version than the coordinator."""
    require_equal(settings.versions, versions(), gethostname())


def require_equal(ours: tuple[str, ...], theirs: tuple[str, ...], worker: str) -> None:
    """Raise ClusterError if a worker has other versions, with both named."""
    if ours != theirs:
        raise ClusterError(
            f"using the worker {worker}: it has {', '.join(theirs)}; this machine has"
            f" {', '.join(ours)}",
            hint="install the same version of fullpool on all machines, and restart the workers",
        )
