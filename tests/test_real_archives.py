"""Every real archive of our kinds goes through the whole pipeline and comes out exact."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fullpool.config import Config, parse
from fullpool.simulator import Bucket, Simulator
from fullpool.store.catalogue.reader import Reader, reading
from real_reader import Content, archives, content
from vendor import snapshot, sync, tree_of

DATASETS = """
[[dataset]]
market = "spot"
kind = "klines"
symbols = ["*"]
intervals = ["1m", "5m", "15m", "1h", "4h", "1d"]
[[dataset]]
market = "um"
kind = "klines"
symbols = ["*"]
intervals = ["1m", "1h"]
[[dataset]]
market = "cm"
kind = "klines"
symbols = ["*"]
intervals = ["1m"]
[[dataset]]
market = "um"
kind = "aggTrades"
symbols = ["*"]
[[dataset]]
market = "cm"
kind = "aggTrades"
symbols = ["*"]
"""
DECIMALS = {
    "klines": ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume",
               "taker_buy_quote_volume"),
    "aggTrades": ("price", "quantity"),
}  # fmt: skip


@pytest.fixture(scope="module")
def synced(
    real: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Config, Simulator]]:
    lake = tmp_path_factory.mktemp("real") / "lake"
    with Simulator(Bucket(real / "archives")) as vendor:
        text = (
            f"[lake]\npath = '{lake}'\nmin_free_gb = 0.0\n[network]\n"
            f'archive_url = "{vendor.url}"\nlisting_url = "{vendor.listing_url}"\n'
            f"[rest]\nenabled = false\n{DATASETS}"
        )
        config = parse(text, "real.toml")
        sync(config)
        yield config, vendor


def test_every_real_archive_is_in_the_lake_to_the_last_decimal(
    real: Path, synced: tuple[Config, Simulator]
) -> None:
    config, _ = synced
    expected = [content(path) for path in archives(real / "archives")]

    with reading(tree_of(config)) as reader:
        found = [in_lake(reader, one) for one in expected]

    assert len(expected) > 1000
    assert found == [(one.rows, one.first, one.last, one.sums) for one in expected]


def in_lake(reader: Reader, one: Content) -> tuple[Any, ...]:
    """Return what the lake holds of one archive's period."""
    time, table = (
        ("open_time", "klines") if one.kind == "klines" else ("transact_time", "agg_trades")
    )
    sums = ", ".join(f"sum({name})" for name in DECIMALS[one.kind])
    key = f"market_ := '{one.market}'" + (
        f", interval_ := '{one.interval}'" if one.interval else ""
    )
    days = 1 if len(one.period) == 10 else 31
    start = one.first.replace(hour=0, minute=0, second=0, microsecond=0)
    start = start if days == 1 else start.replace(day=1)
    end = start + timedelta(days=1) if days == 1 else (start + timedelta(days=32)).replace(day=1)
    row = reader.query(
        f"SELECT count(*), min({time}), max({time}), {sums}"
        f" FROM {table}_of_exact('{one.symbol}', {key})"
        f" WHERE {time} >= '{start:%Y-%m-%d}' AND {time} < '{end:%Y-%m-%d}'"
    ).rows[0]
    utc = one.first.tzinfo
    return (
        row[0],
        row[1].replace(tzinfo=utc),
        row[2].replace(tzinfo=utc),
        tuple(map(Decimal, row[3:])),
    )


def test_a_second_sync_asks_for_no_archive_and_rewrites_nothing(
    synced: tuple[Config, Simulator],
) -> None:
    config, vendor = synced
    before = snapshot(tree_of(config).root)
    asked = len(vendor.archive_requests())

    outcome, _ = sync(config)

    assert len(vendor.archive_requests()) == asked
    assert outcome.archives == 0
    assert snapshot(tree_of(config).root) == before


def test_no_real_archive_is_quarantined_or_failed(synced: tuple[Config, Simulator]) -> None:
    config, _ = synced

    with reading(tree_of(config)) as reader:
        found = reader.query("SELECT DISTINCT status FROM sync.archives").rows

    assert {status for (status,) in found} <= {"present", "absent"}
