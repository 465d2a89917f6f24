"""The path grammar, against the keys of 1,200 real archives."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fullpool import vendor
from fullpool.kinds import KINDS
from fullpool.model import Archive, Cadence, Interval, Market, Series, period_from

MARKETS = {"spot": Market.SPOT, "um": Market.UM, "cm": Market.CM}
MARCH, DAY = period_from("2024-03"), period_from("2024-03-05")
BTC = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)


def test_real_keys_are_written_and_read_back(real: Path) -> None:
    with (real / "PROVENANCE.tsv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file, delimiter="\t")
            if row["local_path"].startswith("archives/")
            and row["local_path"].endswith(".zip")
            and row["dataset"] in KINDS
        ]

    for row in rows:
        interval = Interval(row["interval"]) if row["interval"] else None
        series = Series(MARKETS[row["market"]], row["dataset"], row["symbol"], interval)
        archive = Archive(series, period_from(row["period"]))
        key = row["local_path"].removeprefix("archives/")
        assert vendor.archive_key(archive) == key
        assert vendor.period_in(series, key) == archive.period
        assert f"member={vendor.member_name(archive)}" in row["notes"]
    assert len(rows) > 1000


@pytest.mark.parametrize(
    "key",
    [
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip.CHECKSUM",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-32.zip",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1m-2024-01-01.zip",
        "data/spot/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2024-01-01.zip",
    ],
)
def test_other_keys_name_no_period(key: str) -> None:
    assert vendor.period_in(BTC, key) is None


def test_addresses_percent_encode_names_beyond_ascii() -> None:
    assert vendor.url("https://x", "data/币/a.zip") == "https://x/data/%E5%B8%81/a.zip"


def test_marker_just_precedes_first_wanted_key() -> None:
    period = period_from("2024-01-01")
    marker = vendor.marker_before(BTC, period)

    assert marker < vendor.archive_key(Archive(BTC, period))
    assert marker > vendor.archive_key(Archive(BTC, period_from("2023-12-31"))) + ".CHECKSUM"


def test_daily_archives_are_asked_early_for_one_week() -> None:
    day = period_from("2024-01-01")
    end = datetime(2024, 1, 2, tzinfo=UTC)

    assert vendor.first_ask(BTC, day) == end + timedelta(hours=3)
    assert not vendor.is_overdue(day, end + timedelta(days=6))
    assert vendor.is_overdue(day, end + timedelta(days=8))


def test_longest_spot_intervals_lack_daily_archives() -> None:
    weekly = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)

    assert not vendor.has_daily(weekly)
    assert vendor.has_daily(BTC)
    assert vendor.series_prefix(weekly, Cadence.MONTH).endswith("/1w/")


def test_symbol_lists_leave_out_invalid_names() -> None:
    assert vendor.symbol_in("data/spot/daily/klines/BTCUSDT/") == "BTCUSDT"
    assert vendor.symbol_in("data/spot/daily/klines/a b/") is None


@pytest.mark.parametrize(
    "archive",
    [
        Archive(Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1), DAY),
        Archive(Series(Market.SPOT, "aggTrades", "BTCUSDT"), period_from("2024-03")),
        Archive(
            Series(Market.UM, "markPriceKlines", "X_240628", Interval.H1), period_from("2024-03")
        ),
        Archive(Series(Market.CM, "aggTrades", "BTCUSD_PERP"), period_from("2024-03-05")),
        Archive(
            Series(Market.SPOT, "klines", "币安人生USDT", Interval.M1), period_from("2024-03-05")
        ),
    ],
)
def test_archives_are_found_by_their_key(archive: Archive) -> None:
    key = vendor.archive_key(archive)

    assert vendor.archive_in(key) == archive
    assert vendor.checksum_key(archive) == key + ".CHECKSUM"
    assert key.endswith("/" + vendor.member_name(archive).replace(".csv", ".zip"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip.CHECKSUM",
        "x/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
        "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
        "data/spot/daily/klines/BTCUSDT/7m/BTCUSDT-7m-2024-03-05.zip",
        "data/spot/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2024-03-05.zip",
        "data/spot/daily/klines/../1m/..-1m-2024-03-05.zip",
        "data/spot/daily/klines/BTCUSDT/1m/deep/BTCUSDT-1m-2024-03-05.zip",
        "data/option/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
    ],
)
def test_other_keys_name_no_archive(key: str) -> None:
    assert vendor.archive_in(key) is None
