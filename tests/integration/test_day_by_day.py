"""Kinds kept by months and years, or without a key, while their archives come and change."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from fullpool.simulator import Fault
from lab import DAY, Lab, at, metrics, metrics_key
from served import dataset


def days(lab: Lab, first: int, last: int, **how: Any) -> None:
    """Publish days of March that end with the midnight after them."""
    for day in range(first, last + 1):
        lab.put(metrics_key(f"2024-03-{day:02}"), metrics(f"2024-03-{day:02}T00:05", **how))


COUNT = "SELECT count(*), count(DISTINCT create_time) FROM metrics"


@pytest.mark.parametrize("late", ["00", "01"])
def test_daily_metrics_keep_each_midnight(late: str) -> None:
    with Lab(dataset("um/metrics/X", start="2024-02-28"), has_api=False) as lab:
        for day in ("2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"):
            lab.put(metrics_key(day), metrics(f"{day}T00:05", late=late))
            lab.run("tick", at(day) + DAY + timedelta(hours=9))

        assert lab.ask(COUNT) == [(4 * 288, 4 * 288)]
        assert lab.ask("FROM sync.gaps WHERE explanation IS DISTINCT FROM 'not_published'") == []


def test_republished_day_leaves_previous_midnight() -> None:
    with Lab(dataset("um/metrics/X", start="2024-03-01"), has_api=False) as lab:
        days(lab, 1, 3)
        lab.run("sync", "2024-03-04T12:00")
        lab.put(metrics_key("2024-03-02"), metrics("2024-03-02T00:05", value="9"), at("2024-03-05"))
        lab.run("audit", "2024-03-05T12:00")

        assert lab.ask(COUNT) == [(3 * 288, 3 * 288)]
        assert lab.ask("SELECT count(*) FROM metrics WHERE sum_open_interest = 9") == [(288,)]
        assert lab.ask("SELECT rows_added, rows_removed FROM sync.revisions") == [(0, 0)]


def test_a_midnight_the_later_day_lacks_is_the_earlier_s() -> None:
    """Both had it, and the later one was published anew without."""
    midnight = "SELECT sum_open_interest FROM metrics WHERE create_time = '2024-03-02'"
    with Lab(dataset("um/metrics/X", start="2024-03-01"), has_api=False) as lab:
        lab.put(metrics_key("2024-03-01"), metrics("2024-03-01T00:05", value="1"))
        lab.put(metrics_key("2024-03-02"), metrics("2024-03-02T00:00", value="2"))
        lab.run("sync", "2024-03-03T12:00")
        before = lab.ask(midnight)
        again = metrics("2024-03-02T00:05", value="7")
        lab.put(metrics_key("2024-03-02"), again, at("2024-03-04"))
        lab.run("audit", "2024-03-05T12:00")

        assert (before, lab.ask(midnight)) == ([(2,)], [(1,)])
        asked = len(lab.fetched())
        lab.run("audit", "2024-03-07T12:00")
        assert lab.ask(midnight) == [(1,)]
        assert len(lab.fetched()) == asked


def test_a_later_day_keeps_its_midnight() -> None:
    """Both have it, and the earlier one is published anew."""
    with Lab(dataset("um/metrics/X", start="2024-03-01"), has_api=False) as lab:
        lab.put(metrics_key("2024-03-01"), metrics("2024-03-01T00:05", value="1"))
        lab.put(metrics_key("2024-03-02"), metrics("2024-03-02T00:00", value="2"))
        lab.run("sync", "2024-03-03T12:00")
        again = metrics("2024-03-01T00:05", value="9")
        lab.put(metrics_key("2024-03-01"), again, at("2024-03-04"))
        lab.run("audit", "2024-03-05T12:00")

        values = "SELECT sum_open_interest, count(*) FROM metrics GROUP BY 1 ORDER BY 1"
        assert lab.ask(values) == [(2, 288), (9, 287)]
        latest = "FROM sync.conflicts WHERE row_time = '2024-03-02' ORDER BY found_at DESC"
        assert lab.ask(f"SELECT kept_value, other_value {latest} LIMIT 1") == [
            ("2.0000000000000000", "9.0000000000000000")
        ]


@pytest.mark.parametrize(("day", "after"), [("2024-03-01", ""), ("2024-03-01", "2024-03-02"),
                                            ("2024-03-31", "2024-04-01")])  # fmt: skip
def test_a_midnight_row_the_new_edition_lacks_is_removed(day: str, after: str) -> None:
    text = dataset("um/metrics/X", start="2024-03-01", end=after or day)
    with Lab(text, has_api=False) as lab:
        for name in filter(None, (day, after)):
            lab.put(metrics_key(name), metrics(f"{name}T00:05"))
        lab.run("sync", "2024-04-03T12:00")
        before = lab.ask(COUNT)
        again = metrics(f"{day}T00:05", 287, value="9")
        lab.put(metrics_key(day), again, at("2024-04-04"))
        lab.run("audit", "2024-04-05T12:00")

        held = 288 * (2 if after else 1)
        assert (before, lab.ask(COUNT)) == ([(held, held)], [(held - 1, held - 1)])
        assert lab.ask("SELECT count(*) FROM metrics WHERE sum_open_interest = 9") == [(287,)]


def test_day_starting_at_midnight_has_own_row() -> None:
    with Lab(dataset("um/metrics/X", start="2024-03-01"), has_api=False) as lab:
        days(lab, 1, 1)
        lab.run("sync", "2024-03-02T12:00")
        lab.put(metrics_key("2024-03-02"), metrics("2024-03-02T00:00", value="9"))
        lab.run("sync", "2024-03-03T12:00")

        assert lab.ask(COUNT) == [(287 + 288, 287 + 288)]
        assert lab.ask("SELECT count(*) FROM metrics WHERE sum_open_interest = 9") == [(288,)]


def test_midnight_in_two_months_appears_once() -> None:
    """Months of an open year are files of their own, and the last row of one is of the next."""
    with Lab(dataset("um/metrics/X", start="2024-01-31", end="2024-02-01")) as lab:
        lab.put(metrics_key("2024-01-31"), metrics("2024-01-31T00:05"))
        lab.put(metrics_key("2024-02-01"), metrics("2024-02-01T00:00"))
        lab.run("sync", "2024-02-03T12:00")
        lab.run("sync", "2024-02-04T12:00")

        assert lab.ask("SELECT count(*), count(DISTINCT period) FROM internal.partitions") == [
            (2, 2)
        ]
        assert lab.ask(COUNT) == [(287 + 288, 287 + 288)]
        assert lab.ask("FROM sync.gaps") == []


def test_contract_without_api_metrics_has_explained_gap() -> None:
    symbol = "BTCUSD_240628"
    text = dataset(f"cm/metrics/{symbol}", start="2024-03-01", end="2024-03-03")
    with Lab(text) as lab:
        for day in (1, 3):
            name = f"2024-03-0{day}"
            rows = metrics(f"{name}T00:05", symbol=symbol)
            lab.put(metrics_key(name, symbol, "cm"), rows)

        outcome = lab.run("sync", "2024-03-20T12:00")

        assert outcome.is_complete
        found = lab.ask("SELECT row_count, explanation FROM sync.gaps")
        assert found == [(288, "no_archive")]


def test_pass_stays_within_its_requests() -> None:
    text = dataset("um/metrics/X", start="2024-03-01", end="2024-03-19")
    with Lab(text, rest={"requests_per_pass": 10}) as lab:
        days(lab, 1, 1)
        days(lab, 19, 19)
        lab.vendor.fail(Fault("futures/data/*", "body", text="[]"))

        lab.run("sync", "2024-03-20T12:00")

        asked = [one for one in lab.vendor.simulator.api_requests() if "/futures/data" in one]
        assert 0 < len(asked) <= 10


DEPTH = "data/futures/um/daily/bookDepth/X/X-bookDepth-2024-03-{:02}.zip"


def depth(day: int, count: int = 24, *, spill: bool = False) -> str:
    start = at(f"2024-03-{day:02}")
    moments = [start + n * timedelta(hours=1) for n in range(count)]
    moments += [start + DAY] if spill else []
    rows = "".join(f"{moment:%Y-%m-%d %H:%M:%S},-5,1.5,2\n" for moment in moments)
    return f"timestamp,percentage,depth,notional\n{rows}"


def test_midnight_row_proves_no_new_day() -> None:
    with Lab(dataset("um/bookDepth/X", start="2024-03-01", end="2024-03-03")) as lab:
        lab.put(DEPTH.format(1), depth(1, spill=True))
        lab.put(DEPTH.format(3), depth(3))

        lab.run("sync", "2024-03-20T12:00")

        found = lab.ask("SELECT gap_start::VARCHAR, row_count, explanation FROM sync.gaps")
        assert found == [("2024-03-02 00:00:00", 1, "no_archive")]
        assert lab.ask("SELECT expected_rows, open_rows FROM sync.coverage") == [(50, 0)]


def test_first_minute_alone_makes_a_day() -> None:
    with Lab(dataset("um/bookDepth/X", start="2024-03-01", end="2024-03-03")) as lab:
        for day in (1, 2, 3):
            lab.put(DEPTH.format(day), depth(day, 1))

        lab.run("sync", "2024-03-20T12:00")

        assert lab.ask("FROM sync.gaps") == []
        assert lab.ask("SELECT expected_rows, present_rows FROM sync.coverage") == [(3, 3)]


def test_late_archive_is_awaited_until_overdue() -> None:
    with Lab(dataset("um/bookDepth/X", start="2024-03-01")) as lab:
        lab.put(DEPTH.format(1), depth(1), at("2024-03-02"))
        lab.run("sync", "2024-03-02T12:00")

        lab.run("sync", "2024-03-03T12:00")

        found = lab.ask("SELECT row_count, explanation FROM sync.gaps")
        assert found == [(1, "not_published")]

        lab.put(DEPTH.format(2), depth(2), at("2024-03-04"))
        lab.run("sync", "2024-03-04T00:30")
        assert lab.ask("SELECT count(*) FROM book_depth") == [(48,)]


def test_kind_without_api_is_explained_during_ban() -> None:
    with Lab(dataset("um/bookDepth/X", start="2024-03-01", end="2024-03-03")) as lab:
        lab.put(DEPTH.format(1), depth(1))
        lab.put(DEPTH.format(3), depth(3))
        lab.vendor.fail(Fault("fapi/*", "status", 451))

        lab.run("sync", "2024-03-20T12:00")
        lab.run("sync", "2024-03-20T13:00")

        assert lab.ask("SELECT explanation FROM sync.gaps") == [("no_archive",)]


TICKER = "data/futures/um/{}/bookTicker/X/X-bookTicker-{}.zip"
TICKER_HEADER = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
    "event_time\n"
)


def ticker(*moments: datetime) -> str:
    """Return rows without a key, each twice."""
    times = [round(moment.timestamp() * 1000) for moment in moments]
    return TICKER_HEADER + "".join(f"7,1.5,2,1.6,3,{time},{time}\n" * 2 for time in times)


def hours(day: int, count: int = 24) -> list[datetime]:
    return [at(f"2024-03-{day:02}") + n * timedelta(hours=1) for n in range(count)]


def test_month_nearly_lacking_a_day_keeps_it() -> None:
    with Lab(dataset("um/bookTicker/X", start="2024-03-01", end="2024-03-31")) as lab:
        for day in (1, 2, 3):
            lab.put(TICKER.format("daily", f"2024-03-0{day}"), ticker(*hours(day)))
        lab.run("sync", "2024-03-04T12:00")
        month = ticker(*hours(1), *hours(2), *hours(3, 1), *hours(4))
        lab.put(TICKER.format("monthly", "2024-03"), month, at("2024-04-02"))

        lab.run("audit", "2024-04-05T12:00")
        lab.run("sync", "2024-04-20T12:00")

        sql = "SELECT day(transaction_time), count(*) FROM book_ticker GROUP BY ALL ORDER BY ALL"
        assert lab.ask(sql)[:3] == [(1, 48), (2, 48), (3, 48)]


def test_new_edition_removes_row_beyond_its_day() -> None:
    with Lab(dataset("um/bookTicker/X", start="2024-03-01", end="2024-03-01")) as lab:
        name = TICKER.format("daily", "2024-03-01")
        lab.put(name, ticker(*hours(1), at("2024-03-02")))
        lab.run("sync", "2024-03-04T12:00")
        lab.put(name, ticker(*hours(1, 23)), at("2024-03-05"))

        lab.run("audit", "2024-03-05T12:00")

        assert lab.ask("SELECT count(*) FROM book_ticker") == [(46,)]


FUNDING = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-0{}.zip"


def test_running_funding_month_publishes_nothing_without_api() -> None:
    with Lab(dataset("um/fundingRate/X", start="2024-01-01"), has_api=False) as lab:
        times = [at("2024-01-01") + n * timedelta(hours=8) for n in range(93)]
        rows = "".join(f"{round(time.timestamp() * 1000)},8,0.0001\n" for time in times)
        header = "calc_time,funding_interval_hours,last_funding_rate\n"
        lab.put(FUNDING.format(1), header + rows, at("2024-02-01"))
        lab.run("sync", "2024-02-10T12:00")
        published = lab.ask("SELECT max(generation) FROM sync.generations")

        lab.run("sync", "2024-02-10T13:00")
        lab.run("sync", "2024-02-10T14:00")

        assert lab.ask("SELECT max(generation) FROM sync.generations") == published
        found = lab.ask("SELECT sum(row_count), min(explanation), max(explanation) FROM sync.gaps")
        assert found == [(27, "not_published", "not_published")]


def test_pairs_and_indices_are_no_instruments() -> None:
    text = dataset("option/BVOLIndex/BTCBVOLUSDT", end="2024-03-01")
    with Lab(text, has_api=False) as lab:
        key = "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2024-03-01.zip"
        lab.put(key, "1709251200000,BTCBVOLUSDT,BTCBVOL,USDT,35.7571\n")
        lab.run("sync", "2024-03-04T12:00")

        assert lab.ask("SELECT count(*) FROM bvol_index") == [(1,)]
        assert lab.ask("FROM instruments") == []
        assert lab.ask("FROM instruments_on(DATE '2024-03-01')") == []


def funding(*spans: tuple[str, int, int], lost: tuple[str, ...] = ()) -> str:
    """Return rates from a time on, so many, so many hours apart, but for those that are lost."""
    gone = {at(time) for time in lost}
    lines = []
    for first, count, hours in spans:
        moments = [at(first) + n * timedelta(hours=hours) for n in range(count)]
        lines += [
            f"{round(moment.timestamp() * 1000) + 7},{hours},0.0001\n"
            for moment in moments
            if moment not in gone
        ]
    return "calc_time,funding_interval_hours,last_funding_rate\n" + "".join(lines)


@pytest.mark.parametrize("hours", [8, 4, 1])
def test_missing_rate_is_filled_whatever_the_hours(hours: int) -> None:
    lost = "2024-01-15T16:00"
    whole = ("2024-01-01", 31 * 24 // hours, hours)
    text = dataset("um/fundingRate/X", start="2024-01-01", end="2024-01-31")
    with Lab(text) as lab:
        lab.put(FUNDING.format(1), funding(whole, lost=(lost,)), at("2024-02-01"))
        lab.tell_api(FUNDING.format(1), funding(whole))

        lab.run("sync", "2024-02-10T12:00")

        sql = "SELECT calc_time::VARCHAR, source FROM funding_rate WHERE source = 'rest'"
        assert lab.ask(sql) == [("2024-01-15 16:00:00.007", "rest")]
        assert lab.ask("FROM sync.gaps") == []
        counts = "SELECT expected_rows, present_rows, patched_rows FROM sync.coverage"
        assert lab.ask(counts) == [(whole[1], whole[1] - 1, 1)]


def test_hours_that_change_are_no_gap() -> None:
    text = dataset("um/fundingRate/X", start="2024-01-01", end="2024-01-31")
    with Lab(text) as lab:
        rates = funding(("2024-01-01", 45, 8), ("2024-01-16", 96, 4))
        lab.put(FUNDING.format(1), rates, at("2024-02-01"))
        lab.tell_api(FUNDING.format(1), rates)

        lab.run("sync", "2024-02-10T12:00")

        assert lab.ask("FROM sync.gaps") == []
        sql = "SELECT expected_rows, present_rows, row_count FROM sync.coverage"
        assert lab.ask(sql) == [(141, 141, 141)]


def test_rate_missing_before_new_hours_is_filled() -> None:
    text = dataset("um/fundingRate/X", start="2024-01-01", end="2024-01-31")
    with Lab(text) as lab:
        spans = (("2024-01-01", 45, 8), ("2024-01-16", 96, 4))
        lost = ("2024-01-05T08:00", "2024-01-20T12:00")
        lab.put(FUNDING.format(1), funding(*spans, lost=lost), at("2024-02-01"))
        lab.tell_api(FUNDING.format(1), funding(*spans))

        lab.run("sync", "2024-02-10T12:00")

        sql = "SELECT count(*), count(*) FILTER (source = 'rest') FROM funding_rate"
        assert lab.ask(sql) == [(141, 2)]
        assert lab.ask("SELECT count(*) FROM sync.gaps WHERE status = 'open'") == [(0,)]
