"""Brings built files from workers to the lake, where they share nothing but a bucket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from fullpool.app import clock
from fullpool.errors import ArchiveError
from fullpool.remote.bucket import Bucket
from fullpool.store.partitions.finish import name_file, sha256_of
from fullpool.store.partitions.messages import Built

# An object that is not sent or read by then is tried again with its step.
_TIMEOUT_S: Final = 120.0
_SESSIONS: Final = "sessions"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The objects of one sync: below the name of its *lake*, while that of its *session* is there.

    A worker that sends files for a sync that is over takes them back: either it sees that the
    session's object is gone, or who removed that sees the files.
    """

    to: str
    lake: str
    session: str

    def open(self) -> None:
        """Remove what syncs before left there, and begin. Raises RemoteError."""
        self.clear()
        _bucket(self.to).put(self._mark, b"")

    def clear(self) -> None:
        """Remove all that is there of this lake, what says that a sync is on first."""
        bucket = _bucket(self.to)
        bucket.delete([one.path for one in bucket.list(f"{self.lake}/{_SESSIONS}")])
        bucket.delete([one.path for one in bucket.list(self.lake)])

    def probe(self) -> None:
        """Write an object, and remove it again. Raises RemoteError."""
        bucket, name = _bucket(self.to), f"{self.lake}/probe-{uuid4().hex}"
        bucket.put(name, b"")
        bucket.delete([name])

    def send(self, root: Path, built: Built) -> str:
        """Send the files of a build, remove them here, and return where they are.

        No two tries of a step write the same object. Raises RemoteError; ArchiveError if the sync
        is over.
        """
        at, bucket = f"{self.lake}/{uuid4().hex}", _bucket(self.to)
        for file in built.files:
            bucket.put_file(f"{at}/{file.path}", root / file.path)
            (root / file.path).unlink()
        if bucket.head(self._mark) is None:
            bucket.delete(_objects(at, built))
            raise ArchiveError(f"sending files to {self.to}: the sync is over")
        return at

    def take(self, at: str, built: Built, root: Path, staging: Path) -> None:
        """Give the files of a build their names in the lake, and remove the objects.

        Raises RemoteError; ArchiveError if an object is not what was built.
        """
        bucket = _bucket(self.to)
        for file in built.files:
            staged = staging / uuid4().hex
            is_there = bucket.get_file(f"{at}/{file.path}", staged)
            if not is_there or sha256_of(staged) != file.sha256:
                raise ArchiveError(f"bringing {file.path} from {self.to}: it is not what was built")
            name_file(staged, root, file.path)
        bucket.delete(_objects(at, built))

    @property
    def _mark(self) -> str:
        return f"{self.lake}/{_SESSIONS}/{self.session}"


def _objects(at: str, built: Built) -> list[str]:
    return [f"{at}/{file.path}" for file in built.files]


def _bucket(to: str) -> Bucket:
    return Bucket(to, clock.environment(), timeout_s=_TIMEOUT_S)
