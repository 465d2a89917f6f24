"""Periods, spans and symbols."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool.model import Cadence, Period, Span, is_symbol, period_from, period_of, periods

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))
CADENCES = st.sampled_from(Cadence)


@given(DAYS, CADENCES)
def test_a_period_covers_its_own_day(day: date, cadence: Cadence) -> None:
    span = period_of(day, cadence).span

    assert span.covers(period_of(day, Cadence.DAY).span)


@given(DAYS, CADENCES)
def test_each_period_ends_where_next_begins(day: date, cadence: Cadence) -> None:
    period = period_of(day, cadence)

    assert period.next().span.start == period.span.end


@given(DAYS, CADENCES)
def test_periods_are_read_from_their_labels(day: date, cadence: Cadence) -> None:
    period = period_of(day, cadence)

    assert period_from(str(period)) == period


@given(DAYS, st.integers(0, 900), CADENCES)
def test_periods_cover_a_span_without_overlap(first: date, days: int, cadence: Cadence) -> None:
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    span = Span(start, start + timedelta(days=days, hours=1))

    found = list(periods(span, cadence))

    assert found[0].span.start <= span.start
    assert found[-1].span.end >= span.end
    assert all(a.span.end == b.span.start for a, b in pairwise(found))


@pytest.mark.parametrize("text", ["2024-1-1", "2024-13", "20240101", "", "abcd", "2024-02-30"])
def test_anything_else_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        period_from(text)


def test_a_month_starting_late_is_refused() -> None:
    with pytest.raises(ValueError, match="does not start on"):
        Period(date(2024, 1, 2), Cadence.MONTH)


def test_spans_in_other_zones_are_refused() -> None:
    tokyo = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=9)))

    with pytest.raises(ValueError, match="in UTC"):
        Span(tokyo, tokyo)


@pytest.mark.parametrize(
    "text", ["BTCUSDT", "币安人生USDT", "1000CATBNB", "BTCUSDT_210326", "0GUSDT"]
)
def test_real_symbols_are_symbols(text: str) -> None:
    assert is_symbol(text)


@pytest.mark.parametrize(
    "text",
    ["", "../x", "a/b", "a\\b", "a'b", 'a"b', "a b", "a|b", "a@b", "a%b", "a=b", ".", "x" * 41],
)
def test_unsafe_text_is_no_symbol(text: str) -> None:
    assert not is_symbol(text)
