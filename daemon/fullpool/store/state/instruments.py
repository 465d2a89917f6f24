"""Records what can be traded, with its history, and when that was asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fullpool.instruments import Changes, Instrument
from fullpool.model import Market, Series
from fullpool.store.state.bulk import AMONG, insert, values_of
from fullpool.store.state.session import Session
from fullpool.store.state.tables import at_utc, naive

_VALUES: Final = (
    "market", "symbol", "status", "base_asset", "quote_asset", "contract_type", "tick_size",
    "step_size", "min_notional", "contract_size", "listed_at", "delivers_at",
)  # fmt: skip
_TEXTS: Final = 10


@dataclass(frozen=True, slots=True)
class Lists:
    """When a market last told its symbols, and when it did not since, for which *reason*."""

    told_at: datetime | None
    failed_at: datetime | None
    reason: str


class Instruments:
    """Reads and writes the table of instruments."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lists_of(self, market: Market) -> Lists:
        """Return when a market last told its symbols, and when and why it did not since."""
        sql = "SELECT reason, asked_at FROM internal.instrument_lists WHERE market = ?"
        found = {
            reason: at_utc(moment) for reason, moment in self._session.rows(sql, [str(market)])
        }
        reason = next(filter(None, found), "")
        return Lists(found.get(""), found[reason] if reason else None, reason)

    def current(self, market: Market) -> dict[str, Instrument]:
        """Return what is valid of a market, by symbol."""
        rows = self._session.rows(
            f"SELECT {', '.join(_VALUES)} FROM internal.instruments"
            " WHERE market = ? AND valid_to IS NULL",
            [str(market)],
        )
        return {one.symbol: one for one in map(_instrument, rows)}

    def listed_at(self, series: Series) -> datetime | None:
        """Return when the API tells that the symbol was listed; None if it does not."""
        sql = "SELECT listed_at FROM internal.instruments WHERE valid_to IS NULL AND market = ?"
        rows = self._session.rows(f"{sql} AND symbol = ?", [str(series.market), series.symbol])
        return at_utc(rows[0][0]) if rows and rows[0][0] else None

    def record_failure(self, market: Market, reason: str, at: datetime) -> None:
        """Record why a market does not tell its symbols; when it last did stays."""
        with self._session.transaction():
            self._record_list(market, at, reason, "reason <> ''")

    def _record_list(self, market: Market, at: datetime, reason: str, instead_of: str) -> None:
        where = f"WHERE market = ? AND {instead_of}"
        self._session.run(f"DELETE FROM internal.instrument_lists {where}", [str(market)])
        self._session.run(
            "INSERT INTO internal.instrument_lists VALUES (?, ?, ?)",
            [str(market), naive(at), reason],
        )

    def record(self, market: Market, changes: Changes, at: datetime) -> None:
        """Record what a list of a market said."""
        rows = [(*_row(one), naive(at)) for one in changes.begun]
        with self._session.transaction():
            self._record_list(market, at, "", "true")
            self._session.run(
                "UPDATE internal.instruments SET valid_to = ?"
                f" WHERE market = ? AND valid_to IS NULL AND symbol{AMONG}",
                [naive(at), str(market), values_of(changes.ended)],
            )
            columns = (*_VALUES, "valid_from")
            insert(self._session.connection, "internal.instruments", columns, rows)


def _row(one: Instrument) -> tuple[Any, ...]:
    texts = (str(getattr(one, name)) for name in _VALUES[:_TEXTS])
    times = (one.listed_at, one.delivers_at)
    return (*texts, *(naive(time) if time else None for time in times))


def _instrument(row: tuple[Any, ...]) -> Instrument:
    market, *texts = row[:_TEXTS]
    times = (at_utc(time) if time else None for time in row[_TEXTS:])
    return Instrument(Market(market), *texts, *times)
