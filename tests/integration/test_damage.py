"""A lake that was harmed behind the daemon's back: no harm gets into what is written next."""

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import duckdb
import pytest

from damaging import file_of, files, flip, rows_of, run, truncate, verified
from fullpool.app import clock, rebuild, verify
from fullpool.app.assembly import opened_state
from fullpool.app.doctor import examination
from fullpool.config import Config
from fullpool.errors import Exit, IncompleteError, LakeUnwritableError, StateDamagedError
from fullpool.store import inventory
from fullpool.store.catalogue.reader import reading
from fullpool.store.quarantine import forget_taken_out
from fullpool.store.tree import keep_copy, taken_out
from fullpool.sync.publishing import publish_state
from served import Seen, Vendor, ask, dataset, snapshot, sync, tree_of

SERIES = "spot/klines/AUSDT,BUSDT/1m"
TRADES = "um/aggTrades/CUSDT"


def asked_for(vendor: Vendor, lake: Path, last: str) -> Config:
    days = {"start": "2024-06-01", "end": last}
    return vendor.config(lake, dataset(SERIES, **days) + dataset(TRADES, **days))


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Config:
    for series in ("spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m", TRADES):
        vendor.publish(series, date(2024, 6, 1), date(2024, 6, 4))
    made = asked_for(vendor, tmp_path / "lake", "2024-06-04")
    sync(made)
    return made


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink], ids=["flip", "truncate", "gone"])
def test_rows_of_harmed_files_are_refetched(
    vendor: Vendor, config: Config, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    lake = tmp_path / "other"
    sync(asked_for(vendor, lake, "2024-06-02"))
    longer = asked_for(vendor, lake, "2024-06-04")
    harm(file_of(longer, "AUSDT"))
    outcome, _ = sync(longer)

    assert outcome.is_complete
    assert rows_of(longer) == rows_of(config)
    assert verified(longer).is_whole


def test_readers_still_see_files_given_up(vendor: Vendor, tmp_path: Path) -> None:
    lake = tmp_path / "other"
    shorter, longer = asked_for(vendor, lake, "2024-06-02"), asked_for(vendor, lake, "2024-06-04")
    for series in ("spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m", TRADES):
        vendor.publish(series, date(2024, 6, 1), date(2024, 6, 4))
    sync(shorter)
    before = str(tree_of(longer).published())
    victim = file_of(longer, "AUSDT")
    flip(victim)
    sync(longer)

    with reading(tree_of(longer), before) as reader:
        assert reader.query("SELECT count(*) FROM klines").rows == [(2 * 2 * 1440,)]
    assert taken_out(tree_of(longer), str(victim.relative_to(lake))).exists()


def test_patching_a_damaged_file_costs_no_row(vendor: Vendor, tmp_path: Path) -> None:
    """The API is asked for rows that go into a file with a flipped bit."""
    series, key = "spot/klines/AUSDT/1m", "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"
    vendor.publish(series, date(2024, 6, 1), date(2024, 6, 4))
    whole = vendor.text_of(key)
    lines = whole.splitlines(keepends=True)
    vendor.put(key, "".join(lines[:100] + lines[200:]))
    days = dataset(series, start="2024-06-01", end="2024-06-04")
    sync(vendor.config(tmp_path / "lake", days))
    config = vendor.config(tmp_path / "lake", days, rest={"enabled": "true"})
    flip(file_of(config, "AUSDT"))
    vendor.put(key, whole)  # the API is served from the archives
    outcome, _ = sync(config)

    assert outcome.is_complete
    assert ask(config, "SELECT count(*), count(DISTINCT open_time) FROM klines") == [(5760, 5760)]
    assert verified(config).is_whole


def test_a_moved_lake_forgets_nothing(config: Config, tmp_path: Path) -> None:
    root = tree_of(config).root
    with opened_state(tree_of(config)) as state:
        before = state.queries.files.paths()
        root.rename(tmp_path / "moved")
        with pytest.raises(LakeUnwritableError, match="no longer exists"):
            publish_state(state, tree_of(config), 77, clock.now())
        assert state.queries.files.paths() == before

    assert not root.exists()
    (tmp_path / "moved").rename(root)
    assert sync(config)[0].archives == 0


def test_lake_names_may_be_numbers(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", date(2024, 6, 1), date(2024, 6, 2))
    days = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-02")

    assert sync(vendor.config(tmp_path / "2024", days))[0].archives == 2


def test_publications_of_older_versions_are_renewed(config: Config) -> None:
    file = tree_of(config).current.resolve()
    file.chmod(0o600)
    with duckdb.connect(str(file)) as lake:
        for table, newer in (("published", "format"), ("coverage", "is_trading")):
            lake.execute(f"CREATE TABLE old AS SELECT * EXCLUDE ({newer}) FROM sync.{table}")
            lake.execute(f"DROP VIEW sync.{table}")
            lake.execute(f"CREATE TABLE sync.{table} AS FROM old")
            lake.execute("DROP TABLE old")
    told = [one.what for one in examination.examine_lake(tree_of(config))]
    sync(config)

    assert any("an older version wrote it" in one for one in told), told
    assert examination.examine_lake(tree_of(config)) == []


def test_recorded_files_are_published_whatever_the_clock(
    config: Config,
) -> None:
    _, before = sync(config)
    with opened_state(tree_of(config)) as state:  # their times stay: as of a clock that stood still
        number = state.next_value("generation")
        state.connection.execute("UPDATE internal.partitions SET generation = ?", [number])
    _, after = sync(config)

    assert not before.generations
    assert after.generations


def test_old_quarantined_files_are_removed(config: Config) -> None:
    tree = tree_of(config)
    keep_copy(tree, str(file_of(config, "AUSDT").relative_to(tree.root)))
    forget_taken_out(tree, clock.now() - timedelta(days=1))
    kept = [path for path in tree.quarantine.rglob("*") if path.is_file()]
    forget_taken_out(tree, clock.now() + timedelta(days=1))

    assert len(kept) == 1
    assert [path for path in tree.quarantine.rglob("*") if path.is_file()] == []


def test_lost_rows_no_longer_configured_are_told(vendor: Vendor, config: Config) -> None:
    flip(file_of(config, "AUSDT"))
    vendor.publish("spot/klines/AUSDT/1m", date(2024, 6, 5), date(2024, 6, 5))
    days = {"start": "2024-06-03", "end": "2024-06-05"}
    narrowed = vendor.config(
        tree_of(config).root, dataset(SERIES, **days) + dataset(TRADES, **days)
    )
    with pytest.raises(IncompleteError):
        sync(narrowed)

    told = [one.what for one in examination.examine_lake(tree_of(config))]
    assert any("2 archives of spot/klines/AUSDT/1m lost: " in one for one in told), told


def test_publication_leaves_out_missing_files(config: Config) -> None:
    before = rows_of(config)
    file_of(config, "AUSDT").unlink()
    with opened_state(tree_of(config)) as state:
        found_gone = publish_state(state, tree_of(config), 77, clock.now())

    assert found_gone
    assert ask(config, "SELECT DISTINCT symbol FROM klines") == [("BUSDT",)]
    assert "gone" in ask(config, "SELECT any_value(reason) FROM sync.missing")[0][0]
    with opened_state(tree_of(config)) as state:
        state.connection.execute("UPDATE sync.counters SET value = 77 WHERE name = 'generation'")
    sync(config)
    assert rows_of(config) == before


def test_another_lakes_state_touches_nothing(
    vendor: Vendor, config: Config, tmp_path: Path
) -> None:
    other = asked_for(vendor, tmp_path / "other", "2024-06-02")
    sync(other)
    sync(asked_for(vendor, tmp_path / "other", "2024-06-04"))
    own, strange = tree_of(config), tree_of(other)
    shutil.copy(strange.state, own.state)
    kept = snapshot(own.root)
    with pytest.raises(StateDamagedError, match="another lake"):
        sync(config)

    assert snapshot(own.root) == kept
    assert any("another lake" in one.what for one in examination.examine(config, Seen()))
    rebuild.rebuild(config, Event())
    assert sync(config)[0].archives == 0


def lose_all(config: Config) -> None:
    shutil.rmtree(tree_of(config).catalogues)
    tree_of(config).current.unlink()


def lose_link(config: Config) -> None:
    tree_of(config).current.unlink()


def garble(config: Config) -> None:
    file = tree_of(config).current.resolve()
    file.chmod(0o600)
    file.write_bytes(b"garbage" * 1000)


def flip_inside(config: Config) -> None:
    """Flip a bit of a row in the catalogue: it can still be opened."""
    file = tree_of(config).current.resolve()
    file.chmod(0o600)
    flip(file, file.read_bytes().rindex(b"AUSDT"))


@pytest.mark.parametrize("harm", [lose_all, lose_link, garble, flip_inside])
@pytest.mark.parametrize("mend", [sync, lambda config: rebuild.rebuild(config, Event())])
def test_a_lost_catalogue_is_written_anew(
    config: Config, harm: Callable[[Config], None], mend: Callable[[Config], object]
) -> None:
    before = rows_of(config)
    harm(config)
    mend(config)

    assert rows_of(config) == before
    assert verified(config).is_whole


def test_foreign_lookalikes_are_told_and_taken_out(config: Config) -> None:
    before = rows_of(config)
    own, trades = file_of(config, "AUSDT"), file_of(config, "2024-06-02")
    future = own.with_name("2024-06.g000099.parquet")
    shutil.copy(own, future)
    stray = own.parent.with_name("symbol=XUSDT") / "2024-06.g000001.parquet"
    stray.parent.mkdir()
    shutil.copy(trades, stray)
    with pytest.raises(StateDamagedError, match="g000099"):
        sync(config)
    found = verified(config)
    verify.repair(config, found)

    assert str(future.relative_to(tree_of(config).root)) in found.foreign
    assert len(found.foreign + found.left_over) == 2
    assert verified(config).is_whole
    assert sync(config)[0].archives == 0
    assert rows_of(config) == before


def test_a_rebuild_takes_misplaced_files_out(config: Config) -> None:
    before = rows_of(config)
    own, trades = file_of(config, "AUSDT"), file_of(config, "2024-06-02")
    for name, file in (("XUSDT", trades), ("YUSDT", own)):
        stray = own.parent.with_name(f"symbol={name}") / "2024-06.g000001.parquet"
        stray.parent.mkdir()
        shutil.copy(file, stray)
    done = rebuild.rebuild(config, Event())

    assert len(done.damaged) == 2
    assert rows_of(config) == before
    assert verified(config).is_whole


def test_rebuild_checks_files_against_the_catalogue(config: Config) -> None:
    before = rows_of(config)
    flip(file_of(config, "AUSDT"))
    shutil.rmtree(tree_of(config).state.parent)
    done = rebuild.rebuild(config, Event())
    sync(config)

    assert [one.partition(": ")[2] for one in done.damaged] == [
        "does not have the bytes that were written"
    ]
    assert done.unproven == 0
    assert rows_of(config) == before


def test_rebuild_says_when_files_are_unproven(config: Config) -> None:
    shutil.rmtree(tree_of(config).state.parent)
    lose_all(config)

    assert rebuild.rebuild(config, Event()).unproven == len(files(config))


def test_a_rebuild_refetches_no_partial_month(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish(TRADES, date(2024, 4, 17), date(2024, 5, 31))
    config = vendor.config(tmp_path / "lake", dataset(TRADES, end="2024-05-31"))
    sync(config)
    asked = len(vendor.archive_requests())
    rebuild.rebuild(config, Event())
    outcome, _ = sync(config)

    assert outcome.archives == 0
    assert len(vendor.archive_requests()) == asked


def test_a_sweep_quarantines_unknown_files(config: Config) -> None:
    own = file_of(config, "AUSDT")
    stray = own.with_name("2024-05.g000001.parquet")
    shutil.copy(own, stray)
    with opened_state(tree_of(config)) as state:
        inventory.sweep(state, tree_of(config), clock.now())

    assert not stray.exists()
    kept = tree_of(config).quarantine / "damaged" / stray.relative_to(tree_of(config).root)
    assert kept.read_bytes() == own.read_bytes()


def test_repair_makes_replaced_archives_due(vendor: Vendor, config: Config, tmp_path: Path) -> None:
    key = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"
    vendor.put(key, vendor.text_of(key.replace("AUSDT", "BUSDT")))
    path = tmp_path / "fullpool.toml"
    days = {"start": "2024-06-01", "end": "2024-06-04"}
    path.write_text(
        vendor.config_text(tree_of(config).root, dataset(SERIES, **days) + dataset(TRADES, **days))
    )
    found = run("verify", "--vendor", "-c", path)
    mended = run("verify", "--vendor", "--repair", "-c", path)
    outcome, _ = sync(config)

    assert found.returncode == Exit.DAMAGED
    assert "outdated, its CHECKSUM has changed: spot/klines/AUSDT/1m/2024-06-02" in found.stdout
    assert mended.returncode == Exit.OK
    assert outcome.archives == 1
    assert run("verify", "--vendor", "-c", path).returncode == Exit.OK
    vendor.simulator.__exit__()
    away = run("verify", "--vendor", "-c", path)
    assert away.returncode == Exit.INCOMPLETE
    assert "12 CHECKSUMs could not be fetched" in away.stderr


def remove_state(config: Config) -> None:
    shutil.rmtree(tree_of(config).state.parent)


ILLS: list[tuple[Callable[[Config], object], str]] = [
    (remove_state, "state.duckdb is gone"),
    (lambda c: tree_of(c).state.write_bytes(b"garbage" * 900), "opening the state"),
    (lambda c: file_of(c, "AUSDT").unlink(), "1 files of the lake are missing"),
    (lambda c: truncate(file_of(c, "AUSDT")), "have the wrong size"),
    (
        lambda c: shutil.copy(file_of(c, "AUSDT"), file_of(c, "AUSDT").with_name("a")),
        "do not belong to it",
    ),
    (lambda c: tree_of(c).root.chmod(0o777), "is open to others"),
    (lambda c: tree_of(c).state.parent.chmod(0o755), "is open to others"),
    (lose_all, "nothing is published"),
]


@pytest.mark.parametrize(("harm", "words"), ILLS, ids=[words for _, words in ILLS])
def test_the_doctor_sees_the_harm(
    config: Config, harm: Callable[[Config], object], words: str
) -> None:
    assert examination.examine(config, Seen()) == []
    harm(config)
    found = [one.what for one in examination.examine_lake(tree_of(config))]

    assert any(words in what for what in found), found


def test_a_lake_is_checked_without_configuration(config: Config) -> None:
    lake = str(tree_of(config).root)

    assert run("verify", "--lake", lake).returncode == Exit.OK
    assert run("doctor", "--lake", lake).stdout == "no problems found\n"
    assert run("verify", "--lake", lake, "--vendor").returncode == Exit.USAGE
