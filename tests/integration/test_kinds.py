"""Every kind of the vendor's: each row of its archives is in the lake, to the last digit."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from fullpool.app import clock
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.export.exporting import export
from fullpool.export.order import Order, Types
from fullpool.kinds import KINDS
from fullpool.simulator import Api, Fault, generate, spec_from
from fullpool.simulator.generate import zipped
from kinds_reader import COLUMNS, Row, rows_in
from lab import uncounted
from served import Vendor, ask, audit, dataset, sync, tree_of

SERIES = [
    "spot/trades/BTCUSDT", "um/trades/BTCUSDT", "cm/trades/BTCUSD_PERP", "um/bookTicker/BTCUSDT",
    "cm/bookTicker/BTCUSD_PERP", "um/bookDepth/BTCUSDT", "cm/bookDepth/BTCUSD_PERP",
    "um/metrics/BTCUSDT", "cm/metrics/BTCUSD_PERP", "um/fundingRate/BTCUSDT",
    "cm/fundingRate/BTCUSD_PERP", "um/liquidationSnapshot/BTCUSDT",
    "cm/liquidationSnapshot/BTCUSD_PERP", "option/BVOLIndex/BTCBVOLUSDT",
    "option/EOHSummary/BTCUSDT",
]  # fmt: skip
TABLES = {
    "trades": "trades", "bookTicker": "book_ticker", "bookDepth": "book_depth",
    "metrics": "metrics", "fundingRate": "funding_rate",
    "liquidationSnapshot": "liquidation_snapshot", "BVOLIndex": "bvol_index",
    "EOHSummary": "eoh_summary",
}  # fmt: skip
FIRST, LAST = date(2024, 1, 30), date(2024, 2, 2)
HEADS = {
    "um/trades/BTCUSDT/BTCUSDT-trades-2026-09-15.head.csv": "um/trades/BTCUSDT",
    "um/metrics/BTCUSDT/BTCUSDT-metrics-2026-09-15.head.csv": "um/metrics/BTCUSDT",
    "cm/metrics/BTCUSD_PERP/BTCUSD_PERP-metrics-2023-06-25.head.csv": "cm/metrics/BTCUSD_PERP",
    "um/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2026-09-15.head.csv": "um/bookDepth/BTCUSDT",
    "um/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2023-10-02.excerpt.csv": "um/bookTicker/BTCUSDT",
    "spot/trades/BTCUSDT/BTCUSDT-trades-2024-01-01.first5.csv": "spot/trades/BTCUSDT",
    "option/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2026-08-08.head.csv":
        "option/BVOLIndex/BTCBVOLUSDT",
    "cm/fundingRate/BTCUSD_PERP/BTCUSD_PERP-fundingRate-2023-06.head.csv":
        "cm/fundingRate/BTCUSD_PERP",
    "cm/liquidationSnapshot/BTCUSD_PERP/BTCUSD_PERP-liquidationSnapshot-2023-06-25.head.csv":
        "cm/liquidationSnapshot/BTCUSD_PERP",
    **{
        f"option/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-10-{day}.csv":
            "option/EOHSummary/BTCUSDT"
        for day in range(20, 24)
    },
}  # fmt: skip
_FOLDERS = {"spot": "spot", "um": "futures/um", "cm": "futures/cm", "option": "option"}


def key(series: str, period: str) -> str:
    """Return the bucket's key of an archive."""
    market, kind, symbol = series.split("/")
    cadence = "daily" if len(period) == 10 else "monthly"
    return f"data/{_FOLDERS[market]}/{cadence}/{kind}/{symbol}/{symbol}-{kind}-{period}.zip"


def held(config: Config, series: str, columns: list[str]) -> Counter[Row]:
    """Return the rows of a series in the lake, each as often as it is there."""
    market, kind, symbol = series.split("/")
    sql = f"SELECT {', '.join(columns)} FROM {TABLES[kind]}_exact WHERE market = ? AND symbol = ?"
    return Counter(ask(config, sql, [market, symbol]))


def require_exact(config: Config, series: str, paths: list[Path]) -> None:
    """The lake has the rows of these archives, and no other."""
    expected: Counter[Row] = Counter()
    columns: list[str] = []
    for path in paths:
        columns, rows = rows_in(path, series.split("/")[1])
        expected += rows
    assert paths
    assert held(config, series, columns) == expected


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vendor, Config]]:
    """A lake of every kind in every market, of two months' ends."""
    folder = tmp_path_factory.mktemp("kinds")
    with Vendor(folder / "vendor") as vendor:
        for series in SERIES:
            vendor.publish(series, FIRST, LAST, trades_a_day=300)
        last = "2024-02-29"
        text = "".join(dataset(series, start=f"{FIRST}", end=last) for series in SERIES)
        config = vendor.config(folder / "lake", text, rest={"enabled": "true"})
        with suppress(FullpoolError):  # gaps may be open
            sync(config)
        yield vendor, config


def test_exports_have_every_row_of_every_kind(
    filled: tuple[Vendor, Config], tmp_path: Path
) -> None:
    _, config = filled
    done = export(tree_of(config), tmp_path / "out", Order(types=Types.EXACT), uncounted)

    ((held,),) = ask(config, "SELECT sum(row_count) FROM sync.coverage")
    assert done.rows == held
    for table in TABLES.values():
        files = f"read_parquet('{tmp_path}/out/{table}/**/*.parquet', hive_partitioning = false)"
        rows, view = f"FROM {files}", f"SELECT * EXCLUDE (market, symbol) FROM {table}_exact"
        found = ask(
            config,
            f"({rows} EXCEPT ALL {view}) UNION ALL ({view} EXCEPT ALL {rows})",
        )
        assert found == []


@pytest.mark.parametrize("series", SERIES)
def test_lake_holds_every_archive_row(filled: tuple[Vendor, Config], series: str) -> None:
    vendor, config = filled
    kind = series.split("/")[1]
    days = [FIRST + timedelta(days=n) for n in range(4)]
    names = [str(day) for day in days] if kind != "fundingRate" else ["2024-01"]

    require_exact(config, series, [vendor.folder / key(series, name) for name in names])


def test_files_have_their_kinds_field_ids(filled: tuple[Vendor, Config]) -> None:
    _, config = filled
    paths = [f"{config.lake.path}/{path}" for (path,) in ask(config, "SELECT path FROM sync.files")]

    found = ask(
        config,
        "SELECT file_name, name, field_id FROM parquet_schema(?) WHERE type IS NOT NULL",
        [paths],
    )

    tables = {kind.table: kind.field_ids | {"source": 2001} for kind in KINDS.values()}
    for path in paths:
        table = Path(path).relative_to(config.lake.path).parts[0]
        assert {name: number for file, name, number in found if file == path} == tables[table]


def test_api_is_asked_only_for_its_kinds(
    filled: tuple[Vendor, Config],
) -> None:
    vendor, _ = filled

    asked = vendor.simulator.api_requests()

    kinds = ("trades", "bookticker", "bookdepth", "liquidation", "bvol", "eoh")
    assert not [path for path in asked if any(kind in path.lower() for kind in kinds)]


def test_monthly_kinds_never_ask_for_days(filled: tuple[Vendor, Config]) -> None:
    vendor, _ = filled

    asked = [one for one in vendor.archive_requests() if "fundingRate" in one]

    assert asked
    assert not [one for one in asked if "/daily/" in one]


def test_daily_kinds_never_ask_for_months(filled: tuple[Vendor, Config]) -> None:
    vendor, _ = filled
    of_days = ("bookDepth", "metrics", "liquidationSnapshot", "BVOLIndex", "EOHSummary")

    asked = [one for one in vendor.archive_requests() if any(kind in one for kind in of_days)]

    assert asked
    assert not [one for one in asked if "/monthly/" in one]


@pytest.mark.parametrize("kind", [*COLUMNS])
def test_doubles_and_macros_show_same_rows(filled: tuple[Vendor, Config], kind: str) -> None:
    _, config = filled
    series = [one for one in SERIES if one.split("/")[1] == kind]
    market, _, symbol = series[0].split("/")
    table = TABLES[kind]

    (views,) = ask(config, f"SELECT (SELECT count(*) FROM {table}), count(*) FROM {table}_exact")
    (one,) = ask(
        config,
        f"SELECT (SELECT count(*) FROM {table}_of('{symbol}')), count(*) FROM {table}"
        f" WHERE symbol = '{symbol}' AND market = '{market}'",
    )

    assert views[0] == views[1] > 0
    assert one[0] == one[1] > 0


@pytest.mark.parametrize(("head", "series"), HEADS.items())
def test_real_rows_reach_the_lake_unchanged(
    vendor: Vendor, tmp_path: Path, real: Path, head: str, series: str
) -> None:
    found = re.search(r"(\d{4}-\d\d(-\d\d)?)\.(\w+\.)?csv$", head)
    assert found is not None
    path = vendor.put(key(series, found[1]), (real / "csv" / head).read_text())
    config = vendor.config(tmp_path / "lake", dataset(series))

    outcome, _ = sync(config)

    assert outcome.archives == 1
    require_exact(config, series, [path])


@pytest.mark.parametrize("symbol", ["KITEUSDT", "ETHUSDT", "LTCUSDT", "XRPUSDT"])
def test_real_metrics_reach_the_lake(
    vendor: Vendor, tmp_path: Path, real: Path, symbol: str
) -> None:
    folder = real / "archives/data/futures/um/daily/metrics" / symbol
    paths = sorted(folder.glob("*.zip"))
    for path in paths:
        vendor.put_bytes(str(path.relative_to(real / "archives")), path.read_bytes())
    config = vendor.config(tmp_path / "lake", dataset(f"um/metrics/{symbol}"))

    outcome, _ = sync(config)

    assert outcome.archives == len(paths)
    require_exact(config, f"um/metrics/{symbol}", paths)


def test_real_funding_rates_reach_the_lake(vendor: Vendor, tmp_path: Path, real: Path) -> None:
    name = key("um/fundingRate/BTCUSDT", "2026-04")
    path = vendor.put_bytes(name, (real / "archives" / name).read_bytes())
    config = vendor.config(tmp_path / "lake", dataset("um/fundingRate/BTCUSDT"))

    sync(config)

    require_exact(config, "um/fundingRate/BTCUSDT", [path])


METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)


def metrics(day: str, minutes: range, *, at: str = "00", value: str = "0E-16") -> list[str]:
    """Return lines of so many minutes of a day."""
    return [
        f'{day} {minute // 60:02}:{minute % 60:02}:{at},X,{value},1.5,"",,2.00000000,0E-8\n'
        for minute in minutes
    ]


def synced_metrics(vendor: Vendor, tmp_path: Path, days: dict[str, list[str]]) -> Config:
    for day, lines in days.items():
        vendor.put(key("um/metrics/X", day), METRICS + "".join(lines))
    start, end = min(days), max(days)
    text = dataset("um/metrics/X", start=start, end=end)
    config = vendor.config(tmp_path / "lake", text)
    sync(config)
    return config


def test_days_may_end_with_next_midnight(vendor: Vendor, tmp_path: Path) -> None:
    one = [*metrics("2024-01-30", range(5, 1440, 5)), *metrics("2024-01-31", range(1), at="01")]
    two = [*metrics("2024-01-31", range(5, 1440, 5)), *metrics("2024-02-01", range(1))]
    three = [*metrics("2024-02-01", range(5, 1440, 5)), *metrics("2024-02-02", range(1))]

    config = synced_metrics(
        vendor, tmp_path, {"2024-01-30": one, "2024-01-31": two, "2024-02-01": three}
    )

    assert ask(config, "SELECT count(*), count(DISTINCT create_time) FROM metrics") == [(864, 864)]
    assert ask(config, "FROM sync.gaps") == []
    assert ask(config, "SELECT expected_rows, open_rows FROM sync.coverage") == [(863, 0)]


def test_a_shared_midnight_is_there_once(vendor: Vendor, tmp_path: Path) -> None:
    """As where the vendor went from days that begin at midnight to days that end with it."""
    one = [*metrics("2024-01-31", range(5, 1440, 5)), *metrics("2024-02-01", range(1))]
    two = metrics("2024-02-01", range(0, 1440, 5))

    config = synced_metrics(vendor, tmp_path, {"2024-01-31": one, "2024-02-01": two})

    found = ask(config, "SELECT create_time FROM metrics ORDER BY create_time")
    assert len(found) == len(set(found)) == 287 + 288
    assert ask(config, "FROM sync.gaps") == []


def test_of_two_midnights_the_later_day_s_stays(vendor: Vendor, tmp_path: Path) -> None:
    """Archives of one step have the same minute a second apart, and with other values."""
    days = {}
    for day, after in (("2024-01-29", "2024-01-30"), ("2024-01-30", "2024-01-31")):
        midnight = metrics(day, range(1), at="01", value=f"{day[-2:]}.5")
        next_one = metrics(after, range(1), value="0.25")
        days[day] = [*midnight, *metrics(day, range(5, 1440, 5)), *next_one]
    config = synced_metrics(vendor, tmp_path, days)

    assert ask(config, "SELECT count(*) FROM metrics") == [(577,)]
    sql = "SELECT create_time FROM metrics WHERE minute(create_time) = 0 AND hour(create_time) = 0"
    assert [f"{time:%d %S}" for (time,) in ask(config, f"{sql} ORDER BY ALL")] == [
        "29 01", "30 01", "31 00",
    ]  # fmt: skip
    sql = "SELECT kept_value::DOUBLE, other_value::DOUBLE FROM sync.conflicts"
    assert ask(config, f"{sql} WHERE column_name = 'sum_open_interest'") == [(30.5, 0.25)]


def test_unordered_repeated_rows_are_there_once(vendor: Vendor, tmp_path: Path) -> None:
    lines = metrics("2024-01-30", range(0, 1440, 5))
    config = synced_metrics(vendor, tmp_path, {"2024-01-30": sorted(lines * 2, reverse=True)})

    assert ask(config, "SELECT count(*), count(DISTINCT create_time) FROM metrics") == [(288, 288)]
    assert ask(config, "SELECT DISTINCT status FROM sync.archives") == [("present",)]


def test_empty_fields_are_null_even_quoted(vendor: Vendor, tmp_path: Path) -> None:
    config = synced_metrics(vendor, tmp_path, {"2024-01-30": metrics("2024-01-30", range(5, 6))})

    (row,) = ask(
        config,
        "SELECT count_toptrader_long_short_ratio, sum_toptrader_long_short_ratio,"
        " count_long_short_ratio, sum_open_interest, sum_taker_long_short_vol_ratio FROM metrics",
    )

    assert row == (None, None, 2.0, 0.0, 0.0)


def test_lost_metrics_minutes_are_a_gap(vendor: Vendor, tmp_path: Path) -> None:
    lines = metrics("2024-01-30", range(0, 1440, 5))
    config = synced_metrics(vendor, tmp_path, {"2024-01-30": lines[:10] + lines[13:]})

    found = ask(config, "SELECT row_count, explanation, gap_start::VARCHAR FROM sync.gaps")

    assert found == [(3, "too_old_for_api", "2024-01-30 00:50:00")]


def test_another_symbols_rows_are_kept_out(vendor: Vendor, tmp_path: Path) -> None:
    text = METRICS + "".join(metrics("2024-01-30", range(5, 60, 5))).replace(",X,", ",Y,")
    vendor.put(key("um/metrics/X", "2024-01-30"), text)
    config = vendor.config(tmp_path / "lake", dataset("um/metrics/X", start="2024-01-30"))

    with suppress(FullpoolError):
        sync(config)

    assert ask(config, "SELECT count(*) FROM metrics") == [(0,)]
    ((reason,),) = ask(config, "SELECT reason FROM sync.archives WHERE status = 'quarantined'")
    assert "the row is not of X" in reason


@pytest.mark.parametrize("kind", ["um/trades/BTCUSDT", "um/bookDepth/BTCUSDT"])
def test_a_lost_day_is_one_explained_gap(vendor: Vendor, tmp_path: Path, kind: str) -> None:
    for day in (1, 2, 4):
        vendor.publish(kind, date(2024, 1, day), date(2024, 1, day), trades_a_day=50)
    text = dataset(kind, start="2024-01-01", end="2024-01-04")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    sync(config)

    sql = "SELECT gap_start::VARCHAR, gap_end::VARCHAR, row_count, explanation FROM sync.gaps"
    lost = ("2024-01-03 00:00:00", "2024-01-04 00:00:00", 1, "no_archive")
    assert ask(config, sql) == [lost]
    ((expected, rows),) = ask(config, "SELECT expected_rows, row_count FROM sync.coverage")
    assert expected == rows + 1
    assert {*vendor.simulator.api_requests()} <= {"/fapi/v1/exchangeInfo"}


LIQUIDATIONS = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
    "last_fill_quantity,accumulated_fill_quantity\n"
)


def liquidation(second: int, price: str = "30741.3") -> str:
    return f"{1706745600000 + second * 1000},BUY,LIMIT,IOC,7,{price},30631.6,FILLED,6,7\n"


def test_a_newer_edition_replaces_keyless_rows(vendor: Vendor, tmp_path: Path) -> None:
    name = key("cm/liquidationSnapshot/BTCUSD_PERP", "2024-02-01")
    lines = [liquidation(1), liquidation(1), liquidation(2)]
    vendor.put(name, LIQUIDATIONS + "".join(lines))
    config = vendor.config(
        tmp_path / "lake", dataset("cm/liquidationSnapshot/BTCUSD_PERP", end="2024-02-01")
    )
    sync(config)
    assert ask(config, "SELECT count(*) FROM liquidation_snapshot") == [(3,)]

    path = vendor.put(name, LIQUIDATIONS + "".join([*lines, lines[0], liquidation(3, "1.5")]))
    audit(config)

    require_exact(config, "cm/liquidationSnapshot/BTCUSD_PERP", [path])
    found = ask(config, "SELECT rows_added, rows_removed, rows_changed FROM sync.revisions")
    assert found == [(2, 0, 0)]


def test_keyless_months_get_their_lost_day(vendor: Vendor, tmp_path: Path) -> None:
    series = "um/bookTicker/BTCUSDT"
    vendor.publish(series, date(2024, 1, 1), date(2024, 1, 31), trades_a_day=20)
    month = vendor.folder / key(series, "2024-01")
    lines = vendor.text_of(key(series, "2024-01")).splitlines(keepends=True)
    lost_day = vendor.text_of(key(series, "2024-01-17")).splitlines(keepends=True)[1:]
    vendor.put(key(series, "2024-01"), "".join(line for line in lines if line not in lost_day))
    text = dataset(series, start="2024-01-01", end="2024-01-31")
    config = vendor.config(tmp_path / "lake", text)

    sync(config)

    require_exact(config, series, [month, vendor.folder / key(series, "2024-01-17")])
    assert ask(config, "FROM sync.gaps") == []


WRONG = {
    "another kind": (LIQUIDATIONS + liquidation(1), "lacks .*, notional and has .*side"),
    "a column less": (
        "timestamp,percentage,depth\n2024-02-01 00:00:06,-5,9258.5\n", "lacks notional",
    ),
    "a column more": (
        "timestamp,percentage,depth,notional,extra\n2024-02-01 00:00:06,-5,9.5,1.0,2\n",
        "has extra",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=[*WRONG])
def test_quarantine_names_the_wrong_columns(
    vendor: Vendor, tmp_path: Path, text: str, reason: str
) -> None:
    vendor.put(key("um/bookDepth/BTCUSDT", "2024-02-01"), text)
    config = vendor.config(tmp_path / "lake", dataset("um/bookDepth/BTCUSDT", end="2024-02-01"))

    with suppress(FullpoolError):
        sync(config)

    ((told,),) = ask(config, "SELECT reason FROM sync.archives WHERE status = 'quarantined'")
    assert re.search(reason, told), told


def test_reordered_columns_are_read_by_name(vendor: Vendor, tmp_path: Path) -> None:
    text = "percentage,timestamp,notional,depth\n-5.00,2024-02-01 00:00:06,7.5,9258.555\n"
    path = vendor.put(key("um/bookDepth/BTCUSDT", "2024-02-01"), text)
    config = vendor.config(tmp_path / "lake", dataset("um/bookDepth/BTCUSDT", end="2024-02-01"))

    sync(config)

    require_exact(config, "um/bookDepth/BTCUSDT", [path])


def test_void_trades_are_kept_and_marked(vendor: Vendor, tmp_path: Path) -> None:
    lines = [
        "10,42283.58000000,0.00069000,29.17567020,1704067200000,True,True\n",
        "11,0.00000000,0.00000000,0.00000000,1704067200001,False,True\n",
    ]
    vendor.put(key("spot/trades/BTCUSDT", "2024-01-01"), "".join(lines))
    config = vendor.config(tmp_path / "lake", dataset("spot/trades/BTCUSDT", end="2024-01-01"))

    sync(config)

    sql = "SELECT trade_id, price, is_void FROM trades ORDER BY trade_id"
    assert ask(config, sql) == [(10, 42283.58, False), (11, None, True)]


def test_this_reader_knows_all_vendor_columns(
    filled: tuple[Vendor, Config],
) -> None:
    """Else a column that is read wrong would not be seen here."""
    vendor, config = filled
    for series in SERIES:
        market, kind, _ = series.split("/")
        path = next((vendor.folder / "data" / _FOLDERS[market]).rglob(f"{kind}/**/*.zip"))
        columns, _ = rows_in(path, kind)
        shown = {name for (name, *_) in ask(config, f"DESCRIBE {TABLES[kind]}_exact")}
        assert shown - {*columns} - {"market", "source", "is_void"} <= {"symbol", "is_best_match"}


FUNDING = "um/fundingRate/BTCUSDT"


def with_own_api(vendor: Vendor, tmp_path: Path) -> Path:
    """Have the API know other archives than the bucket has; return the folder for them."""
    twin = tmp_path / "twin"
    twin.mkdir()
    vendor.simulator.api = Api(twin)
    return twin


def write_archive(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(f"{path.stem}.csv", text.encode()))


@pytest.mark.parametrize("start", ["2024-01-01", ""])
def test_api_gives_running_month_funding_rates(vendor: Vendor, tmp_path: Path, start: str) -> None:
    vendor.publish(FUNDING, date(2024, 1, 1), date(2024, 1, 31))
    twin = with_own_api(vendor, tmp_path)
    list(generate(twin, spec_from(FUNDING, date(2024, 1, 1), date(2024, 2, 29))))
    text = dataset(FUNDING, start=start)
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with time_machine.travel(datetime(2024, 2, 10, 12, tzinfo=UTC), tick=True):
        sync(config)

    counts = ask(config, "SELECT source, count(*) FROM funding_rate GROUP BY ALL ORDER BY ALL")
    assert counts == [("archive", 93), ("rest", 27)]
    assert ask(config, "FROM sync.gaps") == []
    sql = "SELECT expected_rows, present_rows, patched_rows FROM sync.coverage"
    assert ask(config, sql) == [(120, 93, 27)]

    vendor.publish(FUNDING, date(2024, 2, 1), date(2024, 2, 29))
    for path in twin.rglob("*.zip"):
        path.unlink()
    with time_machine.travel(datetime(2024, 3, 3, 12, tzinfo=UTC), tick=True):
        sync(config)

    sql = "SELECT source, count(*) FROM funding_rate WHERE calc_time < '2024-03-01' GROUP BY ALL"
    assert ask(config, sql) == [("archive", 180)]
    assert ask(config, "FROM sync.conflicts") == []


def test_rates_differing_in_milliseconds_are_one(vendor: Vendor, tmp_path: Path) -> None:
    """The archive takes the place of what the API gave, however late both are."""
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    times = [1704067200000 + n * 28_800_000 for n in range(93)]
    vendor.publish(FUNDING, date(2023, 12, 31), date(2023, 12, 31))
    twin = with_own_api(vendor, tmp_path)
    rows = "".join(f"{time + 11},8,0.00020000\n" for time in times)
    write_archive(twin / key(FUNDING, "2024-01"), header + rows)
    text = dataset(FUNDING, start="2023-12-31", end="2024-01-31")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})
    with time_machine.travel(datetime(2024, 1, 20, 12, tzinfo=UTC), tick=True):
        sync(config)
    assert ask(config, "SELECT count(*) FROM funding_rate WHERE source = 'rest'") == [(57,)]

    rows = "".join(f"{time},8,0.00030000\n" for time in times)
    content = zipped("BTCUSDT-fundingRate-2024-01.csv", (header + rows).encode())
    vendor.put_bytes(key(FUNDING, "2024-01"), content, datetime(2024, 2, 10, tzinfo=UTC))
    with time_machine.travel(datetime(2024, 2, 20, 12, tzinfo=UTC), tick=True):
        sync(config)

    assert ask(config, "SELECT count(*), count(*) FILTER (source = 'rest') FROM funding_rate") == [
        (96, 0)
    ]
    found = ask(config, "SELECT DISTINCT column_name, kept_value, other_value FROM sync.conflicts")
    assert found == [("last_funding_rate", "0.00030000", "0.00020000")]


def test_monthly_kinds_ask_for_new_months(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish(FUNDING, date(2024, 1, 1), date(2024, 1, 31))
    config = vendor.config(tmp_path / "lake", dataset(FUNDING, start="2024-01-01"))
    with time_machine.travel(datetime(2024, 2, 10, 12, tzinfo=UTC), tick=True):
        sync(config)
    vendor.publish(FUNDING, date(2024, 2, 1), date(2024, 2, 29))
    before = len(vendor.simulator.requests)

    with time_machine.travel(datetime(2024, 3, 2, 12, tzinfo=UTC), tick=True):
        sync(config)

    assert ask(config, "SELECT count(*) FROM funding_rate") == [(180,)]
    asked = [path for path, _ in vendor.simulator.requests[before:] if ".zip" in path]
    assert {path.rpartition("/")[2][:27] for path in asked} == {"BTCUSDT-fundingRate-2024-02"}


@pytest.mark.parametrize(
    "wrong",
    [
        '[{"symbol": "ETHUSDT", "fundingTime": 1706745600000, "fundingRate": "0.1"}]',
        '[{"symbol": "BTCUSDT", "fundingTime": "soon", "fundingRate": "0.1"}]',
        '[{"symbol": "BTCUSDT", "fundingTime": 1706745600000, "fundingRate": 0.1}]',
        '[{"symbol": "BTCUSDT", "fundingTime": 1406745600000, "fundingRate": "0.1"}]',
        '[{"fundingTime": 1706745600000}]',
        '{"code": 0}',
    ],
)
def test_wrong_funding_rate_answers_stay_out(vendor: Vendor, tmp_path: Path, wrong: str) -> None:
    vendor.publish(FUNDING, date(2024, 1, 1), date(2024, 1, 31))
    vendor.fail(Fault("*/v1/fundingRate*", "body", text=wrong))
    text = dataset(FUNDING, start="2024-01-01", end="2024-02-03")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with (
        time_machine.travel(datetime(2024, 2, 10, 12, tzinfo=UTC), tick=True),
        suppress(FullpoolError),
    ):
        sync(config)

    assert ask(config, "SELECT count(*), min(source) FROM funding_rate") == [(93, "archive")]
    assert ask(config, "SELECT sum(row_count) FROM sync.gaps") == [(9,)]


def test_without_api_failed_archives_leave_gaps_open(vendor: Vendor, tmp_path: Path) -> None:
    """Nobody knows that its rows are not to be had."""
    for day in (1, 2, 3):
        vendor.publish("um/bookDepth/BTCUSDT", date(2024, 1, day), date(2024, 1, day))
    vendor.put(key("um/bookDepth/BTCUSDT", "2024-01-02"), "nothing of the kind\n1\n")
    text = dataset("um/bookDepth/BTCUSDT", start="2024-01-01", end="2024-01-03")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with suppress(FullpoolError):
        sync(config)

    ((status, reason),) = ask(config, "SELECT status, reason FROM sync.gaps")
    assert status == "open"
    assert "2024-01-02 may have these rows, but failed" in reason


@pytest.mark.parametrize("series", ["um/metrics/BTCUSDT", "cm/metrics/BTCUSD_PERP"])
def test_api_gives_thirty_days_of_metrics(vendor: Vendor, tmp_path: Path, series: str) -> None:
    today = clock.now().date()
    first, last = today - timedelta(days=40), today - timedelta(days=2)
    vendor.publish(series, first, last)
    twin = with_own_api(vendor, tmp_path)
    list(generate(twin, spec_from(series, first, last)))
    for age in (5, 35):  # lost: of the last 30 days, and of before
        vendor.remove(key(series, f"{today - timedelta(days=age)}"))
    text = dataset(series, start=f"{first}", end=f"{last}")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with suppress(FullpoolError):
        sync(config)

    assert ask(config, "SELECT count(*) FROM metrics WHERE source = 'rest'") == [(288,)]
    found = ask(config, "SELECT row_count, explanation FROM sync.gaps")
    assert found == [(288, "too_old_for_api")]
    name = TABLES["metrics"]
    sql = f"SELECT * EXCLUDE (source, market, symbol) FROM {name}_exact WHERE source = 'rest'"
    ratio = "taker" if series.startswith("um") else "nothing"
    path = twin / key(series, f"{today - timedelta(days=5)}")
    _, expected = rows_in(path, "metrics")
    shown = [tuple(row) for row in ask(config, sql)]
    wanted = [(row[0], *row[2:]) for row in expected]
    if ratio == "nothing":
        wanted = [(*row[:-1], None) for row in wanted]
    assert sorted(shown, key=str) == sorted(wanted, key=str)


def test_old_metrics_gaps_fill_within_api_reach(vendor: Vendor, tmp_path: Path) -> None:
    series, today = "um/metrics/BTCUSDT", clock.now().date()
    first, last = today - timedelta(days=36), today - timedelta(days=2)
    vendor.publish(series, first, last)
    twin = with_own_api(vendor, tmp_path)
    list(generate(twin, spec_from(series, first, last)))
    for age in range(25, 35):
        vendor.remove(key(series, f"{today - timedelta(days=age)}"))
    text = dataset(series, start=f"{first}", end=f"{last}")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with suppress(FullpoolError):
        sync(config)

    ((patched,),) = ask(config, "SELECT count(*) FROM metrics WHERE source = 'rest'")
    assert 5 * 288 - 20 <= patched <= 6 * 288
    found = ask(config, "SELECT row_count, explanation FROM sync.gaps")
    assert found == [(10 * 288 - patched, "too_old_for_api")]


@pytest.mark.parametrize(
    "wrong",
    [
        '[{"timestamp": 1, "sumOpenInterest": "1.5", "sumOpenInterestValue": "2"}]',
        '[{"sumOpenInterest": "1.5"}]',
        '[{"timestamp": "soon"}]',
        '{"code": 0}',
    ],
)
def test_wrong_statistics_answers_stay_out(vendor: Vendor, tmp_path: Path, wrong: str) -> None:
    series, today = "um/metrics/BTCUSDT", clock.now().date()
    vendor.publish(series, today - timedelta(days=6), today - timedelta(days=2))
    vendor.remove(key(series, f"{today - timedelta(days=4)}"))
    vendor.fail(Fault("futures/data/*", "body", text=wrong))
    text = dataset(series, end=f"{today - timedelta(days=2)}")
    config = vendor.config(tmp_path / "lake", text, rest={"enabled": "true"})

    with suppress(FullpoolError):
        sync(config)

    assert ask(config, "SELECT count(*) FROM metrics WHERE source = 'rest'") == [(0,)]
    found = ask(config, "SELECT row_count, status, explanation, reason FROM sync.gaps")
    assert [(rows, status) for rows, status, *_ in found] == [(288, "open")], found
