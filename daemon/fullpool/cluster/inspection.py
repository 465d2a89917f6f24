"""Checks, on a worker, whether it can do the steps of a sync."""

from dataclasses import dataclass
from socket import gethostname
from uuid import uuid4

from fullpool.app.configuration import tls_context
from fullpool.cluster.settings import Session, WorkerSettings, exchange_of, unseen, versions
from fullpool.errors import FullpoolError


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's host and versions, and what keeps it from doing steps, if anything."""

    host: str
    versions: tuple[str, ...]
    problem: FullpoolError | None


def report_on_worker(settings: WorkerSettings, session: Session) -> WorkerReport:
    """Return what this worker has, and whether it can write where files go."""
    host, problem = gethostname(), None
    try:
        _try(settings, session, host)
    except FullpoolError as error:
        problem = error
    return WorkerReport(host, versions(), problem)


def _try(settings: WorkerSettings, session: Session, host: str) -> None:
    """Raise what keeps this worker from doing steps."""
    tls_context(settings.network)
    if settings.exchange:
        exchange_of(settings, session).probe()
        return
    probe = session.folder / f"probe-{uuid4().hex}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise unseen(session.folder, host, error) from error
