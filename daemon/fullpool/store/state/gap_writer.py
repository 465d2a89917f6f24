"""Records gaps, evidence and bans."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fullpool.cuts import Counts
from fullpool.evidence import Evidence
from fullpool.gaps import Expected, Gap
from fullpool.model import Ban, Series
from fullpool.store.state.bulk import AMONG, insert, values_of
from fullpool.store.state.gap_records import (
    doubt,
    forget_expected,
    write_evidence,
    write_expected,
    write_gaps,
)
from fullpool.store.state.gap_rows import UNANSWERED
from fullpool.store.state.session import Session
from fullpool.store.state.tables import naive


class GapWriter:
    """Writes down which rows are missing, and what the API said of them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, gaps: Mapping[Series, Sequence[Gap]], at: datetime) -> None:
        """Rewrite the gaps of some series."""
        with self._session.transaction():
            write_gaps(self._session.connection, gaps, at)

    def record_evidence(self, evidence: Mapping[Series, Sequence[Evidence]]) -> None:
        """Write again what the API was asked of some series and does not have."""
        with self._session.transaction():
            write_evidence(self._session.connection, evidence)

    def record_expected(
        self, expected: Sequence[Expected], counts: Mapping[Series, Counts]
    ) -> None:
        """Record where rows of some series should be, and what was counted of files for that."""
        with self._session.transaction():
            write_expected(self._session.connection, expected, counts)

    def doubt(self, series: Iterable[Series]) -> None:
        """Have the gaps of *series* looked for again, by the next pass."""
        with self._session.transaction():
            doubt(self._session.connection, series)

    def forget_expected(self, series: Iterable[Series]) -> None:
        """Have the gaps of *series* looked for again."""
        with self._session.transaction():
            forget_expected(self._session.connection, series)

    def record_bans(self, bans: Sequence[Ban]) -> None:
        """Rewrite the bans."""
        columns = ("host", "status", "reason", "banned_at", "banned_until")
        rows = [(b.host, b.status, b.reason, naive(b.at), naive(b.until)) for b in bans]
        with self._session.transaction():
            self._session.run("DELETE FROM sync.rest_bans", [])
            insert(self._session.connection, "sync.rest_bans", columns, rows)

    def reopen_refused(self, markets: Iterable[str]) -> None:
        """Have the gaps of *markets* asked for again that their host refused to answer for."""
        with self._session.transaction():
            self._session.run(
                "UPDATE sync.gaps SET status = 'open', explanation = NULL, next_try_at = NULL"
                f" WHERE explanation = 'api_refused' AND market{AMONG}",
                [values_of(markets)],
            )

    def reopen_unanswered(self) -> None:
        """Have the gaps asked for at once whose last question got no answer."""
        with self._session.transaction():
            self._session.run(f"UPDATE sync.gaps SET next_try_at = NULL WHERE {UNANSWERED}", [])
