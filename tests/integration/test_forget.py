"""Series that nobody wants any more are removed from the lake, and nothing else is."""

from collections.abc import Iterator

import pytest
import time_machine

from fullpool.app.forget import forget, unwanted
from fullpool.app.rebuild import rebuild
from fullpool.app.signals import Flag
from fullpool.errors import FullpoolError, UsageError
from fullpool.model import Interval, Market, Series
from fullpool.store.catalogue.reader import reading
from lab import DAY, MINUTE, Lab, at, bars
from served import dataset, tree_of

DAILY = "data/spot/daily/klines/{s}/1m/{s}-1m-2024-03-08.zip"
TWIN = "data/spot/monthly/klines/{s}/1m/{s}-1m-2024-03.zip"
OTHER = Series(Market.SPOT, "klines", "BUSDT", Interval.M1)
HELD = "SELECT symbol, count(*) FROM klines GROUP BY ALL ORDER BY ALL"
TABLES = (
    "sync.archives", "internal.partitions", "internal.listings", "sync.gaps", "internal.expected",
    "sync.followed", "sync.coverage",
)  # fmt: skip


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two symbols, of which one is no longer configured; each was followed after its archive."""
    begins = at("2024-03-08")
    with Lab(dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08", follow="true")) as made:
        for symbol in ("AUSDT", "BUSDT"):
            made.put(DAILY.format(s=symbol), bars(begins, begins + DAY, MINUTE))
            made.tell_api(TWIN.format(s=symbol), bars(at("2024-03-01"), at("2024-04-01"), MINUTE))
        made.run("sync", "2024-03-09T01:00:20")
        made.datasets = dataset("spot/klines/AUSDT/1m", start="2024-03-08", follow="true")
        yield made


@time_machine.travel(at("2024-03-09T01:01:00"))
def forget_other(lab: Lab) -> None:
    forget(lab.config, [OTHER])


def test_only_the_past_keeps_forgotten_series(lab: Lab) -> None:
    before = tree_of(lab.config).published()
    (held,) = unwanted(lab.config, ["spot/klines/B*"])
    assert (held.series, held.rows, held.files) == (OTHER, 1500, 1)

    forget_other(lab)

    assert lab.ask(HELD) == [("AUSDT", 1500)]
    for table in TABLES:
        assert lab.ask(f"SELECT DISTINCT symbol FROM {table}") in ([("AUSDT",)], [])
    with reading(tree_of(lab.config), str(before)) as reader:
        assert reader.query(HELD).rows == [("AUSDT", 1500), ("BUSDT", 1500)]
    lab.run("sync", "2024-03-09T01:02:20")
    assert lab.ask(HELD) == [("AUSDT", 1502)]


def test_forgotten_series_configured_again_are_refilled(lab: Lab) -> None:
    forget_other(lab)
    lab.datasets = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08", follow="true")
    lab.run("sync", "2024-03-09T01:02:20")

    assert lab.ask(HELD) == [("AUSDT", 1502), ("BUSDT", 1502)]


def test_series_without_rows_are_forgotten_too(lab: Lab) -> None:
    key = DAILY.format(s="CUSDT")
    lab.vendor.put_bytes(key, b"no ZIP at all", at("2018-03-02"))
    lab.datasets = dataset("spot/klines/AUSDT,CUSDT/1m", start="2024-03-08", follow="false")
    lab.run("sync", "2024-03-09T01:01:20")
    failed = "SELECT DISTINCT symbol FROM sync.missing WHERE status IN ('failed', 'quarantined')"
    assert lab.ask(failed) == [("CUSDT",)]
    lab.datasets = dataset("spot/klines/AUSDT/1m", start="2024-03-08")

    (held,) = unwanted(lab.config, ["spot/klines/CUSDT"])
    with time_machine.travel(at("2024-03-09T01:02:00")):
        forget(lab.config, [held.series])

    assert lab.ask(failed) == []
    assert list((tree_of(lab.config).quarantine / "data").rglob("*CUSDT*.zip")) == []


@time_machine.travel(at("2024-03-09T01:03:00"))
def test_a_rebuild_revives_no_forgotten_series(lab: Lab) -> None:
    forget_other(lab)
    rebuild(lab.config, Flag())

    assert lab.ask("SELECT DISTINCT symbol FROM klines") == [("AUSDT",)]
    assert lab.ask("SELECT count(*) FROM internal.retired WHERE path LIKE '%BUSDT%'") == [(1,)]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("spot/klines/AUSDT", "the configuration asks for it"),
        ("spot", "spot/klines/AUSDT/1m: the configuration asks for it"),
        ("um/klines/BUSDT", "no such series"),
        ("spot/klines/BUSD", "no such series"),
        ("spot/klines/[AB]USDT", "no such series"),
    ],
)
def test_configured_or_unknown_series_are_refused(lab: Lab, pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        unwanted(lab.config, [pattern])


def test_a_failure_midway_doubles_no_rows() -> None:
    """One of the files of followed rows cannot be written again: all of them stay as they were."""
    both = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08", follow="true")
    begins, day = at("2024-03-08"), at("2024-03-09")
    with Lab(both) as lab:
        for symbol in ("AUSDT", "BUSDT"):
            lab.put(DAILY.format(s=symbol), bars(begins, begins + DAY, MINUTE))
            lab.tell_api(TWIN.format(s=symbol), bars(at("2024-03-01"), at("2024-04-01"), MINUTE))
        lab.run("sync", "2024-03-09T03:00:20")
        folder = lab.folder / "lake/tail/klines/market=spot/interval=1m"
        lab.datasets = dataset("spot/klines/AUSDT/1m", start="2024-03-08", follow="true")
        in_the_way = {folder / f"2024-03-09T01.g{number:06d}.parquet" for number in range(40)}
        in_the_way -= set(folder.iterdir())
        for path in in_the_way:
            path.write_bytes(b"another file")
        before = set(folder.iterdir())
        with pytest.raises(FullpoolError):
            forget_other(lab)
        left = set(folder.iterdir())
        for path in in_the_way:
            path.unlink()
        lab.datasets += dataset("spot/klines/BUSDT/1m", start="2024-03-08")
        for symbol in ("AUSDT", "BUSDT"):
            key = DAILY.format(s=symbol).replace("03-08", "03-09")
            lab.put(key, bars(day, day + DAY, MINUTE), day + DAY)
        lab.run("sync", "2024-03-10T09:30:20")

        assert left == before
        count = "SELECT count(*), count(DISTINCT open_time) FROM klines WHERE symbol = 'BUSDT'"
        assert lab.ask(count) == [(2880, 2880)]
