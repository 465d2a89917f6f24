"""Writes a ParquetDataCatalog of NautilusTrader, with its own writer.

Bars of klines and ticks of aggTrades, of spot and of perpetual contracts of um. A bar's time is
when it closed. Source: nautilus_trader 1.221, `nautilus_trader/persistence`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fullpool.errors import UsageError
from fullpool.export import feather
from fullpool.export.choice import Held, Part, parts
from fullpool.export.pairs import Pair, Pairs
from fullpool.export.target import SPILL
from fullpool.export.task import Result, Task
from fullpool.export.written import Written
from fullpool.kinds import KINDS
from fullpool.model import Market

_HINT: Final = "pip install 'fullpool[nautilus]'"
_BATCH: Final = 100_000
_BARS: Final = KINDS["klines"]
_TICKS: Final = KINDS["aggTrades"]
# The columns of prices and of quantities, by the kind.
_PRICES: Final = {_BARS.name: ("open", "high", "low", "close"), _TICKS.name: ("price",)}
_SIZES: Final = {_BARS.name: ("volume",), _TICKS.name: ("quantity",)}
# A bar closes a unit of its file, which may be a microsecond, before the next one opens.
_ROWS: Final = {
    _BARS.name: (
        "date_trunc('millisecond', close_time) + INTERVAL 1 MILLISECOND AS time, open, high, low,"
        " close, volume, true AS is_sized"
    ),
    _TICKS.name: (
        "transact_time AS time, price, quantity, agg_trade_id::VARCHAR AS trade_id,"
        " is_buyer_maker AS buyer_maker, quantity > 0 AS is_sized"
    ),
}
# What nautilus says of values that it does not take.
_REFUSALS: Final = (ValueError, OverflowError, TypeError)
# nautilus takes no trade of nothing.
_SIZED: Final = "is_sized"
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


def write(task: Task) -> Result:
    """Write the series into a catalogue; parts that nautilus refuses are left out."""
    from nautilus_trader.persistence.catalog import ParquetDataCatalog  # noqa: PLC0415

    pairs, left_out = task.source.pairs(), []
    of_symbols: defaultdict[tuple[Market, str], list[Held]] = defaultdict(list)
    for series in task.series:
        if reason := _reason_against(series, pairs):
            left_out.append(f"{series}: {reason}")
        else:
            of_symbols[series.market, series.symbol].append(series)
    catalog = ParquetDataCatalog(str(task.folder))
    with task.counter(len(of_symbols)) as advance:
        for group in of_symbols.values():
            left_out += _write_symbol(task, catalog, group, pairs)
            advance(1)
    return Result(_files(task), left_out)


def _reason_against(series: Held, pairs: Pairs) -> str:
    """Return why nautilus cannot have a series; "" if it can."""
    is_market = series.market in (Market.SPOT, Market.UM)
    if not is_market or series.kind.name not in _ROWS or "_" in series.symbol:
        return "nautilus has no such data"
    return "" if pairs.of(series.market, series.symbol) else "its two assets are not known"


def _write_symbol(task: Task, catalog: Any, group: Sequence[Held], pairs: Pairs) -> Iterator[str]:
    """Write the instrument and the rows of one symbol; yield what nautilus refused, and why."""
    pair = pairs.of(group[0].market, group[0].symbol)
    assert pair is not None
    digits = _digits(task, group, pair)
    try:
        instrument = _instrument(group[0], pair, digits)
        catalog.write_data([instrument])
    except _REFUSALS as error:
        yield f"{group[0].market}/{group[0].symbol}: nautilus refuses it: {error}"
        return
    for series in group:
        wrangler = _wrangler(series, instrument)
        for part in parts(task.choice, series):
            for frame in _frames(task, part):
                try:
                    catalog.write_data(wrangler.process(frame))
                except _REFUSALS as error:
                    yield f"{series}, rows from {frame.index[0]} on: nautilus refuses them: {error}"


def _frames(task: Task, part: Part) -> Iterator[Any]:
    """Yield some rows at a time, as objects they take a kilobyte each; those of a time together."""
    import pandas as pd  # noqa: PLC0415

    rows = task.source.columns(part, _ROWS[part.series.kind.name])
    sized = f"SELECT * EXCLUDE ({_SIZED}) FROM ({rows}) WHERE {_SIZED}"
    rest = None
    for batch in feather.stream(task.source.reader.batches(sized, _BATCH)):
        frame = batch.to_pandas().set_index("time")
        frame = frame if rest is None else pd.concat([rest, frame])
        is_last = frame.index == frame.index[-1]
        rest = frame[is_last]
        if not is_last.all():
            yield frame[~is_last]
    if rest is not None:
        yield rest


def _files(task: Task) -> list[Written]:
    """Return the records of all files, whose rows are those that their ends tell."""
    from pyarrow import parquet  # noqa: PLC0415

    return [
        task.described(path, int(parquet.read_metadata(path).num_rows))
        for path in sorted(task.folder.rglob("*.parquet"))
        if SPILL not in path.parts
    ]


def _digits(task: Task, group: Sequence[Held], pair: Pair) -> _Digits:
    """Return the decimals that nothing has more of: what was traded long ago may have more."""
    most = [_decimals(pair.tick_size), _decimals(pair.step_size)]
    for series in group:
        columns = (_PRICES[series.kind.name], _SIZES[series.kind.name])
        counts = ", ".join(f"max(greatest({', '.join(map(_counted, own))}))" for own in columns)
        for part in parts(task.choice, series):
            rows = task.source.unordered(part, "exact")
            (found,) = task.source.reader.query(f"SELECT {counts} FROM ({rows})").rows
            most = [max(before, new or 0) for before, new in zip(most, found, strict=True)]
    return _Digits(*most)


def _counted(column: str) -> str:
    """Return the SQL of how many decimals a value needs."""
    return f"length(rtrim(split_part({column}::VARCHAR, '.', 2), '0'))"


def _decimals(step: str) -> int:
    return len(step.partition(".")[2].rstrip("0"))


def _instrument(series: Held, pair: Pair, digits: _Digits) -> Any:
    from nautilus_trader.model.currencies import Currency  # noqa: PLC0415
    from nautilus_trader.model.identifiers import InstrumentId, Symbol  # noqa: PLC0415
    from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair  # noqa: PLC0415
    from nautilus_trader.model.objects import Price, Quantity  # noqa: PLC0415

    is_spot = series.market is Market.SPOT
    name = series.symbol if is_spot else f"{series.symbol}-PERP"
    values = {
        "instrument_id": InstrumentId.from_str(f"{name}.BINANCE"),
        "raw_symbol": Symbol(series.symbol),
        "base_currency": Currency.from_str(pair.base, strict=False),
        "quote_currency": Currency.from_str(pair.quote, strict=False),
        "price_precision": digits.price,
        "size_precision": digits.size,
        "price_increment": Price(10**-digits.price, digits.price),
        "size_increment": Quantity(10**-digits.size, digits.size),
        "ts_event": 0,
        "ts_init": 0,
    }
    if is_spot:
        return CurrencyPair(**values)
    currency = values["quote_currency"]
    return CryptoPerpetual(**values, settlement_currency=currency, is_inverse=False)


def _wrangler(series: Held, instrument: Any) -> Any:
    from nautilus_trader.model.data import BarType  # noqa: PLC0415
    from nautilus_trader.persistence.wranglers import (  # noqa: PLC0415
        BarDataWrangler,
        TradeTickDataWrangler,
    )

    if series.kind.name == _TICKS.name:
        return TradeTickDataWrangler(instrument)
    count = series.interval.rstrip("smhdwo")
    unit = _UNITS[series.interval.removeprefix(count)]
    name = f"{instrument.id}-{count}-{unit}-LAST-EXTERNAL"
    return BarDataWrangler(BarType.from_str(name), instrument)
