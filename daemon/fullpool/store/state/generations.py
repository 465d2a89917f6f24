"""Records generations, and files only older generations use."""

from collections.abc import Sequence
from datetime import datetime

from fullpool.store.state.bulk import AMONG, values_of
from fullpool.store.state.session import Session
from fullpool.store.state.tables import naive


class Generations:
    """Writes down what was published, and what may be removed once nobody reads it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, generation: int, at: datetime, *, is_tail: bool = False) -> None:
        """Record a generation; *is_tail*: nothing changed but what is followed."""
        with self._session.transaction():
            self._session.run(
                "INSERT INTO sync.generations VALUES (?, ?, ?)", [generation, naive(at), is_tail]
            )

    def is_published(self) -> bool:
        """Whether there is a generation, and none of the current files is newer than it.

        By number and by time: a clock may be set back, and a build that was begun before a
        publication and ended after it bears that one's number.
        """
        found = self._session.rows(
            "SELECT count(*) > 0 AND coalesce(max(published_at) >= max(last.written_at)"
            " AND max(generation) >= max(last.number), true) FROM sync.generations,"
            " (SELECT max(written_at) AS written_at, max(generation) AS number FROM"
            " (SELECT written_at, generation FROM internal.partitions"
            " UNION ALL SELECT written_at, generation FROM internal.tail_files)) AS last"
        )
        return bool(found[0][0])

    def numbers(self) -> list[int]:
        """Return the generations that are recorded."""
        found = self._session.rows("SELECT generation FROM sync.generations ORDER BY generation")
        return [int(generation) for (generation,) in found]

    def before(self, moment: datetime, *, of_tail: bool = False) -> list[int]:
        """Return the generations whose successor was published before *moment*.

        *of_tail*: only those that follow and have nothing else new.
        """
        which = "is_tail" if of_tail else "true"
        found = self._session.rows(
            "SELECT generation FROM sync.generations"
            f" QUALIFY lead(published_at) OVER (ORDER BY generation) < ? AND {which}",
            [naive(moment)],
        )
        return [int(generation) for (generation,) in found]

    def unnamed_tails(self, folder: str) -> list[str]:
        """Return the retired files below *folder* that no generation that is kept can name."""
        sql = (
            "SELECT path FROM internal.retired AS r WHERE starts_with(path, ? || '/')"
            " AND NOT EXISTS (SELECT 1 FROM sync.generations AS g"
            " WHERE g.generation >= r.generation AND g.generation < r.retired_by)"
        )
        return [path for (path,) in self._session.rows(sql, [folder])]

    def crowded(self, hourly: datetime, daily: datetime) -> list[int]:
        """Return the generations that are not the last of their hour, or day, or to be kept.

        By the hour before *hourly*, by the day before *daily*; those since stay.
        """
        found = self._session.rows(
            "SELECT generation FROM sync.generations WHERE published_at < ?"
            " QUALIFY generation < max(generation) OVER (PARTITION BY"
            " date_trunc(CASE WHEN published_at < ? THEN 'day' ELSE 'hour' END, published_at))",
            [naive(hourly), naive(daily)],
        )
        return [int(generation) for (generation,) in found]

    def forget(self, generations: Sequence[int]) -> None:
        with self._session.transaction():
            self._session.run(
                "DELETE FROM sync.generations WHERE list_contains(?, generation)",
                [list(generations)],
            )

    def retired_before(self, moment: datetime) -> list[str]:
        """Return the files that only generations replaced before *moment* refer to."""
        sql = (
            "SELECT path FROM internal.retired WHERE retired_at <="
            " (SELECT max(published_at) FROM sync.generations WHERE published_at < ?)"
        )
        return [path for (path,) in self._session.rows(sql, [naive(moment)])]

    def forget_retired(self, paths: Sequence[str]) -> None:
        with self._session.transaction():
            self._session.run(f"DELETE FROM internal.retired WHERE path{AMONG}", [values_of(paths)])
