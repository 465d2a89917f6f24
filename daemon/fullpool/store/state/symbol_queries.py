"""Queries about the symbols that the vendor has, by the bucket's listing and by the API."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import duckdb

from fullpool import vendor
from fullpool.kinds import KINDS
from fullpool.model import Market, Series, Span
from fullpool.store.state.asking import rows_of
from fullpool.store.state.tables import at_utc, naive


class SymbolQueries:
    """What is known of symbols."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def listed(self, market: str, kind: str, since: datetime) -> list[str]:
        """Return the vendor's symbols as listed at *since* or later; empty if they were not."""
        sql = "SELECT symbol FROM internal.symbols WHERE market = ? AND kind = ?"
        return self._names(f"{sql} AND listed_at >= ?", [market, kind, naive(since)])

    def lists(
        self, kinds: Iterable[tuple[Market, str]], since: datetime
    ) -> dict[tuple[Market, str], list[str]]:
        """Return the symbols of each market and kind that was listed *since* then.

        With all that trade by the API: some have no archive yet.
        """
        found = {pair: self.listed(*pair, since) for pair in dict.fromkeys(kinds)}
        return {pair: self.with_trading(*pair, names) for pair, names in found.items() if names}

    def with_trading(self, market: Market, kind: str, symbols: Sequence[str]) -> list[str]:
        """Return the symbols of a market and kind, and all that trade there by the API."""
        if not KINDS[kind].is_traded:
            return list(symbols)
        sql = "SELECT symbol FROM internal.instruments WHERE market = ? AND status = ?"
        trading = self._names(f"{sql} AND valid_to IS NULL", [market, vendor.TRADING])
        return list(dict.fromkeys([*symbols, *trading]))

    def since(self, spans: Mapping[Series, Span]) -> dict[Series, datetime]:
        """Return from when on series can have archives in *spans*; not those that cannot.

        From the start, or when the symbol was listed.
        """
        markets = {series.market for series in spans}
        listed = {market: self._listed_at(market) for market in markets}
        starts = {
            series: max(span.start, listed[series.market].get(series.symbol, span.start))
            for series, span in spans.items()
        }
        return {series: start for series, start in starts.items() if start < spans[series].end}

    def trading(
        self, symbols: Mapping[tuple[Market, str], Sequence[str]]
    ) -> dict[tuple[Market, str], Sequence[str]]:
        """Return of *symbols* those that trade, where the API told which do."""
        return {pair: self.with_trading(*pair, ()) or names for pair, names in symbols.items()}

    def _listed_at(self, market: Market) -> dict[str, datetime]:
        """Return when symbols were listed: as the API tells, or when its list had them first."""
        rows = rows_of(
            self._connection,
            "SELECT symbol, coalesce(max(listed_at) FILTER (valid_to IS NULL), min(valid_from))"
            " FROM (SELECT *, min(valid_from) OVER () AS first_list FROM internal.instruments"
            " WHERE market = ?) GROUP BY symbol, first_list HAVING bool_or(valid_to IS NULL)"
            " AND (max(listed_at) IS NOT NULL OR min(valid_from) > first_list)",
            [market],
        )
        return {symbol: at_utc(moment) for symbol, moment in rows}

    def _names(self, sql: str, values: list[str | datetime]) -> list[str]:
        return [name for (name,) in rows_of(self._connection, f"{sql} ORDER BY symbol", values)]
