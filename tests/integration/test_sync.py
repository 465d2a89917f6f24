"""The pass, end to end: real sockets, worker processes, Parquet, DuckDB."""

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from fullpool.app import clock, syncing
from fullpool.config import Config, parse
from fullpool.errors import (
    DiskFullError,
    IncompleteError,
    StateDamagedError,
    UnreachableError,
    UntrustedError,
)
from fullpool.model import Status
from fullpool.simulator import Fault
from fullpool.store.catalogue.reader import generations
from fullpool.store.state.opening import open_state
from fullpool.store.state.writer import State
from served import Seen, Vendor, ask, dataset, kline, snapshot, sync, tree_of

YESTERDAY = clock.now().date() - timedelta(days=1)
DAY = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-0{}.zip"
JUNE = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-03")
START = datetime(2024, 6, 1, tzinfo=UTC)


def day(number: int, rows: int = 5) -> str:
    start = START + timedelta(days=number - 1)
    return "".join(kline(start + timedelta(minutes=n)) for n in range(rows))


def three_days(vendor: Vendor) -> None:
    for number in (1, 2, 3):
        vendor.put(DAY.format(number), day(number))


def statuses(config: Config) -> dict[str, str]:
    """Return the status of each day; a month that may have what days lack is asked for too."""
    sql = "SELECT period, status FROM sync.archives WHERE length(period) = 10"
    return dict(ask(config, sql))


def opened_state(config: Config) -> State:
    tree = tree_of(config)
    return open_state(tree.state, tree.staging / "spill", clock.now())


def test_filled_lake_asks_for_no_archive(vendor: Vendor, tmp_path: Path) -> None:
    start = YESTERDAY - timedelta(days=70)
    vendor.publish("spot/klines/BTCUSDT/1m", start, YESTERDAY)
    vendor.publish("um/aggTrades/BTCUSDT", YESTERDAY - timedelta(days=2), YESTERDAY)
    text = dataset("spot/klines/*USDT/1m") + dataset("um/aggTrades/BTCUSDT")
    config = vendor.config(tmp_path / "lake", text)

    outcome, _ = sync(config)

    assert outcome.is_complete
    assert ask(config, "SELECT count(*), count(DISTINCT open_time) FROM klines") == [
        (71 * 1440,) * 2
    ]
    assert ask(config, "SELECT count(*) FROM agg_trades") == [(1500,)]
    before, asked = snapshot(tmp_path / "lake"), len(vendor.archive_requests())
    again, _ = sync(config)
    assert len(vendor.archive_requests()) == asked
    assert again.built == 0
    assert snapshot(tmp_path / "lake") == before


def test_adding_a_day_keeps_old_file(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    lake = tmp_path / "lake"
    sync(vendor.config(lake, dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-02")))
    old = set(snapshot(lake))

    config = vendor.config(lake, JUNE)
    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]
    assert old < set(snapshot(lake))
    sources = ask(config, "SELECT path FROM sync.files")[0][0]
    assert sources not in old


def test_replaced_files_are_removed_after_grace(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    lake = tmp_path / "lake"
    sync(vendor.config(lake, dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-02")))

    config = vendor.config(lake, JUNE)
    hasty = replace(config, lake=replace(config.lake, retain_hours=0.0))
    sync(hasty)
    sync(hasty)

    assert len(snapshot(lake)) == 1
    assert len(list(tree_of(config).catalogues.glob("0*"))) == 1
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def test_later_round_retries_a_passing_failure(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    vendor.fail(Fault("*06-02.zip", "status", 503, 1))
    config = vendor.config(tmp_path / "lake", JUNE)

    outcome, seen = sync(config)

    assert outcome.is_complete
    assert [k.status for k in seen.records].count(Status.FAILED) == 1
    assert set(statuses(config).values()) == {"present"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("*06-02.zip", "status", 500), "answered with HTTP 500"),
        (Fault("*06-02.zip", "status", 403), "refused with HTTP 403"),
        (Fault("*06-02.zip", "truncate", 100), "truncated at 100 of"),
        (Fault("*06-02.zip", "reset", 100), "truncated|reset"),
        (Fault("*06-02.zip", "status", 404), "no such archive"),
        (Fault("*06-02.zip.CHECKSUM", "status", 404), "no CHECKSUM"),
        (Fault("*06-02.zip.CHECKSUM", "html"), "got a web page"),
        (Fault("*06-02.zip", "html"), "got a web page"),
        (Fault("*06-02.zip", "body", text="<p>"), "not a ZIP: it starts with b'<p>'"),
        (Fault("*06-02.zip.CHECKSUM", "body", text="<p>"), "not a CHECKSUM of"),
    ],
)
def test_failure_is_recorded_and_rest_goes_on(
    vendor: Vendor, tmp_path: Path, fault: Fault, reason: str
) -> None:
    three_days(vendor)
    vendor.fail(fault)
    config = vendor.config(tmp_path / "lake", JUNE, rounds=1)

    with pytest.raises(IncompleteError, match=reason):
        sync(config)

    assert statuses(config) == {
        "2024-06-01": "present", "2024-06-02": "failed", "2024-06-03": "present",
    }  # fmt: skip
    assert ask(config, "SELECT count(*) FROM klines") == [(10,)]
    vendor.fail()
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def test_second_checksum_mismatch_leads_to_quarantine(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    vendor.fail(Fault("*06-02.zip", "tamper", 40))
    config = vendor.config(tmp_path / "lake", JUNE)

    with pytest.raises(IncompleteError, match="its CHECKSUM says"):
        sync(config)

    assert statuses(config)["2024-06-02"] == "quarantined"
    kept = tree_of(config).quarantine / DAY.format(2)
    assert kept.exists()
    assert "its CHECKSUM says" in kept.with_name(kept.name + ".json").read_text()


def test_transfer_tampered_with_once_is_retried(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    vendor.fail(Fault("*06-02.zip", "tamper", 40, 1))
    config = vendor.config(tmp_path / "lake", JUNE)

    outcome, _ = sync(config)

    assert outcome.is_complete
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (day(1), "first row is of 2024-06-01"),
        (day(2)[: len(day(2)) // 2] + day(3), "last row is of 2024-06-03|rows lie outside"),
        (day(2).replace("1.50000000", "abc"), "abc"),
        (day(2).replace("1.50000000", "1.123456789"), "more than 8 decimals"),
        (day(2).replace("1.50000000", "1.23456789E-4"), "more than 8 decimals"),
        (day(2).replace("1.50000000", "99999999999.0"), "99999999999"),
        (day(2) + kline(START + timedelta(days=1)).replace("1.50000000", "7.0"), "other values"),
        (day(2).replace("1.50000000", ""), "is empty"),
        (
            day(2) + kline(START + timedelta(days=1, minutes=9), unit=1_000_000),
            "mixed time units: ms and",
        ),
        (day(2) + "1717286400000,1\n", "Expected Number of Columns"),
    ],
)
def test_wrong_rows_keep_only_their_archive_out(
    vendor: Vendor, tmp_path: Path, text: str, reason: str
) -> None:
    three_days(vendor)
    vendor.put(DAY.format(2), text)
    config = vendor.config(tmp_path / "lake", JUNE)

    with pytest.raises(IncompleteError, match=reason):
        sync(config)

    assert statuses(config) == {
        "2024-06-01": "present", "2024-06-02": "quarantined", "2024-06-03": "present",
    }  # fmt: skip
    assert ask(config, "SELECT count(*) FROM klines") == [(10,)]


def test_unchanged_quarantined_archive_costs_no_byte(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    vendor.put(DAY.format(2), day(1))
    config = vendor.config(tmp_path / "lake", JUNE)
    with pytest.raises(IncompleteError):
        sync(config)
    _make_due(config)

    with pytest.raises(IncompleteError):
        sync(config)

    asked = [answer for path, answer in vendor.simulator.requests if path == f"/{DAY.format(2)}"]
    assert asked[-1] == 304
    vendor.put(DAY.format(2), day(2))
    _make_due(config)
    sync(config)
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]
    assert not (tree_of(config).quarantine / DAY.format(2)).exists()


def _make_due(config: Config) -> None:
    state = opened_state(config)
    state.connection.execute("UPDATE sync.archives SET next_try_at = NULL")
    state.close()


def test_unordered_and_duplicate_rows_are_corrected(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    lines = day(2).splitlines(keepends=True)
    vendor.put(DAY.format(2), "".join([lines[1], lines[0], *lines[1:], lines[3]]))
    config = vendor.config(tmp_path / "lake", JUNE)

    sync(config)

    times = [row[0] for row in ask(config, "SELECT open_time FROM klines")]
    assert times == sorted(set(times))
    assert len(times) == 15


def test_amount_too_wide_is_kept_exactly(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    vendor.put(DAY.format(2), day(2).replace("10.00000000", "99999999999999999999.12345678"))
    config = vendor.config(tmp_path / "lake", JUNE)

    sync(config)

    assert (
        str(ask(config, "SELECT max(volume) FROM klines_exact")[0][0])
        == "99999999999999999999.12345678"
    )
    assert ask(config, "SELECT count(*) FROM klines WHERE volume > 1e19") == [(5,)]


def test_milliseconds_and_microseconds_share_a_partition(vendor: Vendor, tmp_path: Path) -> None:
    key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-12-{}.zip"
    at = datetime(2024, 12, 30, tzinfo=UTC)
    vendor.put(key.format(30), kline(at, step_ms=3_600_000))
    vendor.put(key.format(31), kline(at + timedelta(days=1), step_ms=3_600_000, unit=1_000_000))
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h"))

    sync(config)

    assert ask(config, "SELECT open_time, close_time - open_time FROM klines") == [
        (datetime(2024, 12, 30), timedelta(hours=1, milliseconds=-1)),  # noqa: DTZ001 - TIMESTAMP
        (datetime(2024, 12, 31), timedelta(hours=1, microseconds=-1)),  # noqa: DTZ001
    ]


def test_month_of_trades_splits_into_days(vendor: Vendor, tmp_path: Path) -> None:
    paths = vendor.publish("um/aggTrades/AUSDT", date(2024, 5, 1), date(2024, 5, 31), 200)
    config = vendor.config(tmp_path / "lake", dataset("um/aggTrades/AUSDT"))

    sync(config)

    days = ask(config, "SELECT row_count FROM sync.files")
    assert days == [(200,)] * 31
    assert [p for p in vendor.archive_requests() if p.endswith(".zip")] == [
        "/" + str(paths[-1].relative_to(vendor.folder))
    ]


def test_months_of_closed_year_become_one_file(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/5m", date(2023, 1, 1), date(2023, 3, 31))
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/5m"))

    sync(config)

    assert ask(config, "SELECT period, row_count FROM sync.files") == [("2023", 90 * 288)]


def test_lost_archive_is_absent_and_nothing_invented(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    (vendor.folder / DAY.format(2)).unlink()
    vendor.simulator.bucket.refresh()
    config = vendor.config(tmp_path / "lake", JUNE)

    outcome, _ = sync(config)

    assert outcome.is_complete
    assert statuses(config)["2024-06-02"] == "absent"
    assert ask(config, "SELECT count(*) FROM klines") == [(10,)]
    missing = ask(config, "SELECT period, status FROM sync.missing")
    assert missing == [
        ("2024-06", "absent"),
        ("2024-06-02", "absent"),
    ]  # that was asked for as well


def test_provenance_names_archives_and_their_hashes(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    sync(config)
    (path,) = (tmp_path / "lake").glob("klines/*/*/*/*.parquet")

    text = ask(config, f"SELECT decode(value) FROM parquet_kv_metadata('{path}')"
               " WHERE decode(key) = 'fullpool.sources'")[0][0]  # fmt: skip

    for number in (1, 2, 3):
        assert DAY.format(number) in text
        assert hashlib.sha256((vendor.folder / DAY.format(number)).read_bytes()).hexdigest() in text


def test_killed_build_is_cleaned_up_and_redone(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    tree_of(config).create()
    opened_state(config).close()
    stray = tmp_path / "lake/klines/market=spot/interval=1m/symbol=AUSDT/2024-06.g000000.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"PAR1")
    left = tree_of(config).staging / "half"
    left.write_bytes(b"x")

    sync(config)

    assert not stray.exists()
    assert not left.exists()
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def test_next_pass_publishes_what_was_built(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    sync(config)
    tree_of(config).current.unlink()
    _forget_generations(config)

    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def _forget_generations(config: Config) -> None:
    state = opened_state(config)
    state.connection.execute("DELETE FROM sync.generations")
    state.close()


def test_symbol_beyond_ascii_reaches_the_lake(vendor: Vendor, tmp_path: Path) -> None:
    vendor.put(DAY.format(1).replace("AUSDT", "币安人生USDT"), day(1))
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/*USDT/1m"))

    sync(config)

    assert ask(config, "SELECT count(*) FROM klines_of('币安人生USDT')") == [(5,)]


def test_host_outage_ends_pass_but_next_completes(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    text = vendor.config_text(tmp_path / "lake", JUNE)
    away = text.replace(vendor.simulator.listing_url, "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"connecting to 127\.0\.0\.1"):
        sync(parse(away, "x"))

    sync(parse(text, "x"))


def test_disk_without_room_ends_pass_before_fetching(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    text = vendor.config_text(tmp_path / "lake", JUNE).replace(
        "min_free_gb = 0.0", "min_free_gb = 1e9"
    )
    with pytest.raises(DiskFullError, match="reserved"):
        sync(parse(text, "x"))

    assert vendor.archive_requests() == []


def test_stopped_pass_keeps_what_was_finished(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("um/aggTrades/AUSDT", YESTERDAY - timedelta(days=9), YESTERDAY)
    config = vendor.config(tmp_path / "lake", dataset("um/aggTrades/AUSDT"))
    stop = Event()

    class Stopping(Seen):
        def recorded(self, known: object) -> None:
            stop.set()

    outcome = syncing.sync(config, Stopping(), stop)

    assert 0 < outcome.archives < 10
    assert ask(config, "SELECT outcome FROM sync.passes") in ([(None,)], [("interrupted",)])
    sync(config)
    assert ask(config, "SELECT count(*) FROM agg_trades") == [(5000,)]


def test_plan_says_what_sync_does(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)

    planned = syncing.plan(config, Seen(), Event()).steps

    assert [len(step.archives) for step in planned] == [3]
    assert planned[0].size_bytes == sum(
        (vendor.folder / DAY.format(n)).stat().st_size for n in (1, 2, 3)
    )
    assert not (tmp_path / "lake").exists()
    sync(config)
    assert syncing.plan(config, Seen(), Event()).steps == ()


def test_more_past_is_added_without_refetching(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    lake = tmp_path / "lake"
    sync(vendor.config(lake, dataset("spot/klines/AUSDT/1m", start="2024-06-02", end="2024-06-03")))
    asked = len(vendor.archive_requests())
    config = vendor.config(lake, JUNE)

    sync(config)

    assert len(vendor.archive_requests()) == asked + 2
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]
    assert [p for p in tree_of(config).staging.iterdir() if p.name != "spill"] == []


def test_removed_end_lets_series_go_on(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", YESTERDAY - timedelta(days=90), YESTERDAY)
    lake, early = tmp_path / "lake", YESTERDAY - timedelta(days=60)
    sync(vendor.config(lake, dataset("spot/klines/AUSDT/1h", end=str(early))))

    config = vendor.config(lake, dataset("spot/klines/AUSDT/1h"))
    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(91 * 24,)]


def test_days_before_first_monthly_archive_are_found(vendor: Vendor, tmp_path: Path) -> None:
    paths = vendor.publish("um/klines/AUSDT/1h", date(2024, 4, 29), date(2024, 6, 30))
    for path in paths:
        if "2024-04.zip" in path.name:
            path.unlink()
    vendor.simulator.bucket.refresh()
    config = vendor.config(tmp_path / "lake", dataset("um/klines/AUSDT/1h"))

    sync(config)

    assert ask(config, "SELECT min(open_time), count(*) FROM klines") == [
        (datetime(2024, 4, 29), 63 * 24)  # noqa: DTZ001 - TIMESTAMP
    ]


def test_late_day_is_asked_for_again(vendor: Vendor, tmp_path: Path) -> None:
    first = YESTERDAY - timedelta(days=4)
    paths = vendor.publish("spot/klines/AUSDT/1h", first, YESTERDAY)
    late = next(path for path in paths if str(YESTERDAY - timedelta(days=2)) in path.name)
    body = late.read_bytes()
    late.unlink()
    vendor.simulator.bucket.refresh()
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h"))
    sync(config)
    assert sorted(statuses(config).values()) == ["not_published", *["present"] * 4]

    vendor.put_bytes(str(late.relative_to(vendor.folder)), body)
    _make_due(config)
    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(5 * 24,)]


def test_symbol_unknown_to_vendor_is_named(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE + dataset("spot/klines/ASUDT/1m"))

    outcome, _ = sync(config)

    assert [str(series) for series in outcome.unknown] == ["spot/klines/ASUDT/1m"]


def test_lost_files_are_fetched_again(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    sync(config)
    (path,) = snapshot(tmp_path / "lake")
    (tmp_path / "lake" / path).unlink()

    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def test_lost_state_costs_no_lake_file(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    sync(config)
    before = snapshot(tmp_path / "lake")
    shutil.rmtree(tree_of(config).state.parent)

    with pytest.raises(StateDamagedError, match="it is missing"):
        sync(config)

    assert snapshot(tmp_path / "lake") == before
    assert ask(config, "SELECT count(*) FROM klines") == [(15,)]


def test_unfinished_catalogue_is_ignored_and_removed(vendor: Vendor, tmp_path: Path) -> None:
    three_days(vendor)
    config = vendor.config(tmp_path / "lake", JUNE)
    sync(config)
    half = tree_of(config).catalogue(99)
    half.parent.mkdir()
    half.write_bytes(b"half")

    assert len(generations(tree_of(config))) == 1
    sync(config)

    assert not half.exists()


def test_trades_with_backward_times_are_sorted(vendor: Vendor, tmp_path: Path) -> None:
    key = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-2024-06-01.zip"
    start = int(START.timestamp()) * 1000
    rows = "".join(f"{n},1.5,2.0,{n},{n},{start + t},true\n" for n, t in enumerate((5, 10, 9, 11)))
    vendor.put(key, rows)
    config = vendor.config(tmp_path / "lake", dataset("um/aggTrades/AUSDT"))

    sync(config)

    assert ask(config, "SELECT agg_trade_id FROM agg_trades") == [(0,), (2,), (1,), (3,)]


def test_narrow_and_wide_months_fold_together(vendor: Vendor, tmp_path: Path) -> None:
    key = "data/spot/monthly/klines/AUSDT/1m/AUSDT-1m-2024-0{}.zip"
    wide = kline(datetime(2024, 2, 1, tzinfo=UTC)).replace("10.00000000", "99999999999.5")
    vendor.put(key.format(1), kline(datetime(2024, 1, 1, tzinfo=UTC)))
    vendor.put(key.format(2), wide)
    lake = tmp_path / "lake"
    for end in ("2024-01-31", "2024-02-29"):
        config = vendor.config(lake, dataset("spot/klines/AUSDT/1m", end=end))
        sync(config)

    assert [str(v) for (v,) in ask(config, "SELECT volume FROM klines_exact")] == [
        "10.00000000", "99999999999.50000000",
    ]  # fmt: skip


def test_pattern_matches_are_not_called_misspelled(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 1), date(2024, 6, 2))
    late = dataset("spot/klines/AUSDT/1m", start="2099-01-01")
    pattern = dataset("spot/klines/*USDT/1h")
    outcome, _ = sync(vendor.config(tmp_path / "lake", late + pattern))

    assert outcome.unknown == ()
    assert outcome.remarks == ("no archive is due yet: spot/klines/AUSDT/1m",)


def test_one_redirected_archive_costs_no_other(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 1), date(2024, 6, 15))
    wanted = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-15")
    config = vendor.config(tmp_path / "lake", wanted)
    vendor.fail(Fault("*2024-06-02.zip", "redirect"))
    with pytest.raises(IncompleteError, match="redirected to"):
        sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(14 * 1440,)]
    vendor.fail(Fault("*.zip", "redirect"))
    with pytest.raises(UntrustedError):
        sync(vendor.config(tmp_path / "other", wanted))
