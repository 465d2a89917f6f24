"""Intervals and cron lines."""

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st

from fullpool.timing import Cron, Every, timing_from


@given(st.integers(1, 40_000), st.sampled_from("smhd"))
def test_interval_is_number_and_unit(number: int, unit: str) -> None:
    seconds = number * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]
    if seconds > 31 * 86_400:
        with pytest.raises(ValueError, match="between 1s and 31d"):
            timing_from(f"{number}{unit}")
    else:
        assert timing_from(f"{number}{unit}") == Every(timedelta(seconds=seconds))


def test_a_cron_line_has_five_fields() -> None:
    assert timing_from("17 4 * * Mon-Fri") == Cron("17", "4", "*", "*", "mon-fri")


@st.composite
def fields(draw: st.DrawFn, lowest: int, highest: int) -> str:
    """One field of a cron line."""
    first = draw(st.integers(lowest, highest))
    last = draw(st.integers(first, highest))
    whole = draw(st.sampled_from(["*", f"{first}", f"{first}-{last}", f"{first},{last}"]))
    return whole + draw(st.sampled_from(["", "/2", "/11"])) if whole == "*" else whole


@given(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), st.sampled_from(["*", "mon"]))
def test_scheduler_takes_what_is_accepted(
    minute: str, hour: str, day: str, month: str, weekday: str
) -> None:
    timing = timing_from(f"{minute} {hour} {day} {month} {weekday}")

    assert isinstance(timing, Cron)
    trigger = CronTrigger(
        minute=timing.minute, hour=timing.hour, day=timing.day, month=timing.month,
        day_of_week=timing.weekday, timezone=UTC,
    )  # fmt: skip
    assert trigger.get_next_fire_time(None, datetime(2024, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an interval like"),
        ("5", "an interval like"),
        ("0s", "between 1s"),
        ("* * * *", "cron line of five fields"),
        ("60 * * * *", "minute must lie between 0 and 59"),
        ("* 24 * * *", "hour must lie"),
        ("* * 0 * *", "day must lie"),
        ("* * * 13 *", "month must lie"),
        ("*/0 * * * *", "step of the minute"),
        ("* * * */12 *", "step of the month must lie between 1 and 11"),
        ("5/10 * * * *", "minute must be like"),
        ("5-1 * * * *", "minute must lie"),
        ("a * * * *", "minute must be like"),
        ("* * * * 0", "names such as mon"),
        ("* * * * funday", "names such as mon"),
    ],
)
def test_refusals_say_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        timing_from(text)
