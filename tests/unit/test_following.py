"""What is asked next of a series that is followed, and what is held of it."""

from datetime import UTC, datetime, timedelta

import pytest

from fullpool.following import (
    LastRow,
    Next,
    beyond,
    chosen,
    extended,
    files_of,
    finished_rows,
    is_followed,
    is_time,
    newest,
    next_ids,
    next_of,
    period_at,
    span_of,
    without,
)
from fullpool.gaps import missing_ranges
from fullpool.grid import Grid, Places, bars
from fullpool.kinds import grid_of
from fullpool.model import Interval, Market, Run, Series, Span

MINUTE = timedelta(minutes=1)
NOW = datetime(2024, 3, 10, 9, 30, 20, tzinfo=UTC)
GRID = bars(Interval.M1)


def series(interval: str = "1m", kind: str = "klines", market: str = "spot") -> Series:
    return Series(Market(market), kind, "AUSDT", Interval(interval) if interval else None)


def opens(minute: int) -> datetime:
    return datetime(2024, 3, 10, tzinfo=UTC) + minute * MINUTE


def run(first: int, last: int) -> Run:
    return Run(opens(first), opens(last), last - first + 1)


def asked(one: Series, last: datetime | None, now: datetime = NOW) -> tuple[datetime, datetime]:
    grid = grid_of(one, ())
    assert grid is not None
    found = next_of(one, grid, last, now)
    assert found is not None
    return grid.opens(found.places.first), grid.opens(found.places.end)


def test_newly_closed_bars_are_asked_for() -> None:
    assert asked(series(), opens(560)) == (opens(561), opens(570))
    assert next_of(series(), GRID, opens(569), NOW) is None
    assert next_of(series(), GRID, opens(900), NOW) is None


@pytest.mark.parametrize("days", [0, 1, 2])
def test_the_first_row_of_statistics_is_after_midnight(days: int) -> None:
    """That of 00:00 is of the day before, which is not wanted."""
    one, start = series("", "metrics", "um"), opens(0) - timedelta(days=days)
    grid = grid_of(one, ())
    assert grid is not None
    found = next_of(one, grid, None, NOW, wanted_from=start)

    assert found is not None
    assert grid.opens(found.places.first) == start + 5 * MINUTE


def test_archives_bring_what_is_long_gone() -> None:
    begin = datetime(2024, 3, 8, tzinfo=UTC)
    assert asked(series(), None)[0] == asked(series(), begin - timedelta(days=40))[0] == begin
    # Bars of a week have archives of months alone.
    assert asked(series("1w"), None)[0] == datetime(2024, 1, 29, tzinfo=UTC)
    assert asked(series("1mo"), None) == (
        datetime(2024, 2, 1, tzinfo=UTC),
        datetime(2024, 3, 1, tzinfo=UTC),
    )


def test_rows_of_instants_are_due_immediately() -> None:
    rate = series("", "fundingRate", "um")
    last = datetime(2024, 3, 10, 0, 0, 0, 3000, tzinfo=UTC)
    eight = datetime(2024, 3, 10, 8, tzinfo=UTC)
    found = next_of(rate, Grid(timedelta(hours=8)), last, eight)
    assert found is not None
    assert found.after == last + MINUTE  # it may have come at any hour since
    assert found.grid is not None
    assert found.grid.opens(found.places.end - 1) == eight
    assert found.grid.opens(found.places.first) <= last
    minute = timedelta(minutes=1)
    assert is_time(rate, None, eight)
    assert is_time(rate, eight, eight + minute)
    assert not is_time(rate, eight + 2 * minute, eight + 3 * minute)
    assert is_time(series(), eight, eight)
    assert next_of(rate, Grid(timedelta(hours=8)), eight, eight + 30 * minute) is None


def test_unplaced_bars_are_not_asked_for() -> None:
    three = series("3d")
    grid = grid_of(three, ())
    assert grid is not None
    assert next_of(three, grid, None, NOW) is None


@pytest.mark.parametrize(
    ("kind", "market", "symbol", "is_so"),
    [
        ("klines", "spot", "AUSDT", True), ("metrics", "um", "AUSDT", True),
        ("metrics", "cm", "AUSD_240329", False), ("aggTrades", "spot", "AUSDT", True),
        ("trades", "um", "AUSDT", False),
    ],
)  # fmt: skip
def test_api_series_can_be_followed(kind: str, market: str, symbol: str, *, is_so: bool) -> None:
    interval = Interval.M1 if kind == "klines" else None
    assert is_followed(Series(Market(market), kind, symbol, interval)) is is_so


def test_what_lags_most_comes_first_within_weight() -> None:
    behind = [Next(series(), GRID, Places(first, 1000)) for first in (30, 10, 20)]
    found = chosen([(one, 2) for one in behind], 5)
    assert [one.places.first for one in found] == [10, 20]
    assert chosen([(behind[0], 2)], 0) == []
    assert chosen([(behind[1], 9), (behind[0], 1)], 5) == [behind[1]]  # or it would never be asked
    assert chosen([(behind[0], 2)], 2) == [behind[0]]


def test_new_rows_extend_or_start_runs() -> None:
    def rows(*minutes: int) -> list[tuple[datetime, int]]:
        return [(opens(minute), GRID.place_of(opens(minute))) for minute in minutes]

    assert extended(GRID, [], rows(3, 4)) == [run(3, 4)]
    assert extended(GRID, [run(1, 2)], rows(3)) == [run(1, 3)]
    assert extended(GRID, [run(1, 2)], rows(4, 5)) == [run(1, 2), run(4, 5)]


def test_what_files_have_is_not_followed() -> None:
    def left(*held: tuple[int, int]) -> list[Run]:
        files = files_of(series(), [run(*one) for one in held])
        return beyond(GRID, [run(10, 20), run(30, 40)], files)

    assert left() == [run(10, 20), run(30, 40)]
    assert left((0, 9), (21, 29), (41, 50)) == [run(10, 20), run(30, 40)]
    assert left((0, 10)) == [run(11, 20), run(30, 40)]
    assert left((0, 25)) == [run(30, 40)]
    assert left((15, 35)) == [run(10, 14), run(36, 40)]
    assert left((12, 13)) == [run(10, 11), run(14, 20), run(30, 40)]
    assert left((0, 50)) == []


def test_a_span_takes_only_its_bars() -> None:
    assert without(GRID, [run(10, 20)], Span(opens(12), opens(14))) == [run(10, 11), run(14, 20)]


def test_gap_checks_count_runs_as_held() -> None:
    held = files_of(series(), [run(0, 9), run(12, 19)])
    missing = missing_ranges(GRID, held, [Span(opens(0), opens(25))])
    spans = [(one.span.start, one.span.end, one.is_tail) for one in missing]
    assert spans == [(opens(10), opens(12), False), (opens(20), opens(25), True)]


@pytest.mark.parametrize(
    ("kind", "interval", "period", "hours"),
    [
        ("klines", "1s", "2024-03-10T09", 1), ("klines", "5m", "2024-03-10T09", 1),
        ("klines", "15m", "2024-03-10", 24), ("klines", "12h", "2024-03-10", 24),
        ("klines", "1d", "2024-03", 31 * 24), ("klines", "1mo", "2024-03", 31 * 24),
        ("metrics", "", "2024-03-10T09", 1), ("fundingRate", "", "2024-03-10", 24),
    ],
)  # fmt: skip
def test_longer_bars_get_longer_file_periods(
    kind: str, interval: str, period: str, hours: int
) -> None:
    found = period_at(kind, Interval(interval) if interval else None, NOW)
    span = span_of(found)
    assert found == period
    assert span.start <= NOW < span.end
    assert span.end - span.start == timedelta(hours=hours)


def test_young_statistics_wait_for_all_values() -> None:
    statistics = series("", "metrics", "um")
    times = [NOW - 40 * MINUTE, NOW - 10 * MINUTE, NOW - 5 * MINUTE]
    moments = [round(time.timestamp() * 1_000_000) for time in times]
    whole, part = "1,AUSDT,1,2,3,4,5,6", "1,AUSDT,1,2,3,4,5,"
    assert finished_rows(statistics, moments, [whole, whole, whole], NOW) == 3
    assert finished_rows(statistics, moments, [part, whole, part], NOW) == 2
    assert finished_rows(statistics, moments, [part, part, whole], NOW) == 1
    inverse = Series(Market.CM, "metrics", "AUSD_PERP")
    assert finished_rows(inverse, moments, [part, part, part], NOW) == 3


TRADES = series("", "aggTrades")


def ids(first: int, last: int, begins: int, ends: int) -> Run:
    return Run(opens(begins), opens(ends), last - first + 1, first, last)


def test_ids_resume_from_the_last_or_a_time() -> None:
    last = LastRow(opens(500), 70)
    found = next_ids(TRADES, last, None, NOW)
    assert (found.places.first, found.since, found.behind_since) == (71, None, opens(500))
    # A series without trades is not behind once it was asked.
    assert next_ids(TRADES, last, opens(560), NOW).behind_since == opens(560)
    begin = datetime(2024, 3, 8, tzinfo=UTC)
    for old in (None, LastRow(begin - MINUTE, 70)):
        found = next_ids(TRADES, old, None, NOW)
        assert (found.places.first, found.since, found.behind_since) == (0, begin, begin)
    late = NOW - timedelta(hours=5)
    assert next_ids(TRADES, None, None, NOW, late).since == late
    # After a day without a trade its ids may have started again; one that was asked is not behind.
    quiet = LastRow(NOW - timedelta(hours=30), 70)
    found = next_ids(TRADES, quiet, NOW - MINUTE, NOW)
    assert found.since == quiet.time + timedelta(milliseconds=1)
    assert found.behind_since == NOW - MINUTE


def test_new_ids_extend_or_start_runs() -> None:
    rows = [(opens(3), 11), (opens(3), 12), (opens(3), 13), (opens(9), 15)]
    assert extended(None, [ids(10, 11, 1, 2)], rows) == [ids(10, 13, 1, 3), ids(15, 15, 9, 9)]
    # A little out of order in time; and ids that start again, or seem to go on, a day later.
    assert extended(None, [ids(10, 11, 1, 4)], [(opens(3), 12)]) == [ids(10, 12, 1, 4)]
    later = [(opens(2000), 12), (opens(2001), 13)]
    assert extended(None, [ids(10, 11, 1, 2)], later) == [
        ids(10, 11, 1, 2),
        ids(12, 13, 2000, 2001),
    ]
    again = [(opens(2000), 0), (opens(2001), 1)]
    assert extended(None, [ids(10, 11, 1, 2)], again) == [ids(10, 11, 1, 2), ids(0, 1, 2000, 2001)]


def test_highest_id_of_its_life_is_newest() -> None:
    rows = [LastRow(opens(5), 7), LastRow(opens(4), 8), LastRow(opens(-9000), 99)]
    assert newest(rows, is_counted=True) == LastRow(opens(4), 8)
    assert newest(rows, is_counted=False) == LastRow(opens(5), 7)
    assert newest([], is_counted=True) is None


def test_ids_in_files_are_not_followed() -> None:
    def left(*held: Run) -> list[Run]:
        return beyond(None, [ids(10, 20, 100, 200)], files_of(TRADES, held))

    assert left(ids(1, 9, 0, 100), ids(21, 30, 200, 300)) == [ids(10, 20, 100, 200)]
    assert left(ids(1, 12, 0, 120)) == [ids(13, 20, 120, 200)]
    assert left(ids(15, 30, 150, 300)) == [ids(10, 14, 100, 150)]
    assert left(ids(13, 15, 130, 150)) == [ids(10, 12, 100, 130), ids(16, 20, 150, 200)]
    assert left(ids(1, 30, 0, 300)) == []
    # The same ids of a symbol that was listed before.
    before = ids(1, 30, -9000, -8000)
    assert left(before) == [ids(10, 20, 100, 200)]
