"""How much room a pass takes, before anything is downloaded."""

import pytest

from fullpool.sync.disk import room_for


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
