"""Writes a ParquetDataCatalog of NautilusTrader, with its own writer.

Bars of klines and ticks of aggTrades, of spot and of perpetual contracts of um. A bar's time is
when it closed. Source: nautilus_trader 1.221, `nautilus_trader/persistence`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.export.choice import Held, Part, parts
from fullpool.export.order import Choice
from fullpool.export.pairs import Pair, Pairs
from fullpool.export.source import Source
from fullpool.export.target import Written, described
from fullpool.kinds import KINDS
from fullpool.model import Cadence, Market, period_of

_HINT: Final = "pip install 'fullpool[nautilus]'"
_BATCH: Final = 100_000
_BARS: Final = KINDS["klines"]
_TICKS: Final = KINDS["aggTrades"]
# The columns of prices and of quantities, by the kind.
_PRICES: Final = {_BARS: ("open", "high", "low", "close"), _TICKS: ("price",)}
_SIZES: Final = {_BARS: ("volume",), _TICKS: ("quantity",)}
_ROWS: Final = {
    _BARS: "close_time + INTERVAL 1 MILLISECOND AS time, open, high, low, close, volume",
    _TICKS: (
        "transact_time AS time, price, quantity, agg_trade_id::VARCHAR AS trade_id,"
        " is_buyer_maker AS buyer_maker"
    ),
}
_UNITS: Final = {
    "s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Digits:
    """How many decimals prices and quantities have."""

    price: int
    size: int


def require_nautilus() -> None:
    """Raise UsageError if nautilus_trader is not installed."""
    try:
        import nautilus_trader  # noqa: F401, PLC0415 - it is an extra
    except ImportError as error:
        raise UsageError(f"exporting for nautilus: {error}", hint=_HINT) from error


def write(
    source: Source,
    series: Sequence[Held],
    choice: Choice,
    folder: Path,
    counter: Callable[[int], AbstractContextManager[Callable[[int], object]]],
) -> tuple[list[Written], list[str]]:
    """Write the series into a catalogue; return its files, and the series that it cannot have."""
    from nautilus_trader.persistence.catalog import ParquetDataCatalog  # noqa: PLC0415

    pairs = Pairs(source)
    own: defaultdict[tuple[Market, str], list[Held]] = defaultdict(list)
    skipped = []
    for one in series:
        if _is_known(one) and pairs.of(one.market, one.symbol):
            own[one.market, one.symbol].append(one)
        else:
            skipped.append(f"{one}: nautilus has no such data")
    catalog = ParquetDataCatalog(str(folder))
    with counter(len(own)) as tell:
        for (market, symbol), those in own.items():
            pair = pairs.of(market, symbol)
            assert pair is not None
            digits = _digits(source, those, choice, pair)
            instrument = _instrument(market, symbol, pair, digits)
            catalog.write_data([instrument])
            for data in chain.from_iterable(
                _data(source, one, choice, instrument) for one in those
            ):
                catalog.write_data(data)
            tell(1)
    return [described(folder, one, None) for one in sorted(folder.rglob("*.parquet"))], skipped


def _is_known(one: Held) -> bool:
    is_market = one.market in (Market.SPOT, Market.UM)
    return is_market and one.kind in (_BARS, _TICKS) and "_" not in one.symbol


def _digits(source: Source, series: Sequence[Held], choice: Choice, pair: Pair) -> _Digits:
    """Return the decimals that nothing has more of: what was traded long ago may have more."""
    most = [_decimals(pair.tick_size), _decimals(pair.step_size)]
    for one in series:
        columns = (_PRICES[one.kind], _SIZES[one.kind])
        counts = ", ".join(f"max(greatest({', '.join(map(_counted, own))}))" for own in columns)
        rows = source.select(_whole(one, choice), "exact")
        (found,) = source.reader.query(f"SELECT {counts} FROM ({rows})").rows
        most = [max(own, new or 0) for own, new in zip(most, found, strict=True)]
    return _Digits(*most)


def _counted(column: str) -> str:
    """Return the SQL of how many decimals a value needs."""
    return f"length(rtrim(split_part({column}::VARCHAR, '.', 2), '0'))"


def _decimals(step: str) -> int:
    return len(step.partition(".")[2].rstrip("0"))


def _whole(series: Held, choice: Choice) -> Part:
    return Part(series, period_of(series.first, Cadence.YEAR), choice.span)


def _instrument(market: Market, symbol: str, pair: Pair, digits: _Digits) -> Any:
    from nautilus_trader.model.currencies import Currency  # noqa: PLC0415
    from nautilus_trader.model.identifiers import InstrumentId, Symbol  # noqa: PLC0415
    from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair  # noqa: PLC0415
    from nautilus_trader.model.objects import Price, Quantity  # noqa: PLC0415

    name = symbol if market is Market.SPOT else f"{symbol}-PERP"
    values = {
        "instrument_id": InstrumentId.from_str(f"{name}.BINANCE"),
        "raw_symbol": Symbol(symbol),
        "base_currency": Currency.from_str(pair.base, strict=False),
        "quote_currency": Currency.from_str(pair.quote, strict=False),
        "price_precision": digits.price,
        "size_precision": digits.size,
        "price_increment": Price(10**-digits.price, digits.price),
        "size_increment": Quantity(10**-digits.size, digits.size),
        "ts_event": 0,
        "ts_init": 0,
    }
    if market is Market.SPOT:
        return CurrencyPair(**values)
    currency = values["quote_currency"]
    return CryptoPerpetual(**values, settlement_currency=currency, is_inverse=False)


def _data(source: Source, series: Held, choice: Choice, instrument: Any) -> Iterator[list[Any]]:
    """Yield the bars or ticks of each part of a series, as objects of nautilus."""
    wrangler = _wrangler(series, instrument)
    void = f" WHERE NOT ({series.kind.void})" if series.kind.void else ""
    for part in parts(choice, series):
        rows = f"SELECT {_ROWS[series.kind]} FROM ({source.select(part, 'double')}){void}"
        frame = source.reader.batches(rows, _BATCH).read_pandas()
        if len(frame):
            yield wrangler.process(frame.set_index("time"))


def _wrangler(series: Held, instrument: Any) -> Any:
    from nautilus_trader.model.data import BarType  # noqa: PLC0415
    from nautilus_trader.persistence.wranglers import (  # noqa: PLC0415
        BarDataWrangler,
        TradeTickDataWrangler,
    )

    if series.kind is _TICKS:
        return TradeTickDataWrangler(instrument)
    count = series.interval.rstrip("smhdwo")
    unit = _UNITS[series.interval.removeprefix(count)]
    name = f"{instrument.id}-{count}-{unit}-LAST-EXTERNAL"
    return BarDataWrangler(BarType.from_str(name), instrument)
