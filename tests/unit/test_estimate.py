"""What a plan says of room and time."""

from datetime import date

import pytest

from fullpool.estimate import Experience, Sizes, estimated
from fullpool.model import (
    Archive,
    Cadence,
    Identity,
    Interval,
    Known,
    Market,
    Period,
    Series,
    Status,
    Step,
)

MB = 1_000_000
BARS = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
TRADES = Series(Market.SPOT, "aggTrades", "BTCUSDT")
MONTH = Period(date(2024, 1, 1), Cadence.MONTH)


def step(series: Series, count: int, size_bytes: int) -> Step:
    """A step of so many archives, each of that size."""
    archive = Archive(series, MONTH)
    known = Known(archive, Status.LISTED, identity=Identity("e", size_bytes))
    return Step(series, MONTH, (known,) * count, (), (), "new")


@pytest.mark.parametrize(
    ("series", "experience", "disk_bytes"),
    [
        (BARS, Experience(), 90 * MB),
        (TRADES, Experience(), 50 * MB),
        (TRADES, Experience({"aggTrades": Sizes(10 * MB, 4 * MB)}), 40 * MB),
        (TRADES, Experience({"aggTrades": Sizes(MB, MB)}), 50 * MB),  # too little to tell
        (BARS, Experience({"aggTrades": Sizes(10 * MB, 4 * MB)}), 90 * MB),
    ],
)
def test_the_room_follows_held_data_or_defaults(
    series: Series, experience: Experience, disk_bytes: int
) -> None:
    assert estimated([step(series, 10, 10 * MB)], experience).disk_bytes == disk_bytes


@pytest.mark.parametrize(
    ("experience", "seconds", "is_measured"),
    [
        (Experience(), 8.0, False),  # 100 MB at 12.5 MB a second
        (Experience({}, 200, 2000 * MB, 400.0), 20.0, True),
        (Experience({}, 99, 990 * MB, 400.0), 8.0, False),  # too few
        (Experience({}, 200, 2 * MB, 400.0), 8.0, False),  # much smaller ones
        (Experience({}, 200, 2000 * MB, 0.0), 8.0, False),
    ],
)
def test_similar_earlier_passes_give_the_time(
    experience: Experience, seconds: float, *, is_measured: bool
) -> None:
    found = estimated([step(BARS, 10, 10 * MB)], experience)

    assert (found.seconds, found.is_measured) == (seconds, is_measured)


def test_small_archives_cost_only_their_requests() -> None:
    assert estimated([step(BARS, 4000, 100)], Experience()).seconds == 10.0
