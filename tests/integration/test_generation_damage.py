"""Damaged tables of a generation are written again, not carried into the next generations."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import duckdb
import pytest

from damaging import flip, verified
from fullpool.app import verify
from fullpool.app.doctor import examination
from fullpool.app.rebuild import rebuild
from fullpool.errors import DamagedError, FullpoolError, NoLakeError
from fullpool.store import inventory
from fullpool.store.partitions import recover
from fullpool.store.state.opening import open_state_to_look
from lab import DAY, HEADER, HOUR, Lab, at, bars, hourly
from served import dataset, tree_of

HOURS = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-{}.zip"
TABLES = ("wanted", "listings", "partitions", "coverage", "archives", "tail_files", "followed")
ROWS = "SELECT count(*) FROM klines"


def put(lab: Lab, *days: str) -> None:
    for day in days:
        lab.put(HOURS.format(day), bars(at(day), at(day) + DAY, HOUR), at(day) + DAY)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lake of two days, with a gap that nobody has asked about, and following."""
    text = dataset("spot/klines/AUSDT/1h", start="2024-03-01", follow="true")
    with Lab(text) as made:
        known = bars(at("2024-03-01"), at("2024-04-01"), HOUR)
        made.tell_api(HOURS.format("2024-03-01"), known)
        put(made, "2024-03-01", "2024-03-02")
        made.run("sync", "2024-03-03T09:30")
        yield made


def table(lab: Lab, name: str) -> Path:
    """Return the one file of a table of the newest generation, to be written to."""
    (found,) = tree_of(lab.config).current.resolve().parent.glob(f"{name}-*.parquet")
    found.chmod(0o644)
    return found


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:50] = bytes(byte ^ 0x5A for byte in content[4:50])
    path.write_bytes(content)


def garble_name(path: Path) -> None:
    """Garble the name of a column: DuckDB's message of that is no text."""
    name = b"market" if b"market" in path.read_bytes() else b"command"
    path.write_bytes(path.read_bytes().replace(name, name[:-1] + b"\xff"))


def change(path: Path, column: str) -> None:
    """Put another value into a column, as a flipped bit does that nothing notices."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM '{path}'")
        connection.execute(f"UPDATE t SET {column} = 'other'")
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables_are_reported(lab: Lab, name: str) -> None:
    was_sound = inventory.is_sound(tree_of(lab.config))
    garble(table(lab, name))

    assert was_sound
    (told,) = (problem.what for problem in examination.examine_lake(tree_of(lab.config)))
    assert "is damaged" in told


@pytest.mark.parametrize("name", TABLES)
def test_unreadable_tables_are_written_again(lab: Lab, name: str) -> None:
    garble(table(lab, name))
    put(lab, "2024-03-03")
    lab.run("audit", "2024-03-04T09:30")

    assert inventory.is_sound(tree_of(lab.config))
    assert lab.ask(f"{ROWS} WHERE source = 'archive'") == [(72,)]


@pytest.mark.parametrize("name", ["wanted", "listings", "partitions"])
def test_a_tick_with_news_survives_unreadable_tables(lab: Lab, name: str) -> None:
    garble(table(lab, name))
    put(lab, "2024-03-03")
    lab.run("tick", "2024-03-04T09:30")

    assert lab.ask(f"{ROWS} WHERE source = 'archive'") == [(72,)]


def test_changed_values_last_until_the_audit(lab: Lab) -> None:
    change(table(lab, "archives"), "reason")
    found = verified(lab.config)
    lab.run("audit", "2024-03-03T10:30")

    assert not found.is_whole
    assert [name.partition("-")[0] for name in found.damaged_tables] == ["archives"]
    assert verified(lab.config).is_whole
    assert lab.ask("SELECT DISTINCT reason FROM sync.archives WHERE status = 'present'") == [("",)]


def test_a_repair_publishes_damaged_tables_again(lab: Lab) -> None:
    garble(table(lab, "archives"))
    verify.repair(lab.config, verified(lab.config))

    assert verified(lab.config).is_whole


def test_verify_refuses_where_the_list_of_files_is_damaged(lab: Lab) -> None:
    garble(table(lab, "partitions"))

    with pytest.raises(DamagedError, match="partitions-"):
        verified(lab.config)


@pytest.mark.parametrize("harm", [garble, garble_name])
@pytest.mark.parametrize("name", ["passes", "wanted", "archives"])
def test_rebuild_keeps_followed_rows_beside_damage(name: str, harm: Callable[[Path], None]) -> None:
    march = [f"2024-03-{day:02d}" for day in range(8, 18)]
    twin = "data/futures/um/monthly/aggTrades/AUSDT/AUSDT-aggTrades-2024-03.zip"
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-08", follow="true")) as lab:
        daily = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-2024-03-08.zip"
        lab.put(daily, HEADER + hourly(march[0]), at("2024-03-09T08:00"))
        lab.tell_api(twin, HEADER + "".join(map(hourly, march)))
        for day in march[1:6]:
            lab.run("sync", f"{day}T12:30")
        before = lab.ask("SELECT count(*) FROM agg_trades")
        lab.tell_api(twin, HEADER + "".join(map(hourly, march[5:])))  # the API has forgotten them
        harm(table(lab, name))
        done = rebuild(lab.config, Event())

        assert done.not_restored == (name,)
        assert lab.ask("SELECT count(*) FROM agg_trades") == before == [(5 * 24 + 13,)]


def test_a_lake_that_only_follows_is_rebuilt() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-10", follow="true")) as lab:
        key = HOURS.format("2024-03-01")
        lab.put(key, bars(at("2024-03-01"), at("2024-03-02"), HOUR))
        lab.tell_api(key, bars(at("2024-03-01"), at("2024-04-01"), HOUR))
        lab.run("sync", "2024-03-10T09:30:20")
        tree_of(lab.config).state.unlink()
        done = rebuild(lab.config, Event())
        kept = lab.ask(ROWS)
        lab.run("sync", "2024-03-10T10:30:20")

        assert (done.files, kept) == (0, [(9,)])
        assert lab.ask(ROWS) == [(10,)]


def test_generations_that_were_not_finished_are_no_history(lab: Lab) -> None:
    tree = tree_of(lab.config)
    newest = tree.published()
    half = tree.catalogue(newest + 1)
    half.parent.mkdir()
    half.write_bytes(b"half of a catalogue")
    rebuild(lab.config, Event())

    with closing(open_state_to_look(tree.state)) as state:
        recorded = state.connection.execute("FROM sync.generations").fetchall()
    assert newest + 1 not in [row[0] for row in recorded]


def test_no_flipped_bit_of_a_file_stops_a_rebuild(lab: Lab) -> None:
    tree = tree_of(lab.config)
    ((path, generation),) = inventory.partition_files(tree)
    whole = (tree.root / path).read_bytes()
    (sha256,) = inventory.published_sums(tree).values()
    (tree.root / path).chmod(0o644)
    known = recover.RecoveryOrder(path, generation, tree.root, 256, sha256)
    unknown = recover.RecoveryOrder(path, generation, tree.root, 256)
    for place in range(0, len(whole), 23):
        flip(tree.root / path, place)
        damage = recover.read(known).damage
        try:
            recover.read(unknown)
        except FullpoolError as error:
            pytest.fail(f"byte {place}: {error}")
        (tree.root / path).write_bytes(whole)

        assert damage == "does not have the bytes that were written"
    assert not recover.read(known).damage


def test_a_sync_with_news_writes_changed_tables_again(lab: Lab) -> None:
    change(table(lab, "archives"), "reason")
    put(lab, "2024-03-03")
    lab.run("sync", "2024-03-03T23:30")

    assert inventory.is_sound(tree_of(lab.config))


def test_a_lake_whose_files_are_elsewhere_is_not_rebuilt(lab: Lab) -> None:
    """As where its disk is not mounted: nothing is published that lacks them all."""
    tree = tree_of(lab.config)
    (tree.root / "klines").rename(lab.folder / "klines")

    with pytest.raises(NoLakeError, match="none of the 1 published files is there"):
        rebuild(lab.config, Event())
