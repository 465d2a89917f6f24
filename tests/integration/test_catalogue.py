"""What readers see: generations, views, macros, exports, a moved lake."""

import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path

import duckdb
import pytest

from fullpool.app.assembly import opened_state
from fullpool.config import Config
from fullpool.errors import FullpoolError, LakeUnwritableError, NoLakeError, QueryError, UsageError
from fullpool.store import duck
from fullpool.store.catalogue import publication, relations, sync_tables
from fullpool.store.catalogue.reader import Reader, generations, reading
from fullpool.store.tree import give_name
from served import Vendor, ask, dataset, kline, snapshot, sync, tree_of

NOW = datetime(2024, 6, 15, tzinfo=UTC)
DAY = "data/spot/daily/klines/{s}/1m/{s}-1m-2024-06-0{n}.zip"


def lake_of_two(vendor: Vendor, lake: Path, last: int) -> Config:
    """Fill a lake with two symbols and days up to *last*, five minutes each."""
    for symbol in ("AUSDT", "BUSDT"):
        for number in range(1, last + 1):
            start = datetime(2024, 6, number, tzinfo=UTC)
            rows = "".join(kline(start + timedelta(minutes=n)) for n in range(5))
            vendor.put(DAY.format(s=symbol, n=number), rows)
    text = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-06-01", end=f"2024-06-0{last}")
    config = vendor.config(lake, text)
    sync(config)
    return config


def test_generation_shows_lake_as_it_was(vendor: Vendor, tmp_path: Path) -> None:
    first = lake_of_two(vendor, tmp_path / "lake", 1)
    config = lake_of_two(vendor, tmp_path / "lake", 2)

    kept = generations(tree_of(config))

    assert [one.is_current for one in kept] == [False, True]
    assert ask(config, "SELECT count(*) FROM klines") == [(20,)]
    for as_of in (str(kept[0].number), kept[0].published_at.isoformat()):
        with reading(tree_of(first), as_of) as reader:
            assert reader.query("SELECT count(*) FROM klines").rows == [(10,)]


@pytest.mark.parametrize(
    ("as_of", "error"),
    [("99", NoLakeError), ("2001-01-01", NoLakeError), ("yesterday", UsageError)],
)
def test_generation_not_kept_is_refused(
    vendor: Vendor, tmp_path: Path, as_of: str, error: type[Exception]
) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    with pytest.raises(error), reading(tree_of(config), as_of):
        pass


def test_query_errors_use_duckdbs_words(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    with reading(tree_of(config)) as reader, pytest.raises(QueryError, match="nothere"):
        reader.query("SELECT * FROM nothere")


def test_every_kind_has_views_without_data(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    for table in ("mark_price_klines", "agg_trades", "agg_trades_exact", "premium_index_klines"):
        assert ask(config, f"SELECT count(*) FROM {table}") == [(0,)]
    assert ask(config, "SELECT count(*) FROM agg_trades_of('AUSDT')") == [(0,)]


def test_macro_has_only_its_series_rows(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    assert ask(config, "SELECT DISTINCT symbol, interval FROM klines_of('BUSDT')") == [
        ("BUSDT", "1m")
    ]
    assert ask(config, "SELECT count(*) FROM klines_of('CUSDT')") == [(0,)]
    assert ask(config, "SELECT count(*) FROM klines_of('BUSDT', interval_ := '1h')") == [(0,)]
    assert ask(config, "SELECT count(*) FROM klines_of_exact('BUSDT')") == [(5,)]


def test_views_show_doubles_and_exact_decimals(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    sql = "SELECT typeof(close), typeof(volume) FROM {} LIMIT 1"
    assert ask(config, sql.format("klines")) == [("DOUBLE", "DOUBLE")]
    assert ask(config, sql.format("klines_exact")) == [("DECIMAL(18,8)", "DECIMAL(38,8)")]
    assert ask(config, "SELECT count(*) FROM klines WHERE close < 1.500000004") == [(10,)]


def test_moved_lake_is_still_readable(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    moved = tmp_path / "elsewhere"
    shutil.move(tree_of(config).root, moved)

    with duckdb.connect(str(moved / "lake.duckdb"), read_only=True) as connection:
        connection.execute(f"SET VARIABLE lake_root = '{moved}'")
        found = connection.execute("SELECT count(*) FROM klines").fetchone()

    assert found == (10,)


def test_catalogue_cannot_be_written_by_others(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)

    assert tree_of(config).current.resolve().stat().st_mode & 0o222 == 0
    assert str(tree_of(config).current.readlink()).startswith(".catalogue/")


def test_readers_in_other_processes_stay_undisturbed(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    program = (
        "import duckdb, sys\nseen = set()\nwhile len(seen) < 3:\n"
        f"    with duckdb.connect('{tree_of(config).current}', read_only=True) as c:\n"
        "        seen.add(c.execute('SELECT count(*), max(volume) FROM klines').fetchone()[0])\n"
        "print(sorted(seen))\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        for last in (2, 3):
            threading.Event().wait(1.0)  # the reader has nothing to say until it is done
            lake_of_two(vendor, tmp_path / "lake", last)
        output, _ = reader.communicate(timeout=60)
    finally:
        reader.kill()

    assert output.strip() == "[10, 20, 30]"


def test_replaced_files_stay_as_they_were(vendor: Vendor, tmp_path: Path) -> None:
    lake_of_two(vendor, tmp_path / "lake", 1)
    before = snapshot(tmp_path / "lake")

    lake_of_two(vendor, tmp_path / "lake", 2)

    after = snapshot(tmp_path / "lake")
    assert {path: after[path] for path in before} == before


def test_failed_catalogue_costs_no_later_one(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    tree = tree_of(config)
    before = ask(config, "SELECT max(generation) FROM sync.generations")
    failed = 0
    with opened_state(tree) as state:
        for limit in range(400_000, 1_000_000, 100_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                publication.publish(state, tree, state.last_value("generation") + 50, NOW)
            except FullpoolError:
                failed += 1
            finally:
                infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.setrlimit(resource.RLIMIT_FSIZE, infinite)
            assert state.queries.files.current()
        assert failed
        assert ask(config, "SELECT max(generation) FROM sync.generations") >= before
        publication.publish(state, tree, 1000, NOW)
    assert ask(config, "SELECT max(generation) FROM sync.generations") == [(1000,)]


@pytest.mark.parametrize("rows", [1, 2, 50, 2 * 527_040])
@pytest.mark.parametrize("first", [-3, 0, 1, 7])
@pytest.mark.parametrize("last", [-1, 0, 1, 40, 10**7])
def test_expected_rows_of_a_run_are_counted(rows: int, first: int, last: int) -> None:
    start, minute = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None), timedelta(minutes=1)
    moments = [start, start + (rows - 1) * minute, start + first * minute, start + last * minute]
    sql = (
        f"SELECT {sync_tables.rows_inside()} FROM (SELECT $1::TIMESTAMP AS first_time,"
        " $2::TIMESTAMP AS last_time, $5::BIGINT AS row_count, '1m' AS interval,"
        " 'klines' AS kind) AS n,"
        " (SELECT $3::TIMESTAMP AS expected_from, $4::TIMESTAMP AS expected_until) AS e"
    )
    with duckdb.connect() as connection:
        found = connection.execute(sql, [*moments, rows]).fetchall()

    assert found == [(len(range(max(0, first), min(rows, last))),)]


@pytest.mark.parametrize(
    ("run", "expected", "inside"),
    [
        (("1mo", "2026-01-01", 6), ("2026-03-01", "2026-06-01"), 3),
        (("1mo", "2026-01-01", 6), ("2026-03-02", "2027-01-01"), 3),
        (("1mo", "2026-01-01", 6), ("2025-07-15", "2026-06-02"), 6),
        (("1mo", "2026-01-01", 1), ("2026-01-02", "2027-01-01"), 0),
        (("1w", "2026-01-05", 6), ("2026-01-13", "2026-02-10"), 4),
        (("1d", "2026-01-01", 90), ("2026-01-31", "2026-02-01"), 1),
    ],
)
def test_run_is_counted_within_expected_times(
    run: tuple[str, str, int], expected: tuple[str, str], inside: int
) -> None:
    (interval, first, count), (start, end) = run, expected
    step = {"1mo": "1 month", "1w": "7 days", "1d": "1 day"}[interval]
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {sync_tables.rows_inside()} FROM (SELECT $interval AS interval,"
            " $count AS row_count,"
            f" $first::TIMESTAMP AS first_time,"
            f" $first::TIMESTAMP + ($count - 1) * INTERVAL {step} AS last_time) AS n,"
            " (SELECT $start::TIMESTAMP AS expected_from, $end::TIMESTAMP AS expected_until) AS e",
            {"interval": interval, "count": count, "first": first, "start": start, "end": end},
        ).fetchone()

    assert found == (inside,)


def test_our_connections_draw_no_progress_bar(tmp_path: Path) -> None:
    with duck.connect(tmp_path) as connection:
        found = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()

    assert found == (False,)


@pytest.fixture(scope="module")
def lake_of_periods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A lake whose partitions are days, months and years, of several series."""
    folder = tmp_path_factory.mktemp("periods")
    with Vendor(folder / "vendor") as vendor:
        for series in (
            "spot/klines/AUSDT/1m",
            "spot/klines/币安人生USDT/1m",
            "spot/klines/AUSDT/1h",
        ):
            vendor.publish(series, date(2023, 12, 30), date(2024, 2, 2))
        vendor.publish("um/klines/AUSDT/1m", date(2024, 1, 1), date(2024, 1, 2))
        for series in ("spot/aggTrades/AUSDT", "um/bookDepth/AUSDT"):
            vendor.publish(series, date(2023, 12, 31), date(2024, 1, 2), 50)
        text = "".join(
            dataset(series, start="2023-12-30", end="2024-02-02")
            for series in (
                "spot/klines/AUSDT,币安人生USDT/1m", "spot/klines/AUSDT/1h", "um/klines/AUSDT/1m",
                "spot/aggTrades/AUSDT", "um/bookDepth/AUSDT",
            )
        )  # fmt: skip
        config = vendor.config(folder / "lake", text)
        sync(config)
    with reading(tree_of(config)) as reader:
        yield reader


SPANS = (
    ("2024-01-01", "2024-01-02"), ("2023-12-31", "2024-01-01"), ("2023-12-31 23:59", "2024-01-01"),
    ("2024-01-31 23:59", "2024-02-01 00:01"), ("2024-01-01 00:00", "2024-01-01 00:00"),
    ("2024-01-02", "2024-01-01"), ("2020-01-01", "2030-01-01"), ("2024-02-02", "2031-01-01"),
    ("0001-01-01", "2023-12-30 00:01"), ("2024-01-01 12:00", "2024-01-01 12:00:00.000001"),
)  # fmt: skip


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("table", "market", "interval"),
    [
        ("klines", "spot", "1m"), ("klines", "spot", "1h"), ("klines", "um", "1m"),
        ("klines", "cm", "1m"), ("klines", "spot", "3m"), ("klines_exact", "spot", "1m"),
        ("agg_trades", "spot", None), ("book_depth", "um", None), ("metrics", "um", None),
    ],
)  # fmt: skip
def test_between_macro_agrees_with_the_view(
    lake_of_periods: Reader,
    span: tuple[str, str],
    table: str,
    market: str,
    interval: str | None,
) -> None:
    stem, exact = table.removesuffix("_exact"), "_exact" * table.endswith("_exact")
    time = {"agg_trades": "transact_time", "book_depth": "snapshot_time"}.get(stem, "open_time")
    time = "create_time" if stem == "metrics" else time
    named = f", interval_ := '{interval}'" if interval else ""
    own = f" AND interval = '{interval}'" if interval else ""

    found = lake_of_periods.query(
        f"SELECT * FROM {stem}_between{exact}(?, ?, market_ := ?{named}) ORDER BY ALL",
        [*span, market],
    )
    view = lake_of_periods.query(
        f"SELECT * FROM {table} WHERE market = ?{own} AND {time} >= ?::TIMESTAMP"
        f" AND {time} < ?::TIMESTAMP ORDER BY ALL",
        [market, *span],
    )

    assert found.columns == view.columns
    assert found.rows == view.rows


def test_between_macro_takes_zones_as_they_are(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", date(2024, 6, 1), date(2024, 6, 3))
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h"))
    sync(config)
    sql = "SELECT min(open_time), max(open_time) FROM klines_between({}, {}, interval_ := '1h')"
    spans = [
        ("'2024-06-02 01:00:00+01'", "TIMESTAMPTZ '2024-06-02 10:00:00+00'"),
        ("'2024-06-02T00:00:00Z'", "'2024-06-02T05:30:00-0430'"),
        ("' 2024-06-02 02:00:00+02 '", "'2024-06-02 12:00:00 Europe/Berlin'"),
        ("'2024-06-01 19:00:00 Etc/GMT+5'", "'2024-06-02 10:00:00 UTC'"),
        ("DATE '2024-06-02'", "TIMESTAMP '2024-06-02 10:00'"),
        ("'2024-06-02'", "'2024-06-02 10:00'"),
    ]
    with duckdb.connect(tree_of(config).current, read_only=True) as connection:
        for zone, (start, end) in product(("UTC", "Asia/Tokyo", "America/New_York"), spans):
            connection.execute(f"SET TimeZone = '{zone}'")
            found = connection.execute(sql.format(start, end)).fetchone()
            first, last = datetime(2024, 6, 2), datetime(2024, 6, 2, 9)  # noqa: DTZ001 - as DuckDB
            assert found == (first, last), (zone, start, end)


def test_between_macro_opens_no_other_files(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1m", date(2023, 12, 31), date(2024, 1, 1))
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1m", start="2023-12-31"))
    sync(config)
    for path in (tree_of(config).root / "klines").rglob("2023.*.parquet"):
        path.unlink()

    assert ask(config, "SELECT count(*) FROM klines_between('2024-01-01', '2025-01-01')") == [
        (1440,)
    ]
    assert ask(config, "SELECT count(*) FROM klines_latest()") == [(1,)]
    with pytest.raises(QueryError, match="No files found"):
        ask(config, "SELECT count(*) FROM klines_between('2023-12-31 23:59', '2025-01-01')")


@pytest.mark.parametrize(
    ("table", "time", "counter", "market", "interval"),
    [
        ("klines", "open_time", "", "spot", "1m"),
        ("klines", "open_time", "", "spot", "1h"),
        ("klines_exact", "open_time", "", "um", "1m"),
        ("klines", "open_time", "", "um", "1h"),
        ("agg_trades", "transact_time", ", agg_trade_id", "spot", None),
        ("book_depth", "snapshot_time", "", "um", None),
        ("trades", "trade_time", "", "spot", None),
    ],
)
def test_latest_rows_are_last_of_each_series(  # noqa: PLR0917 - one case
    lake_of_periods: Reader,
    table: str,
    time: str,
    counter: str,
    market: str,
    interval: str | None,
) -> None:
    stem, exact = table.removesuffix("_exact"), "_exact" * table.endswith("_exact")
    named = f", interval_ := '{interval}'" if interval else ""
    own = f" AND interval = '{interval}'" if interval else ""

    found = lake_of_periods.query(
        f"SELECT * FROM {stem}_latest{exact}(market_ := '{market}'{named}) ORDER BY ALL"
    )
    view = lake_of_periods.query(
        f"SELECT * FROM {table} WHERE market = '{market}'{own} QUALIFY ({time}{counter}) ="
        f" max(({time}{counter})) OVER (PARTITION BY symbol) ORDER BY ALL"
    )

    assert found.columns == view.columns
    assert found.rows == view.rows


@pytest.mark.parametrize("symbol", ["A.SDT", "AUSD", "", "%", "AUSDT:20", "a'b", "AUSDT\n", "["])
def test_a_name_is_no_pattern(lake_of_periods: Reader, symbol: str) -> None:
    assert lake_of_periods.query("SELECT count(*) FROM klines_of(?)", [symbol]).rows == [(0,)]
    asked = "SELECT count(*) FROM klines_between('2024-01-01', '2024-01-02', market_ := ?)"
    assert lake_of_periods.query(asked, [symbol]).rows == [(0,)]


def test_files_beyond_a_million_generations_are_found(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    tree = tree_of(config)
    with opened_state(tree) as state:
        state.connection.execute("UPDATE sync.counters SET value = 1_000_000")
    lake_of_two(vendor, tmp_path / "lake", 3)

    assert ask(config, "SELECT min(generation) FROM sync.files") == [(1_000_001,)]
    assert ask(config, "SELECT count(*) FROM klines") == [(30,)]
    assert ask(config, "SELECT count(*) FROM klines_of('AUSDT')") == [(15,)]


def test_unchanged_table_reuses_previous_generation_file(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 2)
    tree = tree_of(config)
    with opened_state(tree) as state:
        publication.publish(state, tree, 1000, NOW)
        publication.publish(state, tree, 1001, NOW)

    before, after = (tree.catalogue(number).parent for number in (1000, 1001))
    names = {path.name for path in before.iterdir()} & {path.name for path in after.iterdir()}
    shared = [name for name in names if (before / name).samefile(after / name)]
    assert {name.partition("-")[0] for name in shared} >= {"archives", "partitions", "passes"}
    assert ask(config, "SELECT max(generation) FROM sync.generations") == [(1001,)]


def test_large_table_rewrites_only_changed_parts(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relations, "ROWS_A_FILE", 2)
    config = lake_of_two(vendor, tmp_path / "lake", 2)
    tree, sql = tree_of(config), "SELECT symbol, period, status FROM sync.archives ORDER BY ALL"
    before = ask(config, sql)  # in two files, one a symbol
    with opened_state(tree) as state:
        publication.publish(state, tree, 1000, NOW)
        state.connection.execute("UPDATE sync.archives SET reason = 'x' WHERE symbol = 'AUSDT'")
        publication.publish(state, tree, 1001, NOW)

    assert ask(config, sql) == before
    files = list(tree.catalogue(1001).parent.glob("archives-*"))
    written = [path for path in files if path.stat().st_nlink == 1]
    assert len(files) == 2
    assert len(written) == 1
    changed = f"SELECT DISTINCT symbol FROM read_parquet('{written[0]}')"
    assert ask(config, changed) == [("AUSDT",)]


def test_generations_thin_by_hour_then_day(vendor: Vendor, tmp_path: Path) -> None:
    """All of the last day stay, of each hour of the last week one, of what is older one a day."""
    tree = tree_of(lake_of_two(vendor, tmp_path / "lake", 1))
    now = datetime(2030, 1, 31, 12, 30, tzinfo=UTC)
    times = [now - timedelta(days=days, minutes=10 * k) for days in (0, 3, 10) for k in range(3)]
    times.append(now - timedelta(days=10, hours=5))
    with opened_state(tree) as state:
        known = {one.number for one in generations(tree)}
        numbers = {state.next_value("generation"): at for at in sorted(times)}
        for number, at in numbers.items():
            state.generations.record(number, at)
        publication.thin(state, tree, now)
        left = {
            number
            for (number,) in state.connection.execute(
                "SELECT generation FROM sync.generations"
            ).fetchall()
        }

    days_ago = [(now - numbers[number]).days for number in sorted(left - known)]
    assert days_ago == [10, 3, 0, 0, 0]


def test_taken_name_stays_with_its_file(tmp_path: Path) -> None:
    staged, target = tmp_path / "staged", tmp_path / "target"
    staged.write_bytes(b"new")
    target.write_bytes(b"old")

    with pytest.raises(FileExistsError):
        give_name(staged, tmp_path, target.name)
    assert (target.read_bytes(), staged.read_bytes()) == (b"old", b"new")


def test_template_may_be_damaged_or_foreign(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    tree = tree_of(config)
    (template,) = tree.state.parent.glob("views-*")
    shown = "SELECT count(*) FROM duckdb_functions() WHERE function_type = 'table_macro'"
    macros = ask(config, shown)
    with duckdb.connect(tmp_path / "empty.duckdb") as empty:
        empty.execute("CHECKPOINT")
    contents = (
        b"", b"no database", template.read_bytes()[:5000], (tmp_path / "empty.duckdb").read_bytes(),
        tree.current.read_bytes(), None,
    )  # fmt: skip
    for content in contents:
        template.unlink()
        if content is None:
            template.mkdir()
        else:
            template.write_bytes(content)
        with opened_state(tree) as state:
            publication.publish(state, tree, state.next_value("generation"), NOW)
        assert ask(config, shown) == macros
        assert ask(config, "SELECT count(*) FROM klines") == [(10,)]

    tree.root.rename(tmp_path / "elsewhere")
    moved = vendor.config(tmp_path / "elsewhere", dataset("spot/klines/AUSDT/1m"))
    with opened_state(tree_of(moved)) as state:
        publication.publish(state, tree_of(moved), state.next_value("generation"), NOW)
    (made,) = tree_of(moved).state.parent.glob("views-*")
    assert made.name != template.name
    with duckdb.connect(str(tree_of(moved).current), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM metrics_of('AUSDT')").fetchall() == [(0,)]


def test_generation_template_is_made_once(vendor: Vendor, tmp_path: Path) -> None:
    config = lake_of_two(vendor, tmp_path / "lake", 1)
    (template,) = tree_of(config).state.parent.glob("views-*")
    program = (
        "import sys; from pathlib import Path; from fullpool.store.tree import Tree;"
        "from fullpool.store.catalogue import template;"
        "print(template._path(Tree(Path(sys.argv[1]))).name)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tree_of(config).root)],
            check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout.strip() == template.name


def test_removed_lake_is_not_made_anew(vendor: Vendor, tmp_path: Path) -> None:
    tree = tree_of(lake_of_two(vendor, tmp_path / "lake", 1))
    with opened_state(tree) as state:
        shutil.rmtree(tree.root)

        with pytest.raises(LakeUnwritableError, match="publishing generation 2"):
            publication.publish(state, tree, 2, NOW)
    assert not tree.root.exists()


def test_replaced_file_waits_for_generation_without_it(vendor: Vendor, tmp_path: Path) -> None:
    """Nothing may be published for longer than the grace: then readers still need the old one."""
    tree = tree_of(lake_of_two(vendor, tmp_path / "lake", 1))
    with opened_state(tree) as state:
        ((path, published),) = state.connection.execute(
            "SELECT min(path), (SELECT max(published_at) FROM sync.generations)"
            " FROM internal.partitions"
        ).fetchall()
        replaced = published.replace(tzinfo=UTC) + timedelta(days=10)
        state.connection.execute(
            "INSERT INTO internal.retired (path, size_bytes, retired_at) VALUES (?, 1, ?)",
            [path, replaced.replace(tzinfo=None)],
        )
        publication.retire(state, tree, replaced + timedelta(hours=2))
        before = (tree.root / path).exists()
        number = state.next_value("generation")
        state.generations.record(number, replaced + timedelta(hours=1))
        publication.retire(state, tree, replaced + timedelta(hours=2))

    assert before
    assert not (tree.root / path).exists()
