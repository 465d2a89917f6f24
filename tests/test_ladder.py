"""What is asked for, what is explained, and when it is looked into again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fullpool import ladder, stand_ins
from fullpool.errors import NoSymbolError, RestBannedError, RestError, RestRefusedError
from fullpool.evidence import empty_in
from fullpool.gaps import Explanation, Gap, GapStatus
from fullpool.grid import Grid, Places
from fullpool.ladder import Heard
from fullpool.model import (
    Archive,
    Cadence,
    Interval,
    Known,
    Market,
    Series,
    Span,
    Status,
    period_from,
)
from fullpool.planning import Want

GRID = Grid(Interval.M1)
NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)


def series(symbol: str = "BTCUSDT") -> Series:
    return Series(Market.SPOT, "klines", symbol, Interval.M1)


def gap(start: str, minutes: int, symbol: str = "BTCUSDT") -> Gap:
    first = GRID.at(datetime.fromisoformat(start).replace(tzinfo=UTC))
    places = Places(first, first + minutes)
    return Gap(series(symbol), places, GRID.span(places), NOW)


def heard(one: Gap, *found: int, error: RestError | None = None) -> Heard:
    """Return what the API said; *found* counts from the first place of the gap."""
    places = sorted(one.places.first + number for number in found)
    asked = Places(one.places.first - 1, one.places.end + 1)
    evidence = empty_in(one, [asked], places, NOW)
    return Heard(replace(one, asked_since=NOW), evidence, places, "url", 1, NOW, error)


def test_a_hole_with_rows_on_both_sides_is_empty_at_the_source() -> None:
    one = gap("2024-03-05T10:00", 3)
    (left,) = ladder.remaining(heard(one, -1, 3), GRID)

    assert left.explanation is Explanation.EMPTY_AT_SOURCE
    assert left.next_try_at == NOW + timedelta(days=30)


def test_only_what_did_not_come_is_left() -> None:
    one = gap("2024-03-05T10:00", 5)
    left = ladder.remaining(heard(one, -1, 0, 3, 5), GRID)

    assert [(g.places.first - one.places.first, len(g.places)) for g in left] == [(1, 2), (4, 1)]
    assert {g.explanation for g in left} == {Explanation.EMPTY_AT_SOURCE}


def test_an_explanation_is_believed_longer_each_time() -> None:
    one = gap("2024-03-05T10:00", 3)
    waits = []
    for _ in range(6):
        (one,) = ladder.remaining(heard(one, -1, 3), GRID)
        assert one.next_try_at is not None
        waits.append((one.next_try_at - NOW).days)

    assert waits == [30, 60, 120, 240, 360, 360]


@pytest.mark.parametrize(
    ("found", "existed_before", "is_trading", "expected"),
    [
        ((3,), False, None, Explanation.NOT_LISTED),
        ((3,), True, None, Explanation.EMPTY_AT_SOURCE),
        ((-1,), None, False, Explanation.DELISTED),
        ((-1,), None, True, None),
        ((), True, True, None),
    ],
)
def test_the_ends_of_a_series(
    found: tuple[int, ...],
    existed_before: bool | None,  # noqa: FBT001 - an answer of the API
    is_trading: bool | None,  # noqa: FBT001 - an answer of the API
    expected: Explanation | None,
) -> None:
    said = heard(gap("2024-03-05T10:00", 3), *found)
    said = replace(said, is_head=True, is_tail=True)
    said = replace(said, existed_before=existed_before, is_trading=is_trading)
    (left,) = ladder.remaining(said, GRID)

    assert left.explanation is expected
    assert (left.status is GapStatus.OPEN) == (expected is None)


@pytest.mark.parametrize(
    ("error", "explanation", "wait"),
    [
        (RestError("503"), None, timedelta(minutes=1)),
        (RestBannedError("429", seconds=120), None, timedelta(seconds=120)),
        (RestRefusedError("451"), Explanation.API_REFUSED, timedelta(days=1)),
        (NoSymbolError("-1121"), Explanation.UNKNOWN_TO_API, timedelta(days=30)),
    ],
)
def test_what_an_error_means_for_the_gap(
    error: RestError, explanation: Explanation | None, wait: timedelta
) -> None:
    (left,) = ladder.remaining(heard(gap("2024-03-05T10:00", 3), error=error), GRID)

    assert left.explanation is explanation
    assert left.next_try_at == NOW + wait
    assert str(error) in left.reason


def test_failures_are_tried_again_ever_more_slowly() -> None:
    one = gap("2024-03-05T10:00", 3)
    waits = []
    for _ in range(13):
        (one,) = ladder.remaining(heard(one, error=RestError("503")), GRID)
        assert one.next_try_at is not None
        waits.append((one.next_try_at - NOW) / timedelta(minutes=1))

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 1440


def test_silence_about_rows_inside_a_series_explains_nothing() -> None:
    said = replace(heard(gap("2024-03-05T10:00", 3)), existed_before=False, is_trading=False)
    (left,) = ladder.remaining(said, GRID)

    assert left.status is GapStatus.OPEN


def test_a_refusal_is_believed_a_day_however_often_it_comes() -> None:
    one = gap("2024-03-05T10:00", 3)
    for _ in range(5):
        (one,) = ladder.remaining(heard(one, error=RestRefusedError("451")), GRID)
        assert one.next_try_at == NOW + timedelta(days=1)


def test_an_explanation_after_many_failures_is_believed_as_if_it_were_the_first() -> None:
    one = replace(gap("2024-03-05T10:00", 3), attempts=8)
    (left,) = ladder.remaining(heard(one, -1, 3), GRID)

    assert left.next_try_at == NOW + timedelta(days=30)


def test_what_the_archive_that_is_there_lacks_is_not_on_its_way() -> None:
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    (left,) = ladder.unpublished(
        [gap("2024-06-09T23:00", 60)], GRID, {}, soon.replace(hour=0), soon
    )

    assert left.status is GapStatus.OPEN


def test_a_day_that_just_ended_is_on_its_way_until_it_is_later_than_usual() -> None:
    yesterday = gap("2024-06-09T00:00", 1440)
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    (waiting,) = ladder.unpublished([yesterday], GRID, {}, None, soon)

    assert waiting.explanation is Explanation.NOT_PUBLISHED
    assert waiting.next_try_at == datetime(2024, 6, 10, 6, tzinfo=UTC)
    (late,) = ladder.unpublished([waiting], GRID, {}, None, datetime(2024, 6, 10, 7, tzinfo=UTC))
    assert (late.status, late.explanation) == (GapStatus.OPEN, None)


def test_the_usual_delay_is_learned() -> None:
    yesterday = gap("2024-06-09T00:00", 1440)
    delays = {("spot", "klines", Cadence.DAY): timedelta(hours=14)}
    (waiting,) = ladder.unpublished([yesterday], GRID, delays, None, NOW)

    assert waiting.explanation is Explanation.NOT_PUBLISHED
    assert "14 h" in waiting.reason


def test_only_the_part_whose_archive_is_not_late_is_on_its_way() -> None:
    days = gap("2024-06-07T12:00", 1440 * 2 + 720)
    parts = ladder.unpublished([days], GRID, {}, None, datetime(2024, 6, 10, 3, tzinfo=UTC))

    assert [(g.span.start.day, g.explanation) for g in parts] == [
        (7, None),
        (9, Explanation.NOT_PUBLISHED),
    ]


def known(period: str, status: Status) -> Known:
    archive = Archive(series(), period_from(period))
    return Known(archive, status, is_held=status is Status.PRESENT)


def test_days_with_holes_are_asked_for_only_where_a_monthly_archive_has_them() -> None:
    gaps = [gap("2024-03-05T23:00", 120), gap("2024-04-02T00:00", 10), gap("2024-05-02", 10)]
    archives = [
        known("2024-03", Status.PRESENT),
        known("2024-04", Status.ABSENT),
        known("2024-05", Status.QUARANTINED),
        known("2024-03-06", Status.ABSENT),
    ]
    days = stand_ins.archives_of(gaps, {series(): archives}, {series(): want("2017-01-01")}, NOW)

    assert [str(one.archive.period) for one in days] == ["2024-03-05", "2024-05-02"]


def test_gaps_alike_are_asked_of_three_and_shared_when_those_are_empty() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(8)]
    chosen = ladder.choose(alike, frozenset(), NOW)
    assert [g.series.symbol for g in chosen.to_ask] == ["S0", "S1", "S2"]

    empty = [ladder.remaining(heard(g, -1, 60), GRID)[0] for g in chosen.to_ask]
    after = ladder.choose([*empty, *alike[3:]], frozenset(), NOW)
    assert after.to_ask == []
    assert {g.explanation for g in after.shared} == {Explanation.EMPTY_AT_SOURCE}
    assert len(after.shared) == 5


def test_gaps_alike_that_the_api_had_rows_for_are_all_asked_for() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(8)]
    chosen = ladder.choose(alike, {ladder.shape_of(alike[0])}, NOW)
    assert len(chosen.to_ask) == 8


def test_what_others_told_is_no_witness_itself() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(4)]
    empty = [ladder.remaining(heard(g, -1, 60), GRID)[0] for g in alike[:3]]
    (shared,) = ladder.choose([*empty, alike[3]], frozenset(), NOW).shared
    late = NOW + timedelta(days=400)
    again = ladder.choose([*empty, shared], frozenset(), late)

    assert [g.series.symbol for g in again.to_ask] == ["S0", "S1", "S2"]


def want(start: str, end: str = "2200-01-01") -> Want:
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)]
    return Want(series(), Span(*moments))


def test_rows_are_expected_up_to_the_last_day_that_ended() -> None:
    assert ladder.expected_until(want("2024-01-01"), GRID, NOW) == datetime(2024, 6, 10, tzinfo=UTC)
    weeks = Grid(Interval.W1, timedelta(days=4))
    monthly = replace(want("2024-01-01"), series=Series(Market.SPOT, "klines", "X", Interval.W1))
    assert ladder.expected_until(monthly, weeks, NOW) == datetime(2024, 6, 1, tzinfo=UTC)


def test_gaps_alike_of_which_one_was_asked_for_in_vain_are_all_asked_for() -> None:
    """What the API has no word of may be no outage at all."""
    alike = [gap("2024-03-05T10:00", 3, name) for name in ("A", "B", "C", "D", "E")]
    alike[0] = replace(alike[0], attempts=1, next_try_at=NOW + timedelta(hours=1))

    assert len(ladder.choose(alike, frozenset(), NOW).to_ask) == 4


def test_a_bar_that_is_open_over_the_end_of_a_month_is_not_expected() -> None:
    weeks = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)
    weekly = replace(want("2024-01-01"), series=weeks)
    saturday, monday = datetime(2024, 6, 1, 12, tzinfo=UTC), datetime(2024, 5, 27, tzinfo=UTC)

    assert ladder.expected_until(weekly, Grid(Interval.W1, timedelta(days=4)), saturday) == monday


def test_rows_are_expected_from_the_start_that_was_asked_for() -> None:
    wanted, archives = want("2024-03-01", "2024-03-09"), [known("2024-03-05", Status.PRESENT)]

    assert ladder.expected_spans(wanted, [], archives, GRID, NOW) == [wanted.span]


def test_a_gap_that_begins_long_ago_is_not_on_its_way() -> None:
    months = gap("2024-03-01T00:00", 1440 * 101)
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)

    assert [g.explanation for g in ladder.unpublished([months], GRID, {}, None, soon)] == [None]


def test_no_archive_is_on_its_way_for_longer_than_two_days() -> None:
    """After a republication in bulk the dates of files tell of delays of months."""
    delays = {("spot", "klines", Cadence.DAY): timedelta(days=60)}
    old = gap("2024-06-05T00:00", 1440)
    (left,) = ladder.unpublished([old], GRID, delays, None, NOW)

    assert left.explanation is None
