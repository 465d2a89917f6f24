"""What is fetched, by which archive, and into which partition."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool import vendor
from fullpool.attempts import Tried, next_try, verdict
from fullpool.grouping import cut_at, patch_step, steps, unit_at
from fullpool.kinds import KINDS, is_hive_key, offers
from fullpool.model import (
    Archive,
    Cadence,
    Checksum,
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
    has_month_of,
    known_until,
    lacks_days,
    months_wanted,
    needs_listing,
    newly_expected,
    one_of_each,
    unrecorded,
)

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
M1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
H1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.H1)
W1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)
TRADES = Series(Market.UM, "aggTrades", "BTCUSDT")
TRADED = Series(Market.SPOT, "trades", "BTCUSDT")
BY_DAY = Series(Market.UM, "bookDepth", "BTCUSDT")
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


def test_closed_months_use_monthly_archives_and_others_daily() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.LISTED) == [
        "2024-04",
        "2024-05",
        *map(str, days("2024-06-01", "2024-06-14")),
    ]


def test_a_month_begun_midway_comes_by_days() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1, "2024-04-29"), monthly, daily, NOW)

    assert labels(chosen, Status.LISTED)[:3] == ["2024-04-29", "2024-04-30", "2024-05"]


def test_a_lost_month_comes_by_days() -> None:
    monthly, daily = listing("2024-03", "2024-05"), days("2024-04-01", "2024-06-01")

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.LISTED)[1] == "2024-04-01"
    assert not labels(chosen, Status.ABSENT)


def test_lost_days_and_months_are_absent() -> None:
    monthly, daily = listing("2024-02", "2024-05"), days("2024-06-01", "2024-06-03")
    del daily[period_from("2024-06-02")]

    chosen = choose(want(M1), monthly, daily, NOW)

    assert labels(chosen, Status.ABSENT) == ["2024-03", "2024-04", "2024-06-02"]  # over a week ago


def test_nothing_is_missing_outside_the_listed_span() -> None:
    chosen = choose(
        want(M1, "2018-01-01"), listing("2024-04"), days("2024-05-01", "2024-05-02"), NOW
    )

    assert labels(chosen, Status.ABSENT) == []


def test_a_known_series_misses_days_not_listed() -> None:
    chosen = choose(want(M1, "2024-06-01", known=True), {}, days("2024-06-03", "2024-06-04"), NOW)

    assert labels(chosen, Status.ABSENT) == ["2024-06-01", "2024-06-02"]


def test_a_month_wanted_in_parts_comes_once() -> None:
    left_out = (Span(at("2024-03-13"), at("2024-03-20")),)
    parts = replace(want(M1, "2024-03-01"), left_out=left_out)

    chosen = choose(parts, listing("2024-03"), {}, NOW)

    assert labels(chosen, Status.LISTED) == ["2024-03"]
    assert "2024-03" not in labels(chosen, Status.ABSENT)
    assert len(labels(chosen, Status.ABSENT)) == 31 - 7


def test_listed_beats_absent_for_one_archive() -> None:
    month = Archive(M1, period_from("2024-03"))
    lost = Known(month, Status.ABSENT, "not in the vendor's listing")
    there = Known(month, Status.LISTED, "listed by the vendor", IDENTITY)

    assert one_of_each([lost, there]) == one_of_each([there, lost]) == [there]


def test_series_without_days_take_whole_months() -> None:
    chosen = choose(want(W1, "2024-04-15"), listing("2024-04", "2024-05"), {}, NOW)

    assert labels(chosen, Status.LISTED) == ["2024-04", "2024-05"]


def test_the_plan_ends_with_the_span() -> None:
    monthly, daily = listing("2024-04", "2024-05"), days("2024-04-01", "2024-06-14")

    chosen = choose(want(M1, "2024-04-01", at("2024-05-03")), monthly, daily, NOW)

    assert labels(chosen, Status.LISTED) == ["2024-04", "2024-05-01", "2024-05-02"]


@given(
    st.sets(st.dates(date(2024, 1, 1), date(2024, 6, 14))),
    st.sets(st.sampled_from(["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"])),
    st.dates(date(2023, 12, 1), date(2024, 6, 14)),
)
def test_every_wanted_day_archived_anywhere_is_covered(
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
        if k.status is Status.LISTED
        for d in periods(k.archive.period.span, Cadence.DAY)
    }
    assert len(covered) == len(set(covered))
    in_months = {day for month in monthly for day in periods(month.span, Cadence.DAY)}
    overdue = {day for day in in_months if vendor.is_overdue(day, NOW)}
    assert {day for day in daily if wanted.span.covers(day.span)} <= published
    assert {day for day in overdue if wanted.span.covers(day.span)} <= published


def test_day_listing_starts_at_first_missing_month() -> None:
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


def test_due_names_are_computed_without_listing() -> None:
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
def test_series_without_computable_names_are_listed(last: Listed | None, *, expected: bool) -> None:
    assert needs_listing(want(M1), last, WEEK, NOW) is expected


def known(series: Series, label: str) -> Known:
    return Known(Archive(series, period_from(label)), Status.LISTED, "", IDENTITY)


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
def test_archives_enter_partitions_of_their_unit(
    series: Series, label: str, unit: str, partitions: int
) -> None:
    (step,) = steps([known(series, label)], [], frozenset(), NOW)

    assert str(step.unit) == unit
    assert len(step.partitions) == partitions


def test_archives_of_one_partition_share_a_step() -> None:
    (step,) = steps(
        [known(M1, "2024-06-14"), known(M1, "2024-06-13")], [held(M1, "2024-06")], frozenset(), NOW
    )

    assert [str(k.archive.period) for k in step.archives] == ["2024-06-13", "2024-06-14"]
    assert [file.path for file in step.files] == ["2024-06.parquet"]


def test_monthly_trades_replace_their_daily_files() -> None:
    (step,) = steps(
        [known(TRADES, "2024-05")],
        [held(TRADES, "2024-05-02"), held(TRADES, "2024-06-01")],
        frozenset(),
        NOW,
    )

    assert [file.path for file in step.files] == ["2024-05-02.parquet"]


def test_only_months_of_closed_years_are_folded() -> None:
    files = [held(M1, "2023-01"), held(M1, "2023-02"), held(M1, "2024-01")]

    (step,) = steps([], files, frozenset(), NOW)

    assert str(step.unit) == "2023"
    assert step.reason == "merge a closed year"
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


def test_present_archives_are_not_tried_unasked() -> None:
    assert next_try(Status.PRESENT, 1, NOW) is None


SUM = Tried(Fault.WRONG_SUM, "sha256 is a, its CHECKSUM says b")
LISTED = Known(Archive(M1, period_from("2024-05")), Status.LISTED, "listed", IDENTITY)
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
def test_every_failed_try_has_its_verdict(
    before: Known, tried: Tried, status: Status, identity: Identity | None
) -> None:
    after = verdict(before, tried, NOW)

    assert (after.status, after.identity) == (status, identity)
    assert after.attempts == before.attempts + 1
    assert after.next_try_at is not None
    assert after.next_try_at > NOW


def test_day_and_month_are_written_together() -> None:
    (step,) = steps([known(TRADES, "2024-05"), known(TRADES, "2024-05-07")], [], frozenset(), NOW)

    assert str(step.unit) == "2024-05"
    assert len(step.archives) == 2


def test_a_moment_falls_in_its_month() -> None:
    assert str(period_of(NOW, Cadence.MONTH)) == "2024-06"


def test_a_month_is_lost_only_when_overdue() -> None:
    """Until then its days are looked for: they may be late, as the month is."""
    daily = days("2024-04-01", "2024-04-30") | days("2024-06-05", "2024-06-09")
    moment = at("2024-06-10T12:00")
    early = choose(want(M1), {}, daily, moment)
    late = choose(want(M1), {}, daily, moment + timedelta(days=60))

    assert labels(early, Status.ABSENT)[:2] == ["2024-05-01", "2024-05-02"]
    assert "2024-05" not in labels(early, Status.ABSENT)
    assert "2024-05" in labels(late, Status.ABSENT)


def test_names_not_listed_wait_half_an_hour() -> None:
    last = listed("2017-01-01", "2024-06-15T11:45", "2024-06-14")
    soon, later = at("2024-06-15T12:00"), at("2024-06-15T12:15")

    assert newly_expected(want(M1), last, soon) == []
    assert [str(k.archive.period) for k in newly_expected(want(M1), last, later)] == ["2024-06-14"]


def test_series_stopped_two_weeks_are_dormant() -> None:
    last = listed("2017-01-01", "2024-06-13", "2024-05-28")
    still = listed("2017-01-01", "2024-06-13", "2024-05-31")

    assert newly_expected(want(M1), last, NOW) == []
    assert not needs_listing(want(M1), last, WEEK, NOW)
    assert newly_expected(want(M1), still, NOW) != []


def test_lagging_series_are_listed_at_most_hourly() -> None:
    last = listed("2017-01-01", "2024-06-15T11:30", "2024-06-05")

    assert not needs_listing(want(M1), last, WEEK, at("2024-06-15T12:10"))
    assert needs_listing(want(M1), last, WEEK, at("2024-06-15T12:30"))


def test_only_what_came_advances_a_listing() -> None:
    last = listed("2017-01-01", "2024-06-13T12:00", "2024-06-13")
    came = Known(Archive(M1, period_from("2024-06-13")), Status.PRESENT, "")
    failed = Known(Archive(M1, period_from("2024-06-14")), Status.FAILED, "503")

    assert caught_up(last, [came, failed]).until == at("2024-06-14")
    assert caught_up(last, [failed]) == last


def test_a_month_is_folded_after_its_end() -> None:
    day = replace(held(M1, "2024-06"), partition=Partition(M1, period_from("2024-06-03")))

    assert list(steps([], [day], frozenset(), NOW)) == []
    assert [str(s.unit) for s in steps([], [day], frozenset(), at("2024-07-01"))] == ["2024-06"]


def test_years_close_a_month_after_december() -> None:
    file = held(M1, "2023-05")

    assert list(steps([], [file], frozenset(), at("2024-01-31T23:00"))) == []
    assert [str(s.unit) for s in steps([], [file], frozenset(), at("2024-02-01"))] == ["2023"]


def test_waits_for_lost_archives_reach_a_quarter() -> None:
    waits = []
    for attempts in range(6):
        moment = next_try(Status.ABSENT, attempts, NOW)
        assert moment is not None
        waits.append((moment - NOW).days)

    assert waits == [7, 14, 28, 56, 90, 90]


def test_months_wanted_whole_have_ended() -> None:
    asked = want(M1, "2024-03-15", at("2024-06-20"))
    assert [str(month) for month in months_wanted(asked, NOW)] == ["2024-04", "2024-05"]

    parts = replace(asked, left_out=(Span(at("2024-04-10"), at("2024-04-11")),))
    assert [str(month) for month in months_wanted(parts, NOW)] == ["2024-05"]
    assert months_wanted(want(M1, "2024-07-01"), NOW) == []


def test_missing_days_may_be_in_their_month() -> None:
    out, too_soon = at("2024-04-02T06:00"), at("2024-04-02T05:00")  # of March's archive
    march = listing(*(f"2024-03-{day:02d}" for day in range(6, 32)))
    from_6th = want(TRADED, "2024-03-06")
    in_parts = replace(from_6th, left_out=(Span(at("2024-03-14"), at("2024-03-21")),))

    def lacks(wanted: Want, *without: str, now: datetime = out) -> bool:
        lost = {period_from(label) for label in without}
        return lacks_days(wanted, {day: march[day] for day in march if day not in lost}, now)

    assert not lacks(from_6th)
    assert lacks(from_6th, "2024-03-06")  # the first one
    assert lacks(from_6th, *(f"2024-03-{day}" for day in range(17, 32)))  # none comes any more
    assert not lacks(from_6th, "2024-03-31", now=too_soon)
    assert not lacks(in_parts, "2024-03-14", "2024-03-20")
    assert lacks(in_parts, *(f"2024-03-{day}" for day in range(14, 31)))  # a part's first ones
    assert not lacks(want(TRADED, "2024-03-06", at("2024-03-20")), "2024-03-20")
    assert lacks_days(from_6th, {}, out)  # all of them may be lost
    assert not lacks_days(want(TRADED), {}, out)  # it may have been born later
    assert not lacks_days(want(BY_DAY, "2024-03-06"), {}, out)


def test_chosen_archives_are_known_until_their_end() -> None:
    assert known_until([known(M1, "2024-05"), known(M1, "2024-04-30")]) == at("2024-06-01")
    assert known_until([]) is None


def test_nothing_recorded_or_held_is_refetched() -> None:
    def record(label: str, status: Status = Status.PRESENT, *, is_held: bool = True) -> Known:
        return replace(known(M1, label), status=status, is_held=is_held)

    every_day = [record(str(day)) for day in periods(period_from("2024-04").span, Cadence.DAY)]
    chosen = [known(M1, label) for label in ("2024-03-05", "2024-04", "2024-05-05", "2024-05-06")]
    chosen.append(replace(known(M1, "2024-05-07"), status=Status.ABSENT))

    def left(*on_record: Known) -> list[str]:
        return [str(one.archive.period) for one in unrecorded(chosen, on_record)]

    assert left() == ["2024-03-05", "2024-04", "2024-05-05", "2024-05-06"]
    failed = record("2024-05-05", Status.FAILED, is_held=False)
    assert left(record("2024-03"), *every_day, failed) == ["2024-05-06"]
    assert left(*every_day[1:]) == ["2024-03-05", "2024-04", "2024-05-05", "2024-05-06"]
    not_held = record("2024-03", Status.FAILED, is_held=False)
    assert left(not_held) == ["2024-03-05", "2024-04", "2024-05-05", "2024-05-06"]


def test_only_days_have_their_month_held() -> None:
    month, day = known(M1, "2024-03").archive, known(M1, "2024-03-05").archive

    assert has_month_of({month}, day)
    assert not has_month_of({month}, month)
    assert not has_month_of({month}, known(H1, "2024-03-05").archive)
    assert not has_month_of({day}, known(M1, "2024-03-06").archive)


def test_rest_rows_enter_their_moment_s_partition() -> None:
    assert str(unit_at(M1, at("2024-06-14"), NOW)) == "2024-06"
    assert str(unit_at(M1, at("2023-06-14"), NOW)) == "2023"
    assert str(unit_at(TRADES, at("2024-06-14"), NOW)) == "2024-06-14"

    files = [held(M1, "2024-06"), held(M1, "2024-05")]
    step = patch_step(M1, period_from("2024-06"), files)
    assert step.files == (files[0],)
    assert step.partitions == (Partition(M1, period_from("2024-06")),)
    assert (step.series, step.unit, step.archives) == (M1, period_from("2024-06"), ())
    year = patch_step(M1, period_from("2024"), files)
    assert year.files == (files[1], files[0])  # in the order of time


def test_a_clock_set_back_reopens_no_folded_year() -> None:
    """Its rows would be there twice: in the file of the year, and in one of the month beside it."""
    january = at("2024-01-28")
    year, other = held(M1, "2023"), held(H1, "2023")  # files of 1h are of a year anyway
    known = Known(Archive(M1, period_from("2023-12-07")), Status.LISTED, "", IDENTITY)

    assert cut_at([year], january) == at("2024-02-01") > january
    assert cut_at([year], NOW) == NOW
    assert cut_at([other, held(M1, "2024-01")], january) == january
    (step,) = steps([known], [year], set(), january)
    assert (step.unit, step.files) == (period_from("2023"), (year,))
    assert step.partitions == (Partition(M1, period_from("2023")),)


def trades_of(label: str, first: int, last: int, *moments: str) -> PartitionFile:
    times = [at(moment) for moment in moments]
    period = period_from(label)
    return PartitionFile(
        Partition(TRADES, period), f"{label}.parquet", 1, 1, 1, times[0], times[1],
        first_key=first, last_key=last,
    )  # fmt: skip


def test_possibly_overlapping_files_are_compared_once() -> None:
    before = trades_of("2024-06-12", 1, 100, "2024-06-12T00:00", "2024-06-12T23:59")
    early = trades_of("2024-06-13", 100, 200, "2024-06-12T23:59", "2024-06-13T23:59")
    after = trades_of("2024-06-14", 201, 300, "2024-06-14T00:00", "2024-06-14T23:59")

    (step,) = steps([], [before, early, after], frozenset(), NOW)
    assert (step.unit, step.beside) == (period_from("2024-06-13"), (before,))
    assert step.reason == "remove rows the adjacent day also has"
    assert step.files == (early,)
    compared = frozenset({(early.path, before.path)})
    assert list(steps([], [before, early, after], compared, NOW)) == []

    other_ids = replace(before, last_key=99)
    assert list(steps([], [other_ids, early, after], frozenset(), NOW)) == []
    late = trades_of("2024-06-13", 150, 201, "2024-06-13T00:00", "2024-06-14T00:00")
    (step,) = steps([], [before, late, after], frozenset(), NOW)
    assert (step.unit, step.beside) == (period_from("2024-06-13"), (after,))


def test_a_step_says_why() -> None:
    def reason(*due: Known, files: tuple[PartitionFile, ...] = ()) -> str:
        (step,) = steps(due, files, frozenset(), NOW)
        return step.reason

    day = known(M1, "2024-06-14")
    assert reason(day) == "new"
    assert reason(day, files=(held(M1, "2024-06"),)) == "add to existing rows"
    assert reason(replace(day, attempts=1)) == "retry"
    assert reason(files=(held(M1, "2023-06"),)) == "merge a closed year"


@pytest.mark.parametrize(
    ("kind", "market", "interval", "is_offered"),
    [
        ("klines", Market.SPOT, Interval.S1, True),
        ("klines", Market.UM, Interval.S1, False),
        ("klines", Market.UM, Interval.M1, True),
        ("klines", Market.SPOT, None, False),
        ("aggTrades", Market.CM, None, True),
        ("aggTrades", Market.CM, Interval.M1, False),
        ("markPriceKlines", Market.SPOT, Interval.M1, False),
        ("markPriceKlines", Market.UM, Interval.M1, True),
    ],
)
def test_the_vendor_offers_only_some_series(
    kind: str, market: Market, interval: Interval | None, *, is_offered: bool
) -> None:
    assert offers(KINDS[kind], market, interval) is is_offered


def test_trades_may_lie_just_outside_their_day() -> None:
    day = period_from("2024-06-14").span
    trades, bars = KINDS["aggTrades"], KINDS["klines"]

    assert trades.around(day) == Span(day.start - trades.slack, day.end + trades.slack)
    assert trades.slack > timedelta()
    assert bars.around(day) == Span(day.start - bars.slack, day.end + bars.slack)


@pytest.mark.parametrize(
    ("folder", "is_key"),
    [
        ("market=crypto", True), ("Symbol=x", True), ("interval=", True),
        ("market", False), ("=market", False), ("year=2024", False), ("a=market=x", False),
    ],
)  # fmt: skip
def test_hive_keys_among_folders_are_recognized(folder: str, *, is_key: bool) -> None:
    assert is_hive_key(folder) is is_key


def test_verdicts_say_what_happened_and_what_stays() -> None:
    after = verdict(replace(LISTED, is_held=True), SUM, NOW)
    assert after.reason == "sha256 is a, its CHECKSUM says b; the lake keeps its older edition"
    assert (after.fault, after.checksum) == (Fault.WRONG_SUM, Checksum.WRONG)

    missing = verdict(LISTED, Tried(Fault.NO_SUM, "no CHECKSUM"), NOW)
    assert (missing.reason, missing.checksum) == ("no CHECKSUM", Checksum.MISSING)
    again = verdict(FAILED_SUM, SUM, NOW)
    assert again.next_try_at == NOW + timedelta(minutes=10)  # its CHECKSUM may just be late


@pytest.mark.parametrize(
    ("listed", "fetched", "kept"),
    [
        (Identity("listing", 100), Identity("mirror", 100), Identity("listing", 100)),
        (Identity("listing", 99), Identity("mirror", 100), Identity("mirror", 100)),
        (None, Identity("mirror", 100), Identity("mirror", 100)),
        (Identity("listing", 100), None, None),
    ],
)
def test_an_edition_keeps_its_listed_identity(
    listed: Identity | None, fetched: Identity | None, kept: Identity | None
) -> None:
    before = replace(LISTED, identity=listed)
    assert verdict(before, Tried(Fault.WRONG_ROWS, "x", fetched), NOW).identity == kept


def test_what_is_chosen_says_why() -> None:
    chosen = choose(
        want(M1, "2024-03-01", at("2024-03-03")), {}, days("2024-03-01", "2024-03-01"), NOW
    )
    assert [(one.archive.series, one.reason, one.identity) for one in chosen] == [
        (M1, "listed by the vendor", IDENTITY)
    ]
    known_wants = want(M1, "2024-06-13", known=True)
    missing, listed_day = choose(known_wants, {}, days("2024-06-14", "2024-06-14"), NOW)
    assert (missing.archive, missing.reason) == (
        Archive(M1, period_from("2024-06-13")), "not in the vendor's listing",
    )  # fmt: skip
    assert missing.status is Status.NOT_PUBLISHED
    assert missing.next_try_at == NOW + timedelta(minutes=30)
    assert listed_day.status is Status.LISTED


def test_expected_names_say_why() -> None:
    (one,) = newly_expected(want(M1), listed("2024-01-01", "2024-06-14T10:00", "2024-06-14"), NOW)
    assert (one.archive, one.status) == (Archive(M1, period_from("2024-06-14")), Status.EXPECTED)
    assert one.reason == "due by the vendor's usual delay"


def test_spans_between_datasets_are_listed_when_wanted() -> None:
    before = replace(
        listed("2024-01-01", "2024-06-15T11:00", "2024-06-14"),
        left_out=(Span(at("2024-02-01"), at("2024-03-01")),),
    )
    assert needs_listing(want(M1, "2024-01-01"), before, WEEK, NOW)
    asked = replace(want(M1, "2024-01-01"), left_out=before.left_out)
    assert not needs_listing(asked, before, WEEK, NOW)


def test_monthly_series_expect_their_new_month() -> None:
    """Its last archive ended two weeks ago or more in half of all listings: it still trades."""
    listed_late = listed("2024-01-01", "2024-05-20", "2024-05-01")
    wanted = want(W1, "2024-01-01")
    record = replace(listed_late, series=W1)

    due = newly_expected(wanted, record, at("2024-06-03"))
    assert [str(one.archive.period) for one in due] == ["2024-05"]
    assert not needs_listing(wanted, record, WEEK, at("2024-06-03"))
    stopped = replace(record, at=at("2024-07-02"))
    assert newly_expected(wanted, stopped, at("2024-07-03")) == []


def test_columns_keep_their_written_field_ids() -> None:
    fixture = Path(__file__).parents[1] / "support" / "fixtures" / "field_ids.tsv"
    lines = (line.split("\t") for line in fixture.read_text().splitlines())
    written = [(table, name, int(number)) for table, number, name in lines]

    ids = {kind.table: kind.field_ids for kind in KINDS.values()}

    assert [ids[table][name] for table, name, _ in written] == [number for *_, number in written]
    assert sum(map(len, ids.values())) == len(written), "add the new column to the fixture"
    assert all(len(set(own.values())) == len(own) for own in ids.values())
