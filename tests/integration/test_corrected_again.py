"""A day that corrects its month is published once more: nothing of its older edition stays."""

import pytest

from lab import (
    DAY,
    HEADER,
    HOUR,
    HOURS,
    SPOT_TRADES,
    TICK_HEADER,
    Lab,
    at,
    bars,
    days_of,
    hourly,
    ticks,
    whole_day,
)
from served import dataset

MARCH = days_of("2024-03", 1, 31)
CORRECTED = MARCH[9]


def spot(text: str) -> str:
    """Return trades as spot's archives have them."""
    return "".join(f"{line},true\n" for line in text.splitlines())


def put_days(lab: Lab, key: str, texts: dict[str, str]) -> None:
    """Put daily archives there, but one: so that the month is asked for."""
    for day, text in texts.items():
        if day != MARCH[19]:
            lab.put(key.format("daily", day), text, at(day) + 1.2 * DAY)
    lab.run("sync", "2024-04-01T12:00")


def put_month(lab: Lab, key: str, text: str) -> None:
    """Publish the month, after its days."""
    lab.put(key.format("monthly", "2024-03"), text, at("2024-04-02"))
    lab.run("audit", "2024-04-05T12:00")


def correct(lab: Lab, key: str, *editions: str) -> None:
    """Publish a day again and again, days after its month."""
    for number, text in enumerate(editions):
        published = at("2024-04-06") + 2 * number * DAY
        lab.put(key.format("daily", CORRECTED), text, published)
        lab.run("audit", f"{published + DAY:%Y-%m-%dT%H:%M}")


@pytest.mark.parametrize("is_in_month", [True, False])
def test_a_withdrawn_correction_does_not_stay(*, is_in_month: bool) -> None:
    lines = whole_day(CORRECTED).splitlines(True)
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        put_days(lab, HOURS, {day: whole_day(day) for day in MARCH})
        short = bars(at(CORRECTED), at(CORRECTED) + 23 * HOUR, HOUR)
        month = [short if day == CORRECTED else whole_day(day) for day in MARCH]
        whole = "".join(map(whole_day, MARCH)) if is_in_month else "".join(month)
        put_month(lab, HOURS, whole)
        wrong = "".join([*lines[:-1], lines[-1].replace(",10,", ",999,")])
        correct(lab, HOURS, wrong, "".join(lines[:-1]))

        sql = f"SELECT volume, count(*) FROM klines WHERE open_time::DATE = '{CORRECTED}'"
        assert lab.ask(f"{sql} GROUP BY 1") == [(10.0, 24 if is_in_month else 23)]


def test_trades_of_two_editions_do_not_mix() -> None:
    texts = {day: spot(hourly(day)) for day in MARCH}
    with Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        put_days(lab, SPOT_TRADES, texts)
        put_month(lab, SPOT_TRADES, "".join(texts.values()))
        wrong = texts[CORRECTED].replace(",1.5,", ",999,")
        correct(lab, SPOT_TRADES, wrong, "".join(texts[CORRECTED].splitlines(True)[:12]))

        sql = f"SELECT price, count(*) FROM agg_trades WHERE transact_time::DATE = '{CORRECTED}'"
        assert lab.ask(f"{sql} GROUP BY 1") == [(1.5, 24)]


@pytest.mark.parametrize("has_month", [True, False])
def test_a_shorter_keyless_edition_takes_its_place(*, has_month: bool) -> None:
    key = "data/futures/um/{}/bookTicker/X/X-bookTicker-{}.zip"
    with Lab(dataset("um/bookTicker/X", start="2024-03-01", end="2024-03-31")) as lab:
        put_days(lab, key, {day: TICK_HEADER + ticks(day) for day in MARCH})
        if has_month:
            some = "".join(ticks(CORRECTED).splitlines(True)[:100])
            texts = [some if day == CORRECTED else ticks(day) for day in MARCH]
            whole = TICK_HEADER + "".join(texts)
            put_month(lab, key, whole)
        shorter = "".join(ticks(CORRECTED, 88).splitlines(True)[:119])
        correct(lab, key, TICK_HEADER + ticks(CORRECTED, 77), TICK_HEADER + shorter)
        lab.run("audit", "2024-04-20T12:00")

        sql = "SELECT best_bid_quantity, count(*) FROM book_ticker WHERE transaction_time::DATE ="
        assert lab.ask(f"{sql} '{CORRECTED}' GROUP BY 1") == [(88.0, 119)]


def test_only_the_day_before_has_a_midnight() -> None:
    """Neither the next day nor the month has that trade; the day before is a correction, twice."""
    key = "data/futures/um/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"
    after = MARCH[10]
    first, *rest = hourly(after).splitlines(True)
    texts = {day: hourly(day) for day in MARCH} | {after: "".join(rest)}
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        days = texts | {CORRECTED: texts[CORRECTED] + first}
        put_days(lab, key, {day: HEADER + text for day, text in days.items()})
        month = HEADER + "".join(texts.values())
        put_month(lab, key, month)
        midnight = f"SELECT price FROM agg_trades WHERE transact_time = '{after}'"
        found = lab.ask(midnight)
        editions = [days[CORRECTED].replace(",1.5,", f",{price},") for price in (77, 88)]
        correct(lab, key, *(HEADER + text for text in editions))
        lab.run("audit", "2024-04-20")

        assert (found, lab.ask(midnight)) == ([(1.5,)], [(88,)])
        assert lab.ask("SELECT count(*) FROM agg_trades") == [(31 * 24,)]


@pytest.mark.parametrize("has_month", [True, False])
def test_a_keyless_correction_leaves_the_next_minute(*, has_month: bool) -> None:
    key = "data/futures/um/{}/bookTicker/X/X-bookTicker-{}.zip"
    with Lab(dataset("um/bookTicker/X", start="2024-03-01", end="2024-03-31")) as lab:
        put_days(lab, key, {day: TICK_HEADER + ticks(day) for day in MARCH})
        if has_month:
            whole = TICK_HEADER + "".join(map(ticks, MARCH))
            put_month(lab, key, whole)
        correct(lab, key, TICK_HEADER + ticks(CORRECTED, 77))

        sql = "SELECT best_bid_quantity, count(*) FROM book_ticker WHERE transaction_time::DATE"
        around = f"IN ('{MARCH[8]}', '{CORRECTED}', '{MARCH[10]}')"
        assert sorted(lab.ask(f"{sql} {around} GROUP BY 1")) == [(1, 240), (77, 120)]


def test_a_midnight_of_a_corrected_day_is_there_once() -> None:
    """The next day and the month have it too: its month and its files are due at once."""
    key = "data/futures/um/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-01", end="2024-03-31")) as lab:
        lab.has_api = False
        put_days(lab, key, {day: HEADER + hourly(day) for day in MARCH})
        whole = HEADER + "".join(map(hourly, MARCH))
        put_month(lab, key, whole)
        midnight = hourly(MARCH[10]).splitlines(True)[0]
        correct(lab, key, HEADER + hourly(CORRECTED).replace(",1.5,", ",9,") + midnight)
        lab.run("audit", "2024-04-20")

        sql = "SELECT count(*), count(DISTINCT agg_trade_id), count(*) FILTER (price = 9)"
        assert lab.ask(f"{sql} FROM agg_trades") == [(31 * 24, 31 * 24, 24)]
        assert lab.ask("SELECT count(*), count(DISTINCT path) FROM sync.files") == [(31, 31)]
