"""Which archives are asked for in place of others, and when an archive is looked at again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fullpool import stand_ins
from fullpool.attempts import (
    LOOKS,
    Tried,
    look_again,
    next_look,
    next_try,
    republished,
    unchanged,
    verdict,
)
from fullpool.gaps import Gap
from fullpool.grid import Places
from fullpool.model import (
    Archive,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Series,
    Span,
    Status,
    period_from,
)
from fullpool.planning import Want, want_of
from fullpool.stand_ins import archives_beside, archives_of, days_instead, months_instead

M1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
W1 = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)
NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def archive(label: str, series: Series = M1) -> Archive:
    return Archive(series, period_from(label))


def known(label: str, status: Status = Status.PRESENT, attempts: int = 0) -> Known:
    is_held = status is Status.PRESENT
    return Known(archive(label), status, attempts=attempts, is_held=is_held)


def want(start: str, end: str, series: Series = M1) -> Want:
    return Want(series, Span(at(start), at(end)))


WANTS = {one: want("2017-01-01", "2200-01-01", one) for one in (M1, W1)}


def gap(start: str, end: str, series: Series = M1) -> Gap:
    return Gap(series, Places(0, 1), Span(at(start), at(end)), NOW)


def labels(found: list[Known]) -> list[str]:
    assert {one.status for one in found} <= {Status.EXPECTED}
    return [str(one.archive.period) for one in found]


def test_wanted_unrecorded_days_replace_a_month() -> None:
    recorded = {period_from("2024-02-03")}
    found = days_instead(archive("2024-02"), recorded, want("2024-02-02", "2024-02-05"))

    assert labels(found) == ["2024-02-02", "2024-02-04"]
    assert days_instead(archive("2024-02", W1), set(), want("2024-01-01", "2025-01-01", W1)) == []


@pytest.mark.parametrize(
    ("now", "start", "expected"),
    [
        ("2024-06-15", "2024-05-20", ["2024-05"]),
        ("2024-06-02T06:00", "2024-05-20", ["2024-05"]),
        ("2024-06-02T05:59", "2024-05-20", []),
        ("2024-06-15", "2024-06-01", []),
    ],
)
def test_lost_days_request_their_available_month(now: str, start: str, expected: list[str]) -> None:
    wants = {M1: want(start, "2025-01-01")}

    assert labels(months_instead([archive("2024-05")], wants, at(now))) == expected
    assert months_instead([archive("2024-05", W1)], wants, at(now)) == []


def test_missing_rows_are_sought_in_the_other_cadence() -> None:
    records = {
        M1: [
            known("2024-03"),
            known("2024-03-05", Status.ABSENT),
            known("2024-04-10"),
            known("2024-05", Status.FAILED, attempts=1),
            known("2024-02", Status.FAILED, attempts=2),
            known("2024-01", Status.ABSENT),
            known("2023-12", Status.QUARANTINED),
        ]
    }

    def asked(start: str, end: str) -> list[str]:
        return labels(archives_of([gap(start, end)], records, WANTS, NOW))

    assert asked("2024-03-04T23:00", "2024-03-06T01:00") == ["2024-03-04", "2024-03-06"]
    assert asked("2024-04-09T23:00", "2024-04-11T01:00") == ["2024-04"]
    assert asked("2024-05-02", "2024-05-03") == []
    assert asked("2024-02-28T23:00", "2024-02-29T01:00") == ["2024-02-28", "2024-02-29"]
    assert asked("2024-01-02", "2024-01-03") == []
    assert asked("2023-12-02", "2023-12-03") == ["2023-12-02"]
    assert asked("2023-11-02", "2023-11-03") == []
    assert asked("2024-03-31T23:00", "2024-04-01T01:00") == ["2024-03-31", "2024-04"]


def test_an_unfinished_month_is_not_requested() -> None:
    records = {M1: [known("2024-06-10")]}
    a_hole = [gap("2024-06-10T05:00", "2024-06-10T06:00")]

    assert archives_of(a_hole, records, WANTS, NOW) == []
    assert labels(archives_of(a_hole, records, WANTS, at("2024-07-02T06:00"))) == ["2024-06"]
    later = {M1: want("2024-07-01", "2200-01-01")}
    assert archives_of(a_hole, records, later, at("2024-07-02T06:00")) == []
    weeks = [gap("2024-03-04", "2024-03-11", W1)]
    held = {W1: [Known(archive("2024-03", W1), Status.PRESENT)]}
    assert archives_of(weeks, held, WANTS, NOW) == []


def test_archives_beside_a_hole_are_inspected() -> None:
    records = {
        M1: [known("2024-03"), known("2024-04-01"), known("2024-04-02"), known("2024-04-03")]
    }
    over_midnight = [gap("2024-03-31T22:00", "2024-04-02T00:00")]
    after = [gap("2024-04-02T10:00", "2024-04-02T10:00")]

    def beside(gaps: list[Gap]) -> list[str]:
        return [str(one.archive.period) for one in archives_beside(gaps, records)]

    assert beside(over_midnight) == ["2024-03", "2024-04-01"]
    assert beside(after) == ["2024-04-02"]
    assert archives_beside(over_midnight, {M1: [known("2024-03", Status.FAILED)]}) == []


def test_looks_at_holes_slow_down_and_end() -> None:
    looks = [next_look(number, NOW) for number in range(LOOKS + 1)]

    assert looks == [NOW + 30 * MINUTE, NOW + 2 * HOUR, NOW + 8 * HOUR, None]
    again = look_again(replace(known("2024-03"), attempts=7), NOW)
    assert (again.attempts, again.next_try_at) == (0, NOW + 30 * MINUTE)


def test_a_look_without_news_is_counted() -> None:
    one = look_again(known("2024-03"), NOW)
    looks = []
    while one.next_try_at is not None:
        one = unchanged(one, NOW)
        looks.append((one.status, one.attempts, one.next_try_at))

    assert looks == [
        (Status.PRESENT, 1, NOW + 2 * HOUR),
        (Status.PRESENT, 2, NOW + 8 * HOUR),
        (Status.PRESENT, 3, None),
    ]


@pytest.mark.parametrize(("age", "look"), [(59 * MINUTE, 30 * MINUTE), (HOUR, None), (-HOUR, None)])
def test_a_fresh_listing_needs_another_look(age: timedelta, look: timedelta | None) -> None:
    """The archive may be new, and the CHECKSUM still the old one."""
    listed = Identity("new", 5, NOW - age)
    one = replace(known("2024-03"), status=Status.LISTED, identity=listed, fault=Fault.OTHER)
    after = unchanged(one, NOW)

    assert after.next_try_at == (None if look is None else NOW + look)
    assert (after.status, after.identity, after.fault) == (Status.PRESENT, listed, None)


def test_a_republished_archive_is_due_immediately() -> None:
    one = replace(known("2024-03"), attempts=2, next_try_at=NOW, identity=Identity("old", 5))
    after = republished(one)

    assert (after.status, after.attempts, after.next_try_at) == (Status.LISTED, 0, None)
    assert after.identity is None
    assert after.is_held


def test_wrong_checksums_are_retried_soon() -> None:
    waits = [next_try(Status.QUARANTINED, n, NOW, Fault.WRONG_SUM) for n in range(1, 10)]

    assert [wait - NOW for wait in waits if wait][:4] == [
        10 * MINUTE, 10 * MINUTE, 40 * MINUTE, 160 * MINUTE
    ]  # fmt: skip
    assert waits[-1] == NOW + 7 * DAY


@pytest.mark.parametrize("fault", [Fault.WRONG_SUM, Fault.NO_SUM])
def test_two_successive_tries_blame_the_checksum(fault: Fault) -> None:
    listed = Known(archive("2024-03"), Status.LISTED, "", Identity("e", 5))
    once = verdict(listed, Tried(fault, "some words"), NOW)
    twice = verdict(once, Tried(fault, "other words"), NOW)
    between = verdict(verdict(once, Tried(Fault.OTHER, "503"), NOW), Tried(fault, "words"), NOW)

    assert (once.status, once.fault, once.attempts) == (Status.FAILED, fault, 1)
    assert twice.status is Status.QUARANTINED
    assert (twice.identity is None) == (fault is Fault.WRONG_SUM)
    assert between.status is Status.FAILED


def test_time_between_datasets_is_not_wanted() -> None:
    spans = [
        ("2024-03-01", "2024-04-01"),
        ("2024-01-01", "2024-02-01"),
        ("2024-03-20", "2024-05-01"),
    ]
    wanted = want_of(M1, [Span(at(start), at(end)) for start, end in spans])

    assert [(f"{p.start:%m-%d}", f"{p.end:%m-%d}") for p in wanted.parts] == [
        ("01-01", "02-01"),
        ("03-01", "05-01"),
    ]
    assert not wanted.overlaps(Span(at("2024-02-01"), at("2024-03-01")))
    assert wanted.overlaps(Span(at("2024-02-01"), at("2024-03-02")))
    assert wanted.covers(period_from("2024-04").span)
    assert not wanted.covers(Span(at("2024-01-31"), at("2024-03-02")))
    touching = want_of(M1, [Span(at("2024-01-01"), at("2024-02-01")), period_from("2024-02").span])
    assert len(touching.parts) == 1


def test_a_narrowed_want_keeps_its_omissions() -> None:
    spans = [period_from("2024-01").span, period_from("2024-03").span]
    later = replace(want_of(M1, spans), span=Span(at("2024-02-10"), at("2024-03-05")))

    assert later.parts == [Span(at("2024-03-01"), at("2024-03-05"))]
    between = replace(later, span=Span(at("2024-02-10"), at("2024-02-20")))
    assert between.parts == []
    assert period_from("2024-03-01").before() == period_from("2024-02-29")


def test_failed_archives_hold_up_their_gaps() -> None:
    one = gap("2024-03-05", "2024-03-06")
    failed, other = known("2024-03-05", Status.FAILED), known("2024-03-06", Status.FAILED)
    good = known("2024-03")

    assert stand_ins.failing(one, [other, good, failed]) == failed
    assert stand_ins.failing(one, [other, good]) is None
    assert stand_ins.is_in_failing(one, known("2024-03", Status.QUARANTINED))
    assert not stand_ins.is_in_failing(one, known("2024-03", Status.ABSENT))
