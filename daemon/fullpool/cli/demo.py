"""The main job, offline: a stand-in for the vendor comes up, a lake is filled from it and asked."""

import json
import math
import shlex
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fullpool import app, logs
from fullpool.cli import report, screen
from fullpool.cli.commands import program
from fullpool.simulator import Api, Bucket, Fault, Simulator, fault_from, generate, spec_from
from fullpool.store.catalogue.reader import reading

_SERIES: Final = (
    "spot/klines/BTCUSDT/1m",
    "spot/klines/ETHUSDT/1m",
    "um/klines/BTCUSDT/1h",
    "um/aggTrades/BTCUSDT",
)
_KLINE_DAYS: Final = 100
_TRADE_DAYS: Final = 4

_CONFIG: Final = """\
# Written by `fullpool demo`: a lake filled from the stand-in for the vendor, which is gone with the
# demo. This brings it back, for another sync:
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
            "       sum(volume) AS volume\n"
            "FROM klines_of('BTCUSDT') GROUP BY day ORDER BY day DESC LIMIT 5"
        ),
    ),
    (
        "Volume profile of the last day of trades",
        (
            "SELECT round(price, 0) AS price, sum(quantity) AS quantity, count(*) AS trades\n"
            "FROM agg_trades_of('BTCUSDT', market_ := 'um')\n"
            "WHERE transact_time >= (SELECT max(last_time) FROM sync.coverage) - INTERVAL '1 day'\n"
            "GROUP BY 1 ORDER BY quantity DESC LIMIT 5"
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


@program.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put it; made if need be.")] = Path(
        "demo-lake"
    ),
) -> None:
    """Fill a lake from the built-in stand-in for the vendor, offline, and query it."""
    logs.configure("ERROR")
    archives = folder / "vendor"
    _say(
        f"1. Inventing {_KLINE_DAYS} days of klines and {_TRADE_DAYS} of trades in {archives},"
        " as the vendor\n   publishes them: daily archives of every day, monthly ones of the months"
        " that are over."
    )
    count, yesterday = 0, app.clock.now().date() - timedelta(days=1)
    for text in _SERIES:
        days = _TRADE_DAYS if "aggTrades" in text else _KLINE_DAYS
        count += _invent(archives, folder / "api", text, yesterday, days)
    # One archive is damaged on its way, once: the pass notices and takes it up again.
    flaw = Fault("*/BTCUSDT-1h-*.zip", "truncate", 500, 1)
    with Simulator(Bucket(archives), faults=[flaw]) as vendor:
        vendor.api = Api(folder / "api")
        _say(f"   {count} archives are served at {vendor.url}; one of BTCUSDT 1h will be cut off.")
        _say(
            "   All klines lack the same hour, as after an outage; and those of"
            " BTCUSDT 1h\n   lack a day that the API has."
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
    if not spec.interval:
        return sum(1 for _ in generate(archives, spec))
    for _ in generate(api, replace(spec, lacking=(outage,))):
        pass
    both = (outage, lost) if spec.interval == "1h" else (outage,)
    return sum(1 for _ in generate(archives, replace(spec, lacking=both)))


def _say_goodbye(folder: Path) -> None:
    _say(
        f"\nThe lake stays in {folder / 'lake'}. Ask it yourself, with any DuckDB from 1.1 on, or:"
    )
    program_path = Path(sys.argv[0])
    if program_path.is_relative_to(Path.cwd()):
        program_path = program_path.relative_to(Path.cwd())
    _say(f'  {program_path} sql --lake {folder / "lake"} "FROM klines LIMIT 5"')
    _say(f"  {program_path} status --lake {folder / 'lake'}")


def _run(config: Path, vendor: Simulator) -> None:
    settings = app.load_config(config)
    _say(f"\n2. fullpool sync --config {config}")
    with screen.watcher() as watcher:
        started = time.monotonic()
        outcome = app.sync(settings, watcher, app.stop_on_signals())
    app.require_complete(outcome)
    elapsed_s = time.monotonic() - started
    report.outcome(outcome, is_json=False)
    _say(f"   in {elapsed_s:.1f} s")
    asked, calls = len(vendor.archive_requests()), len(vendor.api_requests())
    _say("\n3. The same again: nothing is new, so no archive is asked for.")
    with screen.watcher() as watcher:
        report.outcome(app.sync(settings, watcher, app.stop_on_signals()), is_json=False)
    again = len(vendor.archive_requests()) - asked
    _say(f"   {again} archive requests, {len(vendor.api_requests()) - calls} to the API")
    _say("\n4. SQL against the lake.")
    with reading(app.tree_of(settings)) as reader:
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


FaultOption = Annotated[
    list[str] | None,
    typer.Option(
        help="PATTERN=KIND[:VALUE[:TIMES]]: status, truncate, reset, tamper, html, slow, body"
        " or redirect, as in '*.zip=status:503:2'; repeatable."
    ),
]
SeriesOption = Annotated[
    list[str] | None,
    typer.Option(help="Invent MARKET/KIND/SYMBOL[/INTERVAL] into the folder first; repeatable."),
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")
]
DaysOption = Annotated[
    int, typer.Option(min=1, max=10_000, help="Days to invent, up to yesterday.")
]
TradesOption = Annotated[int, typer.Option(min=1, help="Trades to invent for a day.")]
DelayOption = Annotated[float, typer.Option(min=0, help="Milliseconds before every answer.")]


@program.command()
def simulator(  # noqa: PLR0917 - a command has as many parameters as it has options
    folder: Annotated[Path, typer.Argument(help="Folder that mirrors the bucket's keys.")],
    port: PortOption = 8765,
    series: SeriesOption = None,
    days: DaysOption = 40,
    trades_a_day: TradesOption = 20_000,
    delay_ms: DelayOption = 0.0,
    fault: FaultOption = None,
    cert: Annotated[
        Path | None, typer.Option(help="PEM file with certificate and key: serve https.")
    ] = None,
) -> None:
    """Serve a folder, read once, as the vendor does: listing, CHECKSUM, REST API, faults.

    A CHECKSUM that is not in the folder is made; --fault '*.CHECKSUM=status:404' takes them away.
    """
    try:
        faults = [fault_from(text) for text in fault or []]
        _invent_all(folder, series or [], days, trades_a_day)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    tls = _server_context(cert) if cert else None
    with _served(folder, port=port, delay_s=delay_ms / 1000, faults=faults, tls=tls) as served:
        _say(f'[network]\narchive_url = "{served.url}"\nlisting_url = "{served.listing_url}"')
        hosts = (f'{market}_url = "{served.url}"' for market in ("spot", "um", "cm"))
        _say("[rest]\n" + "\n".join(hosts))
        app.clock.sleeper(app.stop_on_signals())(math.inf)


def _invent_all(folder: Path, series: Sequence[str], days: int, trades_a_day: int) -> None:
    yesterday = app.clock.now().date() - timedelta(days=1)
    first = yesterday - timedelta(days=days - 1)
    if series:
        sys.stderr.write(f"inventing {first} to {yesterday} in {folder}\n")
    for spec in [spec_from(text, first, yesterday, trades_a_day) for text in series]:
        for _ in generate(folder, spec):
            pass


def _served(folder: Path, *, port: int, **options: Any) -> Simulator:
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}; --series invents one")
    try:
        return Simulator(Bucket(folder), port=port, **options)
    except OSError as error:
        raise typer.BadParameter(f"port {port} on 127.0.0.1: {error}") from error


def _server_context(cert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert)
    except OSError as error:  # of which ssl's own are
        raise typer.BadParameter(f"the certificate {cert}: {error}") from error
    return context
