"""The grid, what is missing of it, and how what is known is carried on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool.cuts import Cut, CutRows, RowsInside, expected_rows
from fullpool.gaps import (
    Explanation,
    Gap,
    GapStatus,
    MissingRange,
    missing_ranges,
    reconciled,
)
from fullpool.grid import Grid, Places, bars, rows_before, subtract
from fullpool.kinds import grid_of
from fullpool.model import (
    Cadence,
    Hole,
    Interval,
    Market,
    Partition,
    PartitionFile,
    Period,
    Run,
    Series,
    Span,
)
from fullpool.neighbours import Neighbours

SERIES = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
TRADES = Series(Market.SPOT, "aggTrades", "BTCUSDT")
NOW = datetime(2024, 6, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
moments = st.datetimes(datetime(2017, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001 - UTC below
    lambda moment: moment.replace(tzinfo=UTC)
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "moment", "opens", "after"),
    [
        ("1s", "2024-03-05T10:07:03.5", "2024-03-05T10:07:03", "2024-03-05T10:07:04"),
        ("1m", "2024-03-05T10:07:03", "2024-03-05T10:07", "2024-03-05T10:08"),
        ("8h", "2024-03-05T10:07", "2024-03-05T08:00", "2024-03-05T16:00"),
        ("1w", "2024-03-05T10:07", "2024-03-04", "2024-03-11"),
        ("1mo", "2024-12-31T23:59", "2024-12-01", "2025-01-01"),
        ("1mo", "2024-02-29", "2024-02-01", "2024-03-01"),
    ],
)
def test_bars_open_where_vendor_bars_do(interval: str, moment: str, opens: str, after: str) -> None:
    grid = bars(Interval(interval))
    series = Series(Market.SPOT, "klines", "X", Interval(interval))
    grid = grid_of(series, ()) or grid
    place = grid.at(at(moment))

    assert grid.opens(place) == at(opens)
    assert grid.opens(place + 1) == at(after)


def test_three_day_bars_follow_the_rows() -> None:
    series = Series(Market.SPOT, "klines", "X", Interval.D3)
    file = held(at("2024-03-02"), at("2024-03-08"))
    grid = grid_of(series, [file])

    assert grid is not None
    assert grid.opens(grid.at(at("2024-03-07"))) == at("2024-03-05")


@given(moments, st.sampled_from(list(Interval)))
def test_every_moment_lies_in_its_bar(moment: datetime, interval: Interval) -> None:
    grid = grid_of(Series(Market.SPOT, "klines", "X", interval), ())
    assert grid is not None
    place = grid.at(moment)

    assert grid.opens(place) <= moment < grid.opens(place + 1)
    assert grid.at(grid.opens(place)) == place
    span = Span(grid.opens(place), grid.opens(place + 5))
    assert grid.places(span) == Places(place, place + 5)
    assert grid.span(Places(place, place + 5)) == span


def held(first: datetime, last: datetime, holes: tuple[Hole, ...] = ()) -> PartitionFile:
    month = Partition(SERIES, Period(first.date().replace(day=1), Cadence.MONTH))
    keys = [(moment - EPOCH) // timedelta(microseconds=1) for moment in (first, last)]
    return PartitionFile(month, "x", 1, 1, 1, first, last, 0, keys[0], keys[1], holes)


def hole(before: datetime, after: datetime) -> Hole:
    keys = [(moment - EPOCH) // timedelta(microseconds=1) for moment in (before, after)]
    return Hole(keys[0], keys[1], before, after)


@given(st.sets(st.integers(0, 60)), st.integers(1, 60))
def test_held_and_missing_make_the_whole(taken: set[int], size: int) -> None:
    """Files of any cut, holes anywhere: no bar is counted twice, none is lost."""
    grid = bars(Interval.M1)
    start = at("2024-03-05")
    rows = sorted(one for one in taken if one < size)
    times = [start + timedelta(minutes=one) for one in rows]
    files: list[PartitionFile] = []
    for part in (times[: len(times) // 2], times[len(times) // 2 :]):
        holes = tuple(
            hole(before, after)
            for before, after in pairwise(part)
            if after - before > timedelta(minutes=1)
        )
        files += [held(part[0], part[-1], holes)] if part else []
    missing = missing_ranges(grid, files, [Span(start, start + timedelta(minutes=size))])

    first = grid.at(start)
    found = [place for one in missing for place in range(one.places.first, one.places.end)]
    assert found == [first + n for n in range(size) if n not in taken]
    assert all(one.span == grid.span(one.places) for one in missing)


def test_rows_off_grid_hide_no_bar() -> None:
    grid = bars(Interval.M1)
    before, after = at("2024-03-05T00:00:30"), at("2024-03-05T00:03:00")
    files = [held(before, after, (hole(before, after),))]
    missing = missing_ranges(grid, files, [Span(at("2024-03-05T00:00"), at("2024-03-05T00:04"))])

    assert [one.span.start for one in missing] == [at("2024-03-05T00:01")]
    assert [len(one.places) for one in missing] == [2]


def test_a_first_row_at_midnight_is_of_its_own_day() -> None:
    """One of the moments before could be of the archive of the day before it."""
    days = Grid(timedelta(days=1), is_by_period=True, slack=timedelta(minutes=1))
    file = held(at("2024-03-08"), at("2024-03-08T23:00"))
    (head,) = missing_ranges(days, [file], [Span(at("2024-03-05"), at("2024-03-09"))])

    assert head.span == Span(at("2024-03-05"), at("2024-03-08"))


def test_ids_have_holes_but_no_ends() -> None:
    one = PartitionFile(
        Partition(TRADES, Period(NOW.date(), Cadence.DAY)), "a", 1, 1, 1, NOW, NOW, 0, 10, 19,
        (Hole(12, 15, NOW, NOW),),
    )  # fmt: skip
    other = PartitionFile(
        Partition(TRADES, Period(NOW.date(), Cadence.DAY)), "b", 1, 1, 1, NOW, NOW, 0, 25, 29
    )
    missing = missing_ranges(None, [one, other], [Span(EPOCH, NOW + ONE_DAY)])

    assert [missing_range.places for missing_range in missing] == [Places(13, 15), Places(20, 25)]


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(-5, 60), unique=True))
def test_untaken_places_are_left(first: int, size: int, taken: list[int]) -> None:
    places = Places(first, first + size)
    left = subtract(places, sorted(taken))

    found = [n for one in left for n in range(one.first, one.end)]
    assert found == [n for n in range(first, first + size) if n not in taken]


def gap(first: int, end: int, explanation: Explanation | None = None, attempts: int = 0) -> Gap:
    grid = bars(Interval.M1)
    status = GapStatus.EXPLAINED if explanation else GapStatus.OPEN
    places = Places(first, end)
    return Gap(
        SERIES, places, grid.span(places), NOW, status, explanation, "why", attempts=attempts
    )


def missing_range(first: int, end: int) -> MissingRange:
    return MissingRange(Places(first, end), bars(Interval.M1).span(Places(first, end)))


def test_explained_part_stays_and_rest_is_new() -> None:
    known = [gap(10, 20, Explanation.TOO_OLD_FOR_API), gap(30, 35, attempts=3), gap(80, 90)]
    found = reconciled(
        SERIES, bars(Interval.M1), [missing_range(5, 20), missing_range(29, 33)], known, NOW
    ).gaps

    assert [(g.places.first, g.places.end, g.status, g.attempts) for g in found] == [
        (5, 10, "open", 0),
        (10, 20, "explained", 0),
        (29, 33, "open", 3),
    ]


def test_outage_in_two_parts_is_one_gap() -> None:
    asked = gap(10, 20, attempts=2)
    asked = replace(asked, asked_since=NOW, next_try_at=NOW + timedelta(days=1))
    empty = replace(gap(26, 30, Explanation.EMPTY_AT_SOURCE), next_try_at=NOW + timedelta(days=30))
    (whole,) = reconciled(
        SERIES, bars(Interval.M1), [missing_range(10, 30)], [asked, empty], NOW
    ).gaps

    assert (whole.places, whole.status, whole.attempts) == (Places(10, 30), "open", 2)
    assert whole.is_due(NOW)
    assert whole.asked_since == NOW


def test_untold_part_of_joined_gap_is_new() -> None:
    earlier = replace(gap(10, 20), found_at=NOW - timedelta(days=1))
    told = reconciled(SERIES, bars(Interval.M1), [missing_range(10, 30)], [earlier], NOW)

    assert [one.places for one in told.gaps] == [Places(10, 30)]
    assert [one.places for one in told.new] == [Places(20, 30)]


def test_joined_explained_parts_keep_earliest_look() -> None:
    one, other = gap(10, 20, Explanation.EMPTY_AT_SOURCE), gap(20, 30, Explanation.EMPTY_AT_SOURCE)
    one = replace(one, next_try_at=NOW + timedelta(days=9))
    other = replace(other, next_try_at=NOW + timedelta(days=3))
    (whole,) = reconciled(
        SERIES, bars(Interval.M1), [missing_range(10, 30)], [one, other], NOW
    ).gaps

    assert whole.explanation is Explanation.EMPTY_AT_SOURCE
    assert whole.next_try_at == NOW + timedelta(days=3)


def test_days_after_delisting_belong_to_the_end() -> None:
    known = [gap(10, 20, Explanation.DELISTED)]
    tail = replace(missing_range(10, 45), is_tail=True)
    (found,) = reconciled(SERIES, bars(Interval.M1), [tail], known, NOW).gaps

    assert (found.places, found.explanation) == (Places(10, 45), Explanation.DELISTED)


@pytest.mark.parametrize("explanation", [Explanation.DELISTED, Explanation.NOT_LISTED])
def test_false_ends_and_beginnings_are_open(
    explanation: Explanation,
) -> None:
    known = [gap(10, 20, explanation)]
    (found,) = reconciled(SERIES, bars(Interval.M1), [missing_range(10, 20)], known, NOW).gaps

    assert (found.status, found.explanation, found.is_due(NOW)) == ("open", None, True)


def test_rows_before_a_moment_are_counted_exactly() -> None:
    """A distance rounded to microseconds would be off by its error 88 times over."""
    run = Run(at("2026-11-01T00:00:00.002"), at("2026-11-30T08:00:00"), 89)

    assert rows_before(run, at("2026-11-30T00:00")) == 87
    assert rows_before(run, at("2026-11-01T00:00")) == 0
    assert rows_before(run, at("2026-12-02T00:00")) == 89


def test_restarted_ids_are_two_lives() -> None:
    day, later = (Partition(TRADES, Period(NOW.date() + n * ONE_DAY, Cadence.DAY)) for n in (0, 9))
    first = PartitionFile(day, "a", 1, 9, 1, NOW, NOW, 0, 1, 10, (Hole(4, 6, NOW, NOW),))
    again = NOW + 9 * ONE_DAY
    second = PartitionFile(
        later, "b", 1, 19, 1, again, again, 0, 1, 20, (Hole(4, 6, again, again),)
    )
    spans = [Span(EPOCH, again + ONE_DAY)]

    missing = missing_ranges(None, [first, second], spans)
    explained = replace(gap(5, 6, Explanation.TOO_OLD_FOR_API), series=TRADES, span=Span(NOW, NOW))
    found = reconciled(TRADES, None, missing, [explained], again).gaps

    assert expected_rows(None, [first, second], spans, RowsInside()) == [30]
    assert [(g.span.start, g.explanation) for g in found] == [
        (NOW, Explanation.TOO_OLD_FOR_API),
        (again, None),
    ]


def test_nothing_between_wanted_spans_is_missing() -> None:
    grid, start = bars(Interval.M1), at("2024-03-05")
    minutes = [start + timedelta(minutes=n) for n in (0, 9, 20, 29)]
    files = [held(minutes[0], minutes[1]), held(minutes[2], minutes[3])]
    files = [replace(file, rows=10) for file in files]
    spans = [Span(minutes[0], minutes[1]), Span(at("2024-03-05T00:18"), at("2024-03-05T00:40"))]

    assert [len(one.places) for one in missing_ranges(grid, files, spans)] == [2, 10]
    counts = {Cut(files[0].path, spans[0]): CutRows(9, 0)}
    assert expected_rows(grid, files, spans, RowsInside({}, counts)) == [9, 22]


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ("2018-02-08T00:00", "2018-02-09T09:28:14.789", 33),  # the outage itself
        ("2018-02-09T09:28:14.789", "2018-02-09T10:28:14.789", 0),  # bars that follow each other
        ("2018-02-09T09:28:14.789", "2018-02-09T13:28:14.789", 3),
        ("2018-02-11T03:28:14.789", "2018-02-11T04:00", 0),  # the last one is cut short
        ("2018-02-08T10:00", "2018-02-08T11:00:03", 0),  # three seconds late, or early
        ("2018-02-08T10:00", "2018-02-08T10:59:57", 0),
        ("2018-02-08T10:59:57", "2018-02-08T12:00", 0),
        ("2018-02-08T10:00:03", "2018-02-08T13:00:03", 2),
    ],
)
def test_off_grid_bars_keep_their_places(before: str, after: str, missing: int) -> None:
    grid = bars(Interval.H1)
    assert len(grid.between(at(before), at(after))) == missing


def test_off_grid_bars_count_as_expected() -> None:
    """Spot's 1h of February 2018: 43 bars from 09:28:14 on, of which the last is cut short."""
    grid, start, end = bars(Interval.H1), at("2018-02-01"), at("2018-02-28T23:00")
    outage = hole(at("2018-02-08"), at("2018-02-09T09:28:14.789"))
    month = replace(held(start, end, (outage,)), rows=640)

    assert expected_rows(grid, [month], [Span(start, at("2018-03-01"))], RowsInside()) == [640 + 33]


@given(
    st.lists(st.integers(0, 100), unique=True, min_size=2, max_size=8).map(sorted),
    st.lists(st.integers(0, 100), unique=True, min_size=2, max_size=8).map(sorted),
)
def test_gaps_are_exactly_what_is_missing(cuts: list[int], others: list[int]) -> None:
    missing = [missing_range(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    known = [
        gap(a, b, Explanation.EMPTY_AT_SOURCE)
        for a, b in zip(others[::2], others[1::2], strict=False)
    ]
    found = reconciled(SERIES, bars(Interval.M1), missing, known, NOW).gaps

    def covered(parts: list[Places]) -> list[int]:
        return [n for one in parts for n in range(one.first, one.end)]

    assert covered([g.places for g in found]) == covered([a.places for a in missing])


def test_gap_lies_between_its_neighbouring_bars() -> None:
    grid = bars(Interval.M1)
    first, last = at("2024-03-05T10:00"), at("2024-03-05T12:00")
    inside = hole(at("2024-03-05T11:00"), at("2024-03-05T11:05"))
    later = held(at("2024-03-05T13:00"), at("2024-03-05T14:00"))
    beside = Neighbours([held(first, last, (inside,)), later])

    def of(start: str, end: str) -> tuple[datetime | None, datetime | None]:
        places = grid.places(Span(at(start), at(end)))
        return beside.of(Gap(SERIES, places, grid.span(places), at("2024-04-01")))

    assert of("2024-03-05T09:00", "2024-03-05T10:00") == (None, first)
    assert of("2024-03-05T11:01", "2024-03-05T11:05") == (inside.before_time, inside.after_time)
    assert of("2024-03-05T12:01", "2024-03-05T13:00") == (last, later.first_time)
    assert of("2024-03-05T14:01", "2024-03-05T15:00") == (later.last_time, None)
    assert Neighbours([]).of(Gap(SERIES, Places(1, 2), Span(first, last), last)) == (None, None)


@pytest.mark.parametrize("interval", [Interval.M1, Interval.H1, Interval.MO1])
def test_bars_all_on_grid_are_regular(interval: Interval) -> None:
    grid = bars(interval)
    first = grid.at(at("2024-03-05"))
    opens = [(grid.opens(first + n) - EPOCH) // timedelta(microseconds=1) for n in range(4)]
    late = [*opens[:-1], opens[-1] + 5_000_000]

    assert grid.is_regular(opens)
    assert not grid.is_regular(late)
    assert grid.is_regular([])
    assert grid.places_of(opens) == [first, first + 1, first + 2, first + 3]
    assert grid.places_of(late) == grid.places_of(opens)


def test_weekly_bars_are_regular_on_mondays() -> None:
    grid = grid_of(replace(SERIES, interval=Interval.W1), [])
    assert grid is not None
    monday = (at("2024-03-04") - EPOCH) // timedelta(microseconds=1)

    assert grid.is_regular([monday, monday + 7 * 86_400_000_000])
    assert not grid.is_regular([monday + 86_400_000_000])
    assert grid.places_of([monday]) == [grid.at(at("2024-03-06"))]
    assert grid.places_of([monday - 60_000_000]) == grid.places_of([monday])  # opens a minute early


def test_gap_knows_head_and_tail_of_series() -> None:
    grid = bars(Interval.M1)
    day = Span(at("2024-03-05"), at("2024-03-06"))
    (whole,) = missing_ranges(grid, [], [day])
    assert (whole.is_head, whole.is_tail, whole.span) == (True, True, day)

    missing = hole(at("2024-03-05T10:30"), at("2024-03-05T10:40"))
    head, inside, tail = missing_ranges(
        grid, [held(at("2024-03-05T10:00"), at("2024-03-05T11:00"), (missing,))], [day]
    )
    assert [(one.is_head, one.is_tail) for one in (head, inside, tail)] == [
        (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert inside.span == Span(at("2024-03-05T10:31"), at("2024-03-05T10:40"))
    assert head.span == Span(day.start, at("2024-03-05T10:00"))
    assert tail.span == Span(at("2024-03-05T11:01"), day.end)


def trades(first: int, last: int, day: int, *holes: Hole) -> PartitionFile:
    start = at(f"2024-03-{day:02}")
    period = Period(start.date(), Cadence.DAY)
    return PartitionFile(
        Partition(TRADES, period), f"{day}", 1, 1, 1, start, start + ONE_DAY / 2, 0, first, last,
        holes,
    )  # fmt: skip


def test_ids_next_file_may_have_are_not_missing() -> None:
    """The day begins with trades of the night before, and its ids overlap those of that file."""
    moment = at("2024-03-06")
    before = trades(1, 100, 5, Hole(90, 95, moment, moment))  # lacks 91 to 94
    after = trades(91, 200, 6)
    span = [Span(at("2024-03-01"), at("2024-04-01"))]

    assert missing_ranges(None, [before, after], span) == []
    late = trades(92, 200, 6)
    assert [one.places for one in missing_ranges(None, [before, late], span)] == [Places(91, 95)]
    other_life = trades(91, 200, 26)
    assert Places(91, 95) in [
        one.places for one in missing_ranges(None, [before, other_life], span)
    ]


def test_ids_outside_wanted_spans_are_not_missing() -> None:
    files = [trades(1, 10, 5), trades(21, 30, 6), trades(41, 50, 20), trades(61, 70, 21)]
    spans = [Span(at("2024-03-01"), at("2024-03-10")), Span(at("2024-03-15"), at("2024-04-01"))]

    assert [one.places for one in missing_ranges(None, files, spans)] == [
        Places(11, 21),
        Places(51, 61),
    ]
    assert missing_ranges(None, files, []) == []
    assert expected_rows(None, files, spans, RowsInside()) == [12, 12]


def test_each_absence_is_judged_by_itself() -> None:
    grid = bars(Interval.M1)
    first = gap(100, 110, Explanation.EMPTY_AT_SOURCE)
    last = gap(300, 310, Explanation.EMPTY_AT_SOURCE)
    missing = [missing_range(100, 110), missing_range(200, 210), missing_range(300, 320)]
    found = reconciled(SERIES, grid, missing, [first, last], NOW + ONE_DAY)

    assert [(one.places, one.explanation) for one in found.gaps] == [
        (Places(100, 110), Explanation.EMPTY_AT_SOURCE), (Places(200, 210), None),
        (Places(300, 320), None),
    ]  # fmt: skip
    assert [one.places for one in found.new] == [Places(200, 210), Places(310, 320)]
    assert all(one.series == SERIES and one.span == grid.span(one.places) for one in found.gaps)
