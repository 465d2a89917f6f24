"""How much room a pass takes, before anything is downloaded."""

import pytest

from fullpool.model import (
    Archive,
    Identity,
    Interval,
    Known,
    Market,
    Series,
    Status,
    Step,
    period_from,
)
from fullpool.sync.disk import parted, room_for, too_large


@pytest.mark.parametrize(
    ("sizes", "builders", "expected"),
    [
        ([], 2, 0),
        ([100], 1, 900),
        ([100], 2, 900),
        ([1, 2, 3, 4], 1, 10 + 8 * 4),
        ([4, 1, 3, 2], 2, 10 + 8 * 7),
    ],
)
def test_text_of_largest_archives_takes_room(
    sizes: list[int], builders: int, expected: int
) -> None:
    assert room_for(sizes, builders) == expected


def step_of(size_bytes: int) -> Step:
    """Return a step with one archive of so many bytes."""
    series, day = Series(Market.SPOT, "klines", "BTCUSDT", Interval.H1), period_from("2024-01-01")
    known = Known(Archive(series, day), Status.LISTED, identity=Identity("etag", size_bytes))
    return Step(series, day, (known,), (), (), "new")


def test_too_large_archive_leaves_room_to_others() -> None:
    sizes = [1_000_000, 0, 1_000_001, 5_000_000]

    small, large = parted([step_of(size) for size in sizes], 9_000_000)

    assert [step.size_bytes for step in small] == [1_000_000, 0]
    assert [step.size_bytes for step in large] == [1_000_001, 5_000_000]
    assert too_large(large[1], -5) == (
        "it needs 45 MB of disk while it is built, and 0 MB are free above lake.min_free_gb"
    )
