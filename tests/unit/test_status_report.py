"""How counts are shown where there is little room."""

import pytest

from fullpool.cli.status_report import short


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (99_949, "99.9k"), (99_950, "100k"),
        (999_499, "999k"), (999_500, "1.00M"), (2_463_952_320, "2.46G"), (10**15, "1000T"),
    ],
)  # fmt: skip
def test_a_count_takes_five_characters(number: int, text: str) -> None:
    assert short(number) == text
    assert len(text) <= 5
