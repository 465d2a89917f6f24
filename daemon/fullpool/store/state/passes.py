"""Records passes, configured series and configuration edits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fullpool.model import Series, Span
from fullpool.store.state.gap_records import insert_many
from fullpool.store.state.session import Session
from fullpool.store.state.tables import WANTED_COLUMNS, naive, wanted_row


class PassOutcome(StrEnum):
    """How a pass ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ConfigEdit:
    """A change of the configuration file that was seen; refused if it has *problems*."""

    at: datetime
    path: str
    sha256: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassSummary:
    """What one pass did, for the record; *reason* says what stopped it."""

    outcome: PassOutcome
    reason: str
    audited: bool
    archives: int
    failed: int
    downloaded_bytes: int
    rows: int


class Passes:
    """Writes down what passes did and what they were asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, command: str, version: str, at: datetime) -> int:
        number = self._session.next_value("pass")
        with self._session.transaction():
            self._session.run(
                "INSERT INTO sync.passes (id, command, version, started_at) VALUES (?, ?, ?, ?)",
                [number, command, version, naive(at)],
            )
        return number

    def end(self, number: int, summary: PassSummary, at: datetime) -> None:
        with self._session.transaction():
            self._session.run(
                "UPDATE sync.passes SET ended_at = ?, outcome = ?, reason = nullif(?, ''),"
                " audited = ?, archives = ?, failed = ?, downloaded_bytes = ?, row_count = ?"
                " WHERE id = ?",
                [naive(at), str(summary.outcome), summary.reason, summary.audited,
                 summary.archives, summary.failed, summary.downloaded_bytes, summary.rows, number],
            )  # fmt: skip

    def is_news(self, number: int) -> bool:
        """Whether a pass ended otherwise than the last one of its command that readers know.

        Or a host of the API banned us since. Reasons are not compared: they name what failed first.
        """
        known = "(SELECT max(published_at) FROM sync.generations)"
        ((is_news,),) = self._session.rows(
            "SELECT p.outcome <> coalesce((SELECT b.outcome FROM sync.passes AS b"
            f" WHERE b.command = p.command AND b.id < p.id AND b.ended_at <= {known}"
            " ORDER BY b.id DESC LIMIT 1), 'complete')"
            f" OR EXISTS (FROM sync.rest_bans WHERE banned_at >= {known})"
            f" FROM sync.passes AS p WHERE p.id = {number:d}"
        )
        return bool(is_news)

    def forget(self, before: datetime) -> None:
        """Forget passes before *before* that brought nothing; the last of each command stays."""
        with self._session.transaction():
            self._session.run(
                "DELETE FROM sync.passes WHERE started_at < ? AND archives = 0 AND row_count = 0"
                " AND id <> (SELECT max(id) FROM sync.passes AS other"
                " WHERE other.command = passes.command)",
                [naive(before)],
            )

    def record_edit(self, edit: ConfigEdit) -> None:
        """Record that the configuration file was found changed, and what came of it."""
        outcome = "refused" if edit.problems else "applied"
        with self._session.transaction():
            self._session.run(
                "INSERT INTO sync.config_edits VALUES (?, ?, ?, ?, ?)",
                [naive(edit.at), edit.path, edit.sha256, outcome, "\n".join(edit.problems)],
            )

    def record_wanted(self, wanted: Mapping[Series, Span]) -> bool:
        """Record what the configuration asks for; return whether that is news."""
        rows = sorted(wanted_row(series, span) for series, span in wanted.items())
        columns = ", ".join(WANTED_COLUMNS)
        held = self._session.rows(f"SELECT {columns} FROM sync.wanted ORDER BY ALL")
        if rows == held:
            return False
        with self._session.transaction():
            self._session.run("DELETE FROM sync.wanted", [])
            insert_many(self._session.connection, "sync.wanted", WANTED_COLUMNS, rows)
        return True
