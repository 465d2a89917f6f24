"""Takes files, and whole series, out of the state."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from fullpool.model import Series
from fullpool.store.state.bulk import AMONG, values_of
from fullpool.store.state.session import Session
from fullpool.store.state.tables import SERIES_NAME, naive, series_names

# What has rows of a series, beside what `retire` knows by their paths.
_OF_SERIES: Final = (
    "sync.archives", "internal.listings", "sync.gaps", "sync.evidence", "internal.expected",
    "sync.conflicts", "sync.revisions", "sync.wanted", "sync.followed",
)  # fmt: skip
_OF_FILES: Final = (
    "internal.partitions", "internal.holes", "internal.cuts", "sync.runs", "internal.compared",
)  # fmt: skip


def retire(session: Session, paths: list[str], at: datetime) -> None:
    """Record that files are no longer current; they are deleted after their grace."""
    if not paths:
        return
    session.run(
        "INSERT INTO internal.retired (path, generation, retired_at, size_bytes)"
        " SELECT path, generation, ?, size_bytes FROM internal.partitions"
        f" WHERE path{AMONG}",
        [naive(at), values_of(paths)],
    )
    for table in _OF_FILES:
        session.run(f"DELETE FROM {table} WHERE path{AMONG}", [values_of(paths)])
    session.run(f"DELETE FROM internal.compared WHERE beside{AMONG}", [values_of(paths)])


class SeriesWriter:
    """Writes what is known of whole series."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def forget(self, series: Iterable[Series], at: datetime) -> None:
        """Forget all that is known of *series*, and retire their files."""
        names = [series_names(series)]
        with self._session.transaction():
            paths = self._session.rows(
                f"SELECT path FROM internal.partitions WHERE {SERIES_NAME}{AMONG}", names
            )
            retire(self._session, [path for (path,) in paths], at)
            for table in _OF_SERIES:
                self._session.run(f"DELETE FROM {table} WHERE {SERIES_NAME}{AMONG}", names)
