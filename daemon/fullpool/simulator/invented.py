"""Invents the rows of a day of each kind, as the vendor writes them.

A table with one row a kind: its header, the lengths of its archives, and what makes its rows.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_DAY = timedelta(days=1)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NO_DAILY = ("3d", "1w", "1mo")
_BOTH = ("daily", "monthly")


@dataclass(frozen=True)
class Spec:
    """A series to invent: its days, and how many trades a day if it is one of trades.

    Rows of *missing*, half-open, are left out; bars of *corrected* have a greater volume, as in a
    later edition of their archive.
    """

    market: str
    kind: str
    symbol: str
    interval: str
    start: date
    end: date
    trades_a_day: int = 20_000
    missing: tuple[tuple[datetime, datetime], ...] = ()
    corrected: tuple[tuple[datetime, datetime], ...] = ()

    def has(self, second: float) -> bool:
        """Whether the row of that instant is to be there."""
        return not _is_in(second, self.missing)

    def is_corrected(self, second: float) -> bool:
        """Whether the row of that instant is one of a later edition."""
        return _is_in(second, self.corrected)


def _is_in(second: float, spans: tuple[tuple[datetime, datetime], ...]) -> bool:
    return any(start.timestamp() <= second < end.timestamp() for start, end in spans)


@dataclass(frozen=True)
class Shape:
    """How one kind is published: in which markets, by what archives, with which header."""

    header: str
    rows: Callable[[Spec, date, random.Random], Iterator[str]]
    markets: tuple[str, ...]
    cadences: tuple[str, ...] = _BOTH
    has_intervals: bool = False


def header_of(spec: Spec) -> str:
    """Return the first line of a file; those of spot have none."""
    return "" if spec.market == "spot" else SHAPES[spec.kind].header + "\n"


def cadences_of(spec: Spec) -> tuple[str, ...]:
    """Return the lengths of the archives of a series."""
    if spec.market == "spot" and spec.interval in _NO_DAILY:
        return ("monthly",)
    return SHAPES[spec.kind].cadences


def rows_of(spec: Spec, day: date) -> Iterator[str]:
    """Return the lines of a day."""
    chance = random.Random(f"{spec.symbol}/{spec.interval}/{day}")
    return SHAPES[spec.kind].rows(spec, day, chance)


def _unit(spec: Spec, day: date) -> int:
    """Return how many units of the file's clock a second has."""
    return 1_000_000 if spec.market == "spot" and day >= date(2025, 1, 1) else 1000


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400


def _opens(spec: Spec, day: date) -> range:
    """Return the seconds since 1970 at which the day's bars open."""
    start = _midnight(day)
    if spec.interval == "1mo":
        return range(start, start + (day.day == 1))
    step = int(spec.interval[:-1]) * _SECONDS[spec.interval[-1]]
    monday = 4 * 86_400 if spec.interval[-1] == "w" else 0  # 1970-01-01 was a Thursday
    first = start + -(start - monday) % step
    return range(first, start + 86_400, step)


def _price(symbol: str, second: int) -> float:
    letters = sum(symbol.encode())
    base = 10.0 ** (1 + letters % 4) * (1 + letters % 7)
    days = second / 86_400 + letters
    return base * math.exp(
        0.3 * math.sin(days / 40) + 0.05 * math.sin(days * 2) + 0.01 * math.sin(days * 50)
    )


def _klines(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    unit, places = _unit(spec, day), 8 if spec.market == "spot" else 2
    opens = _opens(spec, day)
    length = opens.step if spec.interval != "1mo" else 28 * 86_400
    uniform = chance.random
    for second in opens:
        opened, closed = _price(spec.symbol, second), _price(spec.symbol, second + length)
        high = max(opened, closed) * (1 + uniform() * 0.001)
        low = min(opened, closed) * (1 - uniform() * 0.001)
        volume = 1 + uniform() * 100
        if spec.corrected and spec.is_corrected(second):
            volume += 40
        taker = volume * uniform()
        if spec.missing and not spec.has(second):
            continue
        yield (
            f"{second * unit},{opened:.{places}f},{high:.{places}f},{low:.{places}f},"
            f"{closed:.{places}f},{volume:.{places}f},{(second + length) * unit - 1},"
            f"{volume * opened:.{places}f},{int(volume * 10)},{taker:.{places}f},"
            f"{taker * opened:.{places}f},0\n"
        )


def _agg_trades(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    unit, count = _unit(spec, day), spec.trades_a_day
    start = _midnight(day)
    first_id = (day - date(2017, 1, 1)).days * count
    uniform = chance.random
    for number in range(count):
        second = start + number * 86_400 / count
        moment = int(second * unit)
        price = _price(spec.symbol, int(second)) * (1 + (uniform() - 0.5) * 0.0002)
        trade, quantity = first_id + number, round(uniform() * 3 + 0.001, 3)
        is_buyer = uniform() < 0.5
        if spec.missing and not spec.has(second):
            continue
        if spec.market == "spot":
            yield (
                f"{trade},{price:.8f},{quantity:.8f},{trade * 2},{trade * 2 + 1},{moment},"
                f"{is_buyer},True\n"
            )
        else:
            yield (
                f"{trade},{_java(round(price, 4))},{_java(quantity)},{trade * 2},{trade * 2 + 1},"
                f"{moment},{str(is_buyer).lower()}\n"
            )


def _java(value: float) -> str:
    """Return a double as Java prints it: 5.263E-4, 542.0, 1.0551558E7."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    exponent = math.floor(math.log10(abs(value)))
    return f"{float(f'{value / 10**exponent:.12g}')!r}E{exponent}"


def _trades(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    unit, count = _unit(spec, day), spec.trades_a_day
    first_id = (day - date(2017, 1, 1)).days * count
    for number, second in _evenly(spec, day, count):
        price = _price(spec.symbol, int(second)) * (1 + (chance.random() - 0.5) * 0.0002)
        quantity, moment = round(chance.random() * 3 + 0.001, 3), int(second * unit)
        is_buyer = chance.random() < 0.5
        if spec.market == "spot":
            values = f"{price:.8f},{quantity:.8f},{price * quantity:.8f},{moment},{is_buyer},True"
            yield f"{first_id + number},{values}\n"
        else:  # some ids are of trades that are left out
            numbers = (round(price, 4), quantity, round(price * quantity, 4))
            values, flag = ",".join(map(_java, numbers)), str(is_buyer).lower()
            yield f"{(first_id + number) * 3 // 2},{values},{moment},{flag}\n"


def _evenly(spec: Spec, day: date, count: int) -> Iterator[tuple[int, float]]:
    """Yield numbers and seconds of so many rows a day, but for those that are missing."""
    start = _midnight(day)
    for number in range(count):
        second = start + number * 86_400 / count
        if spec.has(second):
            yield number, second


def _book_ticker(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    first_id = (day - date(2017, 1, 1)).days * 10**9
    for number, second in _evenly(spec, day, spec.trades_a_day):
        bid, moment = _price(spec.symbol, int(second)), int(second * 1000)
        sizes = f"{chance.random() * 9:.8f}", f"{chance.random() * 9:.8f}"
        line = (
            f"{first_id + number * 71},{bid:.8f},{sizes[0]},{bid + 0.1:.8f},{sizes[1]},"
            f"{moment},{moment + 6}\n"
        )
        yield line
        if number % 100 == 0:
            yield line  # whole rows may repeat


_BANDS = ("-5.00", "-4.00", "-3.00", "-2.00", "-1.00", "-0.20")


def _book_depth(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    """Yield a snapshot of 12 bands every 30 seconds, before 2025-11 of 10, and so written."""
    bands = _BANDS if day >= date(2025, 11, 1) else [band[:2] for band in _BANDS[:5]]
    for second in range(_midnight(day) + 6, _midnight(day) + 86_400, 30):
        if spec.has(second):
            price, stamp = _price(spec.symbol, second), _written(second)
            for band in (*bands, *(band[1:] for band in reversed(bands))):
                depth = abs(float(band)) * (900 + 100 * chance.random())
                yield f"{stamp},{band},{depth:.8f},{depth * price:.8f}\n"


def _written(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def _metrics(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    """Yield rows of 00:05 to 00:00 of the next day, as the files of 2026 have them."""
    for second in range(_midnight(day) + 300, _midnight(day) + 86_700, 300):
        held = 100_000 * (1 + chance.random())
        ratios = ",".join(f"{0.5 + 2 * chance.random():.8f}" for _ in range(3))
        if spec.has(second):
            value = held * _price(spec.symbol, second)
            taker = "" if chance.random() < 0.01 else f"{0.5 + chance.random():.8f}"
            yield f"{_written(second)},{spec.symbol},{held:.16f},{value:.16f},{ratios},{taker}\n"


def _funding_rate(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    for second in range(_midnight(day), _midnight(day) + 86_400, 28_800):
        rate, jitter = (chance.random() - 0.5) / 1000, chance.randrange(12)
        if spec.has(second):
            yield f"{second * 1000 + jitter},8,{rate:.8f}\n"


def _liquidations(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    for number, second in _evenly(spec, day, 200):
        price, quantity = _price(spec.symbol, int(second)), chance.randrange(1, 90)
        side = "BUY" if chance.random() < 0.5 else "SELL"
        line = (
            f"{int(second * 1000)},{side},LIMIT,IOC,{quantity},{price:.1f},{price * 0.997:.1f},"
            f"FILLED,{quantity},{quantity}\n"
        )
        yield line
        if number % 2 == 0:
            yield line  # each line twice is normal in some files


def _bvol_index(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    base = spec.symbol.removesuffix("USDT")
    for second in range(_midnight(day), _midnight(day) + 86_400):
        value = 40 + chance.random()
        if spec.has(second):
            yield f"{second * 1000},{spec.symbol},{base},USDT,{value:.4f}\n"


def _eoh_summary(spec: Spec, day: date, chance: random.Random) -> Iterator[str]:
    """Yield an hour after another, of some contracts each, not in the order of their names."""
    coin = spec.symbol.removesuffix("USDT")
    expiry = f"{day + 30 * _DAY:%y%m%d}"
    for hour in (1, 0, *range(2, 24)):
        for strike, side in ((34_000, "P"), (22_000, "C"), (34_000, "C")):
            prices = ",".join("0E-8" if chance.random() < 0.3 else "725.00000000" for _ in range(4))
            held = "," if chance.random() < 0.03 else f"{chance.random():.8f},142676.47973646"
            if spec.has(_midnight(day) + hour * 3600):
                yield (
                    f"{day},{hour:02},{coin}-{expiry}-{strike}-{side},{spec.symbol},{side},"
                    f"{expiry}-{strike},{prices},0E-8,0E-8,745.00000000,780.00000000,5.81000000,"
                    '1.29000000,"",0.48220694,762.40000000,0.47771484,-0.23858728,1E-8,'
                    f"38.95827352,-13.24622221,{held}\n"
                )


_FUTURES = ("um", "cm")
_ALL = ("spot", *_FUTURES)
_KLINES = Shape(
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore",
    _klines, _ALL, has_intervals=True,
)  # fmt: skip
SHAPES = {
    "klines": _KLINES,
    "markPriceKlines": _KLINES,
    "indexPriceKlines": _KLINES,
    "premiumIndexKlines": _KLINES,
    "aggTrades": Shape(
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        _agg_trades, _ALL,
    ),
    "trades": Shape("id,price,qty,quote_qty,time,is_buyer_maker", _trades, _ALL),
    "bookTicker": Shape(
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
        "event_time",
        _book_ticker, _FUTURES,
    ),
    "bookDepth": Shape("timestamp,percentage,depth,notional", _book_depth, _FUTURES, ("daily",)),
    "metrics": Shape(
        "create_time,symbol,sum_open_interest,sum_open_interest_value,"
        "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,count_long_short_ratio,"
        "sum_taker_long_short_vol_ratio",
        _metrics, _FUTURES, ("daily",),
    ),
    "fundingRate": Shape(
        "calc_time,funding_interval_hours,last_funding_rate", _funding_rate, _FUTURES, ("monthly",)
    ),
    "liquidationSnapshot": Shape(
        "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
        "last_fill_quantity,accumulated_fill_quantity",
        _liquidations, _FUTURES, ("daily",),
    ),
    "BVOLIndex": Shape(
        "calc_time,symbol,base_asset,quote_asset,index_value", _bvol_index, ("option",), ("daily",)
    ),
    "EOHSummary": Shape(
        "date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,"
        "best_bid_price,best_ask_price,best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,"
        "mark_price,mark_iv,delta,gamma,vega,theta,openinterest_contracts,openinterest_usdt",
        _eoh_summary, ("option",), ("daily",),
    ),
}  # fmt: skip
