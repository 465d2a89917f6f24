"""verify, rebuild and doctor: what was done to a lake is found, and mended."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Formatter
from threading import Event
from typing import Any

import duckdb
import pytest

from damaging import files, flip, rows_of, run, truncate, verified
from fullpool.app import clock, rebuild, verify
from fullpool.app.assembly import opened_state
from fullpool.app.doctor import checks_sql, examination
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import Exit, IncompleteError, NoLakeError, StateDamagedError, UntrustedError
from fullpool.simulator import Fault
from fullpool.store.catalogue.reader import reading
from fullpool.store.inventory import swept_if_cut_short
from fullpool.store.partitions.recover import newest_files
from fullpool.store.state.writer import State
from served import Seen, Vendor, ask, audit, dataset, snapshot, sync, tree_of

SERIES = "spot/klines/AUSDT,BUSDT/1m"
TRADES = "um/aggTrades/CUSDT"


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Config:
    for series in ("spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m", TRADES):
        vendor.publish(series, date(2024, 6, 1), date(2024, 6, 4))
    days = {"start": "2024-06-01", "end": "2024-06-04"}
    made = vendor.config(tmp_path / "lake", dataset(SERIES, **days) + dataset(TRADES, **days))
    sync(made)
    return made


def swap(path: Path) -> None:
    """Put a whole, sound file of the other symbol in its place."""
    other = Path(str(path).replace("AUSDT", "BUSDT"))
    shutil.copy(other, path)


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (flip, "does not have the bytes"),
    (truncate, "bytes, not"),
    (swap, "bytes, not|does not have the bytes"),
    (Path.unlink, "is gone"),
]


def test_a_sound_lake_verifies(config: Config) -> None:
    found = verified(config)

    assert found.is_whole
    assert found.files == 6  # two months of klines, four days of trades
    assert found.size_bytes == sum(path.stat().st_size for path in files(config))


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=lambda one: getattr(one, "__name__", ""))
def test_repair_refetches_only_what_is_damaged(
    vendor: Vendor, config: Config, damage: Callable[[Path], None], words: str
) -> None:
    before = rows_of(config)
    (victim,) = (path for path in files(config) if "AUSDT" in str(path))
    damage(victim)
    found = verified(config)
    due = verify.repair(config, found)
    asked = len(vendor.archive_requests())
    sql = "SELECT present_rows, open_rows, row_count FROM sync.coverage WHERE symbol = 'AUSDT'"
    ((present, still_open, rows),) = ask(config, sql)
    assert (present, still_open > 0, rows) == (0, True, 0)
    sync(config)

    ((problem,),) = (one.problems for one in found.damaged)
    assert any(word in problem for word in words.split("|"))
    assert [str(archive) for archive in due] == [
        f"spot/klines/AUSDT/1m/2024-06-0{day}" for day in range(1, 5)
    ]
    assert len(vendor.archive_requests()) - asked == 8  # four archives, four CHECKSUMs
    assert rows_of(config) == before
    assert verified(config).is_whole


def test_foreign_files_are_found_and_quarantined(config: Config) -> None:
    (victim,) = (path for path in files(config) if "AUSDT" in str(path))
    shutil.copy(victim, victim.with_name("2024-05.parquet"))
    shutil.copy(victim, victim.with_name("2024-07.g000001.parquet"))
    found = verified(config)
    verify.repair(config, found)

    assert len(found.foreign) == 2
    assert not found.damaged
    assert verified(config).is_whole
    kept = tree_of(config).quarantine / "damaged"
    assert len(list(kept.rglob("*.parquet"))) == 2


def unrecorded(config: Config, state: State) -> Path:
    """Leave a file as a pass does that is killed before it has recorded it."""
    victim = next(path for path in files(config) if "AUSDT" in str(path))
    generation = state.next_value("generation")
    left = victim.with_name(f"2024-07.g{generation:06d}.parquet")
    shutil.copy(victim, left)
    return left


def test_leftovers_of_killed_passes_are_no_damage(config: Config) -> None:
    with opened_state(tree_of(config)) as state:
        left = unrecorded(config, state)
    found = verified(config)

    assert found.left_over == (str(left.relative_to(tree_of(config).root)),)
    assert found.is_whole
    assert doctor(config) == []
    sync(config)
    assert not left.exists()
    assert verified(config).left_over == ()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_pass_cut_short_leaves_no_file(config: Config, *, is_stopped: bool) -> None:
    tree, stop = tree_of(config), Event()
    with opened_state(tree) as state:
        before = unrecorded(config, state)
        before = before.rename(before.with_name(before.name.replace("2024-07", "2024-08")))
    with (
        writing(tree, "run", clock.now()),
        opened_state(tree) as state,
        nullcontext() if is_stopped else pytest.raises(UntrustedError),
        swept_if_cut_short(state, tree, stop, lambda: True),
    ):
        left = unrecorded(config, state)
        stop.set()
        if not is_stopped:
            raise UntrustedError("asking the vendor: redirected")

    assert not left.exists()
    assert before.exists()  # of a pass before: a copy of it is kept by the next one


def test_a_pass_removes_no_file_after_takeover(
    config: Config,
) -> None:
    tree, stop = tree_of(config), Event()
    with (
        writing(tree, "run", clock.now()),
        opened_state(tree) as state,
        swept_if_cut_short(state, tree, stop, lambda: False),
    ):
        left = unrecorded(config, state)
        stop.set()

    assert left.exists()


def test_vendor_checksums_tell_what_is_outdated(vendor: Vendor, config: Config) -> None:
    vendor.fail(
        Fault(
            "*AUSDT-1m-2024-06-02.zip.CHECKSUM", "body", text=f"{'0' * 64}  AUSDT-1m-2024-06-02.zip"
        ),
        Fault("*AUSDT-1m-2024-06-03.zip.CHECKSUM", "status", 404),
    )
    found = verify.compare_with_vendor(config, Seen(), Event(), verified(config))

    assert [str(one) for one in found.outdated] == ["spot/klines/AUSDT/1m/2024-06-02"]
    assert [str(one) for one in found.withdrawn] == ["spot/klines/AUSDT/1m/2024-06-03"]
    assert found.unanswered == ()


def test_rebuilding_a_lost_state_fetches_nothing(vendor: Vendor, config: Config) -> None:
    lines = (vendor.folder / "data/spot/daily/klines/AUSDT/1m").glob("*06-02.zip")
    for path in lines:  # one revision, so that there are replaced files and history
        os.utime(path, (1_800_000_000, 1_800_000_000))
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 2), date(2024, 6, 2))
    audit(config)
    before = rows_of(config)
    shutil.rmtree(tree_of(config).state.parent)
    with pytest.raises(StateDamagedError, match="it is missing"):
        sync(config)
    asked, kept = len(vendor.archive_requests()), snapshot(tree_of(config).root)
    done = rebuild.rebuild(config, Event())
    outcome, _ = sync(config)

    assert (done.files, done.archives, done.damaged) == (6, 12, ())
    assert outcome.archives == 0
    assert len(vendor.archive_requests()) == asked
    assert snapshot(tree_of(config).root) == kept
    assert rows_of(config) == before
    assert verified(config).is_whole
    assert ask(config, "SELECT count(*) > 1 FROM sync.passes") == [(True,)]


def test_new_archives_enter_a_rebuilt_lake(vendor: Vendor, config: Config) -> None:
    shutil.rmtree(tree_of(config).state.parent)
    rebuild.rebuild(config, Event())
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 5), date(2024, 6, 6))
    longer = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-06")
    outcome, _ = sync(vendor.config(tree_of(config).root, longer))

    assert outcome.archives == 2
    assert ask(config, "SELECT count(*) FROM klines WHERE symbol = 'AUSDT'") == [(6 * 1440,)]


def test_a_stopped_rebuild_changes_nothing(config: Config) -> None:
    shutil.rmtree(tree_of(config).state.parent)
    stop, kept = Event(), snapshot(tree_of(config).root)
    stop.set()
    with pytest.raises(IncompleteError, match="stopped"):
        rebuild.rebuild(config, stop)
    with pytest.raises(IncompleteError, match="stopped"):
        verify.verify(config, stop, lambda _: None)
    with pytest.raises(StateDamagedError):
        sync(config)

    assert snapshot(tree_of(config).root) == kept


def test_damage_found_by_rebuild_is_refetched(vendor: Vendor, config: Config) -> None:
    before = rows_of(config)
    (victim,) = (path for path in files(config) if "AUSDT" in str(path))
    truncate(victim)
    shutil.rmtree(tree_of(config).state.parent)
    done = rebuild.rebuild(config, Event())
    asked = len(vendor.archive_requests())
    sync(config)

    assert len(done.damaged) == 1
    assert len(vendor.archive_requests()) - asked == 8
    assert rows_of(config) == before


def test_a_rebuild_remembers_what_was_missing(vendor: Vendor, config: Config) -> None:
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 5), date(2024, 6, 6))
    vendor.fail(Fault("*AUSDT-1m-2024-06-05.zip", "status", 503))
    longer = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-06")
    longer_config = vendor.config(tree_of(config).root, longer, rounds=1)
    with pytest.raises(IncompleteError):
        sync(longer_config)
    shutil.rmtree(tree_of(config).state.parent)
    rebuild.rebuild(config, Event())
    vendor.fail()
    outcome, _ = sync(longer_config)

    assert outcome.archives == 1


def test_a_repair_trusts_no_older_state(config: Config) -> None:
    found = verified(config)
    old = tree_of(config).state.read_bytes()
    audit(config)
    with duckdb.connect(str(tree_of(config).state)) as state:
        state.execute("UPDATE internal.partitions SET written_at = now() + INTERVAL 1 HOUR")
    sync(config)
    kept = snapshot(tree_of(config).root)
    tree_of(config).state.write_bytes(old)
    with pytest.raises(StateDamagedError):
        verify.repair(config, replace(found, foreign=("klines/x.parquet",)))

    assert snapshot(tree_of(config).root) == kept


def test_a_damaged_state_can_be_rebuilt(config: Config) -> None:
    state = tree_of(config).state
    state.write_bytes(b"not a database" * 1000)
    with pytest.raises(StateDamagedError):
        sync(config)
    rebuild.rebuild(config, Event())
    outcome, _ = sync(config)

    assert outcome.archives == 0
    assert state.with_name("state.duckdb.before").exists()


def test_without_files_nothing_can_be_rebuilt(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match="no partition files"):
        rebuild.rebuild(vendor.config(tmp_path / "lake", dataset(SERIES)), Event())


def test_of_overlapping_files_the_newest_counts() -> None:
    folder = "klines/market=spot/interval=1m/symbol=AUSDT"
    current, replaced = newest_files(
        [
            (f"{folder}/2023-01.g000001.parquet", 1),
            (f"{folder}/2023-02.g000001.parquet", 1),
            (f"{folder}/2023.g000005.parquet", 5),
            (f"{folder}/2024-01.g000006.parquet", 6),
            (f"{folder}/2024-01.g000007.parquet", 7),
            ("klines/market=spot/interval=9x/symbol=AUSDT/2024-01.g000008.parquet", 8),
        ]
    )

    assert current == [f"{folder}/2023.g000005.parquet", f"{folder}/2024-01.g000007.parquet"]
    assert replaced == [
        f"{folder}/2023-01.g000001.parquet",
        f"{folder}/2023-02.g000001.parquet",
        f"{folder}/2024-01.g000006.parquet",
    ]


def doctor(config: Config) -> list[str]:
    return [one.what for one in examination.examine(config, Seen())]


def test_a_healthy_lake_has_no_problems(config: Config) -> None:
    assert doctor(config) == []


def state_run(config: Config, sql: str) -> None:
    """Write into the state, and publish it."""
    with duckdb.connect(str(tree_of(config).state)) as state:
        state.execute(sql)
        state.execute("UPDATE internal.partitions SET written_at = now() + INTERVAL 1 HOUR")
    sync(config)


ILLS = [
    (
        """UPDATE sync.archives SET status = 'quarantined', reason = 'CRC',
        next_try_at = TIMESTAMP '2100-01-01' WHERE key LIKE '%AUSDT%06-02%'""",
        "1 archive quarantined: CRC",
    ),
    (
        """INSERT INTO sync.rest_bans VALUES ('api.example', 429, 'quiet',
        TIMESTAMP '2024-01-01', TIMESTAMP '2100-01-01')""",
        "the API's host api.example is blocked until 2100-01-01 00:00 UTC",
    ),
]


def test_ills_name_only_columns_of_their_query(config: Config) -> None:
    with reading(tree_of(config)) as reader:
        for ill in checks_sql.ILLS:
            told = Formatter().parse(ill.what + ill.advice)
            assert {name for _, name, _, _ in told if name} <= set(
                reader.query(ill.at(clock.now())).columns
            )


@pytest.mark.parametrize(("sql", "words"), ILLS)
def test_what_ails_a_lake_is_told(config: Config, sql: str, words: str) -> None:
    state_run(config, sql)

    assert any(words in what for what in doctor(config))


def test_a_series_that_lags_is_told(vendor: Vendor, tmp_path: Path) -> None:
    today = clock.now().date()
    vendor.publish("spot/klines/AUSDT/1h", today - timedelta(days=9), today - timedelta(days=1))
    days = (f"{today - timedelta(days=number)}" for number in range(1, 6))
    vendor.fail(*(Fault(f"*{day}.zip", "tamper", 60) for day in days))
    start = f"{today - timedelta(days=9)}"
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h", start=start))
    with pytest.raises(IncompleteError):
        sync(config)
    found = doctor(config)

    end = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=5)
    lag = (clock.now() - end).days
    assert any(f"spot/klines/AUSDT/1h lags by {lag} days" in one for one in found), found


def test_absent_vendor_and_full_disk_are_told(
    vendor: Vendor, config: Config, tmp_path: Path
) -> None:
    text = vendor.config_text(tree_of(config).root, dataset(TRADES))
    path = tmp_path / "sick.toml"
    path.write_text(
        text.replace("min_free_gb = 0.0", "min_free_gb = 1e6").replace(
            vendor.simulator.listing_url, "http://127.0.0.1:9"
        )
    )
    done = run("doctor", "-c", path)

    assert done.returncode == Exit.UNHEALTHY
    assert "GB are free on the lake's disk" in done.stdout
    assert "Connection refused" in done.stdout


def test_the_commands_say_what_they_did(vendor: Vendor, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "fullpool.toml"
    days = {"start": "2024-06-01", "end": "2024-06-04"}
    path.write_text(
        vendor.config_text(tree_of(config).root, dataset(SERIES, **days) + dataset(TRADES, **days))
    )
    whole = run("verify", "-c", path)
    (victim,) = (one for one in files(config) if "AUSDT" in str(one))
    flip(victim)
    damaged = run("verify", "-c", path, "--json")
    mended = run("verify", "-c", path, "--repair")

    assert whole.returncode == Exit.OK
    assert "MB/s" in whole.stdout
    assert "all files are as recorded" in whole.stdout
    assert "all files are as recorded" not in mended.stdout
    assert damaged.returncode == Exit.DAMAGED
    shown: dict[str, Any] = json.loads(damaged.stdout)
    assert list(shown["damaged"]) == [str(victim.relative_to(tree_of(config).root))]
    assert mended.returncode == Exit.OK
    assert "to be downloaded by the next sync: spot/klines/AUSDT/1m/2024-06-01" in mended.stdout
    assert run("sync", "-c", path).returncode == Exit.OK
    assert run("rebuild", "-c", path).returncode == Exit.OK
    assert run("doctor", "-c", path).stdout == "no problems found\n"
