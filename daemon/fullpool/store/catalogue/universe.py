"""The SQL of `instruments`: what can be traded, and what could be on a day."""

from typing import Final

from fullpool import vendor
from fullpool.kinds import KINDS
from fullpool.store.catalogue.views import instant
from fullpool.store.duck import quoted

_TEXTS: Final = ("status", "base_asset", "quote_asset", "contract_type")
_DECIMALS: Final = ("tick_size", "step_size", "min_notional", "contract_size")


def is_traded(table: str = "") -> str:
    """Return the condition that the symbols of a kind are instruments, and no pairs or indices.

    *table* is an alias with its dot.
    """
    return f"{table}kind IN ({', '.join(quoted(k.name) for k in KINDS.values() if k.is_traded)})"


def _instruments() -> str:
    """Select one row for each version of each symbol.

    Symbols that the API does not list have one without values: they are known by their archives.
    """
    texts = ", ".join(f"nullif(i.{name}, '') AS {name}" for name in _TEXTS)
    numbers = ", ".join(f"try_cast(i.{name} AS DECIMAL(38,18)) AS {name}" for name in _DECIMALS)
    return (
        "WITH known AS (SELECT market, symbol FROM internal.symbols"
        f" WHERE {is_traded()} UNION SELECT market, symbol FROM sync.archives"
        f" WHERE {is_traded()}"
        " UNION SELECT market, symbol FROM internal.instruments),"
        " published AS (SELECT market, symbol, min(period_start) AS first_archive,"
        " max(period_end) AS last_archive FROM sync.archives"
        " WHERE status IN ('listed', 'present') GROUP BY ALL),"
        " held AS (SELECT market, symbol, min(first_time) AS first_time,"
        " max(last_time) AS last_time FROM internal.partitions GROUP BY ALL)"
        f" SELECT k.market, k.symbol, {texts}, {numbers}, i.listed_at, i.delivers_at,"
        " p.first_archive, p.last_archive, h.first_time, h.last_time, i.valid_from, i.valid_to"
        " FROM known AS k LEFT JOIN internal.instruments AS i USING (market, symbol)"
        " LEFT JOIN published AS p USING (market, symbol)"
        " LEFT JOIN held AS h USING (market, symbol) ORDER BY k.market, k.symbol, i.valid_from"
    )


def instruments_on() -> str:
    """Return what creates the macro `instruments_on` of the symbols that could be traded on a day.

    By the best evidence there is: an archive of the day, else what the API said that day, else the
    dates of listing and delivery that it tells.
    """
    day = f"date_trunc('day', {instant('day_')})"
    after = f"({day} + INTERVAL 1 DAY)"
    return (
        "CREATE MACRO instruments_on(day_) AS TABLE WITH seen AS ("
        "SELECT market, symbol, 1 AS rank, 'archive' AS evidence FROM sync.archives"
        f" WHERE {is_traded()} AND period_start < {after} AND period_end > {day}"
        " AND (status = 'listed' OR status = 'present' AND"
        f" coalesce(first_time < {after} AND last_time >= {day}, true))"
        " UNION ALL SELECT market, symbol, 2, 'api' FROM instruments"
        " LEFT JOIN (FROM internal.instrument_lists WHERE reason = '') USING (market)"
        f" WHERE status = {quoted(vendor.TRADING)} AND valid_from < {after}"
        f" AND least(delivers_at, coalesce(valid_to, asked_at + INTERVAL 1 DAY)) > {day}"
        " UNION ALL SELECT market, symbol, 3, 'dates' FROM instruments"
        f" WHERE listed_at < {after} AND coalesce(least(delivers_at, valid_to) > {day}, true)"
        f" AND (status = {quoted(vendor.TRADING)} OR valid_from > {day})"
        " AND (market, symbol) NOT IN (SELECT (market, symbol) FROM instruments WHERE"
        f" status <> {quoted(vendor.TRADING)} AND valid_from <= {day}"
        f" AND coalesce(valid_to >= {after}, true))),"
        " newest AS (SELECT * FROM instruments QUALIFY row_number() OVER"
        " (PARTITION BY market, symbol ORDER BY valid_from DESC NULLS LAST) = 1)"
        " SELECT market, symbol, any_value(base_asset) AS base_asset,"
        " any_value(quote_asset) AS quote_asset, any_value(contract_type) AS contract_type,"
        " arg_min(evidence, rank) AS evidence FROM seen LEFT JOIN newest USING (market, symbol)"
        " GROUP BY market, symbol ORDER BY market, symbol"
    )


INSTRUMENTS: Final = _instruments()
