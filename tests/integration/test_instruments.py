"""What can be traded, and what could be: from the API once a day, and from the archives."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fullpool.instruments import Instrument, changes
from fullpool.model import Market
from fullpool.simulator import Fault
from lab import DAY, HOUR, Lab, at, bars, days_of, metrics, metrics_key
from served import dataset

UM = "data/futures/um/daily/klines/{0}/1h/{0}-1h-{1}.zip"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(dataset("um/klines/BTCUSDT,OLDUSDT/1h", start="2024-03-01")) as one:
        for symbol, days in (("BTCUSDT", (1, 2, 3)), ("OLDUSDT", (1,))):
            for day in days:
                start = at(f"2024-03-0{day}")
                text = bars(start, start + DAY, DAY / 24)
                one.put(UM.format(symbol, f"{start:%Y-%m-%d}"), text, start + DAY)
                one.tell_api(UM.format(symbol, f"{start:%Y-%m-%d}"), text)
        yield one


def symbol(name: str, status: str = "TRADING", **more: Any) -> dict[str, Any]:
    return {
        "symbol": name, "status": status, "baseAsset": name[:3], "quoteAsset": "USDT",
        "contractType": "PERPETUAL", "onboardDate": 1_577_836_800_000,
        "deliveryDate": 4_133_404_800_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    } | more  # fmt: skip


def tell(lab: Lab, *symbols: dict[str, Any]) -> None:
    """Have the API list these symbols."""
    body = json.dumps({"rateLimits": [], "symbols": symbols})
    lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "body", text=body))


def versions(lab: Lab, name: str) -> list[tuple[Any, ...]]:
    sql = "SELECT status, valid_from::VARCHAR, valid_to::VARCHAR FROM instruments WHERE symbol = "
    return lab.ask(f"{sql}'{name}' ORDER BY valid_from")


def test_api_symbol_details_reach_the_lake(lab: Lab) -> None:
    tell(lab, symbol("BTCUSDT"), symbol("NEWUSDT", onboardDate=1_709_500_000_000))

    lab.run("sync", "2024-03-04T12:00")

    (found,) = lab.ask(
        "SELECT status, base_asset, quote_asset, contract_type, tick_size::VARCHAR::DOUBLE,"
        " step_size::DOUBLE, min_notional::DOUBLE, listed_at::VARCHAR, delivers_at,"
        " first_archive::VARCHAR, last_archive::VARCHAR, last_time::VARCHAR"
        " FROM instruments WHERE symbol = 'BTCUSDT'"
    )
    assert found == (
        "TRADING", "BTC", "USDT", "PERPETUAL", 0.1, 0.001, 5.0, "2020-01-01 00:00:00", None,
        "2024-03-01 00:00:00", "2024-03-04 00:00:00", "2024-03-03 23:00:00",
    )  # fmt: skip
    assert versions(lab, "NEWUSDT") == [("TRADING", "2024-03-04 12:00:00", None)]
    assert versions(lab, "OLDUSDT") == [(None, None, None)]


def test_changes_make_versions_and_vanished_symbols_end(lab: Lab) -> None:
    tell(lab, symbol("BTCUSDT"), symbol("ENDUSDT"))
    lab.run("sync", "2024-03-04T12:00")
    tell(lab, symbol("BTCUSDT", "SETTLING"))

    lab.run("audit", "2024-03-05T12:00")

    assert versions(lab, "BTCUSDT") == [
        ("TRADING", "2024-03-04 12:00:00", "2024-03-05 12:00:00"),
        ("SETTLING", "2024-03-05 12:00:00", None),
    ]
    assert versions(lab, "ENDUSDT") == [("TRADING", "2024-03-04 12:00:00", "2024-03-05 12:00:00")]


def test_symbols_are_requested_once_a_day(lab: Lab) -> None:
    tell(lab, symbol("BTCUSDT"))
    lab.run("sync", "2024-03-04T12:00")
    before = len(lab.vendor.simulator.api_requests())

    lab.run("sync", "2024-03-04T13:00")

    assert len(lab.vendor.simulator.api_requests()) == before


def test_unavailable_list_is_retried_within_hours(lab: Lab) -> None:
    lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "status", 503))
    lab.run("sync", "2024-03-04T12:00")
    tell(lab, symbol("BTCUSDT"))

    lab.run("sync", "2024-03-04T12:30")
    assert versions(lab, "BTCUSDT") == [(None, None, None)]
    lab.run("sync", "2024-03-04T13:30")

    assert versions(lab, "BTCUSDT") == [("TRADING", "2024-03-04 13:30:00", None)]


@pytest.mark.parametrize("symbols", ["", '{"symbol": "!!"}'])
def test_host_without_list_is_harmless(lab: Lab, symbols: str) -> None:
    tell(lab, symbol("BTCUSDT"))
    lab.run("sync", "2024-03-04T12:00")
    lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "body", text=f'{{"symbols": [{symbols}]}}'))

    outcome = lab.run("audit", "2024-03-05T12:00")

    assert outcome.is_complete
    assert versions(lab, "BTCUSDT") == [("TRADING", "2024-03-04 12:00:00", None)]
    ((reason,),) = lab.ask("SELECT reason FROM internal.instrument_lists WHERE reason <> ''")
    assert reason.endswith("none")
    on_next_day = lab.ask("SELECT symbol, evidence FROM instruments_on(DATE '2024-03-06')")
    assert on_next_day == [("BTCUSDT", "dates")]  # nobody said so on that day


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2019-12-31", []),
        ("2020-01-01", [("BTCUSDT", "dates")]),
        ("2024-03-01", [("BTCUSDT", "archive"), ("OLDUSDT", "archive")]),
        ("2024-03-02", [("BTCUSDT", "archive")]),
        ("2024-03-04", [("BTCUSDT", "api"), ("NEWUSDT", "api")]),
        ("2024-03-07", [("BTCUSDT", "api")]),
        ("2024-03-09", [("BTCUSDT", "dates")]),
    ],
)
def test_tradable_symbols_rest_on_best_evidence(
    lab: Lab, day: str, expected: list[tuple[str, str]]
) -> None:
    new = symbol("NEWUSDT", onboardDate=1_709_510_400_000)  # 2024-03-04
    tell(lab, symbol("BTCUSDT"), new)
    lab.run("sync", "2024-03-04T12:00")
    tell(lab, symbol("BTCUSDT"), new | {"status": "PENDING_TRADING"})
    lab.run("audit", "2024-03-06T12:00")

    found = lab.ask(f"SELECT symbol, evidence FROM instruments_on(DATE '{day}')")

    assert found == expected


@pytest.mark.parametrize(
    "broken",
    [
        {"symbol": "../etc"}, {"symbol": 7}, {"filters": "none"}, {"filters": [None, {}]},
        {"onboardDate": "soon"}, {"contractSize": "NaN"}, {"baseAsset": None},
    ],
)  # fmt: skip
def test_malformed_symbol_keeps_no_other_out(lab: Lab, broken: dict[str, Any]) -> None:
    tell(lab, symbol("ODDUSDT", **broken), symbol("BTCUSDT"))

    lab.run("sync", "2024-03-04T12:00")

    assert versions(lab, "BTCUSDT") == [("TRADING", "2024-03-04 12:00:00", None)]


def test_only_different_instruments_are_changes() -> None:
    same, new = Instrument(Market.UM, "A", "TRADING"), Instrument(Market.UM, "B", "TRADING")
    old, ended = Instrument(Market.UM, "B", "PENDING"), Instrument(Market.UM, "C", "TRADING")

    found = changes({"A": same, "B": old, "C": ended}, [same, new])

    assert (found.ended, found.begun) == (("B", "C"), (new,))


def test_delisted_contracts_are_not_traded_later(lab: Lab) -> None:
    """One is delivered, one is gone from the list; an older version of each tells no end."""
    tell(lab, symbol("BTCUSDT"), symbol("MKRUSDT"), symbol("GONEUSDT"))
    lab.run("sync", "2024-03-04T12:00")
    end = round(at("2024-03-05T09:00").timestamp() * 1000)
    tell(lab, symbol("BTCUSDT"), symbol("MKRUSDT", "SETTLING", deliveryDate=end))
    lab.run("audit", "2024-03-06T12:00")
    tell(lab, symbol("BTCUSDT"))
    lab.run("audit", "2024-03-20T12:00")

    on = "SELECT symbol FROM instruments_on(DATE '{}') WHERE symbol <> 'OLDUSDT'"
    assert lab.ask(on.format("2024-03-04")) == [("BTCUSDT",), ("GONEUSDT",), ("MKRUSDT",)]
    for day in ("2024-03-07", "2024-03-20", "2026-01-01"):
        assert lab.ask(on.format(day)) == [("BTCUSDT",)]


def test_what_the_api_said_counts_before_dates(lab: Lab) -> None:
    """One was halted for two days; of the other nobody asked when it was delivered."""
    end = round(at("2024-03-09").timestamp() * 1000)
    delivered = symbol("ENDUSDT", deliveryDate=end)
    for day, status in ((4, "TRADING"), (6, "HALT"), (8, "TRADING")):
        tell(lab, symbol("BRKUSDT", status), delivered)
        lab.run("audit", f"2024-03-0{day}T12:00")
    tell(lab, symbol("BRKUSDT"))
    lab.run("audit", "2024-03-12T12:00")

    on = "SELECT evidence FROM instruments_on(DATE '{}') WHERE symbol = '{}'"
    names = ("2024-03-05", "2024-03-07", "2024-03-08", "2024-03-09")
    assert [bool(lab.ask(on.format(day, "BRKUSDT"))) for day in names] == [True, False, True, True]
    assert [bool(lab.ask(on.format(day, "ENDUSDT"))) for day in names] == [True, True, True, False]


def test_a_row_at_midnight_is_no_evidence_for_its_day() -> None:
    """The archive of a day of metrics ends with the first row of the day after."""
    with Lab(dataset("um/metrics/X", start="2024-03-01"), has_api=False) as lab:
        lab.put(metrics_key("2024-03-01"), metrics("2024-03-01T00:05"))
        lab.run("sync", "2024-03-04T12:00")

        on = "SELECT symbol, evidence FROM instruments_on(DATE '{}')"
        assert lab.ask(on.format("2024-03-01")) == [("X", "archive")]
        assert lab.ask(on.format("2024-03-02")) == []


def test_a_time_of_day_means_its_day() -> None:
    with Lab(dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-03-01", end="2024-03-05")) as lab:
        for symbol, first in (("AUSDT", 1), ("BUSDT", 3)):
            for day in days_of("2024-03", first, 5):
                key = f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-{day}.zip"
                lab.put(key, bars(at(day), at(day) + DAY, HOUR))
        lab.run("sync", "2024-03-10")
        on = "SELECT symbol FROM instruments_on({})"

        for text in (
            "TIMESTAMP '2024-03-02 12:00'",
            "'2024-03-02 23:59:59'",
            "'2024-03-02T12:00Z'",
        ):
            assert lab.ask(on.format(text)) == [("AUSDT",)], text
