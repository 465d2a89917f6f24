"""Writes the files that freqtrade loads: a Feather file for each pair, timeframe and candle type.

Source: freqtrade 2026.9, `freqtrade/data/history/datahandlers`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fullpool.export import feather
from fullpool.export.choice import Held, parts
from fullpool.export.pairs import Pair
from fullpool.export.task import Result, Task
from fullpool.model import Market

_BATCH: Final = 100_000
# freqtrade reads the mark prices and rates of futures' funding every hour.
_MARK_TIMEFRAME: Final = "1h"
# ccxt, and so freqtrade, has other names for some assets.
_RENAMED: Final = {"YOYO": "YOYOW"}
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


def write(task: Task) -> Result:
    """Write what freqtrade knows of the series."""
    named, left_out = _named(task)
    files = []
    with task.counter(len(named)) as advance:
        for series, name in named:
            if rows := _write(task, series, name):
                files.append(task.described(task.folder / name, rows))
            advance(1)
    return Result(files, [*left_out, *_without_funding(series for series, _ in named)])


def _named(task: Task) -> tuple[list[tuple[Held, str]], list[str]]:
    """Return the series with the names of their files, and why others have none."""
    pairs = task.source.pairs()
    named: list[tuple[Held, str]] = []
    unpaired: list[str] = []
    unknown: list[str] = []
    for series in task.series:
        pair = pairs.of(series.market, series.symbol)
        if pair is None:
            unpaired.append(f"{series}: its two assets are not known")
        elif name := _name_of(series, pair):
            named.append((series, name))
        else:
            unknown.append(f"{series}: freqtrade has no such data")
    return named, [*unpaired, *unknown]


def _name_of(series: Held, pair: Pair) -> str:
    """Return the name of freqtrade's file, such as `BTC_USDT-1m.feather`; "" if it has none."""
    is_known = series.kind.name in _COLUMNS and series.market in (Market.SPOT, Market.UM)
    # A contract that is delivered, such as BTCUSDT_240329, has another pair.
    if not is_known or "_" in series.symbol:
        return ""
    is_futures = series.market is Market.UM
    folder, settlement = ("futures/", f"_{pair.quote}") if is_futures else ("", "")
    first = f"{folder}{_RENAMED.get(pair.base, pair.base)}_{pair.quote}{settlement}"
    timeframe = series.interval.replace("mo", "Mo")
    match series.kind.name:
        case "klines":
            return f"{first}-{timeframe}{'-futures' if is_futures else ''}.feather"
        case "markPriceKlines":
            return f"{first}-{timeframe}-mark.feather" if timeframe == _MARK_TIMEFRAME else ""
        case "fundingRate":
            return f"{first}-{_MARK_TIMEFRAME}-funding_rate.feather"
        case _:
            return f"{first}-trades.feather"


def _write(task: Task, series: Held, name: str) -> int:
    """Write the rows of a series, year by year, into one file; return their number."""
    columns = _COLUMNS[series.kind.name].format(time=series.kind.time)
    selects = (task.source.columns(part, columns) for part in parts(task.choice, series))
    batches = (task.source.reader.batches(select, _BATCH) for select in selects)
    (task.folder / name).parent.mkdir(exist_ok=True)
    return feather.write(batches, task.folder / name, in_utc=True)


def _without_funding(series: Iterable[Held]) -> Iterator[str]:
    """Yield the futures whose funding fees freqtrade will not know."""
    known: dict[str, set[str]] = {}
    for each in series:
        if each.market is Market.UM:
            known.setdefault(each.symbol, set()).add(each.kind.name)
    for symbol, kinds in known.items():
        absent = _absent(sorted({"markPriceKlines", "fundingRate"} - kinds))
        if "klines" in kinds and absent:
            yield f"um {symbol}: the lake has no {absent}, which funding fees take"


def _absent(kinds: Sequence[str]) -> str:
    return " and no ".join(f"{kind} of 1h" if "Klines" in kind else kind for kind in kinds)
