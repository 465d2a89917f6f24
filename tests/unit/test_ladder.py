"""What is asked for, what is explained, and when it is looked into again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fullpool import choosing, ladder, stand_ins, unfillable
from fullpool.errors import NoSymbolError, RestBannedError, RestError, RestRefusedError
from fullpool.evidence import empty_in
from fullpool.gaps import Explanation, Gap, GapStatus
from fullpool.grid import Places, bars
from fullpool.ladder import Reply
from fullpool.model import (
    Archive,
    Cadence,
    Interval,
    Known,
    Market,
    Partition,
    PartitionFile,
    Series,
    Span,
    Status,
    period_from,
)
from fullpool.planning import Want

GRID = bars(Interval.M1)
NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)


def series(symbol: str = "BTCUSDT") -> Series:
    return Series(Market.SPOT, "klines", symbol, Interval.M1)


def gap(start: str, minutes: int, symbol: str = "BTCUSDT") -> Gap:
    first = GRID.at(datetime.fromisoformat(start).replace(tzinfo=UTC))
    places = Places(first, first + minutes)
    return Gap(series(symbol), places, GRID.span(places), NOW)


def heard(one: Gap, *found: int, error: RestError | None = None) -> Reply:
    """Return what the API said; *found* counts from the first place of the gap."""
    places = sorted(one.places.first + number for number in found)
    asked = Places(one.places.first - 1, one.places.end + 1)
    evidence = empty_in(one, [asked], places, NOW)
    return Reply(replace(one, asked_since=NOW), evidence, places, "url", 1, NOW, error)


def test_holes_between_rows_are_empty_at_source() -> None:
    one = gap("2024-03-05T10:00", 3)
    (left,) = ladder.remaining(heard(one, -1, 3), GRID)

    assert left.explanation is Explanation.EMPTY_AT_SOURCE
    assert left.next_try_at == NOW + timedelta(days=30)


def test_only_rows_still_missing_are_left() -> None:
    one = gap("2024-03-05T10:00", 5)
    left = ladder.remaining(heard(one, -1, 0, 3, 5), GRID)

    assert [(g.places.first - one.places.first, len(g.places)) for g in left] == [(1, 2), (4, 1)]
    assert {g.explanation for g in left} == {Explanation.EMPTY_AT_SOURCE}


def test_explanations_are_believed_longer_each_time() -> None:
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
def test_api_answers_decide_about_series_ends(
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
def test_an_error_sets_explanation_and_wait(
    error: RestError, explanation: Explanation | None, wait: timedelta
) -> None:
    (left,) = ladder.remaining(heard(gap("2024-03-05T10:00", 3), error=error), GRID)

    assert left.explanation is explanation
    assert left.next_try_at == NOW + wait
    assert str(error) in left.reason


def test_failures_are_retried_ever_more_slowly() -> None:
    one = gap("2024-03-05T10:00", 3)
    waits = []
    for _ in range(13):
        (one,) = ladder.remaining(heard(one, error=RestError("503")), GRID)
        assert one.next_try_at is not None
        waits.append((one.next_try_at - NOW) / timedelta(minutes=1))

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 1440


def test_silence_inside_a_series_explains_nothing() -> None:
    said = replace(heard(gap("2024-03-05T10:00", 3)), existed_before=False, is_trading=False)
    (left,) = ladder.remaining(said, GRID)

    assert left.status is GapStatus.OPEN


def test_every_refusal_is_believed_one_day() -> None:
    one = gap("2024-03-05T10:00", 3)
    for _ in range(5):
        (one,) = ladder.remaining(heard(one, error=RestRefusedError("451")), GRID)
        assert one.next_try_at == NOW + timedelta(days=1)


def test_explanation_after_failures_counts_as_first() -> None:
    one = replace(gap("2024-03-05T10:00", 3), attempts=8)
    (left,) = ladder.remaining(heard(one, -1, 3), GRID)

    assert left.next_try_at == NOW + timedelta(days=30)


def test_what_a_present_archive_lacks_stays_open() -> None:
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    (left,) = ladder.on_their_way(
        [gap("2024-06-09T23:00", 60)], GRID, {}, soon.replace(hour=0), soon
    )

    assert left.status is GapStatus.OPEN


def test_yesterday_is_on_its_way_until_late() -> None:
    yesterday = gap("2024-06-09T00:00", 1440)
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    (waiting,) = ladder.on_their_way([yesterday], GRID, {}, None, soon)

    assert waiting.explanation is Explanation.NOT_PUBLISHED
    assert waiting.next_try_at == datetime(2024, 6, 10, 6, tzinfo=UTC)
    (late,) = ladder.on_their_way([waiting], GRID, {}, None, datetime(2024, 6, 10, 7, tzinfo=UTC))
    assert (late.status, late.explanation) == (GapStatus.OPEN, None)


def test_the_usual_delay_is_learned() -> None:
    yesterday = gap("2024-06-09T00:00", 1440)
    delays = {("spot", "klines", Cadence.DAY): timedelta(hours=14)}
    (waiting,) = ladder.on_their_way([yesterday], GRID, delays, None, NOW)

    assert waiting.explanation is Explanation.NOT_PUBLISHED
    assert "14 h" in waiting.reason


def test_only_timely_parts_are_on_their_way() -> None:
    days = gap("2024-06-07T12:00", 1440 * 2 + 720)
    parts = ladder.on_their_way([days], GRID, {}, None, datetime(2024, 6, 10, 3, tzinfo=UTC))

    assert [(g.span.start.day, g.explanation) for g in parts] == [
        (7, None),
        (9, Explanation.NOT_PUBLISHED),
    ]


def known(period: str, status: Status) -> Known:
    archive = Archive(series(), period_from(period))
    return Known(archive, status, is_held=status is Status.PRESENT)


def test_only_holes_in_monthly_archives_need_days() -> None:
    gaps = [gap("2024-03-05T23:00", 120), gap("2024-04-02T00:00", 10), gap("2024-05-02", 10)]
    archives = [
        known("2024-03", Status.PRESENT),
        known("2024-04", Status.ABSENT),
        known("2024-05", Status.QUARANTINED),
        known("2024-03-06", Status.ABSENT),
    ]
    days = stand_ins.archives_of(gaps, {series(): archives}, {series(): want("2017-01-01")}, NOW)

    assert [str(one.archive.period) for one in days] == ["2024-03-05", "2024-05-02"]


def test_three_empty_gaps_explain_all_alike() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(8)]
    chosen = choosing.choose(alike, frozenset(), NOW)
    assert [g.series.symbol for g in chosen.to_ask] == ["S0", "S1", "S2"]

    empty = [ladder.remaining(heard(g, -1, 60), GRID)[0] for g in chosen.to_ask]
    after = choosing.choose([*empty, *alike[3:]], frozenset(), NOW)
    assert after.to_ask == []
    assert {g.explanation for g in after.shared} == {Explanation.EMPTY_AT_SOURCE}
    assert len(after.shared) == 5


def test_gaps_alike_with_api_rows_are_all_asked() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(8)]
    chosen = choosing.choose(alike, {choosing.shape_of(alike[0])}, NOW)
    assert len(chosen.to_ask) == 8


def test_a_shared_explanation_vouches_for_none() -> None:
    alike = [gap("2024-03-05T10:00", 60, f"S{n}") for n in range(4)]
    empty = [ladder.remaining(heard(g, -1, 60), GRID)[0] for g in alike[:3]]
    (shared,) = choosing.choose([*empty, alike[3]], frozenset(), NOW).shared
    late = NOW + timedelta(days=400)
    again = choosing.choose([*empty, shared], frozenset(), late)

    assert [g.series.symbol for g in again.to_ask] == ["S0", "S1", "S2", "S3"]


def want(start: str, end: str = "2200-01-01") -> Want:
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)]
    return Want(series(), Span(*moments))


def test_rows_are_expected_through_ended_days() -> None:
    assert ladder.expected_until(want("2024-01-01"), GRID, NOW) == datetime(2024, 6, 10, tzinfo=UTC)
    weeks = bars(Interval.W1, timedelta(days=4))
    monthly = replace(want("2024-01-01"), series=Series(Market.SPOT, "klines", "X", Interval.W1))
    assert ladder.expected_until(monthly, weeks, NOW) == datetime(2024, 6, 1, tzinfo=UTC)


def test_one_vain_request_asks_for_all_alike() -> None:
    """What the API has no word of may be no outage at all."""
    alike = [gap("2024-03-05T10:00", 3, name) for name in ("A", "B", "C", "D", "E")]
    alike[0] = replace(alike[0], attempts=1, next_try_at=NOW + timedelta(hours=1))

    assert len(choosing.choose(alike, frozenset(), NOW).to_ask) == 4


def test_bars_open_across_months_are_not_expected() -> None:
    weeks = Series(Market.SPOT, "klines", "BTCUSDT", Interval.W1)
    weekly = replace(want("2024-01-01"), series=weeks)
    saturday, monday = datetime(2024, 6, 1, 12, tzinfo=UTC), datetime(2024, 5, 27, tzinfo=UTC)

    assert ladder.expected_until(weekly, bars(Interval.W1, timedelta(days=4)), saturday) == monday


def until(wanted: Want) -> datetime:
    return ladder.expected_until(wanted, GRID, NOW)


def test_rows_are_expected_from_the_asked_start() -> None:
    wanted, archives = want("2024-03-01", "2024-03-09"), [known("2024-03-05", Status.PRESENT)]

    assert ladder.expected_spans(wanted, [], archives, until(wanted)) == [wanted.span]


def test_long_gaps_are_not_on_their_way() -> None:
    months = gap("2024-03-01T00:00", 1440 * 101)
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)

    assert [g.explanation for g in ladder.on_their_way([months], GRID, {}, None, soon)] == [None]


def test_no_archive_is_awaited_beyond_two_days() -> None:
    """After a republication in bulk the dates of files tell of delays of months."""
    delays = {("spot", "klines", Cadence.DAY): timedelta(days=60)}
    old = gap("2024-06-05T00:00", 1440)
    (left,) = ladder.on_their_way([old], GRID, delays, None, NOW)

    assert left.explanation is None


def day_of(label: str, status: Status = Status.PRESENT, *, is_held: bool = True) -> Known:
    return replace(known(label, status), is_held=is_held)


def file_from(moment: str) -> PartitionFile:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    day = period_from(moment[:10])
    return PartitionFile(Partition(series(), day), "x", 1, 1, 1, at, at)


@pytest.mark.parametrize(
    ("start", "archives", "rows", "expected"),
    [
        ("2017-01-01", [], [], None),
        ("2017-01-01", [], ["2024-06-05T10:00"], "2024-06-05T10:00"),
        ("2017-01-01", [day_of("2024-06-05")], ["2024-06-05T10:00"], "2024-06-05T10:00"),
        ("2017-01-01", [day_of("2024-06-06"), day_of("2024-06-05")], [], "2024-06-05"),
        # The first archive on record is not in the lake: rows may begin with it.
        (
            "2017-01-01",
            [day_of("2024-06-05", Status.ABSENT, is_held=False)],
            ["2024-06-06T10:00"],
            "2024-06-05",
        ),
        (
            "2017-01-01",
            [day_of("2024-06-07", Status.FAILED, is_held=False)],
            ["2024-06-06T10:00"],
            "2024-06-06T10:00",
        ),
        ("2024-06-01", [day_of("2024-06-05")], ["2024-06-05T10:00"], "2024-06-01"),
        ("2024-06-05T12:00", [], ["2024-06-05T10:00"], "2024-06-05T12:00"),
    ],
)
def test_rows_are_expected_from_series_start(
    start: str, archives: list[Known], rows: list[str], expected: str | None
) -> None:
    spans = ladder.expected_spans(
        want(start), [file_from(row) for row in rows], archives, until(want(start))
    )
    starts = [span.start for span in spans]

    wanted = [] if expected is None else [datetime.fromisoformat(expected).replace(tzinfo=UTC)]
    assert starts == wanted


def test_a_gap_keeps_request_and_answer() -> None:
    one = gap("2024-03-05T10:00", 4)
    said = replace(heard(one, -1, 1, 4), requests=2, url="https://api", existed_after=True)
    first, _ = ladder.remaining(said, GRID)

    assert json.loads(first.evidence) == {
        "url": "https://api",
        "from": "2024-03-05T10:00:00+00:00",
        "to": "2024-03-05T10:01:00+00:00",
        "asked_since": NOW.isoformat(),
        "asked_at": NOW.isoformat(),
        "requests": 2,
        "rows_found": 3,
        "row_before": True,
        "row_after": True,
        "existed_before": None,
        "existed_after": True,
        "is_trading": None,
    }
    assert (first.asked_at, first.attempts) == (NOW, 1)
    assert first.reason == "the API has the rows around it, but not these"


def test_a_missing_side_is_named() -> None:
    (left,) = ladder.remaining(heard(gap("2024-03-05T10:00", 3), -1), GRID)
    assert left.reason == "the API has neither these rows nor the one after them"
    assert left.next_try_at == NOW + timedelta(minutes=1)
    assert not json.loads(left.evidence)["row_after"]

    (left,) = ladder.remaining(heard(gap("2024-03-05T10:00", 3), 3), GRID)
    assert left.reason == "the API has neither these rows nor the one before them"
    assert not json.loads(left.evidence)["row_before"]


def test_uncovered_rows_are_asked_for_at_once() -> None:
    one = gap("2024-03-05T10:00", 3)
    (left,) = ladder.remaining(replace(heard(one), evidence=()), GRID)

    assert (left.status, left.explanation, left.next_try_at) == (GapStatus.OPEN, None, NOW)
    assert left.attempts == 0


def test_a_gap_keeps_the_refusal() -> None:
    (left,) = ladder.remaining(
        heard(gap("2024-03-05T10:00", 3), error=RestRefusedError("451")), GRID
    )
    assert json.loads(left.evidence) == {"url": "url", "asked_at": NOW.isoformat(), "answer": "451"}

    said = replace(heard(gap("2024-03-05T10:00", 3), error=NoSymbolError("-1121")), is_tail=True)
    assert ladder.remaining(said, GRID)[0].explanation is Explanation.DELISTED


def trades_gap(first: int, end: int) -> Gap:
    own = Series(Market.SPOT, "aggTrades", "BTCUSDT")
    return Gap(
        own, Places(first, end), Span(NOW - timedelta(days=99), NOW - timedelta(days=98)), NOW
    )


def test_trades_the_api_forgot_are_too_old() -> None:
    (left,) = ladder.remaining(heard(trades_gap(100, 200), 100), None)

    assert left.explanation is Explanation.TOO_OLD_FOR_API
    assert left.reason.startswith("the API's trades begin after it")
    assert left.next_try_at == NOW + timedelta(days=90)

    (left,) = ladder.remaining(heard(trades_gap(100, 200), -1), None)
    assert left.status is GapStatus.OPEN


def test_a_begun_gap_keeps_recent_requests() -> None:
    one = replace(gap("2024-03-05T10:00", 3), asked_since=NOW - timedelta(days=2))
    asked = heard(gap("2024-03-05T10:00", 3), -1, 3).evidence

    assert ladder.begun(gap("2024-03-05T10:00", 3), (), NOW).asked_since == NOW
    assert ladder.begun(one, asked, NOW).asked_since == one.asked_since  # it was not judged yet
    judged = replace(one, next_try_at=NOW)
    assert ladder.begun(judged, asked, NOW).asked_since == NOW  # all of it was asked for
    assert ladder.begun(judged, (), NOW).asked_since == one.asked_since  # some of it was not
    old = replace(one, asked_since=NOW - timedelta(days=30))
    assert ladder.begun(old, (), NOW).asked_since == NOW


def test_heads_unknown_to_api_are_not_listed() -> None:
    left = ladder.not_listed(gap("2024-03-05T10:00", 3), "https://api", NOW)

    assert left.explanation is Explanation.NOT_LISTED
    assert (left.asked_at, left.attempts) == (NOW, 1)
    assert left.next_try_at == NOW + timedelta(days=90)
    assert json.loads(left.evidence) == {
        "url": "https://api",
        "asked_at": NOW.isoformat(),
        "nothing_before": "2024-03-05T10:03:00+00:00",
    }


def test_two_days_make_futures_trades_too_old() -> None:
    left = unfillable.too_old(trades_gap(1, 5), timedelta(hours=47), NOW)

    assert left.explanation is Explanation.TOO_OLD_FOR_API
    assert json.loads(left.evidence) == {"decided_at": NOW.isoformat()}
    assert left.next_try_at == NOW + timedelta(days=90)
    assert "aggTrades for 2 days" in left.reason


def test_waiting_gaps_say_what_for() -> None:
    one = gap("2024-03-05T10:00", 3)
    assert "rest.enabled = false" in unfillable.not_asked(one).reason

    banned = ladder.blocked(one, RestBannedError("banned", seconds=60), NOW)
    assert (banned.status, banned.next_try_at) == (GapStatus.OPEN, NOW + timedelta(seconds=60))

    failed = replace(known("2024-03-05", Status.FAILED), reason="HTTP 503")
    held_up = ladder.held_up(replace(one, attempts=9), failed, 3, NOW)
    assert held_up.reason == "the archive 2024-03-05 may have these rows, but failed: HTTP 503"
    assert (held_up.attempts, held_up.next_try_at) == (3, NOW + timedelta(minutes=4))
    assert held_up.status is GapStatus.OPEN


@pytest.mark.parametrize(("days", "asked"), [(0, 3), (29, 3), (30, 200)])
def test_few_ask_for_a_young_outage_though_all_failed(days: int, asked: int) -> None:
    """A ban puts off all gaps of its host; when it is over, three are to ask for all."""
    found_at = NOW - timedelta(days=days)
    banned = [
        replace(gap("2024-03-05T10:00", 3, f"S{number}USDT"), found_at=found_at, attempts=1)
        for number in range(200)
    ]

    assert len(choosing.choose(banned, frozenset(), NOW).to_ask) == asked


def test_a_shared_explanation_names_its_sources() -> None:
    asked = [
        replace(
            gap("2024-03-05T10:00", 3, f"S{number}USDT"),
            status=GapStatus.EXPLAINED, explanation=Explanation.EMPTY_AT_SOURCE,
            asked_at=NOW, next_try_at=NOW + timedelta(days=9),
        )
        for number in range(8)
    ]  # fmt: skip
    long_ago = NOW - timedelta(days=40)
    mine = [
        replace(gap("2024-03-05T10:00", 3, name), asked_at=long_ago) for name in ("XUSDT", "YUSDT")
    ]
    chosen = choosing.choose([*asked, *mine], frozenset(), NOW)

    assert [one.series.symbol for one in chosen.shared] == ["XUSDT", "YUSDT"]
    names = [f"S{number}USDT" for number in range(6)]
    for one in chosen.shared:
        assert one.status is GapStatus.EXPLAINED
        assert one.asked_at is None
        assert one.next_try_at == NOW + timedelta(days=30)
        assert json.loads(one.evidence) == {"witnesses": names, "market": "spot"}
        assert one.reason == f"the same bars are missing at the source for {', '.join(names)}"


def test_gaps_alike_share_market_kind_and_place() -> None:
    own = [gap("2024-03-05T10:00", 3, f"S{number}USDT") for number in range(5)]
    other = [
        replace(gap("2024-03-05T10:00", 3), series=replace(series(), market=Market.UM)),
        replace(gap("2024-03-05T10:00", 3), series=replace(series(), kind="markPriceKlines")),
        replace(gap("2024-03-05T10:00", 3), series=replace(series(), interval=Interval.M3)),
        gap("2024-03-05T10:00", 4),
    ]
    chosen = choosing.choose([*own, *other], frozenset(), NOW)

    assert len(chosen.to_ask) == choosing.WITNESSES + len(other)
    assert len(choosing.choose(own[:3], frozenset(), NOW).to_ask) == 3


def test_one_answer_leaves_two_to_ask() -> None:
    witness = replace(
        gap("2024-03-05T10:00", 3, "AUSDT"), status=GapStatus.EXPLAINED, asked_at=NOW,
        explanation=Explanation.EMPTY_AT_SOURCE, next_try_at=NOW + timedelta(days=9),
    )  # fmt: skip
    others = [gap("2024-03-05T10:00", 3, f"S{number}USDT") for number in range(5)]
    chosen = choosing.choose([witness, *others], frozenset(), NOW)

    assert [one.series.symbol for one in chosen.to_ask] == ["S0USDT", "S1USDT"]


def test_an_awaited_archive_tells_its_usual_delay() -> None:
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    (left,) = ladder.on_their_way([gap("2024-06-09T23:00", 60)], GRID, {}, None, soon)

    assert left.status is GapStatus.EXPLAINED
    assert json.loads(left.evidence) == {"usual_delay_h": 6.0, "from": "2024-06-09"}
    late = ladder.on_their_way([left], GRID, {}, None, soon + timedelta(hours=3))
    assert [(g.status, g.explanation, g.reason, g.next_try_at) for g in late] == [
        (GapStatus.OPEN, None, "its archive is late", None)
    ]


def test_every_gap_is_judged_by_itself() -> None:
    soon = datetime(2024, 6, 10, 5, tzinfo=UTC)
    old, new = gap("2024-03-05T10:00", 3), gap("2024-06-09T23:00", 60)
    explained = replace(old, status=GapStatus.EXPLAINED, explanation=Explanation.EMPTY_AT_SOURCE)
    left = ladder.on_their_way([explained, old, new, new], GRID, {}, None, soon)

    assert [one.explanation for one in left] == [
        Explanation.EMPTY_AT_SOURCE, None, Explanation.NOT_PUBLISHED, Explanation.NOT_PUBLISHED,
    ]  # fmt: skip


def test_the_coming_month_is_awaited_first() -> None:
    one = gap("2024-06-01T10:00", 3)
    (left,) = ladder.remaining(heard(one, -1, 3), GRID)
    assert left.next_try_at == datetime(2024, 7, 2, 6, tzinfo=UTC)

    (head,) = ladder.remaining(replace(heard(one, 3), is_head=True, existed_before=False), GRID)
    assert head.explanation is Explanation.NOT_LISTED
    again = ladder.remaining(replace(heard(head, 3), is_head=True, existed_before=False), GRID)
    assert again[0].next_try_at == NOW + timedelta(days=180)
