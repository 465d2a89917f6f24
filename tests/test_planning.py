"""What is fetched, by which archive, and into which partition."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool import vendor
from fullpool.attempts import Tried, next_try, verdict
from fullpool.model import (
    Archive,
    Cadence,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Partition,
    PartitionFile,
    Period,
    Series,
    Span,
    Status,
    period_from,
    period_of,
    periods,
)
from fullpool.planning import (
    Listed,
    Want,
    caught_up,
    choose,
    first_day_to_list,
    needs_listing,
    newly_expected,
    steps,
)

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
M1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
H1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.H1)
W1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)
TRADES = Series(Market.UM, "aggTrades", "BTCUSDT")
FAR = datetime(2200, 1, 1, tzinfo=UTC)
IDENTITY = Identity("etag", 100)
WEEK = timedelta(days=7)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def want(
    series: Series, start: str = "2017-01-01", end: datetime = FAR, *, known: bool = False
) -> Want:
    return Want(series, Span(at(start), end), is_known=known)


def listed(start: str, moment: str, until: str | None, *, end: str = "2200-01-01") -> Listed:
    return Listed(M1, Span(at(start), at(end)), at(moment), at(until) if until else None)


def listing(*labels: str) -> dict[Period, Identity]:
    return {period_from(label): IDENTITY for label in labels}


def days(first: str, last: str) -> dict[Period, Identity]:
    span = Span(at(first), at(last) + timedelta(days=1))
    return dict.fromkeys(periods(span, Cadence.DAY), IDENTITY)


def labels(chosen: list[Known], status: Status) -> list[str]:
    return [str(known.archive.period) for known in chosen if known.status is status]


def test_closed_months_come_by_monthly_archive_and_the_rest_by_daily_ones() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.PUBLISHED) == [
        "2024-04",
        "2024-05",
        *map(str, days("2024-06-01", "2024-06-14")),
    ]


def test_a_month_begun_in_its_middle_comes_by_daily_archives() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1, "2024-04-29"), monthly, daily, NOW)

    assert labels(chosen, Status.PUBLISHED)[:3] == ["2024-04-29", "2024-04-30", "2024-05"]


def test_a_month_whose_archive_is_lost_comes_by_daily_ones() -> None:
    monthly, daily = listing("2024-03", "2024-05"), days("2024-04-01", "2024-06-01")

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.PUBLISHED)[1] == "2024-04-01"
    assert not labels(chosen, Status.ABSENT)


def test_days_and_months_that_are_lost_are_absent() -> None:
    monthly, daily = listing("2024-02", "2024-05"), days("2024-06-01", "2024-06-03")
    del daily[period_from("2024-06-02")]

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.ABSENT) == ["2024-03", "2024-04", "2024-06-02"]  # over a week ago


def test_nothing_is_missing_before_the_first_archive_or_after_the_last() -> None:
    chosen = choose(
        want(M1, "2018-01-01"), listing("2024-04"), days("2024-05-01", "2024-05-02"), NOW
    )

    assert labels(chosen, Status.ABSENT) == []


def test_what_is_not_listed_from_where_a_series_is_known_is_missing() -> None:
    chosen = choose(want(M1, "2024-06-01", known=True), {}, days("2024-06-03", "2024-06-04"), NOW)

    assert labels(chosen, Status.ABSENT) == ["2024-06-01", "2024-06-02"]


def test_a_series_without_daily_archives_takes_a_month_it_wants_a_part_of() -> None:
    chosen = choose(want(W1, "2024-04-15"), listing("2024-04", "2024-05"), {}, NOW)

    assert labels(chosen, Status.PUBLISHED) == ["2024-04", "2024-05"]


def test_the_end_of_the_span_ends_the_plan() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1, "2024-04-01", at("2024-05-03")), monthly, daily, NOW)

    assert labels(chosen, Status.PUBLISHED) == ["2024-04", "2024-05-01", "2024-05-02"]


@given(
    st.sets(st.dates(date(2024, 1, 1), date(2024, 6, 14))),
    st.sets(st.sampled_from(["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"])),
    st.dates(date(2023, 12, 1), date(2024, 6, 14)),
)
def test_every_day_of_the_span_that_any_archive_has_is_covered(
    day_set: set[date], months: set[str], start: date
) -> None:
    """Once, but where a month stands beside its days because one of them was lost."""
    daily = {Period(day, Cadence.DAY): IDENTITY for day in day_set}
    monthly = listing(*months)
    wanted = want(M1, start.isoformat())

    chosen = choose(wanted, monthly, daily, NOW)

    periods_chosen = [known.archive.period for known in chosen]
    lost = {k.archive.period for k in chosen if k.status is Status.ABSENT}
    beside = [
        month
        for month in periods_chosen
        if month.cadence is Cadence.MONTH and lost & set(periods(month.span, Cadence.DAY))
    ]
    once = [period for period in periods_chosen if period not in beside]
    covered = [day for period in once for day in periods(period.span, Cadence.DAY)]
    published = {
        d
        for k in chosen
        if k.status is Status.PUBLISHED
        for d in periods(k.archive.period.span, Cadence.DAY)
    }
    assert len(covered) == len(set(covered))
    in_months = {day for month in monthly for day in periods(month.span, Cadence.DAY)}
    overdue = {day for day in in_months if vendor.is_overdue(day, NOW)}
    assert {day for day in daily if wanted.span.covers(day.span)} <= published
    assert {day for day in overdue if wanted.span.covers(day.span)} <= published


def test_days_are_listed_from_the_first_month_without_an_archive() -> None:
    assert first_day_to_list(want(M1), listing("2024-04", "2024-05"), NOW) == period_from(
        "2024-06-01"
    )
    assert first_day_to_list(want(M1), listing("2024-03", "2024-05"), NOW) == period_from(
        "2024-04-01"
    )
    assert first_day_to_list(want(M1, "2024-05-20"), listing("2024-05"), NOW) == period_from(
        "2024-05-20"
    )
    assert first_day_to_list(want(W1), {}, NOW) is None


def test_names_due_since_the_last_listing_are_computed() -> None:
    last = listed("2017-01-01", "2024-06-13T12:00", "2024-06-13")

    new = newly_expected(want(M1), last, NOW)

    assert [str(known.archive.period) for known in new] == ["2024-06-13", "2024-06-14"]
    assert not needs_listing(want(M1), last, WEEK, NOW)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, True),
        (
            listed("2020-01-01", "2024-06-15", "2024-06-14"),
            True,
        ),  # more past wanted
        (listed("2017-01-01", "2024-06-01", "2024-06-01"), True),  # far behind
        (listed("2017-01-01", "2024-06-15", "2022-06-01"), False),  # delisted
        (listed("2017-01-01", "2024-06-01", "2022-06-01"), True),  # a week ago
        (listed("2017-01-01", "2024-06-15", None), False),  # the vendor has none
        (
            listed("2017-01-01", "2024-06-15", "2023-01-01", end="2023-01-01"),
            True,
        ),  # a later end wanted
    ],
)
def test_a_series_is_listed_when_names_cannot_be_computed(
    last: Listed | None, *, expected: bool
) -> None:
    assert needs_listing(want(M1), last, WEEK, NOW) is expected


def known(series: Series, label: str) -> Known:
    return Known(Archive(series, period_from(label)), Status.PUBLISHED, "", IDENTITY)


def held(series: Series, label: str) -> PartitionFile:
    period = period_from(label)
    return PartitionFile(
        Partition(series, period), f"{label}.parquet", 1, 1, 1, period.span.start, period.span.start
    )


@pytest.mark.parametrize(
    ("series", "label", "unit", "partitions"),
    [
        (M1, "2024-06-14", "2024-06", 1),
        (M1, "2024-05", "2024-05", 1),
        (M1, "2023-05", "2023", 1),  # a closed year is one file
        (H1, "2024-06-14", "2024", 1),
        (TRADES, "2024-06-14", "2024-06-14", 1),
        (TRADES, "2024-05", "2024-05", 31),  # a month of trades goes into its days
    ],
)
def test_an_archive_goes_into_the_partitions_of_its_unit(
    series: Series, label: str, unit: str, partitions: int
) -> None:
    (step,) = steps([known(series, label)], [], frozenset(), NOW)

    assert str(step.unit) == unit
    assert len(step.partitions) == partitions


def test_archives_of_one_partition_are_one_step_and_replace_its_file() -> None:
    (step,) = steps(
        [known(M1, "2024-06-14"), known(M1, "2024-06-13")], [held(M1, "2024-06")], frozenset(), NOW
    )

    assert [str(k.archive.period) for k in step.archives] == ["2024-06-13", "2024-06-14"]
    assert [file.path for file in step.files] == ["2024-06.parquet"]


def test_a_month_of_trades_replaces_the_files_of_its_days() -> None:
    (step,) = steps(
        [known(TRADES, "2024-05")],
        [held(TRADES, "2024-05-02"), held(TRADES, "2024-06-01")],
        frozenset(),
        NOW,
    )

    assert [file.path for file in step.files] == ["2024-05-02.parquet"]


def test_months_of_a_closed_year_are_folded_and_those_of_an_open_one_are_not() -> None:
    files = [held(M1, "2023-01"), held(M1, "2023-02"), held(M1, "2024-01")]

    (step,) = steps([], files, frozenset(), NOW)

    assert str(step.unit) == "2023"
    assert step.reason == "fold a closed year"
    assert len(step.files) == 2


def test_a_folded_year_is_left_alone() -> None:
    assert (
        list(
            steps(
                [],
                [held(M1, "2023"), held(H1, "2023"), held(TRADES, "2023-05-01")],
                frozenset(),
                NOW,
            )
        )
        == []
    )


@given(
    st.integers(0, 100), st.sampled_from([Status.FAILED, Status.NOT_PUBLISHED, Status.QUARANTINED])
)
def test_waits_grow_and_stay_bounded(attempts: int, status: Status) -> None:
    first, second = (next_try(status, n, NOW) for n in (attempts, attempts + 1))

    assert first is not None
    assert second is not None
    assert NOW < first <= second <= NOW + timedelta(days=7)


def test_what_is_present_is_not_tried_by_itself() -> None:
    assert next_try(Status.PRESENT, 1, NOW) is None


SUM = Tried(Fault.WRONG_SUM, "sha256 is a, its CHECKSUM says b")
LISTED = Known(Archive(M1, period_from("2024-05")), Status.PUBLISHED, "listed", IDENTITY)
COMPUTED = Known(Archive(M1, period_from("2024-06-14")), Status.EXPECTED, "due")
OLD = Known(Archive(M1, period_from("2024-05-01")), Status.EXPECTED, "due")
FAILED_SUM = Known(LISTED.archive, Status.FAILED, "other words", IDENTITY, 1, fault=Fault.WRONG_SUM)


@pytest.mark.parametrize(
    ("before", "tried", "status", "identity"),
    [
        (LISTED, Tried(Fault.NOT_THERE, "404"), Status.FAILED, IDENTITY),
        (COMPUTED, Tried(Fault.NOT_THERE, "404"), Status.NOT_PUBLISHED, None),
        (OLD, Tried(Fault.NOT_THERE, "404"), Status.ABSENT, None),
        (LISTED, SUM, Status.FAILED, IDENTITY),
        (FAILED_SUM, SUM, Status.QUARANTINED, None),
        (LISTED, Tried(Fault.WRONG_ROWS, "x", IDENTITY), Status.QUARANTINED, IDENTITY),
        (LISTED, Tried(Fault.OTHER, "503"), Status.FAILED, IDENTITY),
    ],
)
def test_the_verdict_after_a_try_that_brought_nothing(
    before: Known, tried: Tried, status: Status, identity: Identity | None
) -> None:
    after = verdict(before, tried, NOW)

    assert (after.status, after.identity) == (status, identity)
    assert after.attempts == before.attempts + 1
    assert after.next_try_at is not None
    assert after.next_try_at > NOW


def test_a_day_is_written_together_with_its_month_when_both_are_due() -> None:
    (step,) = steps([known(TRADES, "2024-05"), known(TRADES, "2024-05-07")], [], frozenset(), NOW)

    assert str(step.unit) == "2024-05"
    assert len(step.archives) == 2


def test_the_month_of_a_day_is_its_period() -> None:
    assert str(period_of(NOW, Cadence.MONTH)) == "2024-06"


def test_a_month_without_archives_is_lost_only_once_it_is_overdue() -> None:
    """Until then its days are looked for: they may be late, as the month is."""
    daily = days("2024-04-01", "2024-04-30") | days("2024-06-05", "2024-06-09")
    moment = at("2024-06-10T12:00")
    early = choose(want(M1), {}, daily, moment)
    late = choose(want(M1), {}, daily, moment + timedelta(days=60))

    assert labels(early, Status.ABSENT)[:2] == ["2024-05-01", "2024-05-02"]
    assert "2024-05" not in labels(early, Status.ABSENT)
    assert "2024-05" in labels(late, Status.ABSENT)


def test_what_a_listing_lacked_is_asked_for_by_name_half_an_hour_later() -> None:
    last = listed("2017-01-01", "2024-06-15T11:45", "2024-06-14")
    soon, later = at("2024-06-15T12:00"), at("2024-06-15T12:15")

    assert newly_expected(want(M1), last, soon) == []
    assert [str(k.archive.period) for k in newly_expected(want(M1), last, later)] == ["2024-06-14"]


def test_a_series_that_stopped_is_dormant_after_two_weeks() -> None:
    last = listed("2017-01-01", "2024-06-13", "2024-05-28")
    still = listed("2017-01-01", "2024-06-13", "2024-05-31")

    assert newly_expected(want(M1), last, NOW) == []
    assert not needs_listing(want(M1), last, WEEK, NOW)
    assert newly_expected(want(M1), still, NOW) != []


def test_what_is_far_behind_is_listed_at_most_once_an_hour() -> None:
    last = listed("2017-01-01", "2024-06-15T11:30", "2024-06-05")

    assert not needs_listing(want(M1), last, WEEK, at("2024-06-15T12:10"))
    assert needs_listing(want(M1), last, WEEK, at("2024-06-15T12:30"))


def test_a_listing_is_caught_up_by_what_came_and_by_nothing_else() -> None:
    last = listed("2017-01-01", "2024-06-13T12:00", "2024-06-13")
    came = Known(Archive(M1, period_from("2024-06-13")), Status.PRESENT, "")
    failed = Known(Archive(M1, period_from("2024-06-14")), Status.FAILED, "503")

    assert caught_up(last, [came, failed]).until == at("2024-06-14")
    assert caught_up(last, [failed]) == last


def test_a_month_is_folded_from_its_days_once_it_is_over() -> None:
    day = replace(held(M1, "2024-06"), partition=Partition(M1, period_from("2024-06-03")))

    assert list(steps([], [day], frozenset(), NOW)) == []
    assert [str(s.unit) for s in steps([], [day], frozenset(), at("2024-07-01"))] == ["2024-06"]


def test_a_year_is_closed_when_its_december_had_a_month_to_come() -> None:
    file = held(M1, "2023-05")

    assert list(steps([], [file], frozenset(), at("2024-01-31T23:00"))) == []
    assert [str(s.unit) for s in steps([], [file], frozenset(), at("2024-02-01"))] == ["2023"]


def test_what_the_vendor_lost_is_asked_for_ever_more_slowly_up_to_a_quarter() -> None:
    waits = []
    for attempts in range(6):
        moment = next_try(Status.ABSENT, attempts, NOW)
        assert moment is not None
        waits.append((moment - NOW).days)

    assert waits == [7, 14, 28, 56, 90, 90]
