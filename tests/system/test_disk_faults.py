"""Faults of the disk below the lake: full, over quota, failing, read-only, without power.

As in test_faults, the lake is afterwards what one is that met none.
"""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from datetime import date
from pathlib import Path

import pytest

from damaging import mounted
from fullpool.errors import Exit, IncompleteError
from running import Running
from served import Vendor, ask, dataset, sync, tree_of, wait
from world import FIRST, LAST, World

pytestmark = pytest.mark.faults

HERE = Path(__file__).parents[1] / "support"


def file_system(make: str, image: Path, size_mb: int) -> Path:
    """Make an empty file system of the program *make* in a file; skip where that is not here."""
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    try:
        subprocess.run([make, "-q", image], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be made here: {error}")
    return image


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "rule",
    [
        "fsync:error=EIO:when=4+",
        "fdatasync:error=EIO:when=1+",
        "link:error=EDQUOT:when=1",
        "rename:error=ENOSPC:when=2+",
        "symlink:error=ENOSPC:when=1",
        "mkdir:error=ENOSPC:when=6+",
        "pwrite64:error=EIO:when=9",
        "pwrite64:error=EROFS:when=40+",
    ],
)
def test_the_disk_refuses(world: World, clean: list[tuple[object, ...]], rule: str) -> None:
    done = world.under_strace(rule)

    world.require_clean_end(done)
    world.require_sound(clean)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("rule", ["fsync:error=EIO:when=1+", "pwrite64:error=ENOSPC:when=3+"])
@pytest.mark.parametrize("name", [".state/state.duckdb", ".state/state.duckdb.wal"])
def test_the_disk_refuses_the_state_alone(
    world: World, clean: list[tuple[object, ...]], rule: str, name: str
) -> None:
    done = world.under_strace(rule, paths=[world.lake / name])

    world.require_clean_end(done)
    world.require_sound(clean)


def test_lake_recovers_after_full_disk_grows(world: World, clean: list[tuple[object, ...]]) -> None:
    with mounted(world.lake, "-t", "tmpfs", "-o", "size=1m", "none"):
        done = world.sync()
        world.require_clean_end(done)
        assert done.returncode == Exit.DISK_FULL
        subprocess.run(["mount", "-o", "remount,size=200m", world.lake], check=True)
        world.require_sound(clean)


def test_too_large_archive_keeps_no_other_waiting(tmp_path: Path) -> None:
    lake, day = tmp_path / "lake", date(2024, 1, 2)
    lake.mkdir()
    with (
        Vendor(tmp_path / "vendor") as vendor,
        mounted(lake, "-t", "tmpfs", "-o", "size=30m", "none"),
    ):
        vendor.publish("spot/klines/BTCUSDT/1h", day, day)
        (large,) = vendor.publish("spot/aggTrades/BTCUSDT", day, day, trades_a_day=400_000)
        names = ("spot/klines/BTCUSDT/1h", "spot/aggTrades/BTCUSDT")
        asked = [dataset(name, start=str(day), end=str(day)) for name in names]
        settings = vendor.config(lake, "".join(asked))
        with pytest.raises(IncompleteError, match="MB of disk while it is built"):
            sync(settings)
        before = ask(settings, "SELECT kind, status FROM sync.archives ORDER BY ALL")
        subprocess.run(["mount", "-o", "remount,size=400m", lake], check=True)
        outcome, _ = sync(settings)

        assert large.stat().st_size > 4_000_000
        assert before == [("aggTrades", "listed"), ("klines", "present")]
        assert (outcome.archives, outcome.failed) == (1, {})


def test_lake_recovers_after_quota_is_raised(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path
) -> None:
    image = file_system("mkfs.btrfs", tmp_path / "disk", 300)
    with mounted(world.lake, "-o", "loop", image):
        subprocess.run(["btrfs", "quota", "enable", world.lake], check=True)
        subprocess.run(["btrfs", "qgroup", "limit", "1M", world.lake], check=True)
        done = world.sync()
        world.require_clean_end(done)
        assert done.returncode == Exit.DISK_FULL
        assert "quota" in done.stderr
        subprocess.run(["btrfs", "qgroup", "limit", "none", world.lake], check=True)
        world.require_sound(clean)


@contextmanager
def faulty(lake: Path, rule: Path) -> Iterator[None]:
    """Put a file system in user space where the lake is, which fails as *rule* says."""
    if find_library("fuse") is None or not Path("/dev/fuse").exists():
        pytest.skip("FUSE is not here")
    behind = lake.with_name("behind")
    for folder in (lake, behind):
        folder.mkdir()
    rule.write_text("")
    command = [sys.executable, *map(str, (HERE / "faultfs.py", behind, lake, rule))]
    with rule.with_suffix(".log").open("wb") as log:
        served = subprocess.Popen(command, stdout=log)
    try:
        while not lake.is_mount():
            assert served.poll() is None
            wait(0.05)
        yield
    finally:
        subprocess.run(["umount", lake], check=True)
        served.wait(60)


ALWAYS = 1_000_000
# Call, error, part of the path, how often it works before, how often it fails.
RULES = [
    ("write", errno.EIO, ".parquet", 1, 1),
    ("write", errno.EDQUOT, ".staging", 3, ALWAYS),
    ("write", errno.ENOSPC, "state.duckdb", 4, ALWAYS),
    ("write", errno.EIO, ".catalogue", 0, ALWAYS),
    ("flush", errno.EDQUOT, ".parquet", 2, ALWAYS),
    ("flush", errno.EIO, "state.duckdb", 2, 2),
    ("fsync", errno.EIO, ".parquet", 1, ALWAYS),
    ("fsync", errno.EIO, "state.duckdb", 2, ALWAYS),
    ("fsyncdir", errno.EIO, "klines", 1, ALWAYS),
    ("read", errno.EIO, ".staging", 0, ALWAYS),
    ("read", errno.EIO, "state.duckdb", 3, ALWAYS),
    ("link", errno.EPERM, "klines", 0, ALWAYS),
    ("rename", errno.EIO, "", 1, ALWAYS),
    ("create", errno.EROFS, "", 12, ALWAYS),
    ("unlink", errno.EIO, ".staging", 2, ALWAYS),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_file_system_fails(
    world: World,
    clean: list[tuple[object, ...]],
    tmp_path: Path,
    rule: tuple[str, int, str, int, int],
) -> None:
    names = ("call", "errno", "match", "after", "times")
    told = tmp_path / "rule.json"
    with faulty(world.lake, told):
        told.write_text(json.dumps(dict(zip(names, rule, strict=True))))
        done = world.sync()
        told.write_text("")
        assert told.with_suffix(".log").read_text(), "nothing failed"
        world.require_clean_end(done)
        world.require_sound(clean)


def test_unreadable_file_costs_no_other(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path
) -> None:
    """A bad sector under a file whose rows are to be kept: it is given up, and fetched again."""
    rule, text = tmp_path / "rule.json", world.path.read_text()
    with faulty(world.lake, rule):
        world.path.write_text(text.replace(f"end = {LAST}", f"end = {FIRST}"))
        assert world.sync().returncode == Exit.OK
        world.path.write_text(text)
        fault = {"call": "read", "errno": errno.EIO, "match": "AUSDT/2024"}
        rule.write_text(json.dumps(fault | {"after": 0, "times": ALWAYS}))
        done = world.sync()
        assert rule.with_suffix(".log").read_text(), "nothing failed"
        assert done.returncode == Exit.OK, done.stderr
        rule.write_text("")
        assert world.digest() == clean
        world.require_sound(clean)


def copied(image: Path) -> Path:
    """Return a copy of a disk's image while it is mounted: what had reached the disk by now."""
    copy = image.with_name("copy")
    subprocess.run(["dd", f"if={image}", f"of={copy}", "bs=1M", "status=none"], check=True)
    return copy


def test_power_cut_after_sync_loses_nothing(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path
) -> None:
    image = file_system("mkfs.ext4", tmp_path / "disk", 200)
    with mounted(world.lake, "-o", "loop,commit=600", image):
        sync(world.config)
        copy = copied(image)
    with mounted(world.lake, "-o", "loop", copy):
        world.require_sound(clean)
        assert world.again == 0


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8])
def test_lake_survives_power_cut_mid_sync(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path, after_s: float
) -> None:
    image = file_system("mkfs.ext4", tmp_path / "disk", 200)
    with mounted(world.lake, "-o", "loop,commit=600", image):
        process = subprocess.Popen(world.command, start_new_session=True)
        while not tree_of(world.config).state.exists():
            wait(0.01)
        wait(after_s)
        # Nothing may change while the copy is made.
        os.killpg(process.pid, signal.SIGSTOP)
        copy = copied(image)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with mounted(world.lake, "-o", "loop", copy):
        world.require_sound(clean)


def test_another_disk_is_mounted_over_lake(
    world: World, clean: list[tuple[object, ...]], daemon: Running
) -> None:
    assert daemon.process is not None
    with mounted(world.lake, "-t", "tmpfs", "none"):
        code = daemon.process.wait(30)

    assert code == Exit.LAKE_UNWRITABLE
    world.require_sound(clean)


def test_lake_becomes_read_only(world: World, clean: list[tuple[object, ...]]) -> None:
    """A read-only mount over it, as a kernel makes it after an error of the disk."""
    world.lake.mkdir()
    with mounted(world.lake, "--bind", world.lake):
        sync(world.config)
        subprocess.run(["mount", "-o", "remount,bind,ro", world.lake], check=True)
        done = world.sync()
        subprocess.run(["mount", "-o", "remount,bind,rw", world.lake], check=True)
        world.require_clean_end(done)
        assert done.returncode == Exit.LAKE_UNWRITABLE
        world.require_sound(clean)


def test_files_are_limited_in_size(world: World, clean: list[tuple[object, ...]]) -> None:
    done = world.sync("prlimit", "--fsize=65536")

    world.require_clean_end(done)
    assert done.returncode != Exit.OK
    world.require_sound(clean)


def test_file_system_without_hard_links_works(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path
) -> None:
    rule = tmp_path / "rule.json"
    with faulty(world.lake, rule):
        refusal = {"call": "link", "errno": errno.EPERM, "match": "", "after": 0, "times": ALWAYS}
        rule.write_text(json.dumps(refusal))
        done = world.sync()

        assert done.returncode == Exit.OK, done.stderr
        assert rule.with_suffix(".log").read_text(), "nothing failed"
        assert world.digest() == clean
        world.require_sound(clean)
        rule.write_text("")


def test_lack_of_symlinks_is_told_before_downloads(world: World, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    with faulty(world.lake, rule):
        refusal = {"call": "symlink", "errno": errno.EOPNOTSUPP, "match": ""}
        rule.write_text(json.dumps(refusal | {"after": 0, "times": ALWAYS}))
        done = world.sync()
        rule.write_text("")

    assert done.returncode == Exit.LAKE_UNWRITABLE
    assert "making a symbolic link in" in done.stderr
    assert world.vendor.simulator.requests == []


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP"])
def test_lack_of_locks_is_told_before_downloads(world: World, error: str) -> None:
    done = world.under_strace(f"flock:error={error}")

    assert done.returncode == Exit.LAKE_UNWRITABLE
    assert f"locking the folder {world.lake} (flock)" in done.stderr
    assert world.vendor.simulator.requests == []


@pytest.mark.parametrize("options", ["ro", "size=0k,nr_inodes=1"])
def test_thread_builds_where_processes_share_nothing(
    world: World, clean: list[tuple[object, ...]], options: str
) -> None:
    script = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$@"'
    done = world.sync("unshare", "--mount", "sh", "-c", script, "sh")

    assert done.returncode == Exit.OK, done.stderr
    assert world.digest() == clean
    world.require_sound(clean)


CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")
PATHS = re.compile(r'"([^"]*)"|<([^>]*)>')


def traced(world: World, log: Path) -> list[tuple[str, list[str]]]:
    """Run a sync; return its calls that put files in their places, as they ended, with paths."""
    calls = "fsync,fdatasync,link,linkat,rename,renameat,renameat2,symlink,symlinkat"
    done = world.sync("strace", "-f", "-qq", "-y", "-e", f"trace={calls}", "-o", str(log))
    assert done.returncode == 0, done.stderr
    begun: dict[str, str] = {}
    found = []
    for line in log.read_text().splitlines():
        if (call := CALL.match(line)) is None:
            continue
        process, name, rest = call.groups()
        if rest.endswith("<unfinished ...>"):
            begun[process] = rest
        elif rest.rstrip().endswith("= 0"):
            text = begun.pop(process, "") + rest
            found.append((name, [quoted or opened for quoted, opened in PATHS.findall(text)]))
    return found


@pytest.mark.usefixtures("strace")
def test_files_and_their_names_reach_disk(world: World, tmp_path: Path) -> None:
    """After a power cut a file is whole or not there: content first, then the name, its folder."""
    calls = traced(world, tmp_path / "calls")
    synced = [(n, paths[0]) for n, (name, paths) in enumerate(calls) if name.endswith("sync")]

    def is_synced(path: str, *, after: int = -1, before: int = len(calls)) -> bool:
        return any(after < n < before and one == path for n, one in synced)

    named: list[tuple[int, str, str]] = []
    for n, (name, paths) in enumerate(calls):
        if name.startswith(("link", "rename")):
            staged, target = [path for path in paths if path.startswith("/")][-2:]
            named.append((n, staged, target))
    files = [one for one in named if one[2].endswith(".parquet") and "/.catalogue/" not in one[2]]
    assert len(files) == 5
    for n, staged, target in files:
        assert is_synced(staged, before=n), target
        assert is_synced(str(Path(target).parent), after=n), target
    lake = str(world.lake)
    swaps = [n for n, _, target in named if target == f"{lake}/lake.duckdb"]
    assert swaps
    published = {path for _, path in synced if path.endswith("/lake.duckdb")}
    assert len(published) >= len(swaps)
    for n in swaps:
        assert is_synced(lake, after=n)
        assert is_synced(f"{lake}/.catalogue", before=n)
    for path in published:
        first = min(n for n, one in synced if one == path)
        assert is_synced(str(Path(path).parent), after=first)
    ((made, new, state),) = [one for one in named if one[2].endswith("/state.duckdb")]
    assert is_synced(new, before=made)
    assert is_synced(str(Path(state).parent), after=made)
