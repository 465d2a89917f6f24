"""What answers show to be missing, and what they come to together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool.evidence import (
    Evidence,
    Index,
    Proof,
    empty_in,
    proof_of,
    renewed,
    unasked,
    united,
    without,
)
from fullpool.gaps import Gap
from fullpool.grid import Places
from fullpool.model import Interval, Market, Series, Span

BARS = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
TRADES = Series(Market.SPOT, "aggTrades", "BTCUSDT")
NOW = datetime(2024, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
HERE = Span(NOW, LATER)

ranges = st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda r: Places(r[0], r[0] + r[1]))
several = st.lists(ranges, max_size=5)


def members(places: Sequence[Places]) -> list[int]:
    return [n for one in places for n in range(one.first, one.end)]


def shown(
    gap: Places, asked: Sequence[Places], *found: int, series: Series = BARS
) -> list[tuple[int, int, bool, bool]]:
    evidence = empty_in(Gap(series, gap, HERE, NOW), asked, found, NOW)
    assert {(one.series, one.asked_at) for one in evidence} <= {(series, NOW)}
    return [(e.places.first, e.places.end, e.row_before, e.row_after) for e in evidence]


def known(first: int, end: int, at: datetime = NOW, *, sides: str = "ba") -> Evidence:
    return Evidence(BARS, Places(first, end), HERE, at, "b" in sides, "a" in sides)


def test_an_empty_window_shows_both_neighbours() -> None:
    assert shown(Places(10, 20), [Places(9, 21)], 9, 20) == [(10, 20, True, True)]


def test_rows_that_came_cut_the_gap() -> None:
    found = shown(Places(10, 20), [Places(9, 21)], 9, 13, 14, 20)

    assert found == [(10, 13, True, True), (15, 20, True, True)]


@pytest.mark.parametrize(
    ("found", "sides"), [((9,), (True, False)), ((20,), (False, True)), ((), (False, False))]
)
def test_missing_neighbours_are_on_no_side(
    found: tuple[int, ...], sides: tuple[bool, bool]
) -> None:
    assert shown(Places(10, 20), [Places(9, 21)], *found) == [(10, 20, *sides)]


def test_only_touching_windows_are_one_answer() -> None:
    touching = shown(Places(10, 20), [Places(15, 21), Places(9, 15)], 9, 20)
    apart = shown(Places(10, 20), [Places(9, 13), Places(17, 21)], 9, 20)

    assert touching == [(10, 20, True, True)]
    assert apart == [(10, 13, True, False), (17, 20, False, True)]


def test_beyond_the_window_only_trades_follow_gaps() -> None:
    """Trades are asked for by their first id: the next one may be any number on."""
    asked, gap = [Places(9, 21)], Places(10, 20)

    assert shown(gap, asked, 500, series=TRADES) == [(10, 20, False, True)]
    assert shown(gap, asked, 500) == [(10, 20, False, False)]
    assert shown(gap, asked, 9, 20, series=TRADES) == [(10, 20, True, True)]


@given(several)
def test_united_ranges_keep_places_and_never_touch(places: list[Places]) -> None:
    found = united(places)

    assert members(found) == sorted(set(members(places)))
    assert all(a.end < b.first for a, b in pairwise(found))


@given(ranges, several)
def test_all_but_taken_places_are_left(places: Places, taken: list[Places]) -> None:
    left = without(places, united(taken))

    assert members(left) == [n for n in members([places]) if n not in members(taken)]
    assert all(left)


@given(st.lists(ranges, max_size=4), ranges)
def test_new_evidence_replaces_old(old: list[Places], new: Places) -> None:
    earlier = [
        Evidence(BARS, one, HERE, NOW, row_before=True, row_after=True) for one in united(old)
    ]
    fresh = Evidence(BARS, new, HERE, LATER, row_before=False, row_after=True)
    found = renewed(earlier, [fresh])

    assert fresh in found
    assert members([one.places for one in found]) == sorted(set(members([*old, new])))
    assert found == sorted(found, key=lambda one: one.places)


def test_old_evidence_has_no_row_where_cut() -> None:
    found = renewed([known(10, 30)], [known(15, 20, LATER)])

    assert found == [known(10, 15, sides="b"), known(15, 20, LATER), known(20, 30, sides="a")]


def test_earlier_evidence_does_not_count() -> None:
    evidence = [known(10, 15), known(15, 18, LATER)]

    assert unasked(Places(10, 20), evidence, None) == [Places(10, 20)]
    assert unasked(Places(10, 20), evidence, NOW) == [Places(18, 20)]
    assert unasked(Places(10, 20), evidence, LATER) == [Places(10, 15), Places(18, 20)]


def test_evidence_is_found_by_place_and_life() -> None:
    years = Span(NOW + timedelta(days=400), NOW + timedelta(days=401))
    bars = [known(10, 15), known(15, 30), known(40, 50)]
    lives = [replace(known(31, 32), series=TRADES, near=near) for near in (HERE, years)]
    again = Index(lives)

    def of(index: Index, first: int, end: int, series: Series, near: Span = HERE) -> list[Evidence]:
        return index.of(Gap(series, Places(first, end), near, NOW))

    assert of(Index(bars), 14, 41, BARS) == bars
    assert of(Index(bars), 15, 40, BARS) == bars[1:2]
    assert of(Index(bars), 30, 40, BARS) == []
    assert of(again, 31, 32, TRADES) == lives[:1]
    assert of(again, 31, 32, TRADES, years) == lives[1:]
    later = replace(lives[1], asked_at=LATER)
    assert renewed(lives, [later]) == [lives[0], later]
    gaps = [Gap(BARS, Places(first, first + 2), HERE, NOW) for first in (12, 14)]
    assert Index(bars).of_any(gaps) == bars[:2]


def test_a_gap_is_judged_as_a_whole() -> None:
    two = [known(10, 15, sides="b"), known(15, 20, LATER, sides="a")]

    assert proof_of(Places(10, 20), two, NOW) == Proof(row_before=True, row_after=True)
    assert proof_of(Places(10, 20), two, LATER) is None
    assert proof_of(Places(10, 21), two, NOW) is None
    assert proof_of(Places(30, 40), two, NOW) is None


def test_evidence_beyond_a_gap_shows_neighbours_missing() -> None:
    wide = [known(5, 25)]

    assert proof_of(Places(5, 20), wide, NOW) == Proof(row_before=True, row_after=False)
    assert proof_of(Places(10, 25), wide, NOW) == Proof(row_before=False, row_after=True)
