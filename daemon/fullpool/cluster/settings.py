"""What a worker is told with each step: a machine that has neither configuration nor state."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from fullpool import __version__
from fullpool.config import Checks, Limits, Network
from fullpool.errors import ClusterError

if TYPE_CHECKING:
    from fullpool.cluster.exchange import Exchange


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

    What a worker writes lies there until it gets its name in the lake. So one that is thought dead
    and goes on can name nothing any more once the folder is gone.
    """

    lake: str
    name: str
    folder: Path


def versions() -> tuple[str, ...]:
    """Return what must be the same on all machines, each as "name version"."""
    return (f"fullpool {__version__}", f"duckdb {version('duckdb')}")


def require_equal(ours: tuple[str, ...], theirs: tuple[str, ...], whose: str) -> None:
    """Raise ClusterError if another machine has other versions, with both named."""
    if ours != theirs:
        raise ClusterError(
            f"using the {whose}: it has {', '.join(theirs)}; this machine has {', '.join(ours)}",
            hint="install the same version of fullpool on all machines, and restart the workers",
        )


def unseen(folder: Path, worker: str, reason: OSError) -> ClusterError:
    """Return the error of a worker that cannot write where the others do."""
    is_there = not isinstance(reason, FileNotFoundError)
    problem = f"cannot write in {folder}: {reason}" if is_there else f"does not see {folder}"
    return ClusterError(
        f"using the worker {worker}: it {problem}",
        hint="mount the lake's file system there under the same path, writable, or set"
        " cluster.exchange to a bucket",
    )


def exchange_of(settings: WorkerSettings, session: Session) -> "Exchange":
    """Return the bucket that the files of a sync go through. It needs the extra s3."""
    from fullpool.cluster.exchange import Exchange  # noqa: PLC0415 - needs the extra s3

    return Exchange(settings.exchange, session.lake, session.name)
