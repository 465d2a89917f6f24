"""Writes the files that freqtrade loads: a Feather file for each pair, timeframe and candle type.

Source: freqtrade 2026.9, `freqtrade/data/history/datahandlers`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fullpool.export import feather
from fullpool.export.choice import Held, Part
from fullpool.export.order import Choice
from fullpool.export.pairs import Pair, Pairs
from fullpool.export.source import Source
from fullpool.export.target import Written, described
from fullpool.model import Cadence, Market, period_of

_BATCH: Final = 100_000
# freqtrade reads prices of futures' funding every hour.
_MARK_TIMEFRAME: Final = "1h"
_CANDLE: Final = "{time} AS date, open, high, low, close, volume"
# Rates are in `open`, the place that versions before 2026.9 look at too, at the full hour.
_RATE: Final = (
    "date_trunc('hour', {time}) AS date, last_funding_rate AS open, 0::DOUBLE AS high,"
    " 0::DOUBLE AS low, 0::DOUBLE AS close, 0::DOUBLE AS volume"
)
_MARK: Final = "{time} AS date, open, high, low, close, 0::DOUBLE AS volume"
_TRADE: Final = (
    "epoch_ms({time}) AS timestamp, agg_trade_id::VARCHAR AS id, NULL::VARCHAR AS type,"
    " CASE WHEN is_buyer_maker THEN 'sell' ELSE 'buy' END AS side, price, quantity AS amount,"
    " price * quantity AS cost"
)
_COLUMNS: Final = {
    "klines": _CANDLE, "markPriceKlines": _MARK, "fundingRate": _RATE, "aggTrades": _TRADE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _File:
    """What goes into one file of freqtrade's, by its name below the folder."""

    series: Held
    name: str


def write(
    source: Source,
    series: Sequence[Held],
    choice: Choice,
    folder: Path,
    counter: Callable[[int], AbstractContextManager[Callable[[int], object]]],
) -> tuple[list[Written], list[str]]:
    """Write what freqtrade knows of the series; return the files, and what it does not know."""
    pairs = Pairs(source)
    named = [(one, name_of(one, pairs.of(one.market, one.symbol))) for one in series]
    files = [_File(one, name) for one, name in named if name]
    written: list[Written] = []
    with counter(len(files)) as tell:
        for file in files:
            target = folder / file.name
            target.parent.mkdir(exist_ok=True)
            select = _select(source, file.series, choice)
            if rows := feather.write(source.reader.batches(select, _BATCH), target, in_utc=True):
                written.append(described(folder, target, rows))
            tell(1)
    return written, [f"{one}: freqtrade has no such data" for one, name in named if not name]


def name_of(series: Held, pair: Pair | None) -> str:
    """Return the name of freqtrade's file, such as `BTC_USDT-1m.feather`; "" if it has none."""
    kind = series.kind.name
    is_known = pair and series.market in (Market.SPOT, Market.UM) and kind in _COLUMNS
    # A contract that is delivered, such as BTCUSDT_240329, has another pair.
    if not is_known or "_" in series.symbol or pair is None:
        return ""
    is_futures = series.market is Market.UM
    folder, settlement = ("futures/", f"_{pair.quote}") if is_futures else ("", "")
    first = f"{folder}{pair.base}_{pair.quote}{settlement}"
    timeframe = series.interval.replace("mo", "Mo")
    match kind:
        case "klines":
            return f"{first}-{timeframe}{'-futures' if is_futures else ''}.feather"
        case "markPriceKlines":
            return f"{first}-{timeframe}-mark.feather" if timeframe == _MARK_TIMEFRAME else ""
        case "fundingRate":
            return f"{first}-{_MARK_TIMEFRAME}-funding_rate.feather"
        case _:
            return f"{first}-trades.feather"


def _select(source: Source, series: Held, choice: Choice) -> str:
    whole = Part(series, period_of(series.first, Cadence.YEAR), choice.span)
    columns = _COLUMNS[series.kind.name].format(time=series.kind.time)
    valid = f" WHERE NOT ({series.kind.void})" if series.kind.void else ""
    return f"SELECT {columns} FROM ({source.select(whole, 'double')}){valid}"
