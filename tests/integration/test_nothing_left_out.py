"""Rows that the vendor has and the lake did not, and rows that should not be in it.

Each test is a fault that was found once, with the right value.
"""

import json
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from threading import Event

import duckdb
import pytest

from fullpool.app import rebuild, verify
from fullpool.app.doctor import examination
from fullpool.config import Config
from fullpool.errors import ConfigError, UsageError
from fullpool.simulator import Api, Fault, bucket
from fullpool.simulator.generate import zipped
from fullpool.store import inventory
from fullpool.store.partitions.provenance import origin_of
from lab import (
    DAY,
    HEADER,
    HOUR,
    HOURS,
    MINUTE,
    SPOT_TRADES,
    TICK_HEADER,
    Lab,
    at,
    bar,
    bars,
    days_of,
    hourly,
    ticks,
    trade,
    whole_day,
)
from served import Vendor, dataset, tree_of

BAR_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
RAW_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker\n"
MINUTES = "data/spot/{}/klines/AUSDT/1m/AUSDT-1m-{}.zip"
TRADES = "data/futures/um/{}/aggTrades/{}/{}-aggTrades-{}.zip"
MARCH = days_of("2024-03", 1, 31)
ALL_ROWS = [(744,)]


def put_hours(lab: Lab, day: str, published: datetime | None = None) -> None:
    lab.put(HOURS.format("daily", day), bars(at(day), at(day) + DAY, HOUR), published)


def put_month_of_hours(lab: Lab, month: str, days: int) -> None:
    start = at(f"{month}-01")
    lab.put(HOURS.format("monthly", month), bars(start, start + days * DAY, HOUR))
    for number in range(days):
        put_hours(lab, f"{start + number * DAY:%Y-%m-%d}")


def statistics(start: datetime, count: int) -> str:
    """Return an archive of metrics of so many rows."""
    moments = [start + number * 5 * MINUTE for number in range(count)]
    return METRICS_HEADER + "".join(f"{one:%Y-%m-%d %H:%M:%S},X,1,2,1,1,1,1\n" for one in moments)


def raw_trades(day: str) -> str:
    """Return a trade an hour, whose ids skip."""
    moments = [round((at(day) + hour * HOUR).timestamp() * 1000) for hour in range(24)]
    return "".join(f"{moment // 1_200_000},1.5,1.0,1.5,{moment},true\n" for moment in moments)


def trades(cadence: str, period: str, symbol: str = "AUSDT") -> str:
    return TRADES.format(cadence, symbol, symbol, period)


def test_next_sync_sees_a_day_uploaded_later() -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-03-01")) as lab:
        lab.has_api = False
        whole = bars(at("2024-03-01"), at("2024-03-02"), MINUTE).splitlines(keepends=True)
        lab.put(MINUTES.format("daily", "2024-03-01"), "".join(whole[:600]))
        lab.run("sync", "2024-03-02T09:00")
        lab.put(MINUTES.format("daily", "2024-03-01"), "".join(whole), at("2024-03-02T10:00"))

        lab.run("sync", "2024-03-02T11:00")  # a look at the archive that has a hole

        assert lab.ask("SELECT count(*) FROM klines") == [(1440,)]
        assert lab.ask("SELECT audited FROM sync.passes ORDER BY id") == [(False,), (False,)]


def test_a_sync_audits_once_a_day() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-02")) as lab:
        put_hours(lab, "2024-03-01")
        put_hours(lab, "2024-03-02")
        moments = ("03-03T09:00", "03-03T12:00", "04-12T09:00", "04-12T10:00", "04-13T01:00")
        for moment in moments:
            lab.run("sync", f"2024-{moment}")
        lab.put(
            HOURS.format("daily", "2024-03-02"),
            bars(at("2024-03-02"), at("2024-03-03"), HOUR, volume=77),
            at("2024-04-13T02:00"),
        )
        lab.run("sync", "2024-04-14T09:00")

        audited = [one for (one,) in lab.ask("SELECT audited FROM sync.passes ORDER BY id")]
        assert audited == [False, False, True, False, True, True]
        assert lab.ask("SELECT count(*) FROM klines WHERE volume = 77") == [(24,)]


def test_lost_day_comes_from_its_month() -> None:
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01")) as lab:
        for day in MARCH:
            if day != "2024-03-10":
                lab.put(trades("daily", day), HEADER + hourly(day), at(day) + 1.3 * DAY)
            lab.run("sync", at(day) + 1.5 * DAY)
        lab.put(trades("monthly", "2024-03"), HEADER + "".join(map(hourly, MARCH)))
        for day in ("2024-04-04", "2024-04-09", "2024-04-20"):
            outcome = lab.run("sync", day)

        assert outcome.is_complete
        assert lab.ask("SELECT count(*), count(DISTINCT agg_trade_id) FROM agg_trades") == [
            (744, 744)
        ]


def test_day_hole_is_filled_from_its_month() -> None:
    """Also for a series that begins inside it; then the rows before are in the lake as well."""
    missing = hourly("2024-03-20").splitlines(keepends=True)[6]
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-15", end="2024-03-31")) as lab:
        for day in MARCH[14:]:
            lab.put(trades("daily", day), HEADER + hourly(day).replace(missing, ""))
        lab.put(trades("monthly", "2024-03"), HEADER + "".join(map(hourly, MARCH)))
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
        assert lab.ask("SELECT count(*) FROM agg_trades WHERE transact_time >= '2024-03-15'") == [
            (17 * 24,)
        ]


@pytest.mark.parametrize("trouble", ["403", "404", "503", "malformed"])
def test_failing_month_falls_back_to_its_days(trouble: str) -> None:
    """Its last days as well, which no gap of ids shows."""
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        text = HEADER + "".join(map(hourly, MARCH))
        lab.put(trades("monthly", "2024-03"), text.replace("true", "maybe"))
        if trouble != "malformed":
            lab.vendor.fail(Fault("*2024-03.zip", "status", int(trouble)))
        for day in MARCH:
            lab.put(trades("daily", day), HEADER + hourly(day))
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM agg_trades") == ALL_ROWS


@pytest.mark.parametrize("start", ["", "2024-01-01"])
def test_archives_older_than_first_known_are_found(start: str) -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start=start)) as lab:
        put_month_of_hours(lab, "2024-03", 31)
        lab.run("sync", "2024-04-10")
        put_month_of_hours(lab, "2024-01", 31)
        put_month_of_hours(lab, "2024-02", 29)
        lab.run("sync", "2024-04-11")

        first = lab.ask("SELECT min(open_time), count(*) FROM klines")
        assert first == [(datetime(2024, 1, 1), 91 * 24)]  # noqa: DTZ001 - as DuckDB gives it
        assert lab.ask("SELECT count(*) FROM sync.gaps WHERE gap_start < '2024-04-01'") == [(0,)]


def test_days_before_first_monthly_archive_are_found() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h")) as lab:
        for day in [*days_of("2024-01", 10, 31), *days_of("2024-02", 1, 29)]:
            put_hours(lab, day)
        put_month_of_hours(lab, "2024-03", 31)
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM klines") == [((22 + 29 + 31) * 24,)]


def test_hole_hides_none_of_another_series() -> None:
    text = dataset("um/aggTrades/BUSDT", start="2024-03-01", end="2024-03-31")
    text += dataset("um/aggTrades/AUSDT", start="2024-03-04", end="2024-03-31")
    with Lab(text) as lab:
        missing = hourly("2024-03-20").splitlines(keepends=True)[6]
        for day in MARCH:
            lab.put(trades("daily", day, "BUSDT"), HEADER + hourly(day))
            lab.put(trades("daily", day), HEADER + hourly(day).replace(missing, ""))
        rest = "".join(hourly(day) for day in MARCH if day != "2024-03-05")
        lab.put(trades("monthly", "2024-03", "BUSDT"), HEADER + rest)
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM agg_trades WHERE symbol = 'BUSDT'") == ALL_ROWS


def follow(lab: Lab, days: int) -> None:
    """Have the first days of March, each published when the vendor does."""
    for number in range(days):
        day = at("2024-03-01") + number * DAY
        put_hours(lab, f"{day:%Y-%m-%d}", day + 1.2 * DAY)


def test_pass_with_clock_ahead_delays_nothing() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        follow(lab, 10)
        lab.run("sync", "2024-03-11T09:00")
        for name in ("tick", "audit", "patch", "sync"):
            lab.run(name, at("2024-03-11T09:00") + 40 * DAY)
        follow(lab, 11)
        lab.run("tick", "2024-03-12T09:00")

        assert lab.ask("SELECT max(open_time)::VARCHAR FROM klines") == [("2024-03-11 23:00:00",)]


def test_pass_hours_ahead_loses_no_late_archive() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        follow(lab, 10)
        lab.run("sync", "2024-03-11T09:00")
        lab.run("tick", "2024-03-12T03:30")  # the 11th is not there yet
        lab.run("tick", "2024-03-12T09:00")
        follow(lab, 11)
        lab.run("tick", "2024-03-12T04:30")

        assert lab.ask("SELECT max(open_time)::VARCHAR FROM klines") == [("2024-03-11 23:00:00",)]


def test_pass_with_clock_behind_forgets_nothing() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-09")) as lab:
        follow(lab, 5)
        lab.tell_api(
            HOURS.format("daily", "2024-03-01"), bars(at("2024-03-01"), at("2024-03-02"), HOUR)
        )
        lab.run("sync", "2024-03-11T09:00")
        before = lab.ask("FROM sync.gaps")
        lab.run("tick", "2000-01-01")
        requests = lab.requests()
        lab.run("sync", "2024-03-11T09:00:30")

        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(len(before),)]
        assert lab.requests() == requests


def test_one_archive_of_the_future_hides_no_gap() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01")) as lab:
        whole = bars(at("2024-03-01"), at("2024-03-04"), HOUR)
        lab.tell_api(HOURS.format("monthly", "2024-03"), whole)
        for day in (1, 3):
            first = at(f"2024-03-{day:02d}")
            modified = at("2030-01-01") if day == 1 else first + 1.2 * DAY
            name = HOURS.format("daily", f"2024-03-{day:02d}")
            lab.put(name, bars(first, first + DAY, HOUR), modified)
        lab.run("sync", "2024-03-04T08:00")

        assert lab.ask("SELECT count(*) FROM klines") == [(72,)]


def test_a_last_archive_of_the_future_is_no_clock() -> None:
    with Lab(dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-03-01")) as lab:
        for symbol, day in product(("AUSDT", "BUSDT"), MARCH[:3]):
            key = HOURS.format("daily", day).replace("AUSDT", symbol)
            lines = whole_day(day).splitlines(keepends=True)
            is_wrong = (symbol, day) == ("AUSDT", MARCH[2])
            lab.put(key, "".join(lines[:20]), at("2031-01-01") if is_wrong else at(day) + 1.2 * DAY)
            lab.tell_api(key, "".join(lines))
        lab.run("sync", "2024-03-04T09:00")

        assert lab.ask("SELECT count(*) FROM klines") == [(2 * 3 * 24,)]


def test_clock_behind_is_no_complete_pass() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01")) as lab:
        follow(lab, 5)
        lab.run("sync", "2024-03-06T09:00")
        outcome = lab.run("sync", "2024-03-04T09:00")

        assert outcome.troubles == [
            "the clock of this machine: it is behind the vendor's: no gap is looked for"
        ]


def test_early_unasked_decision_is_made_again() -> None:
    missing = hourly("2024-03-10").splitlines(keepends=True)[6]
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-10", end="2024-03-11")) as lab:
        for day in MARCH[9:11]:
            lab.tell_api(trades("daily", day), HEADER + hourly(day))
            text = HEADER + hourly(day).replace(missing, "")
            lab.put(trades("daily", day), text, at(day) + 1.2 * DAY)
        lab.run("tick", "2024-03-12T04:00")
        lab.run("patch", "2024-03-17T04:00")  # the clock is five days ahead
        ahead = lab.ask("SELECT explanation FROM sync.gaps")
        lab.run("sync", "2024-03-12T04:30")

        assert ahead == [("too_old_for_api",)]
        assert lab.ask("SELECT explanation FROM sync.gaps") == []
        assert lab.ask("SELECT count(*) FROM agg_trades WHERE source = 'rest'") == [(1,)]


def outage(day: datetime) -> str:
    """Return the minutes of a day; from 22:00 of the 5th to 02:00 of the 6th there are none."""
    moments = [day + number * MINUTE for number in range(1440)]
    down = at("2024-03-05T22:00"), at("2024-03-06T02:00")
    return "".join(bar(one, MINUTE) for one in moments if not down[0] <= one < down[1])


def test_outage_over_midnight_is_one_explained_gap() -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-03-08")) as lab:
        known = ""
        for number in range(8):
            day = at("2024-03-01") + number * DAY
            lab.put(MINUTES.format("daily", f"{day:%Y-%m-%d}"), outage(day), day + 1.2 * DAY)
            known += outage(day)
            lab.tell_api(MINUTES.format("daily", "2024-03-01"), known)
            lab.run("tick", day + DAY + 9 * HOUR)
            lab.run("patch", day + DAY + 9 * HOUR)
        before = lab.requests()
        lab.run("patch", "2024-03-12")

        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [(240, "empty_at_source")]
        assert lab.requests() == before


def test_one_pass_explains_months_long_hole() -> None:
    key = "data/spot/monthly/klines/AUSDT/1m/AUSDT-1m-{}.zip"
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-01-01", end="2024-07-31")) as lab:
        january = bars(at("2024-01-01"), at("2024-02-01"), MINUTE)
        july = bars(at("2024-07-01"), at("2024-08-01"), MINUTE)
        lab.put(key.format("2024-01"), january)
        lab.put(key.format("2024-07"), july)
        lab.tell_api(key.format("2024-01"), january + july)
        lab.run("sync", "2024-09-01")
        before = lab.requests()
        lab.run("sync", "2024-09-20")

        gaps = lab.ask("SELECT row_count, explanation, attempts FROM sync.gaps")
        assert gaps == [(151 * 1440, "suspended", 1)]
        assert lab.requests() == before


@pytest.mark.parametrize(
    ("listed", "explanation"),
    [("2024-07-01", "relisted"), ("2024-06-30T08:00", "relisted"), ("2024-01-01", "suspended")],
)
def test_hole_before_new_listing_is_relisted(listed: str, explanation: str) -> None:
    key = "data/futures/um/monthly/klines/LITUSDT/1h/LITUSDT-1h-{}.zip"
    told = {
        "symbol": "LITUSDT",
        "status": "TRADING",
        "onboardDate": int(at(listed).timestamp()) * 1000,
    }
    with Lab(dataset("um/klines/LITUSDT/1h", start="2024-01-01", end="2024-07-31")) as lab:
        lives = [bars(at(f"2024-0{m}-01"), at(f"2024-0{m + 1}-01"), HOUR) for m in (1, 7)]
        for month, text in zip(("2024-01", "2024-07"), lives, strict=True):
            lab.put(key.format(month), text)
        lab.tell_api(key.format("2024-01"), "".join(lives))
        body = json.dumps({"rateLimits": [], "symbols": [told]})
        lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "body", text=body))
        lab.run("sync", "2024-09-01")

        ((rows, found, reason),) = lab.ask("SELECT row_count, explanation, reason FROM sync.gaps")
        assert (rows, found) == (151 * 24, explanation)
        assert ("was listed at 2024-0" in reason) == (explanation == "relisted")


@pytest.mark.parametrize("market", ["spot", "um", "cm"])
def test_api_rows_long_before_deny_a_new_listing(market: str) -> None:
    root = "data/spot" if market == "spot" else f"data/futures/{market}"
    key = f"{root}/monthly/klines/AUSDT/1h/AUSDT-1h-2024-03.zip"
    with Lab(dataset(f"{market}/klines/AUSDT/1h", start="2023-03-01", end="2024-03-31")) as lab:
        march = bars(at("2024-03-01"), at("2024-04-01"), HOUR)
        lab.put(key, march)
        lab.tell_api(key, bars(at("2023-01-10"), at("2023-01-20"), HOUR) + march)
        lab.run("sync", "2024-05-01")

        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [
            (366 * 24, "empty_at_source")
        ]


@pytest.mark.parametrize("market", ["spot", "cm"])
def test_rows_after_a_year_of_nothing_are_fetched(market: str) -> None:
    root = "data/spot" if market == "spot" else f"data/futures/{market}"
    key = f"{root}/monthly/klines/AUSDT/1h/AUSDT-1h-2023-03.zip"
    with Lab(dataset(f"{market}/klines/AUSDT/1h", start="2023-03-01", end="2024-03-31")) as lab:
        first = bars(at("2023-03-01"), at("2023-04-01"), HOUR)
        again = bars(at("2024-03-20"), at("2024-04-01"), HOUR)
        lab.put(key, first)
        lab.tell_api(key, first + again)
        lab.vendor.simulator.api.ended = frozenset({"AUSDT"})
        lab.run("sync", "2024-05-01")

        assert lab.ask("SELECT count(*) FROM klines WHERE source = 'rest'") == [(12 * 24,)]
        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [
            (354 * 24, "empty_at_source")
        ]


def test_symbol_trading_again_is_not_delisted() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01")) as lab:
        for number in range(5):
            put_hours(lab, f"2024-03-{number + 1:02d}")
        known = bars(at("2024-03-01"), at("2024-03-06"), HOUR)
        lab.tell_api(HOURS.format("daily", "2024-03-01"), known)
        lab.vendor.simulator.api.ended = frozenset({"AUSDT"})
        lab.run("sync", "2024-03-20")
        delisted = lab.ask("SELECT explanation FROM sync.gaps")
        lab.vendor.simulator.api.ended = frozenset()
        known += bars(at("2024-03-25"), at("2024-03-26"), HOUR)
        lab.tell_api(HOURS.format("daily", "2024-03-01"), known)
        put_hours(lab, "2024-03-25")
        lab.run("sync", "2024-03-26T09:00")
        lab.run("sync", "2024-03-26T10:00")

        assert delisted == [("delisted",)]
        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [(19 * 24, "suspended")]
        assert lab.ask("SELECT is_trading FROM sync.coverage") == [(True,)]


def test_restarted_trade_ids_are_two_lives() -> None:
    """Also inside one month, of which one archive has both lives, and ids in common."""
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        first = "".join(hourly(day, 1 + 24 * n) for n, day in enumerate(MARCH[:10]))
        second = "".join(hourly(day, 1 + 24 * n) for n, day in enumerate(MARCH[20:]))
        missing = second.splitlines(keepends=True)[30]
        text = HEADER + first + second.replace(missing, "")
        lab.put(trades("monthly", "2024-03"), text)
        lab.run("sync", "2024-04-10")

        sql = "SELECT row_count, expected_rows, present_rows, explained_rows FROM sync.coverage"
        assert lab.ask(sql) == [(503, 504, 503, 1)]
        assert lab.ask("SELECT count(*) FROM agg_trades WHERE agg_trade_id = 5") == [(2,)]


def shifted(missing: tuple[datetime, ...] = ()) -> str:
    """Return a month of minutes of which two hours open three seconds late."""
    late = at("2018-02-09T10:00"), at("2018-02-09T12:00")
    moments = [at("2018-02-01") + number * MINUTE for number in range(28 * 1440)]
    return "".join(
        bar(one + timedelta(seconds=3 * (late[0] <= one < late[1])), MINUTE)
        for one in moments
        if one not in missing
    )


def test_late_bars_count_and_missing_ones_are_patched() -> None:
    lost = at("2018-02-09T11:58"), at("2018-02-09T12:31")
    with Lab(dataset("spot/klines/AUSDT/1m", start="2018-02-01", end="2018-02-28")) as lab:
        lab.put(MINUTES.format("monthly", "2018-02"), shifted(lost))
        lab.tell_api(MINUTES.format("monthly", "2018-02"), shifted())
        outcome = lab.run("sync", "2024-04-01")

        assert outcome.is_complete
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
        sql = "SELECT row_count, expected_rows, present_rows, patched_rows FROM sync.coverage"
        assert lab.ask(sql) == [(40_320, 40_320, 40_318, 2)]


def test_answer_in_another_timezone_fills_nothing() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-01")) as lab:
        lab.put(
            HOURS.format("daily", "2024-03-01"),
            bars(at("2024-03-01"), at("2024-03-01T10:00"), HOUR)
            + bars(at("2024-03-01T12:00"), at("2024-03-02"), HOUR),
        )
        elsewhere = bars(at("2024-02-28T05:30"), at("2024-03-03T05:30"), HOUR, volume=66)
        lab.tell_api(HOURS.format("daily", "2024-03-01"), elsewhere)
        lab.run("sync", "2024-03-02T09:00")

        assert lab.ask("SELECT count(*) FROM klines WHERE volume = 66") == [(0,)]
        assert lab.ask("SELECT status FROM sync.gaps") == [("open",)]


def test_void_trades_are_kept_and_marked() -> None:
    def line(number: int) -> str:
        moment = round((at("2017-12-04") + number * MINUTE).timestamp() * 1000)
        if number in {12, 13, 30}:
            return f"{number},0.0,0.0,-1,-1,{moment},True,True\n"
        return f"{number},11500.0,0.1,{number},{number},{moment},True,True\n"

    with Lab(dataset("spot/aggTrades/AUSDT", start="2017-12-04", end="2017-12-04")) as lab:
        whole = [line(number) for number in range(1, 51)]
        lab.put(SPOT_TRADES.format("daily", "2017-12-04"), "".join(whole[:9] + whole[19:]))
        lab.tell_api(SPOT_TRADES.format("daily", "2017-12-04"), "".join(whole))
        outcome = lab.run("sync", "2024-04-01")

        assert outcome.is_complete
        sql = "SELECT count(*), min(price), count(*) FILTER (is_void), count(price) FROM agg_trades"
        assert lab.ask(sql) == [(50, 11_500.0, 3, 47)]
        exact = "SELECT price, quantity FROM agg_trades_exact WHERE is_void"
        assert {tuple(f"{value:f}" for value in row) for row in lab.ask(exact)} == {
            ("0.00000000", "0.00000000")
        }


def test_rows_lost_during_bad_edition_come_back() -> None:
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        good = HEADER + "".join(map(hourly, MARCH))
        lab.put(trades("monthly", "2024-03"), good)
        lab.run("sync", "2024-04-10")
        lab.put(trades("monthly", "2024-03"), good.replace("true", "maybe"), at("2024-04-11"))
        lab.run("audit", "2024-04-12")
        tree = tree_of(lab.config)
        for path, _ in list(inventory.partition_files(tree)):
            (tree.root / path).unlink()
        lab.put(trades("monthly", "2024-03"), good, at("2024-04-12"))
        lab.run("sync", "2024-04-12T06:00")

        assert lab.ask("SELECT count(*) FROM agg_trades") == ALL_ROWS


def test_late_checksum_costs_no_day() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01")) as lab:
        put_hours(lab, "2024-03-01")
        key = HOURS.format("daily", "2024-03-01")
        wrong = f"{'0' * 64}  {key.rpartition('/')[2]}".encode()
        lab.vendor.put_bytes(f"{key}.CHECKSUM", wrong)
        lab.run("tick", "2024-03-02T03:10")
        (lab.vendor.folder / f"{key}.CHECKSUM").unlink()
        lab.vendor.simulator.bucket.refresh()
        lab.run("tick", "2024-03-02T03:25")

        assert lab.ask("SELECT count(*) FROM klines") == [(24,)]


def test_trades_forgotten_by_api_are_explained() -> None:
    def line(number: int, second: int) -> str:
        moment = round((at("2021-06-01") + timedelta(seconds=second)).timestamp() * 1000)
        return f"{number},0.3,5.0,{number},{number},{moment},True,True\n"

    with Lab(dataset("spot/aggTrades/AUSDT", end="2021-06-01")) as lab:
        kept = [n for n in range(60) if not 10 <= n < 20]
        text = "".join(line(1000 + n, n) for n in kept)
        lab.put(SPOT_TRADES.format("daily", "2021-06-01"), text)
        later = "".join(line(5000 + n, 200_000 + n) for n in range(50))
        lab.tell_api(SPOT_TRADES.format("daily", "2021-06-03"), later)
        lab.run("sync", "2024-04-01")

        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [(10, "too_old_for_api")]


def test_merged_archives_are_each_examined_alone() -> None:
    one, two, three = (at(f"2024-03-0{n}") for n in (1, 2, 3))
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-03-31")) as lab:
        first = bars(one, two, MINUTE)
        lab.tell_api(MINUTES.format("daily", "2024-03-01"), first)
        missing = bar(one + 5 * HOUR, MINUTE)
        lab.put(MINUTES.format("daily", "2024-03-01"), first.replace(missing, ""))
        lab.put(MINUTES.format("daily", "2024-03-02"), bars(two, three, MINUTE))
        lab.run("sync", "2024-03-03T09:00")
        patched = lab.ask("SELECT count(*) FROM klines WHERE source = 'rest'")
        lines = bars(three, three + DAY, MINUTE).splitlines(keepends=True)
        lines.insert(700, bar(two + 3 * HOUR, MINUTE, 666))
        lines.insert(900, bar(three + 2 * HOUR, MINUTE, 777))
        lab.put(MINUTES.format("daily", "2024-03-03"), "".join(lines))
        lab.run("sync", "2024-03-04T09:00")

        assert patched == [(1,)]
        assert lab.ask("SELECT count(*), max(volume) FROM klines") == [(2880, 10.0)]
        status = "SELECT status, fault FROM sync.archives WHERE period = '2024-03-03'"
        assert lab.ask(status) == [("quarantined", "wrong_rows")]


@pytest.mark.parametrize("millisecond", [-1, 0])
def test_shared_midnight_trade_is_kept_once(millisecond: int) -> None:
    one, two, three = (at(f"2024-03-0{n}") for n in (1, 2, 3))
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-03")) as lab:
        shared = trade(25, two + timedelta(milliseconds=millisecond))
        first = "".join(trade(1 + n, one + n * HOUR) for n in range(24))
        second = "".join(trade(26 + n, two + (n + 0.5) * HOUR) for n in range(24))
        third = "".join(trade(50 + n, three + n * HOUR) for n in range(24))
        lab.put(trades("daily", "2024-03-01"), HEADER + first + shared)
        lab.put(trades("daily", "2024-03-02"), HEADER + shared + second)
        lab.put(trades("daily", "2024-03-03"), HEADER + third)
        lab.run("sync", "2024-03-04T09:00")

        counted = "SELECT count(*), count(DISTINCT agg_trade_id) FROM agg_trades"
        assert lab.ask(counted) == [(73, 73)]
        assert lab.ask("SELECT key, column_name FROM sync.conflicts") == [(25, "period")]
        assert lab.ask("SELECT expected_rows, present_rows FROM sync.coverage") == [(73, 73)]
        assert verify.verify(lab.config, Event(), lambda _: None).is_whole


@pytest.mark.parametrize("kind", ["aggTrades", "klines"])
@pytest.mark.parametrize("start", ["2024-03-01", ""])
@pytest.mark.parametrize("kept", [MARCH[:10], MARCH[9:]])
def test_days_a_short_month_lacks_are_fetched(kept: list[str], start: str, kind: str) -> None:
    names = f"um/{kind}/AUSDT" + ("/1h" if kind == "klines" else "")
    key = HOURS.replace("spot", "futures/um") if kind == "klines" else trades("{}", "{}")
    rows_of, header = (whole_day, "") if kind == "klines" else (hourly, HEADER)
    with Lab(dataset(names, **({"start": start} if start else {}))) as lab:
        lab.put(key.format("monthly", "2024-03"), header + "".join(map(rows_of, kept)))
        for day in MARCH:
            lab.put(key.format("daily", day), header + rows_of(day))
        lab.run("sync", "2024-04-10")
        lab.run("sync", "2024-04-11")

        table = "klines" if kind == "klines" else "agg_trades"
        assert lab.ask(f"SELECT count(*) FROM {table}") == [(31 * 24,)]
        before = len(lab.fetched())
        lab.run("sync", "2024-04-12")
        assert lab.fetched()[before:] == []


@pytest.mark.parametrize("comes", ["later", "together"])
def test_an_older_month_leaves_a_corrected_day(comes: str) -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        for day in MARCH:
            if day != "2024-03-20":
                lab.put(HOURS.format("daily", day), whole_day(day), at(day) + 1.2 * DAY)
        lab.run("sync", "2024-04-01T12:00")
        day, text = "2024-03-05", whole_day("2024-03-05")
        lacking = "".join(text.replace(",10,", ",77,").splitlines(keepends=True)[1:])
        lab.put(HOURS.format("daily", day), lacking, at("2024-04-05"))
        if comes == "later":
            lab.run("sync", "2024-04-06T12:00")
        whole = bars(at("2024-03-01"), at("2024-04-01"), HOUR)
        lab.put(HOURS.format("monthly", "2024-03"), whole, at("2024-04-02"))
        lab.run("sync", "2024-04-07T12:00")
        lab.run("sync", "2024-04-08T12:00")

        assert lab.ask("SELECT count(*) FROM klines") == [(31 * 24,)]
        assert lab.ask("SELECT count(*) FROM klines WHERE volume = 77") == [(23,)]
        sql = "SELECT DISTINCT kept_value, other_value FROM sync.conflicts WHERE column_name = ?"
        kept = lab.ask(sql.replace("?", "'volume'"))
        assert [(float(one), float(other)) for one, other in kept] == [(77.0, 10.0)]


def test_rows_long_after_an_end_are_found() -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-01")) as lab:
        lab.vendor.simulator.api = Api(lab.twin, ended=frozenset({"AUSDT"}))
        for day in (MARCH[0], MARCH[2]):
            minutes = bars(at(day), at(day) + DAY, MINUTE)
            if day == MARCH[0]:
                lab.put(MINUTES.format("daily", day), minutes)
            lab.tell_api(MINUTES.format("daily", day), minutes)
        lab.run("sync", "2024-04-20T12:00")
        lab.run("sync", "2024-04-21T12:00")

        assert lab.ask("SELECT count(*) FROM klines") == [(2 * 1440,)]
        sql = "SELECT gap_start::DATE::VARCHAR, explanation FROM sync.gaps ORDER BY ALL"
        assert lab.ask(sql) == [("2024-03-02", "empty_at_source"), ("2024-03-04", "delisted")]


def test_an_archive_without_rows_hides_no_explanation() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-03")) as lab:
        for day in (MARCH[0], MARCH[2]):
            lab.put(HOURS.format("daily", day), whole_day(day))
            lab.tell_api(HOURS.format("daily", day), whole_day(day))
        lab.put(HOURS.format("daily", MARCH[1]), f"{BAR_HEADER}\n")
        lab.run("sync", "2024-04-20T12:00")
        before = lab.requests()
        outcome = lab.run("sync", "2024-04-20T14:00")

        assert lab.ask("SELECT explanation FROM sync.gaps") == [("empty_at_source",)]
        assert (outcome.is_complete, lab.requests()) == (True, before)


def rates(year: int, month: int, hours: int) -> str:
    """Return the archive of a month of funding rates, so many hours apart."""
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    start, end = (
        datetime(year, month, 1, tzinfo=UTC),
        at(f"{year + month // 12}-{month % 12 + 1:02d}-01"),
    )
    moments = [start + number * hours * HOUR for number in range((end - start) // HOUR // hours)]
    lines = (f"{round(one.timestamp() * 1000) + 7},{hours},0.0001\n" for one in moments)
    return header + "".join(lines)


@pytest.mark.parametrize("has_api", [True, False])
def test_funding_hours_that_change_make_no_gap(*, has_api: bool) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-{}-{:02d}.zip"
    hours = {2022: 8, 2023: 4, 2024: 1}
    with Lab(dataset("um/fundingRate/X", start="2022-01-01", end="2024-12-31")) as lab:
        lab.has_api = has_api
        for year, month in product(hours, range(1, 13)):
            text = rates(year, month, hours[year])
            lab.put(key.format(year, month), text)
            lab.tell_api(key.format(year, month), text)
        lab.run("sync", "2025-02-20")

        count = 365 * 3 + 365 * 6 + 366 * 24
        sql = "SELECT expected_rows, present_rows, row_count FROM sync.coverage"
        assert lab.ask(sql) == [(count, count, count)]
        assert lab.ask("FROM sync.gaps") == []


@pytest.mark.parametrize(
    ("hours", "lost"), [(4, ["04"]), (1, ["01", "02", "03", "04", "05", "06"])]
)
def test_rates_lost_after_hours_changed_are_patched(hours: int, lost: list[str]) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-{}-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2023-01-01", end="2024-01-31")) as lab:
        for month in range(1, 13):
            lab.put(key.format(2023, month), rates(2023, month, 8))
            lab.tell_api(key.format(2023, month), rates(2023, month, 8))
        text = rates(2024, 1, hours)
        missing = {f"{round(at(f'2024-01-15T{hour}').timestamp() * 1000) + 7}" for hour in lost}
        lines = [line for line in text.splitlines(True) if line.split(",")[0] not in missing]
        lab.put(key.format(2024, 1), "".join(lines))
        lab.tell_api(key.format(2024, 1), text)
        lab.run("sync", "2024-02-20")

        sql = "SELECT count(*) FROM funding_rate WHERE source = 'rest'"
        assert lab.ask(sql) == [(len(lost),)]


@pytest.mark.parametrize(
    ("turn", "hours", "lost"),
    [
        (12, (8, 4), ["12-15T04"]),
        (12, (8, 1), ["12-15T03", "12-15T04"]),
        (12, (8, 1), [f"12-15T{hour:02d}" for hour in range(1, 7)]),
        (7, (8, 4), ["12-15T04"]),
        (11, (4, 8), ["12-15T08"]),
    ],
)
def test_rates_lost_after_hours_changed_in_a_year(
    turn: int, hours: tuple[int, int], lost: list[str]
) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2023-{:02d}.zip"
    missing = {f"{round(at(f'2023-{hour}').timestamp() * 1000) + 7}" for hour in lost}
    with Lab(dataset("um/fundingRate/X", start="2023-01-01", end="2023-12-31")) as lab:
        count = 0
        for month in range(1, 13):
            text = rates(2023, month, hours[month >= turn])
            lines = text.splitlines(True)
            count += len(lines) - 1
            kept = [line for line in lines if line.split(",")[0] not in missing]
            lab.put(key.format(month), "".join(kept))
            lab.tell_api(key.format(month), text)
        for now in ("2024-02-20", "2024-02-22"):
            lab.run("sync", now)

        sql = "SELECT expected_rows, present_rows, patched_rows, open_rows FROM sync.coverage"
        assert lab.ask(sql) == [(count, count - len(lost), len(lost), 0)]
        assert lab.ask("FROM sync.gaps") == []


@pytest.mark.parametrize("hours", [1, 4])
def test_a_rate_that_the_api_gets_late_is_added(hours: int) -> None:
    """Rows of the API do not tell how far they are apart."""
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-{:02d}.zip"
    january, february = rates(2024, 1, hours), rates(2024, 2, hours)
    lines = january.splitlines(keepends=True)
    late = f"{round(at('2024-01-25T04').timestamp() * 1000) + 7}"
    with Lab(dataset("um/fundingRate/X", start="2024-01-01", end="2024-02-29")) as lab:
        lab.put(key.format(1), "".join(lines[: 1 + 20 * 24 // hours]))
        lab.put(key.format(2), february)
        lab.tell_api(key.format(1), "".join(line for line in lines if late not in line))
        lab.tell_api(key.format(2), february)
        lab.run("sync", "2024-03-05T12:00")
        lab.tell_api(key.format(1), january)
        told = lab.ask("SELECT hour(gap_start), row_count, explanation FROM sync.gaps")
        lab.run("sync", "2024-04-10T12:00")

        counts = "SELECT expected_rows, row_count, open_rows + explained_rows FROM sync.coverage"
        assert told == [(4, 1, "empty_at_source")]
        assert lab.ask(counts) == [(60 * 24 // hours, 60 * 24 // hours, 0)]


def test_rates_followed_after_hours_changed_are_counted() -> None:
    """Each is some milliseconds after its hour, and so is the end of what is followed."""
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2024-01-01", follow="true")) as lab:
        for month in (1, 2, 3, 4):
            text = rates(2024, month, 8 if month > 1 else 4)
            lab.tell_api(key.format(month), text)
            if month < 4:
                lab.put(key.format(month), text, at(f"2024-{month + 1:02d}-01"))
        for hour, rows in ((6, 0), (12, 1), (18, 2)):
            lab.run("sync", f"2024-04-10T{hour:02d}:00")
            lab.run("patch", f"2024-04-10T{hour:02d}:00")

            count = 31 * 6 + (29 + 31 + 9) * 3 + rows
            counts = "SELECT expected_rows, open_rows, explained_rows FROM sync.coverage"
            assert lab.ask(counts) == [(count, 0, 0)]


@pytest.mark.parametrize("end", ["2023-12-31", ""])
def test_hours_that_lengthen_leave_no_gap_at_the_end(end: str) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-{}-{:02d}.zip"
    span = {"start": "2023-01-01"} | ({"end": end} if end else {})
    with Lab(dataset("um/fundingRate/X", **span)) as lab:
        for month in range(1, 13):
            text = rates(2023, month, 4 if month < 11 else 8)
            lab.put(key.format(2023, month), text)
            lab.tell_api(key.format(2023, month), text)
        lab.put(key.format(2024, 1), rates(2024, 1, 8))
        for month in (1, 2):
            lab.tell_api(key.format(2024, month), rates(2024, month, 8))
        for now in ("2024-02-03", "2024-02-05T01:00", "2024-02-20T03:00"):
            lab.run("sync", now)

            assert lab.ask("FROM sync.gaps") == []
            assert lab.ask("SELECT open_rows, explained_rows FROM sync.coverage") == [(0, 0)]


@pytest.mark.parametrize("hours", [4, 1])
def test_followed_rates_of_shorter_hours_are_counted(hours: int) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2024-01-01", follow="true")) as lab:
        for month in (1, 2, 3):
            text = rates(2024, month, 8 if month < 3 else hours)
            lab.tell_api(key.format(month), text)
            if month < 3:
                lab.put(key.format(month), text, at(f"2024-{month + 1:02d}-02"))
        for now in ("2024-03-03T08:10", "2024-03-28T08:10"):
            lab.run("sync", now)

            sql = "SELECT present_rows, expected_rows - patched_rows, open_rows FROM sync.coverage"
            assert lab.ask(sql) == [(180, 180, 0)]


@pytest.mark.parametrize("hours", [(4, 8), (1, 8), (1, 4)])
def test_followed_rates_of_longer_hours_leave_no_gap(hours: tuple[int, int]) -> None:
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2024-01-01", follow="true")) as lab:
        for month in (1, 2, 3):
            text = rates(2024, month, hours[month > 1])
            lab.tell_api(key.format(month), text)
            if month < 3:
                lab.put(key.format(month), text, at(f"2024-{month + 1:02d}-02"))
        for now in ("2024-03-03T08:10", "2024-03-08T16:10"):
            lab.run("sync", now)

            assert lab.ask("FROM sync.gaps") == []
            sql = "SELECT expected_rows - present_rows - patched_rows, open_rows FROM sync.coverage"
            assert lab.ask(sql) == [(0, 0)]


def test_followed_rates_of_shorter_hours_are_patched() -> None:
    """The API lacks two of them at first. Their places are told by what is followed alone."""
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-2024-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2024-01-01", follow="true")) as lab:
        for month in (1, 2):
            lab.put(key.format(month), rates(2024, month, 8), at(f"2024-{month + 1:02d}-02"))
            lab.tell_api(key.format(month), rates(2024, month, 8))
        march = rates(2024, 3, 4)
        missing = {
            f"{round(at(f'2024-03-02T{h}:00').timestamp() * 1000) + 7}" for h in ("12", "16")
        }
        lines = [line for line in march.splitlines(True) if line.split(",")[0] not in missing]
        lab.tell_api(key.format(3), "".join(lines))
        lab.run("sync", "2024-03-04T08:10")
        (found,) = lab.ask("SELECT gap_start::VARCHAR, row_count FROM sync.gaps")
        lab.tell_api(key.format(3), march)
        lab.tell_api(key.format(4), rates(2024, 4, 4))
        for now in ("2024-04-05T08:10", "2024-04-06T08:10"):
            lab.run("sync", now)

        assert found == ("2024-03-02 12:00:00", 2)
        assert lab.ask("FROM sync.gaps") == []
        sql = "SELECT count(*) FROM funding_rate WHERE calc_time::DATE = '2024-03-02'"
        assert lab.ask(sql) == [(6,)]


def test_rows_a_held_day_lacks_were_listed() -> None:
    key = "data/futures/um/daily/metrics/X/X-metrics-{}.zip"
    with Lab(dataset("um/metrics/X", start="2024-03-01", end="2024-03-02")) as lab:
        lab.put(key.format(MARCH[0]), statistics(at("2024-03-01T12:00"), 145))
        lab.put(key.format(MARCH[1]), statistics(at("2024-03-02T00:05"), 288))
        lab.run("sync", "2024-05-20T12:00")

        assert lab.ask("SELECT explanation FROM sync.gaps") == [("too_old_for_api",)]


def test_rows_a_correction_lacks_are_the_newest_month_s() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        days = [day for day in MARCH if day not in (MARCH[9], MARCH[19])]
        for day in days:
            lab.put(HOURS.format("daily", day), whole_day(day), at(day) + 1.2 * DAY)
        lab.run("sync", "2024-04-01T12:00")
        short = bars(at(MARCH[9]), at(MARCH[9]) + 20 * HOUR, HOUR, 3)
        for volume, published in ((1, "2024-04-02"), (2, "2024-04-04")):
            month = bars(at("2024-03-01"), at("2024-04-01"), HOUR, volume)
            lab.put(HOURS.format("monthly", "2024-03"), month, at(published))
            lab.put(HOURS.format("daily", MARCH[9]), short, at("2024-04-05"))
            lab.run("audit", at(published) + 3 * DAY)

        sql = "SELECT volume, count(*) FROM klines WHERE open_time::DATE = '2024-03-10'"
        assert lab.ask(f"{sql} GROUP BY ALL ORDER BY ALL") == [(2.0, 4), (3.0, 20)]


def test_patches_of_a_correction_outlive_an_older_month() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        text = whole_day(MARCH[9])
        short = "".join(text.splitlines(keepends=True)[:20])
        lab.tell_api(HOURS.format("daily", MARCH[9]), text)
        for day in MARCH:
            if day != MARCH[19]:
                published = at("2024-04-05") if day == MARCH[9] else at(day) + 1.2 * DAY
                own = short if day == MARCH[9] else whole_day(day)
                lab.put(HOURS.format("daily", day), own, published)
        lab.run("sync", "2024-04-05T12:00")
        lab.has_api = False
        month = "".join(short if day == MARCH[9] else whole_day(day) for day in MARCH)
        lab.put(HOURS.format("monthly", "2024-03"), month, at("2024-04-04"))
        lab.run("sync", "2024-04-06T12:00")

        sql = "SELECT source, count(*) FROM klines WHERE open_time::DATE = '2024-03-10'"
        assert lab.ask(f"{sql} GROUP BY ALL ORDER BY ALL") == [("archive", 20), ("rest", 4)]


def test_rates_lost_at_a_new_year_are_patched() -> None:
    """The year before has months of eight hours and one of one: its average tells nothing."""
    key = "data/futures/um/monthly/fundingRate/X/X-fundingRate-{}-{:02d}.zip"
    with Lab(dataset("um/fundingRate/X", start="2022-01-01", end="2023-01-31")) as lab:
        for year, month in [*product([2022], range(1, 13)), (2023, 1)]:
            text = rates(year, month, 8 if (year, month) < (2022, 12) else 1)
            lines = text.splitlines(keepends=True)
            kept = [lines[0], *lines[3:]] if year == 2023 else lines
            lab.put(key.format(year, month), "".join(kept))
            lab.tell_api(key.format(year, month), text)
        lab.run("sync", "2023-02-20")

        sql = "SELECT count(*) FROM funding_rate WHERE source = 'rest'"
        assert lab.ask(sql) == [(2,)]


@pytest.mark.parametrize("is_in_month", [True, False])
def test_a_keyless_correction_outlives_an_older_month(*, is_in_month: bool) -> None:
    key = "data/futures/um/{}/bookTicker/X/X-bookTicker-{}.zip"
    with Lab(dataset("um/bookTicker/X", start="2024-03-01", end="2024-03-31")) as lab:
        for day in MARCH:
            if day != "2024-03-20":
                lab.put(key.format("daily", day), TICK_HEADER + ticks(day), at(day) + 1.2 * DAY)
        lab.run("sync", "2024-04-01T12:00")
        day = "2024-03-05"
        lab.put(key.format("daily", day), TICK_HEADER + ticks(day, 77), at("2024-04-05"))
        lab.run("sync", "2024-04-06T12:00")
        whole = "".join(ticks(one) for one in MARCH if is_in_month or one != day)
        lab.put(key.format("monthly", "2024-03"), TICK_HEADER + whole, at("2024-04-02"))
        lab.run("sync", "2024-04-07T12:00")
        lab.run("sync", "2024-04-08T12:00")

        sql = "SELECT count(*), count(*) FILTER (best_bid_quantity = 77) FROM book_ticker"
        assert lab.ask(sql) == [(31 * 120, 120)]


OUTAGE = [f"{letter}USDT" for letter in "ABCD"]


@contextmanager
def outage_of_others() -> Iterator[Lab]:
    """A, B and C lack half a day for good, D only in its archive: it is explained by theirs."""
    text = dataset(f"spot/klines/{','.join(OUTAGE)}/1h", start="2024-03-01", end="2024-03-03")
    with Lab(text) as lab:
        for symbol, day in product(OUTAGE, MARCH[:3]):
            key = HOURS.format("daily", day).replace("AUSDT", symbol)
            short = bars(at(day), at(day) + 12 * HOUR, HOUR)
            lab.put(key, short if day == MARCH[1] else whole_day(day))
            has_all = symbol == "DUSDT" or day != MARCH[1]
            lab.tell_api(key, whole_day(day) if has_all else short)
        lab.run("sync", "2024-03-05T12:00")
        yield lab


def test_an_outage_of_others_explains_no_gap_for_good() -> None:
    with outage_of_others() as lab:
        lab.run("sync", "2024-04-10T12:00")

        found = "SELECT symbol, count(*) FROM klines GROUP BY ALL ORDER BY ALL"
        assert lab.ask(found) == [(symbol, 72 if symbol == "DUSDT" else 60) for symbol in OUTAGE]


def test_a_failure_renews_no_outage_of_others() -> None:
    """When each is to be asked for itself, nobody answers once."""
    with outage_of_others() as lab:
        lab.vendor.fail(Fault("api/*", "status", 500))
        lab.run("sync", "2024-04-10T12:00")
        lab.vendor.fail()
        lab.run("sync", "2024-04-10T14:00")

        sql = "SELECT count(*) FROM klines WHERE symbol = 'DUSDT'"
        assert lab.ask(sql) == [(72,)]


@pytest.mark.parametrize("kind", ["trades", "bookTicker"])
@pytest.mark.parametrize("start", ["2024-03-01", ""])
def test_a_month_cut_within_its_first_day_is_completed(kind: str, start: str) -> None:
    rows_of, header = (raw_trades, RAW_HEADER) if kind == "trades" else (ticks, TICK_HEADER)
    key = trades("{}", "{}").replace("aggTrades", kind)
    with Lab(dataset(f"um/{kind}/AUSDT", **({"start": start} if start else {}))) as lab:
        first = rows_of(MARCH[9]).splitlines(True)
        kept = [*first[len(first) // 2 :], *map(rows_of, MARCH[10:])]
        lab.put(key.format("monthly", "2024-03"), header + "".join(kept))
        for day in MARCH:
            lab.put(key.format("daily", day), header + rows_of(day))
        for now in ("2024-04-10", "2024-04-12"):
            lab.run("sync", now)

        table = "trades" if kind == "trades" else "book_ticker"
        assert lab.ask(f"SELECT count(*) FROM {table}") == [(31 * len(first),)]


@pytest.mark.parametrize("kind", ["aggTrades", "trades"])
def test_a_month_that_begins_late_costs_one_request(kind: str) -> None:
    """Where gaps are known by day only, another one: for the rest of its first day."""
    key = trades("{}", "{}").replace("aggTrades", kind)
    rows_of, header = (hourly, HEADER) if kind == "aggTrades" else (raw_trades, RAW_HEADER)
    with Lab(dataset(f"um/{kind}/AUSDT")) as lab:
        lab.put(key.format("monthly", "2024-03"), header + "".join(map(rows_of, MARCH[20:])))
        for day in MARCH[20:]:
            lab.put(key.format("daily", day), header + rows_of(day))
        for now in ("2024-04-10", "2024-04-11", "2024-05-20"):
            lab.run("sync", now)

        sql = "SELECT period, status FROM sync.archives WHERE period < '2024-04' ORDER BY ALL"
        rest = [] if kind == "aggTrades" else [("2024-03-21", "present")]
        assert lab.ask(sql) == [("2024-03", "present"), ("2024-03-20", "absent"), *rest]
        assert lab.ask("FROM sync.missing WHERE period < '2024-04'") == []


def test_a_day_cut_with_its_month_is_completed() -> None:
    key = trades("{}", "{}").replace("aggTrades", "trades")
    with Lab(dataset("um/trades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        kept = [*(raw_trades(day) for day in MARCH[:9]), *raw_trades(MARCH[9]).splitlines(True)[:7]]
        lab.put(key.format("monthly", "2024-03"), RAW_HEADER + "".join(kept))
        for day in MARCH:
            lab.put(key.format("daily", day), RAW_HEADER + raw_trades(day))
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM trades") == [(31 * 24,)]


def test_midnight_trade_stays_while_one_archive_has_it() -> None:
    days = [(1, 0, 25), (2, 24, 48), (3, 48, 72)]
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-03")) as lab:
        first = at("2024-03-01")

        def text(start: int, end: int) -> str:
            lines = (trade(100 + hour, first + hour * HOUR) for hour in range(start, end))
            return HEADER + "".join(lines)

        for day, start, end in days:
            lab.put(trades("daily", f"2024-03-{day:02d}"), text(start, end))
        lab.run("sync", "2024-03-10")
        lab.run("sync", "2024-03-10T12:00")
        lab.put(trades("daily", "2024-03-02"), text(25, 48), at("2024-03-11"))
        lab.run("sync", "2024-03-12")

        assert lab.ask("SELECT count(*) FROM agg_trades") == [(72,)]
        before = len(lab.fetched())
        lab.run("sync", "2024-03-13")
        assert lab.fetched()[before:] == []


def test_rebuild_restores_nothing_an_edition_removed() -> None:
    def month(without: str = "") -> str:
        return "".join(hourly(day) for day in MARCH if day != without).replace("true", "True,True")

    with Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        lab.put(SPOT_TRADES.format("monthly", "2024-03"), month())
        lab.run("sync", "2024-04-10")
        new = month(without="2024-03-15")
        lab.put(SPOT_TRADES.format("monthly", "2024-03"), new, at("2024-07-01"))
        lab.run("audit", "2024-07-02")
        before = lab.ask("SELECT count(*) FROM agg_trades")
        rebuild.rebuild(lab.config, Event())

        assert before == [(720,)]
        assert lab.ask("SELECT count(*) FROM agg_trades") == before


def test_folder_whose_name_enters_rows_is_refused(
    vendor: Vendor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(ConfigError, match="market=crypto"):
        config_of(vendor, "/data/market=crypto/lake")
    folder = tmp_path_factory.mktemp("x") / "Symbol=ALL"
    folder.mkdir()
    with chdir(folder), pytest.raises(UsageError, match="Symbol=ALL"):
        tree_of(config_of(vendor, "lake"))


def config_of(vendor: Vendor, lake: str) -> Config:
    return vendor.config(lake, dataset("spot/klines/AUSDT/1h"))  # type: ignore[arg-type] # as text


def test_next_generation_drops_what_clients_wrote() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-01")) as lab:
        put_hours(lab, "2024-03-01")
        lab.run("sync", "2024-03-02T09:00")
        log = tree_of(lab.config).root / "lake.duckdb.wal"
        log.write_bytes(b"what DuckDB 1.x wrote")
        told = [finding.what for finding in examination.examine_lake(tree_of(lab.config))]
        lab.run("sync", "2024-03-03T09:00")

        assert any(str(log) in what for what in told)
        assert not log.exists()


def test_nothing_between_two_datasets_is_fetched() -> None:
    text = dataset("spot/klines/AUSDT/1h", start="2023-01-01", end="2023-01-31")
    text += dataset("spot/klines/AUSDT/1h", start="2023-12-01", end="2023-12-31")
    with Lab(text) as lab:
        months = [at(f"2023-{month:02d}-01") for month in range(1, 13)] + [at("2024-01-01")]
        for start, end in pairwise(months):
            lab.put(HOURS.format("monthly", f"{start:%Y-%m}"), bars(start, end, HOUR))
        for moment in ("2024-03-01", "2024-03-02"):
            lab.run("sync", moment)

        assert sorted(lab.fetched()) == ["AUSDT-1h-2023-01.zip", "AUSDT-1h-2023-12.zip"]
        sql = "SELECT expected_rows, present_rows, explained_rows, open_rows FROM sync.coverage"
        assert lab.ask(sql) == [(2 * 744, 2 * 744, 0, 0)]


def test_changed_etag_alone_refetches_no_archive() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-05")) as lab:
        for number in range(5):
            put_hours(lab, f"2024-03-{number + 1:02d}", at("2024-03-06"))
        lab.run("sync", "2024-03-11T09:00")
        before = len(lab.fetched())
        entries = lab.vendor.simulator.bucket._entries
        for key, one in list(entries.items()):
            if key.endswith(".zip"):
                entries[key] = bucket.Entry(
                    one.key, one.size, f"{one.etag}-2", one.modified, one.path, one.body
                )
        first = lab.run("audit", "2024-03-12")
        checksums = len(lab.vendor.archive_requests())
        second = lab.run("audit", "2024-03-13")

        assert len(lab.fetched()) == before
        assert (first.built, second.built) == (0, 0)
        assert len(lab.vendor.archive_requests()) == checksums
        assert lab.ask("SELECT count(*) FROM sync.revisions") == [(0,)]


def test_stale_checksum_hides_no_new_edition() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-01")) as lab:
        put_hours(lab, "2024-03-01")
        key = HOURS.format("daily", "2024-03-01")
        lab.run("sync", "2024-03-02T09:00")
        stale = lab.vendor.simulator.bucket.get(f"{key}.CHECKSUM")
        assert stale is not None
        old = stale.read()
        longer = bars(at("2024-03-01"), at("2024-03-02"), HOUR, volume=1_234_567)
        lab.put(key, longer, at("2024-03-03"))
        lab.vendor.put_bytes(f"{key}.CHECKSUM", old)
        lab.run("audit", "2024-03-04")

        status = lab.ask("SELECT status, fault, row_count FROM sync.archives")
        assert status == [("quarantined", "wrong_checksum", 24)]


def test_failed_archive_leaves_its_gap_open() -> None:
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-09", end="2024-03-11")) as lab:
        for day in MARCH[8:11]:
            lab.put(trades("daily", day), HEADER + hourly(day))
        lab.vendor.fail(Fault("*2024-03-10.zip", "status", 503))
        lab.run("sync", "2024-03-20")

        gaps = lab.ask("SELECT row_count, status, reason LIKE '%2024-03-10%' FROM sync.gaps")
        assert gaps == [(24, "open", True)]


@pytest.mark.parametrize("knows", ["the days beside it", "the days after it", "no such symbol"])
def test_failed_archive_gap_is_not_explained_by_api(knows: str) -> None:
    days = {"the days beside it": MARCH[8:11:2], "the days after it": MARCH[10:11]}
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-09", end="2024-03-11")) as lab:
        for day in MARCH[8:11]:
            put_hours(lab, day)
        for day in days.get(knows, []):
            lab.tell_api(HOURS.format("daily", day), bars(at(day), at(day) + DAY, HOUR))
        lab.vendor.fail(Fault("*2024-03-10.zip", "status", 503))
        outcome = lab.run("sync", "2024-03-20")

        assert lab.ask("SELECT row_count, status FROM sync.gaps") == [(24, "open")]
        assert not outcome.is_complete
        asked = lab.requests()
        lab.run("sync", "2024-03-20T00:00:20")
        assert lab.requests() == asked  # the API did answer

        lab.vendor.fail()
        assert lab.run("sync", "2024-03-21").is_complete
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]


def test_hole_outside_dataset_is_no_gap() -> None:
    def without(*days: str) -> str:
        lines = [hourly(day).splitlines(keepends=True) for day in MARCH]
        return "".join(
            "".join(own[:5] + own[6:] if day in days else own)
            for day, own in zip(MARCH, lines, strict=True)
        )

    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-15", end="2024-03-31")) as lab:
        for day in MARCH[14:]:
            lines = hourly(day).splitlines(keepends=True)
            kept = lines[:7] + lines[8:] if day == "2024-03-20" else lines
            lab.put(trades("daily", day), HEADER + "".join(kept))
        lab.put(trades("monthly", "2024-03"), HEADER + without("2024-03-05"))
        lab.run("sync", "2024-04-10")

        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
        sql = "SELECT expected_rows = present_rows, present_rows FROM sync.coverage"
        assert lab.ask(sql) == [(True, 17 * 24)]


def test_same_hole_in_two_lives_is_explained_separately() -> None:
    first = "".join(hourly(day, 1 + 24 * n) for n, day in enumerate(MARCH[:10])).splitlines(True)
    second = "".join(hourly(day, 1 + 24 * n) for n, day in enumerate(MARCH[20:])).splitlines(True)
    with Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        for lines in (first, second):
            del lines[30]
        text = "".join(first + second).replace("true", "True,True")
        lab.put(SPOT_TRADES.format("monthly", "2024-03"), text)
        known = "".join(second).replace("true", "True,True")
        lab.tell_api(SPOT_TRADES.format("monthly", "2024-03"), known)
        lab.run("sync", "2024-04-10")

        sql = "SELECT day(gap_start), explanation FROM sync.gaps ORDER BY ALL"
        assert lab.ask(sql) == [(2, "too_old_for_api"), (22, "empty_at_source")]


def test_failed_look_fails_no_archive_and_is_repeated() -> None:
    whole = bars(at("2024-03-01"), at("2024-03-02"), MINUTE).splitlines(keepends=True)
    key = MINUTES.format("daily", "2024-03-01")
    text = dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-03-01")
    with Lab(text, has_api=False) as lab:
        lab.put(key, "".join(whole[:600]), at("2024-03-02T08:00"))
        lab.run("sync", "2024-03-02T09:00")
        lab.vendor.fail(Fault("*.CHECKSUM", "status", 503))
        outcome = lab.run("sync", "2024-03-02T09:40")
        lab.vendor.fail()
        lab.put(key, "".join(whole), at("2024-03-02T10:00"))
        lab.run("sync", "2024-03-02T12:00")

        assert outcome.is_complete
        assert lab.ask("SELECT count(*) FROM klines") == [(1440,)]


def test_midnight_hole_has_both_archives_looked_at() -> None:
    one, two = at("2024-03-01"), at("2024-03-02")
    text = dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-03-02")
    with Lab(text, has_api=False) as lab:
        lab.put(MINUTES.format("daily", "2024-03-01"), bars(one, two - 2 * HOUR, MINUTE))
        lab.run("sync", "2024-03-02T09:00")
        lab.put(MINUTES.format("daily", "2024-03-02"), bars(two + 2 * HOUR, two + DAY, MINUTE))
        lab.run("sync", "2024-03-03T09:00")

        sql = "SELECT next_try_at IS NOT NULL FROM sync.archives WHERE status = 'present'"
        assert lab.ask(sql) == [(True,), (True,)]


def test_wider_api_hole_explains_the_gap() -> None:
    day, key = at("2024-03-01"), HOURS.format("daily", "2024-03-01")
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-01")) as lab:
        lab.put(key, bars(day, day + 10 * HOUR, HOUR) + bars(day + 12 * HOUR, day + DAY, HOUR))
        known = bars(day, day + 9 * HOUR, HOUR) + bars(day + 14 * HOUR, day + DAY, HOUR)
        lab.tell_api(key, known)
        lab.run("sync", "2024-04-01")
        before = lab.requests()
        lab.run("sync", "2024-04-02")

        assert lab.ask("SELECT row_count, explanation FROM sync.gaps") == [(2, "empty_at_source")]
        assert lab.requests() == before


def test_lookalike_midnight_trades_are_compared_once() -> None:
    one, two = at("2024-03-01"), at("2024-03-02")
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-02")) as lab:
        first = "".join(trade(1 + n, one + n * HOUR) for n in range(24))
        late = trade(26, two + timedelta(milliseconds=5))
        early = trade(25, two + timedelta(milliseconds=2))
        second = "".join(trade(27 + n, two + (n + 0.5) * HOUR) for n in range(24))
        lab.put(trades("daily", "2024-03-01"), HEADER + first + late)
        lab.put(trades("daily", "2024-03-02"), HEADER + early + second)
        lab.run("sync", "2024-03-03T09:00")
        outcome = lab.run("tick", "2024-03-03T10:00")

        assert (outcome.built, outcome.generation) == (0, None)
        assert lab.ask("SELECT count(*), count(DISTINCT agg_trade_id) FROM agg_trades") == [
            (50, 50)
        ]


def test_unavailable_month_edition_refetches_no_day() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        start, end, hole = at("2024-03-01"), at("2024-04-01"), at("2024-03-10")
        month = bars(start, hole, HOUR) + bars(hole + HOUR, end, HOUR)
        lab.put(HOURS.format("monthly", "2024-03"), month)
        put_hours(lab, "2024-03-10")
        lab.run("sync", "2024-04-10")
        lab.put(HOURS.format("monthly", "2024-03"), month, at("2024-04-11"))
        lab.vendor.fail(Fault("*2024-03.zip", "status", 503))
        before = len(lab.fetched())
        outcomes = [lab.run("sync", f"2024-04-12T0{hour}:00") for hour in range(3)]

        assert lab.fetched()[before:].count("AUSDT-1h-2024-03-10.zip") == 0
        assert sum(outcome.built for outcome in outcomes) == 0


def test_span_between_datasets_is_listed_once_wanted() -> None:
    parts = [("2023-01-01", "2023-01-31"), ("2023-12-01", "2023-12-31")]
    with Lab() as lab:
        lab.datasets = "".join(
            dataset("spot/klines/AUSDT/1h", start=start, end=end) for start, end in parts
        )
        months = [at(f"2023-{month:02d}-01") for month in range(1, 13)] + [at("2024-01-01")]
        for start, end in pairwise(months):
            lab.put(HOURS.format("monthly", f"{start:%Y-%m}"), bars(start, end, HOUR))
        lab.run("sync", "2024-03-01")
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2023-01-01", end="2023-12-31")
        lab.run("sync", "2024-03-01T10:00")

        assert lab.requests() == 0
        assert lab.ask("SELECT count(*), count(DISTINCT source) FROM klines") == [(8760, 1)]


def test_span_between_datasets_is_listed_after_rebuild() -> None:
    with Lab() as lab:
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-02")
        lab.datasets += dataset("spot/klines/AUSDT/1h", start="2024-03-08", end="2024-03-09")
        follow(lab, 9)
        lab.run("sync", "2024-03-11T09:00")
        rebuild.rebuild(lab.config, Event())
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-09")
        lab.run("sync", "2024-03-11T10:00")

        assert lab.requests() == 0
        assert lab.ask("SELECT count(*), count(DISTINCT source) FROM klines") == [(216, 1)]


def test_month_leaving_listing_has_no_days_fetched() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-01-01", end="2024-03-31")) as lab:
        for month, days in (("2024-01", 31), ("2024-02", 29), ("2024-03", 31)):
            put_month_of_hours(lab, month, days)
        lab.run("sync", "2024-04-10")
        lab.vendor.remove(HOURS.format("monthly", "2024-02"))
        before = len(lab.fetched())
        lab.run("audit", "2024-04-11")

        assert lab.fetched()[before:] == []


@pytest.mark.parametrize("place", [12, 24])
def test_blank_line_is_told_as_one(place: int) -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        lines = bars(at("2024-03-01"), at("2024-03-02"), HOUR).splitlines(keepends=True)
        key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-03-01.zip"
        lab.put(key, "".join([*lines[:place], "\n", *lines[place:]]))
        lab.run("sync", "2024-03-02T08:00")

        found = lab.ask("SELECT status, reason FROM sync.archives")
        assert found == [("quarantined", "a line is blank")]


def test_blank_line_of_merged_archive_is_told() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-03-{}.zip"
        for day in (1, 3):
            first = at(f"2024-03-{day:02d}")
            lab.put(key.format(f"{day:02d}"), bars(first, first + DAY, HOUR))
        lab.run("sync", "2024-03-04T08:00")
        lines = bars(at("2024-03-02"), at("2024-03-03"), HOUR).splitlines(keepends=True)
        lab.put(key.format("02"), "".join([*lines[:7], "\n", *lines[7:]]))
        lab.run("audit", "2024-03-05T08:00")

        sql = "SELECT period, reason FROM sync.archives WHERE status = 'quarantined'"
        assert lab.ask(sql) == [("2024-03-02", "a line is blank")]
        assert lab.ask("SELECT count(*) FROM klines") == [(48,)]


@pytest.mark.parametrize("first", ["2024-03-12T08:00", "2024-04-10T08:00"])
def test_days_lost_at_head_come_from_month(
    first: str,
) -> None:
    """Trades tell of no hole before their first row; the month is published later than its days."""
    series = "um/aggTrades/AUSDT"
    key = "data/futures/um/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"
    with Lab(dataset(series, start="2024-03-05"), has_api=False) as lab:
        for day in days_of("2024-03", 8, 31):
            if day < first:
                lab.put(key.format("daily", day), HEADER + hourly(day))
        lab.run("sync", first)
        for day in days_of("2024-03", 8, 31):
            lab.put(key.format("daily", day), HEADER + hourly(day))
        whole = "".join(hourly(day) for day in days_of("2024-03", 1, 31))
        lab.put(key.format("monthly", "2024-03"), HEADER + whole)
        for now in ("2024-04-10T09:00", "2024-04-11T09:00", "2024-04-12T09:00"):
            lab.run("sync", now)

        sql = "SELECT count(*) FROM agg_trades WHERE transact_time >= '2024-03-05'"
        assert lab.ask(sql) == [(27 * 24,)]


def test_edit_and_rebuild_fetch_no_days_of_held_month() -> None:
    """After `start` was moved into a month its days would be asked for, and would replace it."""
    key = "data/spot/{}/klines/AUSDT/1h/AUSDT-1h-{}.zip"
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        whole = bars(at("2024-03-01"), at("2024-04-01"), HOUR, volume=1)
        lab.put(key.format("monthly", "2024-03"), whole)
        for day in days_of("2024-03", 1, 31):
            lab.put(key.format("daily", day), bars(at(day), at(day) + DAY, HOUR, volume=2))
        lab.run("sync", "2024-04-03T08:00")
        before = lab.fetched()
        lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-10")
        rebuild.rebuild(lab.config, Event())
        for now in ("2024-04-03T09:00", "2024-04-04T09:00"):
            lab.run("sync", now)

        assert [name for name in lab.fetched()[len(before) :] if "2024-03-" in name] == []
        assert lab.ask("SELECT DISTINCT volume FROM klines WHERE open_time < '2024-04-01'") == [
            (1,)
        ]


def put_day_of_hours(lab: Lab, day: str, *, text: str = "") -> None:
    first = at(day)
    lab.put(HOURS.format("daily", day), text or bars(first, first + DAY, HOUR))


def test_zip_damaged_behind_its_rows_gives_none() -> None:
    """Its rows had gone to the others of the step by the time that its sum was found wrong."""
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        put_day_of_hours(lab, "2024-03-01")
        key = HOURS.format("daily", "2024-03-02")
        first = at("2024-03-02")
        content = bytearray(
            zipped(
                key.rpartition("/")[2].replace(".zip", ".csv"),
                bars(first, first + DAY, HOUR).encode(),
            )
        )
        central = content.rindex(b"PK\x01\x02")
        content[central + 16] ^= 1  # its CRC, in the directory at the end
        lab.vendor.put_bytes(key, bytes(content), at("2024-03-03"))
        lab.run("sync", "2024-03-03T08:00")

        assert lab.ask("SELECT count(*), max(open_time) FROM klines") == [
            (24, at("2024-03-01T23:00").replace(tzinfo=None))
        ]
        sql = "SELECT period FROM sync.archives WHERE status = 'quarantined'"
        assert lab.ask(sql) == [("2024-03-02",)]


def test_row_of_unarchived_day_keeps_archive_out() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        put_day_of_hours(lab, "2024-03-04")
        lines = bars(at("2024-03-05"), at("2024-03-06"), HOUR).splitlines(keepends=True)
        stray = bar(at("2024-03-03T05:00"), HOUR)
        put_day_of_hours(lab, "2024-03-05", text="".join([*lines[:9], stray, *lines[9:]]))
        lab.run("sync", "2024-03-06T08:00")

        assert lab.ask("SELECT count(*) FROM klines WHERE open_time < '2024-03-04'") == [(0,)]
        sql = "SELECT period, reason FROM sync.archives WHERE status = 'quarantined'"
        ((period, reason),) = lab.ask(sql)
        assert period == "2024-03-05"
        assert "1 rows lie outside" in reason


def test_month_restores_trades_of_lost_day_file() -> None:
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01"), has_api=False) as lab:
        lines = [trade(n, at("2024-03-01") + n * 6 * HOUR) for n in range(31 * 4)]
        key = "data/futures/um/monthly/aggTrades/AUSDT/AUSDT-aggTrades-2024-03.zip"
        lab.put(key, HEADER + "".join(lines))
        lab.run("sync", "2024-04-10T08:00")
        tree = tree_of(lab.config)
        (lost,) = (path for path, _ in inventory.partition_files(tree) if "/2024-03-15." in path)
        (tree.root / lost).unlink()
        lab.run("sync", "2024-04-11T08:00")

        assert lab.ask("SELECT count(*) FROM agg_trades") == [(31 * 4,)]


def test_lost_file_of_withdrawn_archive_is_gap_at_once() -> None:
    asked = dataset("spot/klines/AUSDT/1m", start="2024-03-01", end="2024-04-30")
    with Lab(asked, has_api=False) as lab:
        for month, end in (("2024-03", "2024-04-01"), ("2024-04", "2024-05-01")):
            key = f"data/spot/monthly/klines/AUSDT/1m/AUSDT-1m-{month}.zip"
            lab.put(key, bars(at(f"{month}-01"), at(end), MINUTE))
        lab.run("sync", "2024-05-10T08:00")
        tree = tree_of(lab.config)
        (lost,) = (path for path, _ in inventory.partition_files(tree) if "/2024-03." in path)
        (tree.root / lost).unlink()
        lab.vendor.remove("data/spot/monthly/klines/AUSDT/1m/AUSDT-1m-2024-03.zip")
        lab.run("sync", "2024-05-10T10:00")

        assert lab.ask("SELECT sum(row_count) FROM sync.gaps") == [(31 * 24 * 60,)]


def test_day_differing_from_month_is_a_conflict() -> None:
    """Where a day of a part of a month is lost, the month comes with the others, in one step."""
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-05"), has_api=False) as lab:
        month = bars(at("2024-03-01"), at("2024-04-01"), HOUR)
        lab.put(HOURS.format("monthly", "2024-03"), month)
        for number in (5, 6, *range(8, 32)):
            first = at(f"2024-03-{number:02d}")
            text = bars(first, first + DAY, HOUR, volume=11 if number == 6 else 10)
            put_day_of_hours(lab, f"{first:%Y-%m-%d}", text=text)
        lab.run("sync", "2024-04-10T08:00")

        rows = "SELECT count(*), min(volume), max(volume) FROM klines"
        assert lab.ask(rows) == [(744, 10, 10)]
        sql = (
            "SELECT column_name, kept_source, kept_value::INTEGER, other_source,"
            " other_value::INTEGER, count(*) FROM sync.conflicts GROUP BY ALL"
        )
        assert lab.ask(sql) == [("volume", "archive", 10, "daily", 11, 24)]


def test_day_file_names_only_its_archives() -> None:
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-05"), has_api=False) as lab:
        moments = [at("2024-03-01") + n * 6 * HOUR for n in range(31 * 4)]
        lines = [trade(number, moment) for number, moment in enumerate(moments)]
        lab.put(TRADES.format("monthly", "AUSDT", "AUSDT", "2024-03"), HEADER + "".join(lines))
        for number in (5, 6, *range(8, 32)):
            own = lines[4 * (number - 1) : 4 * number]
            key = TRADES.format("daily", "AUSDT", "AUSDT", f"2024-03-{number:02d}")
            lab.put(key, HEADER + "".join(own))
        lab.run("sync", "2024-04-10T08:00")
        tree = tree_of(lab.config)
        (path,) = (path for path, _ in inventory.partition_files(tree) if "/2024-03-06." in path)
        with duckdb.connect() as connection:
            sources = origin_of(connection, [tree.root / path]).sources

        assert {source.period for source in sources} == {"2024-03", "2024-03-06"}


def test_lost_rows_are_gaps_while_archives_fail() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-03")) as lab:
        lab.has_api = False
        for day in days_of("2024-03", 1, 3):
            put_hours(lab, day)
        lab.run("sync", "2024-03-05T09:00")
        assert lab.ask("SELECT count(*) FROM klines") == [(72,)]
        for file in tree_of(lab.config).root.glob("klines/**/*.g*.parquet"):
            file.unlink()
        lab.vendor.fail(Fault("*.zip*", "status", 404))
        lab.run("sync", "2024-03-05T12:00")

        assert lab.ask("SELECT sum(row_count) FROM sync.gaps WHERE status = 'open'") == [(72,)]
        assert lab.ask("SELECT expected_rows, open_rows FROM sync.coverage") == [(72, 72)]


def test_day_stands_for_itself_beside_rejected_month() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        first, lacked, last = at("2024-03-01"), at("2024-03-10"), at("2024-04-01")
        month = HOURS.format("monthly", "2024-03")
        lab.put(month, bars(first, lacked, HOUR) + bars(lacked + DAY, last, HOUR))
        put_hours(lab, "2024-03-10")
        lab.run("sync", "2024-04-05T09:00")
        assert lab.ask("SELECT count(*) FROM klines") == ALL_ROWS
        root = tree_of(lab.config).root
        for file in root.glob("klines/**/*.g*.parquet"):
            file.unlink()
        lab.put(month, "no,bars\n", at("2024-04-06"))
        lab.run("sync", "2024-04-06T12:00")

        (file,) = root.glob("klines/**/*.g*.parquet")
        sql = f"SELECT source, count(*) FROM read_parquet('{file}', hive_partitioning=false)"
        with duckdb.connect() as connection:
            found = connection.execute(f"{sql} GROUP BY source").fetchall()
        assert found == [("archive", 24)]
