"""Publishes a lake to where its configuration says; one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from fullpool.app import clock
from fullpool.config import Publish
from fullpool.errors import LakeBusyError, NoLakeError, refused
from fullpool.remote.bucket import Bucket
from fullpool.remote.delta import DeltaTables
from fullpool.remote.publisher import Publisher, Sent
from fullpool.remote.verification import Compared, compare
from fullpool.store import remote_record
from fullpool.store.remote_record import RemoteRecord
from fullpool.store.tree import Tree

_LOCK = "lock"


def publish_lake(
    tree: Tree, publish: Publish, grace: timedelta, *, takes_over: bool = False
) -> Sent:
    """Bring the copy in object storage up to the newest generation.

    Raises RemoteError; NoLakeError if nothing is published in the lake; LakeBusyError if another
    process is publishing to object storage.
    """
    with _alone(tree, "publishing"), _recorded(tree, publish.to):
        given = clock.environment()
        delta = DeltaTables(publish.to, given) if publish.delta else None
        publisher = Publisher(tree, Bucket(publish.to, given), grace, clock.now, delta)
        return publisher.publish(takes_over=takes_over)


@contextmanager
def _recorded(tree: Tree, to: str) -> Iterator[None]:
    """Note why a publication could not be made, whatever it was."""
    try:
        yield
    except NoLakeError:
        raise
    except Exception as error:
        record = remote_record.read_for(tree, to) or RemoteRecord(to)
        reason, hint = str(error) or type(error).__name__, getattr(error, "hint", "")
        with suppress(OSError):  # what went wrong is told, if it cannot be noted
            record.failed(reason, clock.now(), hint).write(tree)
        if isinstance(error, OSError):
            raise refused(error, f"publishing {tree.root} to {to}") from error
        raise


def compare_lake(tree: Tree, to: str) -> Compared:
    """Compare the copy in object storage with what was published.

    Raises RemoteError; NoLakeError if there is no lake, LakeBusyError if another process publishes.
    """
    with _alone(tree, "comparing"):
        return compare(tree, Bucket(to, clock.environment()), clock.now())


@contextmanager
def _alone(tree: Tree, doing: str) -> Iterator[None]:
    """Keep other processes from publishing meanwhile."""
    if not tree.root.is_dir():
        raise NoLakeError(f"{doing} {tree.root}: there is no such folder")
    try:
        tree.remote.mkdir(exist_ok=True)
        descriptor = os.open(tree.remote / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise refused(error, f"noting in {tree.remote} what is published") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LakeBusyError(
            f"{doing} {tree.root} in object storage: another process is doing so",
            hint="wait for it to end; a running daemon publishes by itself",
        ) from error
    finally:
        os.close(descriptor)
