"""Looks, on a worker, at whether it can do the steps of a sync."""

from dataclasses import dataclass
from socket import gethostname
from uuid import uuid4

from fullpool.cluster.settings import Session, WorkerSettings, versions
from fullpool.errors import FullpoolError


@dataclass(frozen=True, slots=True)
class Inspection:
    """A worker's host and versions, and why it cannot write where it is to, if so."""

    host: str
    versions: tuple[str, ...]
    trouble: str


def inspect_worker(settings: WorkerSettings, session: Session) -> Inspection:
    """Return what this worker has, and whether it can write where files go."""
    trouble = ""
    try:
        _try(settings, session)
    except (OSError, ImportError, FullpoolError) as error:
        trouble = str(error)
    return Inspection(gethostname(), versions(), trouble)


def _try(settings: WorkerSettings, session: Session) -> None:
    if settings.exchange:
        from fullpool.cluster.exchange import Exchange  # noqa: PLC0415 - needs the extra s3

        Exchange(settings.exchange, session.lake, session.name).probe()
        return
    probe = session.folder / f"probe-{uuid4().hex}"
    probe.mkdir()
    probe.rmdir()
