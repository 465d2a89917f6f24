"""The demo: fills a lake from a simulated vendor, offline, and queries it."""

import json
import shlex
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from fullpool import logs
from fullpool.app import clock, configuration, syncing
from fullpool.app.signals import stop_on_signals
from fullpool.cli import pass_report, screen
from fullpool.simulator import Api, Bucket, Fault, Simulator, generate, spec_from
from fullpool.store.catalogue.reader import reading

_SERIES: Final = (
    "spot/klines/BTCUSDT/1m",
    "spot/klines/ETHUSDT/1m",
    "um/klines/BTCUSDT/1h",
    "um/aggTrades/BTCUSDT",
    "um/fundingRate/BTCUSDT",
)
_KLINE_DAYS: Final = 100
_TRADE_DAYS: Final = 4

_CONFIG: Final = """\
# Written by `fullpool demo`. The simulated vendor stops with the demo; start it again with:
#   fullpool simulator {vendor} --port {port}
[lake]
path = {lake}
min_free_gb = 0.5

[network]
archive_url = "{archive_url}"
listing_url = "{listing_url}"

[rest]
spot_url = "{archive_url}"
um_url = "{archive_url}"
cm_url = "{archive_url}"

[[dataset]]
market = "spot"
kind = "klines"
symbols = ["*USDT"]
intervals = ["1m"]

[[dataset]]
market = "um"
kind = "klines"
symbols = ["BTCUSDT"]
intervals = ["1h"]

[[dataset]]
market = "um"
kind = "aggTrades"
symbols = ["BTCUSDT"]

[[dataset]]
market = "um"
kind = "fundingRate"
symbols = ["BTCUSDT"]
"""

QUERIES: Final = (
    (
        "The latest bar of every symbol",
        (
            "SELECT market, symbol, max(open_time) AS open_time,\n"
            "       arg_max(close, open_time) AS close\n"
            "FROM klines_1m GROUP BY market, symbol ORDER BY market, symbol"
        ),
    ),
    (
        "One-minute bars resampled to days",
        (
            "SELECT time_bucket(INTERVAL '1 day', open_time) AS day,\n"
            "       arg_min(open, open_time) AS open,\n"
            "       max(high) AS high, min(low) AS low, arg_max(close, open_time) AS close,\n"
            "       round(sum(volume), 2) AS volume\n"
            "FROM klines_of('BTCUSDT') GROUP BY day ORDER BY day DESC LIMIT 5"
        ),
    ),
    (
        "Volume profile of the last day of trades",
        (
            "SELECT round(price, 0) AS price, round(sum(quantity), 3) AS quantity,\n"
            "       count(*) AS trades\n"
            "FROM agg_trades_of('BTCUSDT', market_ := 'um')\n"
            "WHERE transact_time >= (SELECT max(last_time) FROM sync.coverage) - INTERVAL '1 day'\n"
            "GROUP BY 1 ORDER BY quantity DESC LIMIT 5"
        ),
    ),
    (
        "Funding by month: the running one has no archive yet, so it is from the API",
        (
            "SELECT date_trunc('month', calc_time) AS month, count(*) AS fundings,\n"
            "       round(sum(last_funding_rate) * 100, 4) AS percent,\n"
            "       count(*) FILTER (source = 'rest') AS from_api\n"
            "FROM funding_rate_of('BTCUSDT') GROUP BY month ORDER BY month"
        ),
    ),
    (
        "What is missing, and why",
        (
            "SELECT market, symbol, interval, gap_start, gap_end, row_count, status, explanation\n"
            "FROM sync.gaps ORDER BY gap_start"
        ),
    ),
)


def show(folder: Path) -> None:
    """Fill a lake in *folder* from a simulated vendor, explaining each step, and query it."""
    logs.configure("ERROR")
    archives = folder / "vendor"
    _say(
        f"1. Creating {_KLINE_DAYS} days of klines and funding rates and {_TRADE_DAYS} days of"
        f" trades in {archives},\n"
        "   published the way Binance does: daily archives, and monthly ones for complete months."
    )
    count, yesterday = 0, clock.now().date() - timedelta(days=1)
    for text in _SERIES:
        days = _TRADE_DAYS if "aggTrades" in text else _KLINE_DAYS
        count += _invent(archives, folder / "api", text, yesterday, days)
    # One archive is damaged on its way, once: the pass notices and takes it up again.
    flaw = Fault("*/BTCUSDT-1h-*.zip", "truncate", 500, 1)
    with Simulator(Bucket(archives), faults=[flaw]) as vendor:
        vendor.api = Api(folder / "api")
        _say(f"   {count} archives are served at {vendor.url}; one BTCUSDT 1h download is cut off.")
        _say(
            "   All klines lack the same hour, as after an outage, and BTCUSDT 1h lacks a\n"
            "   day that the API has."
        )
        config = folder / "fullpool.toml"
        config.write_text(
            _CONFIG.format(
                lake=json.dumps(str((folder / "lake").absolute()), ensure_ascii=False),
                vendor=shlex.quote(str(archives.absolute())),
                port=vendor.url.rpartition(":")[2],
                archive_url=vendor.url,
                listing_url=vendor.listing_url,
            )
        )
        _run(config, vendor)
    _say_goodbye(folder)


def _invent(archives: Path, api: Path, text: str, last: date, days: int) -> int:
    """Write the archives of a series, and what the API has of it; return how many archives."""
    middle = datetime(last.year, last.month, last.day, 3, tzinfo=UTC) - timedelta(days=days // 2)
    outage = (middle, middle + timedelta(hours=1))
    lost = (middle + timedelta(days=3), middle + timedelta(days=4))
    spec = spec_from(text, last - timedelta(days=days - 1), last)
    if spec.kind == "fundingRate":  # it is published by month, and the API has the running one
        for _ in generate(api, replace(spec, end=last + timedelta(days=31))):
            pass
    if not spec.interval:
        return sum(1 for _ in generate(archives, spec))
    for _ in generate(api, replace(spec, missing=(outage,))):
        pass
    both = (outage, lost) if spec.interval == "1h" else (outage,)
    return sum(1 for _ in generate(archives, replace(spec, missing=both)))


def _say_goodbye(folder: Path) -> None:
    _say(f"\nThe lake stays in {folder / 'lake'}. Query it with any DuckDB from 1.1 on, or with:")
    program_path = Path(sys.argv[0])
    if program_path.is_relative_to(Path.cwd()):
        program_path = program_path.relative_to(Path.cwd())
    _say(f'  {program_path} sql --lake {folder / "lake"} "FROM klines LIMIT 5"')
    _say(f"  {program_path} status --lake {folder / 'lake'}")


def _run(config: Path, vendor: Simulator) -> None:
    settings = configuration.load_config(config)
    _say(f"\n2. fullpool sync --config {config}")
    with screen.watcher() as watcher:
        started = time.monotonic()
        outcome = syncing.sync(settings, watcher, stop_on_signals())
    syncing.require_complete(outcome)
    elapsed_s = time.monotonic() - started
    pass_report.outcome(outcome, is_json=False)
    _say(f"   in {elapsed_s:.1f} s")
    asked, calls = len(vendor.archive_requests()), len(vendor.api_requests())
    _say("\n3. fullpool sync again: nothing is new, so no archive is requested.")
    with screen.watcher() as watcher:
        pass_report.outcome(syncing.sync(settings, watcher, stop_on_signals()), is_json=False)
    again = len(vendor.archive_requests()) - asked
    _say(f"   {again} archive requests, {len(vendor.api_requests()) - calls} to the API")
    _say("\n4. Querying the lake.")
    with reading(configuration.tree_of(settings)) as reader:
        for title, sql in QUERIES:
            _say(f"\n{title}:\n\n{sql}\n")
            answer = reader.query(sql)
            if answer.rows:
                screen.show_table("", answer.columns, answer.rows)
            else:
                _say("nothing")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
