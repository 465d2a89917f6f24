"""Gaps filled from daily archives and the API, or explained: real sockets, files and DuckDB.

The vendor's API is served from a twin: a folder with the rows that the archives lack.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from damaging import flip
from fullpool.app import clock, configuration, syncing
from fullpool.config import Config
from fullpool.errors import IncompleteError
from fullpool.simulator import Api, Fault, generate, spec_from
from fullpool.simulator.generate import zipped
from served import Seen, Vendor, ask, audit, dataset, sync

ON = {"enabled": "true"}
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
Spans = tuple[tuple[datetime, datetime], ...]


class Twin:
    """A vendor whose API knows rows that its archives lack."""

    def __init__(self, vendor: Vendor, tmp_path: Path) -> None:
        self.vendor = vendor
        self.lake = tmp_path / "lake"
        self.whole = tmp_path / "twin"
        self.whole.mkdir()
        vendor.simulator.api = Api(self.whole)

    def publish(
        self, series: str, first: date, last: date, missing: Spans, *, api: Spans = ()
    ) -> None:
        """Publish invented archives without the rows of *missing*; the API lacks those of *api*."""
        spec = spec_from(series, first, last, 500)
        for _ in generate(self.whole, replace(spec, missing=api)):
            pass
        for _ in generate(self.vendor.folder, replace(spec, missing=missing)):
            pass
        self.vendor.simulator.bucket.refresh()
        self.vendor.simulator.api.refresh()

    def config(self, datasets: str, **rest: Any) -> Config:
        return self.vendor.config(self.lake, datasets, rest=ON | rest)

    def calls(self) -> list[str]:
        """Return what the API was asked for rows."""
        return [path for path in self.vendor.simulator.api_requests() if "exchangeInfo" not in path]


@pytest.fixture
def twin(vendor: Vendor, tmp_path: Path) -> Twin:
    return Twin(vendor, tmp_path)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at_(*parts: int) -> datetime:
    """Return an instant as DuckDB gives it: UTC without saying so."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


def hours(start: str, count: float = 1) -> tuple[datetime, datetime]:
    return at(start), at(start) + count * HOUR


def gaps_in(config: Config) -> list[tuple[Any, ...]]:
    return ask(
        config,
        "SELECT symbol, gap_start, row_count, status, explanation FROM sync.gaps ORDER BY ALL",
    )


def require_same_rows(twin: Twin, tmp_path: Path, datasets: str, table: str = "klines") -> None:
    """Compare the lake row by row with one filled from archives that lack nothing."""
    with Vendor(twin.whole) as whole:
        reference = whole.config(tmp_path / "reference", datasets)
        sync(reference)
    config = twin.config(datasets)
    everything = f"SELECT * EXCLUDE (source) FROM {table}_exact ORDER BY ALL"
    assert ask(config, everything) == ask(reference, everything)


MINUTES = "spot/klines/BTCUSDT/1m"


@pytest.mark.parametrize(
    ("series", "first", "last", "missing"),
    [
        (MINUTES, "2024-03-01", "2024-03-31", [hours("2024-03-05T10:00", 1 / 60)]),
        (MINUTES, "2024-03-03", "2024-03-09", [hours("2024-03-03T00:00", 5)]),
        (MINUTES, "2024-03-03", "2024-03-09", [hours("2024-03-09T20:30", 3.5)]),
        (MINUTES, "2023-12-30", "2024-01-03", [hours("2023-12-31T22:00", 5)]),
        (MINUTES, "2024-12-30", "2025-01-03", [hours("2024-12-31T22:00", 5)]),
        (
            MINUTES,
            "2024-03-01",
            "2024-03-31",
            [hours(f"2024-03-{1 + n // 2:02d}T{6 + 12 * (n % 2):02d}:07", 0.3) for n in range(50)],
        ),
        ("spot/klines/BTCUSDT/1h", "2019-01-01", "2019-12-31", [hours("2019-02-03", 24 * 250)]),
        ("um/klines/BTCUSDT/15m", "2024-03-01", "2024-03-31", [hours("2024-03-05T10:15", 200)]),
        ("cm/klines/BTCUSD_PERP/1d", "2023-01-01", "2024-03-31", [hours("2023-02-01", 24 * 300)]),
        ("cm/indexPriceKlines/BTCUSD/4h", "2024-03-01", "2024-03-31", [hours("2024-03-05", 24)]),
        ("um/premiumIndexKlines/BTCUSDT/1h", "2024-03-01", "2024-03-31", [hours("2024-03-05", 2)]),
        ("spot/klines/BTCUSDT/1w", "2023-10-01", "2024-04-30", [hours("2024-01-01", 24 * 14)]),
        ("spot/klines/BTCUSDT/3d", "2023-10-01", "2024-04-30", [hours("2024-01-01", 24 * 14)]),
        ("spot/klines/BTCUSDT/1mo", "2023-01-01", "2024-04-30", [hours("2023-06-01", 24 * 61)]),
        ("spot/aggTrades/BTCUSDT", "2025-03-03", "2025-03-05", [hours("2025-03-04T07:00", 3)]),
        ("spot/aggTrades/BTCUSDT", "2024-03-03", "2024-03-05", [hours("2024-03-04", 24)]),
    ],
    ids=[
        "one bar", "head", "tail", "year end", "ms to us", "fifty in a month", "6000 bars",
        "um", "cm over 200 days", "pair", "premium index", "weeks", "three days", "months",
        "trades", "a day of trades",
    ],
)  # fmt: skip
def test_gaps_get_exactly_their_missing_rows(  # noqa: PLR0917 - one case
    twin: Twin, tmp_path: Path, series: str, first: str, last: str, missing: list[Any]
) -> None:
    twin.publish(series, date.fromisoformat(first), date.fromisoformat(last), tuple(missing))
    datasets = dataset(series, start=first, end=last)
    outcome, _ = sync(twin.config(datasets))

    table = "agg_trades" if "Trades" in series else app_table(series)
    assert gaps_in(twin.config(datasets)) == []
    assert outcome.patched_rows > 0
    sources = f"SELECT count(*) FROM {table} WHERE source = 'rest'"
    assert ask(twin.config(datasets), sources) == [(outcome.patched_rows,)]
    require_same_rows(twin, tmp_path, datasets, table)


def app_table(series: str) -> str:
    kind = series.split("/")[1]
    return {
        "klines": "klines",
        "indexPriceKlines": "index_price_klines",
        "premiumIndexKlines": "premium_index_klines",
    }[kind]


def test_one_pass_patches_100_000_bars(twin: Twin, tmp_path: Path) -> None:
    twin.publish(MINUTES, date(2024, 1, 1), date(2024, 4, 30), (hours("2024-01-20", 100_000 / 60),))
    datasets = dataset(MINUTES, start="2024-01-01", end="2024-04-30")
    outcome, _ = sync(twin.config(datasets))

    assert outcome.patched_rows == 100_000
    require_same_rows(twin, tmp_path, datasets)


def test_next_pass_asks_what_is_left(twin: Twin, tmp_path: Path) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-03", 24 * 5),))
    datasets = dataset(MINUTES, start="2024-03-01", end="2024-03-09")
    config = twin.config(datasets, requests_per_pass=3)
    outcomes = [syncing.sync(config, Seen(), Event()) for _ in range(4)]

    assert [outcome.is_complete for outcome in outcomes] == [False, False, True, True]
    assert [outcome.patched_rows for outcome in outcomes] == [2999, 2999, 1202, 0]
    require_same_rows(twin, tmp_path, datasets)


def test_holes_the_api_shares_are_explained_once(twin: Twin) -> None:
    outage = hours("2024-03-05T10:00", 2)
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), (outage,), api=(outage,))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    sync(config)

    start = outage[0].replace(tzinfo=None)
    assert gaps_in(config) == [("BTCUSDT", start, 120, "explained", "empty_at_source")]
    ((text,),) = ask(config, "SELECT evidence FROM sync.gaps")
    evidence = json.loads(text)
    assert evidence["row_before"]
    assert evidence["row_after"]
    assert "/api/v3/klines?symbol=BTCUSDT&interval=1m" in evidence["url"]
    asked = len(twin.vendor.simulator.requests)
    sync(config)
    assert len(twin.vendor.simulator.requests) == asked


def test_partly_filled_holes_keep_what_is_missing(twin: Twin) -> None:
    outage = hours("2024-03-05T10:20", 0.5)
    missing = hours("2024-03-05T10:00", 2)
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), (missing,), api=(outage,))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    outcome, _ = sync(config)

    assert outcome.patched_rows == 90
    assert [row[1:3] for row in gaps_in(config)] == [(at_(2024, 3, 5, 10, 20), 30)]
    coverage = (
        "SELECT expected_rows, present_rows, patched_rows, explained_rows, open_rows"
        " FROM sync.coverage"
    )
    assert ask(config, coverage) == [(31 * 1440, 31 * 1440 - 120, 90, 30, 0)]
    assert ask(config, "SELECT first_time, last_time, row_count FROM sync.patched") == [
        (at_(2024, 3, 5, 10, 0), at_(2024, 3, 5, 10, 19), 20),
        (at_(2024, 3, 5, 10, 50), at_(2024, 3, 5, 11, 59), 70),
    ]


def test_a_market_outage_asks_only_three_symbols(twin: Twin) -> None:
    outage = hours("2024-03-05T10:00", 3)
    symbols = [f"S{number:02d}USDT" for number in range(9)]
    for symbol in symbols:
        series = f"spot/klines/{symbol}/1h"
        twin.publish(series, date(2024, 3, 1), date(2024, 3, 31), (outage,), api=(outage,))
    names = ",".join(symbols)
    config = twin.config(dataset(f"spot/klines/{names}/1h", start="2024-03-01", end="2024-03-31"))
    sync(config)

    assert [row[4] for row in gaps_in(config)] == ["empty_at_source"] * 9
    assert len(twin.calls()) == 3
    days = [p for p in twin.vendor.archive_requests() if "/daily/" in p and p.endswith(".zip")]
    assert len(days) == 3
    shared = "SELECT count(*) FROM sync.gaps WHERE asked_at IS NULL AND reason LIKE '%S00USDT%'"
    assert ask(config, shared) == [(6,)]


def test_a_shared_hole_is_filled_for_all(twin: Twin, tmp_path: Path) -> None:
    lost = hours("2024-03-05T10:00", 3)
    symbols = [f"S{number:02d}USDT" for number in range(6)]
    for symbol in symbols:
        twin.publish(f"spot/klines/{symbol}/1h", date(2024, 3, 1), date(2024, 3, 31), (lost,))
    names = ",".join(symbols)
    datasets = dataset(f"spot/klines/{names}/1h", start="2024-03-01", end="2024-03-31")
    outcome, _ = sync(twin.config(datasets))

    assert outcome.patched_rows == 18
    require_same_rows(twin, tmp_path, datasets)


def put_month(twin: Twin, *missing: tuple[datetime, datetime], at: datetime | None = None) -> None:
    """Publish March's archive without the rows of *missing*."""
    spec = replace(spec_from(MINUTES, date(2024, 3, 1), date(2024, 3, 31)), missing=missing)
    folder = twin.whole.parent / "missing"
    for path in generate(folder, spec):
        if path.name == "BTCUSDT-1m-2024-03.zip":
            twin.vendor.put_bytes(path.relative_to(folder).as_posix(), path.read_bytes(), at)


@pytest.fixture
def holed(twin: Twin) -> Config:
    """Return a lake of a month that lacks a day and an hour of another one, as its days do not."""
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), ())
    put_month(twin, hours("2024-03-07T00:00", 24), hours("2024-03-11T05:00", 1))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    sync(config)
    return config


def test_holes_in_months_take_only_their_days(twin: Twin, holed: Config) -> None:
    zips = [path for path in twin.vendor.archive_requests() if path.endswith(".zip")]
    assert sorted(path.rpartition("1m-")[2] for path in zips) == [
        "2024-03-07.zip", "2024-03-11.zip", "2024-03.zip",
    ]  # fmt: skip
    assert ask(holed, "SELECT count(*), count(DISTINCT source) FROM klines") == [(31 * 1440, 1)]
    assert twin.calls() == []
    assert gaps_in(holed) == []


def put_anew(twin: Twin, day: str, changes: Mapping[int, str], last: int = 1440) -> None:
    """Publish a day anew: its first *last* minutes, with another volume in some of them."""
    name = f"BTCUSDT-1m-{day}.csv"
    key = f"data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{day}.zip"
    whole = zipfile.ZipFile(twin.whole / key).read(name).decode()
    lines = [line.split(",") for line in whole.splitlines()]
    for minute, volume in changes.items():
        lines[minute][5] = volume
    text = "".join(",".join(fields) + "\n" for fields in lines[:last])
    twin.vendor.put_bytes(key, zipped(name, text.encode()))


def test_a_republished_day_replaces_what_it_filled(twin: Twin, holed: Config) -> None:
    put_anew(twin, "2024-03-07", {60: "77.00000000"}, last=1430)
    put_anew(twin, "2024-03-11", {4 * 60: "78.00000000", 5 * 60: "79.00000000"})
    audit(holed)

    changed = "SELECT open_time, volume FROM klines WHERE volume IN (77, 78, 79) ORDER BY ALL"
    assert ask(holed, changed) == [(at_(2024, 3, 7, 1), 77.0), (at_(2024, 3, 11, 5), 79.0)]
    counts = "SELECT rows_added, rows_removed, rows_changed FROM sync.revisions ORDER BY ALL"
    assert ask(holed, counts) == [(0, 0, 1), (0, 10, 1)]
    lost = [("BTCUSDT", at_(2024, 3, 7, 23, 50), 10, "open", None)]
    assert gaps_in(holed) == lost


def test_days_fill_new_holes_of_republished_months(twin: Twin, holed: Config) -> None:
    put_anew(twin, "2024-03-11", {4 * 60: "78.00000000", 5 * 60: "79.00000000"})
    audit(holed)
    put_month(twin, hours("2024-03-11T04:00", 1), at=datetime(2024, 7, 1, tzinfo=UTC))
    outcome = audit(holed)

    assert outcome.archives == 3  # the month, and the two days beside it
    changed = "SELECT open_time, volume FROM klines WHERE volume IN (78, 79)"
    assert ask(holed, changed) == [(at_(2024, 3, 11, 4), 78.0)]
    assert gaps_in(holed) == []


def test_damage_fetches_month_and_filling_days_together(twin: Twin, holed: Config) -> None:
    put_anew(twin, "2024-03-11", {4 * 60: "78.00000000", 5 * 60: "79.00000000"})
    audit(holed)
    flip(max((twin.lake / "klines").rglob("*.parquet")))
    put_anew(twin, "2024-03-07", {10: "80.00000000"})
    outcome = audit(holed)

    assert outcome.archives == 3
    changed = "SELECT open_time, volume FROM klines WHERE volume IN (78, 79, 80) ORDER BY ALL"
    assert ask(holed, changed) == [
        (at_(2024, 3, 7, 0, 10), 80.0),
        (at_(2024, 3, 11, 5), 79.0),
    ]
    put_anew(twin, "2024-03-07", {10: "81.00000000"})
    audit(holed)
    assert ask(holed, "SELECT count(*) FROM klines WHERE volume = 81") == [(1,)]


def test_archives_replace_patches_and_record_differences(
    twin: Twin,
) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), ())
    key = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip"
    content = (twin.vendor.folder / key).read_bytes()
    (twin.vendor.folder / key).unlink()
    twin.vendor.simulator.bucket.refresh()
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines WHERE source = 'rest'") == [(1440,)]

    # One bar of the archive is not as the API gave it.
    text = zipfile.ZipFile(io.BytesIO(content)).read("BTCUSDT-1m-2024-03-05.csv").decode()
    lines = text.splitlines(keepends=True)
    fields = lines[7].split(",")
    lines[7] = ",".join([*fields[:5], "77.00000000", *fields[6:]])
    twin.vendor.put_bytes(key, zipped("BTCUSDT-1m-2024-03-05.csv", "".join(lines).encode()))
    expect_again(config)
    sync(config)

    assert ask(config, "SELECT count(*), count(DISTINCT source) FROM klines") == [(9 * 1440, 1)]
    found = ask(
        config,
        "SELECT row_time, column_name, kept_source, kept_value, other_source FROM sync.conflicts",
    )
    moment = at_(2024, 3, 5, 0, 7)
    assert found == [(moment, "volume", "archive", "77.00000000", "rest")]
    assert ask(config, "SELECT count(*) FROM sync.patched") == [(0,)]


def expect_again(config: Config) -> None:
    """Let the time come at which an absent archive is asked for again."""
    with duckdb.connect(str(configuration.tree_of(config).state)) as state:
        state.execute("UPDATE sync.archives SET next_try_at = NULL WHERE status <> 'present'")


def test_days_before_the_listing_are_explained(twin: Twin) -> None:
    born = hours("2024-03-03T00:00", 7)
    twin.publish(MINUTES, date(2024, 3, 3), date(2024, 3, 9), (born,), api=(born,))
    config = twin.config(dataset(MINUTES, start="2024-03-03", end="2024-03-09"))
    outcome, _ = sync(config)

    assert outcome.gaps == {}
    start = born[0].replace(tzinfo=None)
    assert gaps_in(config) == [("BTCUSDT", start, 420, "explained", "not_listed")]


def test_birth_inside_an_archive_is_no_gap(twin: Twin) -> None:
    born = hours("2024-03-03T00:00", 7)
    twin.publish(MINUTES, date(2024, 3, 3), date(2024, 3, 9), (born,), api=(born,))
    config = twin.config(dataset(MINUTES, end="2024-03-09"))
    sync(config)

    assert gaps_in(config) == []
    assert twin.calls() == []


def test_a_delisted_series_is_asked_once(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), ())
    twin.vendor.simulator.api.ended = frozenset({"BTCUSDT"})
    config = twin.config(dataset(MINUTES, start="2024-03-01"))
    sync(config)

    (gap,) = gaps_in(config)
    assert gap[1] == at_(2024, 3, 10)
    assert gap[3:] == ("explained", "delisted")
    assert len(twin.calls()) == 2  # what comes next, and whether there is anything at all later
    sync(config)
    assert len(twin.calls()) == 2


def test_yesterday_is_still_on_its_way(twin: Twin) -> None:
    today = clock.now().date()
    twin.publish(MINUTES, today - 5 * DAY, today - 2 * DAY, ())
    config = twin.config(dataset(MINUTES, start=str(today - 5 * DAY)))
    sync(config)

    (gap,) = gaps_in(config)
    late = clock.now().hour >= 6
    expected = ("open", None) if late else ("explained", "not_published")
    assert gap[2:] == (1440, *expected)


def test_forgotten_futures_trades_are_not_asked_for(twin: Twin) -> None:
    lost = hours("2024-03-04T07:00", 3)
    twin.publish("um/aggTrades/BTCUSDT", date(2024, 3, 3), date(2024, 3, 5), (lost,))
    config = twin.config(dataset("um/aggTrades/BTCUSDT", start="2024-03-03", end="2024-03-05"))
    sync(config)

    (gap,) = gaps_in(config)
    assert gap[2:] == (63, "explained", "too_old_for_api")
    assert not [one for one in twin.vendor.simulator.api_requests() if "exchangeInfo" not in one]


def test_a_ban_holds_across_restarts(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05", 3),))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    twin.vendor.fail(Fault("api/v3/klines*", "status", 429))
    with pytest.raises(IncompleteError, match="429"):
        sync(config)
    asked = len(twin.vendor.simulator.api_requests())

    twin.vendor.fail()
    sync(config)  # the ban is not over: nothing is asked, and nothing fails

    assert len(twin.vendor.simulator.api_requests()) == asked
    assert ask(config, "SELECT status FROM sync.rest_bans") == [(429,)]
    (gap,) = gaps_in(config)
    assert gap[2:] == (180, "open", None)


@pytest.mark.parametrize("status", [403, 451])
def test_a_refusing_host_is_left_alone(twin: Twin, status: int) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05", 3),))
    twin.vendor.fail(Fault("api/v3/*", "status", status))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    outcome, _ = sync(config)

    assert outcome.archives == 9
    assert [row[3:] for row in gaps_in(config)] == [("explained", "api_refused")]
    asked = len(twin.vendor.simulator.api_requests())
    sync(config)
    assert len(twin.vendor.simulator.api_requests()) == asked


BAR = '[{},"1.0","2.0","0.5","1.5","10.0",{},"15.0",3,"4.0","6.0","0"]'
FIRST = 1709632740000  # 2024-03-05T09:59, the bar before the hole


def bars(*opens: int, **changes: str) -> str:
    text = ",".join(BAR.format(opened, opened + 59_999) for opened in opens)
    for old, new in changes.items():
        text = text.replace({"price": '"1.5"', "count": ",3,", "width": ',"0"]'}[old], new)
    return f"[{text}]"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html><body>Access Denied</body></html>", "not JSON"),
        (bars(FIRST, FIRST + 60_000)[:-20], "not JSON"),
        (bars(FIRST + 60_000, FIRST), "out of order"),
        (bars(FIRST, FIRST), "duplicated"),
        (bars(FIRST - 3_600_000), "it has a bar"),
        (bars(FIRST + 1000), "it has a bar"),
        (bars(FIRST, width="]"), "does not have 12 values"),
        (bars(FIRST, price="NaN"), "not JSON"),
        (bars(FIRST, price='"NaN"'), "not a decimal number"),
        (bars(FIRST, price="1e400"), "not JSON"),
        (bars(FIRST, price='"1e400"'), "not a decimal number"),
        (bars(FIRST, count=",-3,"), "not a time or a count"),
        (bars(FIRST, count=",true,"), "not a time or a count"),
        ('{"code":-1000,"msg":"An unknown error"}', "An unknown error"),
        ("[[]]", "does not have 12 values"),
        ("{}", "not a list"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_answers_cost_only_their_own_gap(twin: Twin, body: str, reason: str) -> None:
    lost = (hours("2024-03-05T10:00", 1), hours("2024-03-07T10:00", 1))
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), lost)
    twin.vendor.fail(Fault(f"api/v3/klines*startTime={FIRST}*", "body", text=body))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    with pytest.raises(IncompleteError, match=reason):
        sync(config)

    rows = ask(config, "SELECT count(*), count(*) FILTER (source = 'rest') FROM klines")
    assert rows == [(9 * 1440 - 60, 60)]
    ((status, text, attempts, again),) = ask(
        config, "SELECT status, reason, attempts, next_try_at > asked_at FROM sync.gaps"
    )
    assert (status, attempts, again) == ("open", 1, True)
    assert reason in text


def test_an_empty_answer_explains_nothing(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05T10:00", 1),))
    twin.vendor.fail(Fault("api/v3/klines*", "body", text="[]"))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    sync(config)

    ((status, explanation, again),) = ask(
        config, "SELECT status, explanation, next_try_at > asked_at FROM sync.gaps"
    )
    assert (status, explanation, again) == ("open", None, True)


def test_server_errors_leave_only_their_gap_open(twin: Twin) -> None:
    lost = (hours("2024-03-05T10:00", 1), hours("2024-03-07T10:00", 1))
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), lost)
    twin.vendor.fail(Fault(f"api/v3/klines*startTime={FIRST}*", "status", 503))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    with pytest.raises(IncompleteError, match="503"):
        sync(config)
    assert [row[2:4] for row in gaps_in(config)] == [(60, "open")]


def test_without_an_api_gaps_stay_open(twin: Twin) -> None:
    lost = tuple(hours(f"2024-03-{day:02d}T10:00", 1) for day in range(1, 31))
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), lost)
    config = twin.config(
        dataset(MINUTES, start="2024-03-01", end="2024-03-31"), spot_url="'http://127.0.0.1:1'"
    )
    with pytest.raises(IncompleteError, match=r"127\.0\.0\.1:1"):
        sync(config)
    assert [row[3] for row in gaps_in(config)] == ["open"] * 30


def test_gaps_an_older_version_left_are_found(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05T10:00", 1),))
    datasets = dataset(MINUTES, start="2024-03-01", end="2024-03-09")
    sync(twin.vendor.config(twin.lake, datasets))
    with duckdb.connect(str(configuration.tree_of(twin.config(datasets)).state)) as state:
        state.execute("UPDATE internal.partitions SET patched_rows = NULL, first_key = NULL")
        state.execute("DELETE FROM internal.holes")
        state.execute("DELETE FROM sync.gaps")
    outcome, _ = sync(twin.config(datasets))

    assert outcome.patched_rows == 60


def test_stopping_while_asking_leaves_whole_files(twin: Twin) -> None:
    lost = tuple(hours(f"2024-03-{day:02d}T10:00", 1) for day in range(1, 31))
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), lost)
    stop = Event()

    class Stopping(Seen):
        def answered(self) -> None:
            stop.set()

    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    syncing.sync(config, Stopping(), stop)
    sync(config)
    assert ask(config, "SELECT count(*), count(DISTINCT open_time) FROM klines") == [
        (31 * 1440, 31 * 1440)
    ]


def test_a_gap_can_precede_the_first_archive(twin: Twin, tmp_path: Path) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 12), (hours("2024-03-05", 48),))
    datasets = dataset(MINUTES, start="2024-03-05", end="2024-03-12")
    outcome, _ = sync(twin.config(datasets))

    assert outcome.patched_rows == 2 * 1440
    require_same_rows(twin, tmp_path, datasets)


def test_a_short_late_month_loses_no_row(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), ())
    key = "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03.zip"
    content = (twin.vendor.folder / key).read_bytes()
    twin.vendor.put_bytes(key, content[:2000] + b"x" * (len(content) - 2000))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    with pytest.raises(IncompleteError):
        sync(config)
    assert ask(config, "SELECT count(*) FROM klines") == [(31 * 1440,)]

    text = zipfile.ZipFile(io.BytesIO(content)).read("BTCUSDT-1m-2024-03.csv").decode()
    lines = text.splitlines(keepends=True)
    twin.vendor.put(key, "".join(lines[: 10 * 1440]))
    expect_again(config)
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines") == [(31 * 1440,)]


def test_late_daily_archives_replace_their_patch(
    twin: Twin,
) -> None:
    lost = hours("2024-03-05T00:00", 24)
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), (lost,))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines WHERE source = 'rest'") == [(1440,)]

    key = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip"
    twin.vendor.put_bytes(key, (twin.whole / key).read_bytes())
    expect_again(config)
    sync(config)
    assert ask(config, "SELECT count(*), count(DISTINCT source) FROM klines") == [(31 * 1440, 1)]


def test_unbuildable_rows_cost_only_their_gap(twin: Twin) -> None:
    lost = (hours("2024-03-05T10:00", 1), hours("2024-03-07T10:00", 1))
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 31), lost)
    body = bars(FIRST, FIRST + 60_000, price='"99999999999.5"')
    twin.vendor.fail(Fault(f"api/v3/klines*startTime={FIRST}*", "body", text=body))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-31"))
    with pytest.raises(IncompleteError, match="cannot be imported"):
        sync(config)

    assert ask(config, "SELECT count(*) FROM klines WHERE source = 'rest'") == [(60,)]
    ((rows, status, again),) = ask(
        config, "SELECT row_count, status, next_try_at > asked_at FROM sync.gaps"
    )
    assert (rows, status, again) == (60, "open", True)


def test_more_than_eight_decimals_never_enter(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05T10:00", 1),))
    body = bars(FIRST, FIRST + 60_000, price='"1.12345678004"')
    twin.vendor.fail(Fault("api/v3/klines*", "body", text=body))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    with pytest.raises(IncompleteError, match="not a decimal number"):
        sync(config)


def test_next_pass_mends_one_that_died(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05T10:00", 1),))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    key = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-07.zip"
    content = (twin.vendor.folder / key).read_bytes()
    (twin.vendor.folder / key).unlink()
    twin.vendor.simulator.bucket.refresh()
    sync(config)

    twin.vendor.put_bytes(key, content)
    expect_again(config)

    class Dying(Seen):
        def recorded(self, known: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        syncing.sync(config, Dying(), Event())
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines") == [(9 * 1440,)]
    assert gaps_in(config) == []


def test_another_host_is_asked_what_one_refused(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05", 3),))
    twin.vendor.fail(Fault("api/v3/*", "status", 451))
    datasets = dataset(MINUTES, start="2024-03-01", end="2024-03-09")
    sync(twin.config(datasets))
    twin.vendor.fail()
    elsewhere = twin.vendor.simulator.url.replace("127.0.0.1", "localhost")
    outcome, _ = sync(twin.config(datasets, spot_url=f"'{elsewhere}'"))

    assert outcome.patched_rows == 180


def test_swapped_trade_times_are_no_hole(twin: Twin) -> None:
    twin.publish("spot/aggTrades/BTCUSDT", date(2024, 3, 4), date(2024, 3, 4), ())
    key = "data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-03-04.zip"
    content = (twin.vendor.folder / key).read_bytes()
    text = zipfile.ZipFile(io.BytesIO(content)).read("BTCUSDT-aggTrades-2024-03-04.csv").decode()
    lines = [line.split(",") for line in text.splitlines()]
    lines[7][5], lines[8][5] = lines[8][5], lines[7][5]
    twin.vendor.put(key, "".join(",".join(line) + "\n" for line in lines))
    config = twin.config(dataset("spot/aggTrades/BTCUSDT", start="2024-03-04", end="2024-03-04"))
    sync(config)

    assert gaps_in(config) == []
    assert twin.calls() == []


def test_markup_from_the_api_breaks_nothing(twin: Twin) -> None:
    twin.publish(MINUTES, date(2024, 3, 1), date(2024, 3, 9), (hours("2024-03-05T10:00", 1),))
    body = '{"code":-1000,"msg":"half [/red] \\u001b[31m"}'
    twin.vendor.fail(Fault("api/v3/klines*", "body", text=body))
    config = twin.config(dataset(MINUTES, start="2024-03-01", end="2024-03-09"))
    with pytest.raises(IncompleteError, match=r"half \[/red\] \?\[31m"):
        sync(config)
    assert ask(config, "SELECT count(*) FROM sync.gaps WHERE status = 'open'") == [(1,)]


def test_late_exchange_information_is_no_delisting(twin: Twin) -> None:
    series = "um/klines/BTCUSDT/1m"
    today = clock.now().date()
    twin.publish(series, today - 8 * DAY, today - 3 * DAY, ())
    for path in generate(twin.whole, spec_from(series, today - 2 * DAY, today - DAY)):
        assert path.exists()
    twin.vendor.simulator.api.refresh()
    twin.vendor.fail(Fault("fapi/v1/exchangeInfo*", "status", 503, 1))
    config = twin.config(dataset(series, start=str(today - 8 * DAY)))
    outcome, _ = sync(config)

    assert outcome.patched_rows >= 1440
    assert "delisted" not in {row[4] for row in gaps_in(config)}
