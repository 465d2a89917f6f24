"""Invents the benchmarks' archives, once, into a folder that mirrors the bucket."""

import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import duckdb

from fullpool.simulator import generate, spec_from

SMALL_SYMBOLS = tuple(f"S{number:02}USDT" for number in range(20))
SMALL_FIRST, SMALL_DAYS = date(2026, 6, 1), 100
TRADES_FIRST, TRADES_FILES, TRADES_ROWS = date(2026, 6, 1), 4, 2_700_000
MONTH, MONTH_ROWS = date(2026, 6, 1), 56_000_000
KINDS_FIRST = date(2026, 6, 1)
# Days of each kind that have about 20 MB of CSV; funding rates never do.
KINDS = {
    "spot/trades/BTCUSDT": 1, "um/trades/BTCUSDT": 1, "um/bookTicker/BTCUSDT": 1,
    "um/bookDepth/BTCUSDT": 10, "um/metrics/BTCUSDT": 400, "um/fundingRate/BTCUSDT": 3000,
    "cm/liquidationSnapshot/BTCUSD_PERP": 400, "option/BVOLIndex/BTCBVOLUSDT": 5,
}  # fmt: skip
OPTIONS = "option/EOHSummary/BTCUSDT"
HUGE_DAY, HUGE_ROWS = date(2026, 7, 1), 15_500_000


def small(folder: Path) -> Path:
    """Make 2,000 daily 1m archives: 20 symbols of 100 days."""
    days = [SMALL_FIRST + timedelta(days=n) for n in range(SMALL_DAYS)]
    jobs = [(folder, symbol, day) for symbol in SMALL_SYMBOLS for day in days]
    return _made(folder, jobs)


def many_symbols(count: int) -> list[str]:
    return [f"M{number:04}USDT" for number in range(count)]


def many(folder: Path, symbols: int) -> Path:
    """Make 100 daily 1m archives of each of so many symbols."""
    days = [SMALL_FIRST + timedelta(days=n) for n in range(SMALL_DAYS)]
    return _made(
        folder, [(folder, symbol, day) for symbol in many_symbols(symbols) for day in days]
    )


def one_symbol(folder: Path) -> Path:
    """Make 12 monthly and 20 daily 1m archives of BTCUSDT."""
    months = [(folder, "BTCUSDT", date(2024, month, 1)) for month in range(1, 13)]
    days = [(folder, "BTCUSDT", date(2025, 1, day)) for day in range(1, 21)]
    return _made(folder, [*days], months)


def trades(folder: Path) -> Path:
    """Make 4 daily aggTrades archives of about 50 MB zipped."""
    if not folder.exists():
        for number in range(TRADES_FILES):
            _write_trades(folder, "BTCUSDT", TRADES_FIRST + timedelta(days=number), TRADES_ROWS)
    return folder


def huge(folder: Path) -> Path:
    """Make one aggTrades archive whose CSV has 1 GB."""
    if not folder.exists():
        _write_trades(folder, "BTCUSDT", HUGE_DAY, HUGE_ROWS)
    return folder


Job = tuple[Path, str, date]


def _made(folder: Path, days: list[Job], months: list[Job] | None = None) -> Path:
    if folder.exists():
        return folder
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write_day, days, chunksize=20))
        list(pool.map(_write_month, months or []))
    return folder


def _write_day(job: Job) -> None:
    folder, symbol, day = job
    name = f"{symbol}-1m-{day}"
    path = folder / f"data/spot/daily/klines/{symbol}/1m/{name}.zip"
    zip_into(path, f"{name}.csv", klines(symbol, day, 1440))


def _write_month(job: Job) -> None:
    folder, symbol, first = job
    after = (first + timedelta(days=32)).replace(day=1)
    name = f"{symbol}-1m-{first.isoformat()[:7]}"
    path = folder / f"data/spot/monthly/klines/{symbol}/1m/{name}.zip"
    zip_into(path, f"{name}.csv", klines(symbol, first, (after - first).days * 1440))


def klines(symbol: str, first: date, rows: int) -> bytes:
    """Return kline rows with the entropy of real ones: about 70 kB a zipped day."""
    unit = 1_000_000 if first >= date(2025, 1, 1) else 1000
    start = (first - date(1970, 1, 1)).days * 86_400
    sql = f"""
        SELECT t * {unit}, p, p + r1, p - r2, p + r1 - r2, v, (t + 60) * {unit} - 1,
               (v * 100)::DECIMAL(18,8), c, (v / 2)::DECIMAL(18,8), (v * 50)::DECIMAL(18,8), 0
        FROM (SELECT {start} + i * 60 AS t,
                     (100 + 10 * sin(i / 500) + (hash(i, '{symbol}') % 1000) / 1e3
                     )::DECIMAL(18,8) AS p,
                     ((hash(i, 1, '{symbol}') % 1000000) / 1e6)::DECIMAL(18,8) AS r1,
                     ((hash(i, 2, '{symbol}') % 1000000) / 1e6)::DECIMAL(18,8) AS r2,
                     ((hash(i, 3, '{symbol}') % 10000000000) / 1e8)::DECIMAL(18,8) AS v,
                     hash(i, 4) % 5000 AS c
              FROM range({rows}) AS r(i))"""
    return _csv(sql)


def _write_trades(folder: Path, symbol: str, day: date, rows: int) -> None:
    start = (day - date(1970, 1, 1)).days * 86_400_000
    sql = f"""
        SELECT {start} // 10 + i,
               (60000 + 500 * sin(i / 9e4) + (hash(i) % 1000) / 1e1)::DECIMAL(18,1),
               ((hash(i, 1) % 3000) / 1e3)::DECIMAL(18,3), {start} + i * 2,
               {start} + i * 2 + hash(i, 2) % 3, {start} + (i * 86400000 // {rows}),
               CASE WHEN hash(i, 3) % 2 = 0 THEN 'true' ELSE 'false' END
        FROM range({rows}) AS r(i)"""
    name = f"{symbol}-aggTrades-{day}"
    header = (
        b"agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    )
    path = folder / f"data/futures/um/daily/aggTrades/{symbol}/{name}.zip"
    zip_into(path, f"{name}.csv", header + _csv(sql))


def _write_options(folder: Path, day: date) -> None:
    """Write a day of EOHSummary: 24 times 230 contracts, most of them without a trade."""
    amounts = ", ".join(
        f"(hash(h, c, {n}, '{day}') % 100000000 / 1e5)::DECIMAL(18,8)" for n in range(11)
    )
    empty = ", ".join(["'0E-8'"] * 6)
    sql = f"""
        SELECT '{day}', lpad(h::VARCHAR, 2, '0'), 'BTC-' || strike || '-' || side, 'BTCUSDT', side,
               strike, {empty}, {amounts},
               (hash(h, c, 11, '{day}') % 1000 / 1e8)::DECIMAL(18,8), '0E-8', '0E-8'
        FROM (SELECT h, c, '261225-' || (20000 + (c // 2) * 500) AS strike,
                     CASE WHEN c % 2 = 0 THEN 'C' ELSE 'P' END AS side
              FROM range(24) AS hours(h), range(230) AS contracts(c))"""
    name = f"BTCUSDT-EOHSummary-{day}"
    header = (
        b"date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,"
        b"best_bid_price,best_ask_price,best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,"
        b"mark_price,mark_iv,delta,gamma,vega,theta,openinterest_contracts,openinterest_usdt\n"
    )
    path = folder / f"data/option/daily/EOHSummary/BTCUSDT/{name}.zip"
    zip_into(path, f"{name}.csv", header + _csv(sql))


def month_of_trades(folder: Path) -> Path:
    """Make one monthly archive of spot trades whose CSV has more than 4 GB."""
    if any(folder.rglob("*.zip")):
        return folder
    start, length = (MONTH - date(1970, 1, 1)).days * 86_400_000_000, 30 * 86_400_000_000
    sql = f"""
        SELECT 3344774379 + i, p, q, (p::DOUBLE * q::DOUBLE)::DECIMAL(18,8),
               {start} + i * {length // MONTH_ROWS},
               CASE WHEN hash(i, 3) % 2 = 0 THEN 'True' ELSE 'False' END, 'True'
        FROM (SELECT i, (60000 + 500 * sin(i / 9e4) + (hash(i) % 1000) / 1e1)::DECIMAL(13,8) AS p,
                     ((hash(i, 1) % 300000) / 1e5)::DECIMAL(9,8) AS q
              FROM range({MONTH_ROWS}) AS r(i))"""
    name = f"BTCUSDT-trades-{MONTH:%Y-%m}"
    path = folder / f"data/spot/monthly/trades/BTCUSDT/{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({sql}) TO '{file.name}' (HEADER false)")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(file.name, f"{name}.csv")
    return folder


def kinds(folder: Path) -> dict[str, Path]:
    """Make archives of each of the other kinds, of about 20 MB of CSV, by the simulator."""
    for series, days in KINDS.items():
        own = folder / series.replace("/", "-")
        if not own.exists():
            spec = spec_from(series, KINDS_FIRST, KINDS_FIRST + timedelta(days=days - 1), 250_000)
            list(generate(own, spec))
    return {series: folder / series.replace("/", "-") for series in KINDS}


def options(folder: Path) -> Path:
    """Make 14 daily archives of 230 contracts an hour, as the real ones have."""
    if not folder.exists():
        for number in range(14):
            _write_options(folder, KINDS_FIRST + timedelta(days=number))
    return folder


def _csv(sql: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            connection.execute(f"COPY ({sql}) TO '{file.name}' (HEADER false)")
        return Path(file.name).read_bytes()


def zip_into(path: Path, member: str, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(member, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
        )
