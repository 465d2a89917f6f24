"""What is exported for freqtrade and NautilusTrader is read by them, and the docs' code runs."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fullpool.config import Config
from lab import DAY, HEADER, HOUR, Lab, at, bars, trade
from served import Vendor, dataset, kline, sync, tree_of

pytestmark = pytest.mark.programs
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "programs.md"
DAYS = ("2024-03-08", "2024-03-09")
SERIES = (
    "spot/klines/BTCUSDT,PEPEUSDT/1h", "um/klines/BTCUSDT,BTCUSDT_240329/1h",
    "um/markPriceKlines/BTCUSDT/1h", "um/aggTrades/BTCUSDT", "um/fundingRate/BTCUSDT",
)  # fmt: skip

FREQTRADE = """
import sys
from pathlib import Path
from freqtrade.data.history import load_pair_history
from freqtrade.data.history.datahandlers import get_datahandler
from freqtrade.enums import CandleType, TradingMode
from freqtrade.exchange.exchange import Exchange

folder = Path(sys.argv[1])

def loaded(pair, candles):
    return load_pair_history(
        pair=pair, timeframe="1h", datadir=folder, candle_type=candles, data_format="feather",
        fill_up_missing=False, drop_incomplete=False,
    )

spot = loaded("BTC/USDT", CandleType.SPOT)
assert spot.shape == (48, 6) and str(spot["date"].iloc[0]) == "2024-03-08 00:00:00+00:00", spot
assert spot.iloc[0].to_dict().items() >= {"open": 1.0, "close": 1.5, "volume": 10.0}.items()
assert loaded("PEPE/USDT", CandleType.SPOT)["volume"].iloc[0] == 98765432109
assert loaded("BTC/USDT:USDT", CandleType.FUTURES)["volume"].sum() == 48 * 7
rates = loaded("BTC/USDT:USDT", CandleType.FUNDING_RATE)
fees = Exchange.combine_funding_and_mark(rates, loaded("BTC/USDT:USDT", CandleType.MARK))
assert len(fees) == 6 and set(fees["open_fund"]) == {0.0001}, fees
handler = get_datahandler(folder, "feather")
assert len(handler.ohlcv_get_available_data(folder, TradingMode.FUTURES)) == 3
assert len(handler.ohlcv_get_available_data(folder, TradingMode.SPOT)) == 2
trades = handler.trades_load("BTC/USDT:USDT", TradingMode.FUTURES)
assert len(trades) == 47 and set(trades["side"]) == {"sell"}, trades
assert trades["id"].iloc[0] == "800" and trades["cost"].iloc[0] == 1.5
print("ok")
"""
REFUSED = """
import sys
from nautilus_trader.persistence.catalog import ParquetDataCatalog

bars = ParquetDataCatalog(sys.argv[1]).bars(["AUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"])
assert len(bars) == 24 and bars[0].ts_event == 1735693200 * 10**9, (len(bars), bars[0].ts_event)
print("ok")
"""
NAUTILUS = """
import sys
from nautilus_trader.persistence.catalog import ParquetDataCatalog

catalog = ParquetDataCatalog(sys.argv[1])
names = sorted(str(one.id) for one in catalog.instruments())
assert names == ["BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "PEPEUSDT.BINANCE"], names
bars = catalog.bars(["PEPEUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"])
assert len(bars) == 48 and str(bars[0].volume) == "98765432109" and str(bars[0].low) == "0.5"
assert bars[0].ts_event == 1709856000 * 10**9 + 3600 * 10**9, bars[0].ts_event
assert len(catalog.bars(["BTCUSDT-PERP.BINANCE-1-HOUR-LAST-EXTERNAL"])) == 48
ticks = catalog.trade_ticks(["BTCUSDT-PERP.BINANCE"])
assert len(ticks) == 47 and str(ticks[0].price) == "1.5" and str(ticks[0].trade_id) == "800"
print("ok")
"""


def python_of(variable: str) -> str:
    python = os.environ.get(variable)
    if not python:
        pytest.skip("the program is not installed: make test-programs installs it")
    return python


def run(python: str, *arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [python, *map(str, arguments)],
        check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "daemon"), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + done.stderr


@pytest.fixture(scope="module")
def lake() -> Iterator[Path]:
    """Candles, trades (one of them void), mark prices and funding rates."""
    text = "".join(dataset(one, start="2024-03-08", end="2024-03-31") for one in SERIES)
    with Lab(text) as lab:
        for day in DAYS:
            lines = bars(at(day), at(day) + DAY, HOUR, 7)
            for symbol, volume in (("BTCUSDT", 10), ("PEPEUSDT", 98_765_432_109)):
                rows = bars(at(day), at(day) + DAY, HOUR, volume)
                lab.put(f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-{day}.zip", rows)
            for kind, symbol in (
                ("klines", "BTCUSDT"), ("klines", "BTCUSDT_240329"), ("markPriceKlines", "BTCUSDT"),
            ):  # fmt: skip
                folder = f"data/futures/um/daily/{kind}/{symbol}/1h"
                lab.put(f"{folder}/{symbol}-1h-{day}.zip", lines)
            lab.put(
                f"data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{day}.zip",
                HEADER + trades(day),
            )
        times = [at("2024-03-01") + n * 8 * HOUR for n in range(93)]
        rates = "".join(f"{round(t.timestamp() * 1000) + 3},8,0.0001\n" for t in times)
        lab.put(
            "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-03.zip",
            f"calc_time,funding_interval_hours,last_funding_rate\n{rates}",
        )
        lab.run("sync", "2024-04-02T06:00")
        yield tree_of(lab.config).root


def trades(day: str) -> str:
    first = 800 + DAYS.index(day) * 24
    lines = [trade(first + n, at(day) + n * HOUR) for n in range(24)]
    if day == DAYS[1]:
        moment = round((at(day) + 23 * HOUR).timestamp() * 1000)
        lines[-1] = f"{first + 23},0.0,0.0,-1,-1,{moment},true\n"
    return "".join(lines)


def test_freqtrade_loads_its_export(lake: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    export = ("-m", "fullpool", "export", "--lake", lake, target, "--for", "freqtrade")
    said = run(python_of("FRAMES_PYTHON"), *export)

    assert said.startswith("6 files, ")
    assert "left out: um/klines/BTCUSDT_240329/1h: its two assets are not known" in said
    assert run(python_of("FREQTRADE_PYTHON"), "-c", FREQTRADE, target).startswith("ok")


def test_nautilus_reads_the_exported_catalogue(lake: Path, tmp_path: Path) -> None:
    target, python = tmp_path / "out", python_of("NAUTILUS_PYTHON")
    said = run(python, "-m", "fullpool", "export", "--lake", lake, target, "--for", "nautilus")

    assert "left out: um/markPriceKlines/BTCUSDT/1h: nautilus has no such data" in said
    assert run(python, "-c", NAUTILUS, target).startswith("ok")


def test_microseconds_move_no_bar_and_refusals_are_told(tmp_path: Path) -> None:
    target, python = tmp_path / "out", python_of("NAUTILUS_PYTHON")
    begins = at("2025-01-01")
    lines = "".join(kline(begins + n * HOUR, step_ms=3_600_000, unit=10**6) for n in range(24))
    huge = bars(begins, begins + DAY, HOUR, 50_000_000_000_000)  # more than it has room for
    with Lab(dataset("spot/klines/AUSDT,BUSDT/1h", start="2025-01-01", end="2025-01-01")) as lab:
        for symbol, rows in (("AUSDT", lines), ("BUSDT", huge)):
            lab.put(f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-2025-01-01.zip", rows)
        lab.run("sync", "2025-01-03T12:00")
        root = tree_of(lab.config).root
        said = run(python, "-m", "fullpool", "export", "--lake", root, target, "--for", "nautilus")

    assert (
        "left out: spot/klines/BUSDT/1h, rows from 2025-01-01 01:00:00 on: nautilus refuses" in said
    )
    assert run(python, "-c", REFUSED, target).startswith("ok")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    folder = tmp_path_factory.mktemp("filled")
    with Vendor(folder / "vendor") as vendor:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            vendor.publish(f"spot/klines/{symbol}/1h", date(2024, 1, 1), date(2024, 1, 31))
        text = dataset("spot/klines/BTCUSDT,ETHUSDT/1h", start="2024-01-01", end="2024-01-31")
        config = vendor.config(folder / "lake", text)
        sync(config)
        yield config


def blocks() -> list[tuple[str, str]]:
    """Return the programs of the page that open the lake, by their titles."""
    sections = PAGE.read_text().split("\n## ")[1:]
    found = [
        (one.partition("\n")[0], re.findall(r"```python\n(.*?)```", one, re.DOTALL))
        for one in sections
    ]
    return [(title, code) for title, codes in found for code in codes if "fullpool.open" in code]


@pytest.mark.parametrize(("title", "code"), blocks(), ids=[title for title, _ in blocks()])
def test_the_code_of_the_docs_runs(filled: Config, tmp_path: Path, title: str, code: str) -> None:
    config = tmp_path / "fullpool.toml"
    config.write_text(f'[lake]\npath = "{filled.lake.path}"\n')

    said = run(python_of("PROGRAMS_PYTHON"), "-c", code, FULLPOOL_CONFIG=str(config))

    assert said.strip(), title
