"""The demo: fills a lake from a simulated vendor, offline, and queries it."""

import json
import shlex
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from fullpool import logs
from fullpool.app import clock, configuration, syncing
from fullpool.app.signals import Flag, stop_on_signals
from fullpool.cli import demo_vendor, pass_report, screen
from fullpool.config import Config
from fullpool.simulator import Bucket, Fault, Simulator
from fullpool.store.catalogue.reader import reading
from fullpool.sync.outcome import Outcome
from fullpool.sync.watcher import Watcher

_CONFIG: Final = """\
# Written by `fullpool demo`. The simulated vendor stops with the demo; start it again with:
#   fullpool simulator {vendor} --api {api} --port {port}
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
symbols = ["BTCUSDT"]
intervals = ["1m"]
follow = true

[[dataset]]
market = "spot"
kind = "klines"
symbols = ["*USDT"]
intervals = ["1h"]
start = {start}

[[dataset]]
market = "um"
kind = "klines"
symbols = ["BTCUSDT"]
intervals = ["1h"]
start = {start}

[[dataset]]
market = "um"
kind = "aggTrades"
symbols = ["BTCUSDT"]

[[dataset]]
market = "um"
kind = "fundingRate"
symbols = ["BTCUSDT"]

[[dataset]]
market = "um"
kind = "metrics"
symbols = ["BTCUSDT"]
"""

QUERIES: Final = (
    (
        "The latest bar of every symbol",
        (
            "SELECT market, symbol, max(open_time) AS open_time,\n"
            "       arg_max(close, open_time) AS close\n"
            "FROM klines_1h GROUP BY market, symbol ORDER BY market, symbol"
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
            "FROM funding_rate_of('BTCUSDT') GROUP BY month ORDER BY month DESC LIMIT 4"
        ),
    ),
    (
        "What is missing, and why",
        (
            "SELECT market, symbol, interval, gap_start, gap_end, row_count, status, explanation\n"
            "FROM sync.gaps ORDER BY gap_start"
        ),
    ),
    (
        "What the vendor corrected",
        (
            "SELECT market, symbol, interval, period, rows_added, rows_removed, rows_changed\n"
            "FROM sync.revisions WHERE rows_changed > 0"
        ),
    ),
)


def show(folder: Path) -> None:
    """Fill a lake in *folder* from a simulated vendor, explaining each step, and query it."""
    logs.configure("ERROR")
    archives, today = folder / "vendor", clock.now().date()
    _say(
        f"1. Creating a year of klines and funding rates and some days of trades in {archives},\n"
        "   published the way Binance does: daily archives, and monthly ones for complete months."
    )
    count = demo_vendor.publish(folder, today)
    # One archive is damaged on its way, once: the pass notices and takes it up again.
    flaw = Fault("*/BTCUSDT-1h-*.zip", "truncate", 500, 1)
    with Simulator(Bucket(archives), faults=[flaw]) as vendor:
        vendor.api = demo_vendor.api_of(folder)
        _say(f"   {count:,} archives are served at {vendor.url}; one download is cut off.")
        _say(
            "   All klines lack the same hours, as after an outage. Two series lack two days that\n"
            "   the API has. LUNAUSDT was delisted. BTCUSDT 1m is followed up to this minute."
        )
        config = _write_config(folder, vendor, today)
        _run(config, vendor, today)
    _say_goodbye(folder)


def _write_config(folder: Path, vendor: Simulator, today: date) -> Path:
    config = folder / "fullpool.toml"
    config.write_text(
        _CONFIG.format(
            lake=json.dumps(str((folder / "lake").absolute()), ensure_ascii=False),
            vendor=shlex.quote(str((folder / "vendor").absolute())),
            api=shlex.quote(str((folder / "api").absolute())),
            port=vendor.url.rpartition(":")[2],
            archive_url=vendor.url,
            listing_url=vendor.listing_url,
            start=today - timedelta(days=demo_vendor.YEAR),
        )
    )
    return config


def _run(config: Path, vendor: Simulator, today: date) -> None:
    settings = configuration.load_config(config)
    started = time.monotonic()
    _say(f"\n2. fullpool sync --config {config}")
    _sync(settings, syncing.sync)
    _say(f"   in {time.monotonic() - started:.1f} s")
    asked = len(vendor.archive_requests())
    _say("\n3. fullpool sync again: nothing is new, so no archive is requested.")
    _sync(settings, syncing.sync)
    _say(f"   {len(vendor.archive_requests()) - asked} archive requests")
    name = demo_vendor.republish(config.parent, today)
    vendor.bucket.refresh()
    vendor.api.refresh()
    _say(f"\n4. The vendor republishes {name}. fullpool sync --audit finds it.")
    _sync(settings, syncing.audited_sync)
    _say("\n5. Querying the lake.")
    with reading(configuration.tree_of(settings)) as reader:
        for title, sql in QUERIES:
            _say(f"\n{title}:\n\n{sql}\n")
            answer = reader.query(sql)
            screen.show_table("", answer.columns, answer.rows)


def _sync(settings: Config, act: Callable[[Config, Watcher, Flag], Outcome]) -> None:
    with screen.watcher() as watcher:
        outcome = act(settings, watcher, stop_on_signals())
    syncing.require_complete(outcome)
    pass_report.outcome(outcome, is_json=False)


def _say_goodbye(folder: Path) -> None:
    lake = folder / "lake"
    program = Path(sys.argv[0])
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    _say(f"\nThe lake stays in {lake}. Look at it in a browser:")
    _say(f"  {program} web --lake {lake}")
    _say("or in the terminal, or with any DuckDB from 1.1 on:")
    _say(f"  {program} status --map --lake {lake}")
    _say(f'  {program} sql --lake {lake} "FROM klines LIMIT 5"')


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
