"""Faults injected into a sync: afterwards the lake is what a clean one is, row by row.

Each test lets a sync meet a fault, takes the fault away, syncs once more and compares with a lake
that met none; `verify` holds files and state to each other.
"""

import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pytest

from damaging import file_of, flip, verified
from fullpool.app.rebuild import rebuild as rebuild_state
from fullpool.app.signals import Flag
from fullpool.errors import Exit, FullpoolError
from fullpool.model import Archive, Interval, Market, Series, period_from
from fullpool.simulator import Fault
from fullpool.simulator.generate import zipped
from fullpool.vision import Access, Fetched, Fetcher, Opener
from running import Running
from served import ask, dataset, kline, sync, tree_of, wait
from world import KILLED, LAST, World

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("KILLS", "10"))
DAY = f"{LAST:%Y-%m-%d}"
KEY = f"data/spot/daily/klines/AUSDT/1m/AUSDT-1m-{DAY}.zip"
NAME = f"AUSDT-1m-{DAY}.csv"


# Killed at a system call of the way of a file: staged, synced, named, recorded, published.
KILL_POINTS = [
    *(("mkdir", n) for n in (1, 6)),
    *(("fsync", n) for n in (1, 2, 4, 8)),
    *(("link", n) for n in (1, 3)),
    *(("unlink", n) for n in (2,)),
    *(("pwrite64", n) for n in (1, 10, 40)),
    *(("rename", n) for n in (1, 2)),
    *(("symlink", n) for n in (1,)),
]


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(("call", "number"), KILL_POINTS)
def test_lake_survives_kill_at_system_call(
    world: World, clean: list[tuple[object, ...]], call: str, number: int
) -> None:
    # A process that makes fewer such calls ends by itself, which is no fault.
    done = world.under_strace(f"{call}:signal=SIGKILL:when={number}")

    world.require_clean_end(done)
    world.require_sound(clean)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(("call", "number"), [("rename", 1), ("link", 1), ("symlink", 1)])
def test_a_rebuild_is_killed(
    world: World, clean: list[tuple[object, ...]], call: str, number: int
) -> None:
    """A damaged file is among those that it reads, and that readers see until it has published."""
    sync(world.config)
    flip(file_of(world.config, "AUSDT"))
    rebuild = [*world.command[:3], "rebuild", *world.command[4:]]
    rule = f"{call}:signal=SIGKILL:when={number}"
    killed = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={rule}",
         *rebuild],
        check=False, capture_output=True,
    )  # fmt: skip
    assert killed.returncode in KILLED | {Exit.OK}
    if verified(world.config).damaged:
        rebuild_state(world.config, threading.Event())

    world.require_sound(clean)


def test_lake_survives_random_kills_under_load(
    world: World, clean: list[tuple[object, ...]]
) -> None:
    chance = random.Random(5)  # noqa: S311 - the same every time
    killed = 0
    world.vendor.fail(Fault("*.zip", "slow", 150))
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "fullpool", "sync", "-c", str(world.path)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait(chance.uniform(0.3, 1.6))
        process.kill()
        killed += process.wait() in KILLED
        world.require_no_torn_file()
        if chance.random() < 0.6:  # or the later ones would find nothing to do
            shutil.rmtree(world.lake, ignore_errors=True)

    assert killed > KILLS // 3
    world.require_sound(clean)


FAULTS = [
    *(Fault(f"*{DAY}.zip", "status", code) for code in (403, 404, 418, 429, 451, 503)),
    Fault(f"*{DAY}.zip.CHECKSUM", "status", 404),
    *(Fault(f"*{DAY}.zip", kind, 60) for kind in ("truncate", "reset", "tamper")),
    Fault(f"*{DAY}.zip", "html"),
    Fault(f"*{DAY}.zip", "redirect"),
    Fault(f"*{DAY}.zip", "body", text="PK\x03\x04 and then nothing"),
    Fault(f"*{DAY}.zip.CHECKSUM", "body", text="0" * 64),
    Fault("data/*/", "status", 503),  # a listing's key is its prefix
    Fault("data/*/", "html"),
    Fault("data/*/", "body", text="<ListBucketResult><Contents><Key>data/spot"),
    Fault("data/*/", "body", text="<Error><Code>SlowDown</Code></Error>"),
    Fault("data/*/", "status", 403, times=2),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.pattern}={f.kind}:{f.value}")
def test_the_vendor_misbehaves(world: World, clean: list[tuple[object, ...]], fault: Fault) -> None:
    world.configure(rounds=1)
    world.vendor.fail(fault)
    done = world.sync()

    world.require_clean_end(done)
    assert fault._used > 0
    assert done.returncode != Exit.OK
    world.require_sound(clean)


OBJECT = re.compile("<Contents>.*?</Contents>", re.DOTALL)
LISTINGS: dict[str, Callable[[str], str]] = {
    "is truncated": lambda page: page.replace(OBJECT.findall(page)[-1], ""),
    "has nothing": lambda page: OBJECT.sub("", page),
    "repeats": lambda page: OBJECT.sub(lambda found: found[0] * 2, page),
    "backwards": lambda page: (
        OBJECT.sub("", page).replace("</List", "".join(OBJECT.findall(page)[::-1]) + "</List")
    ),
    "of another series": lambda page: page.replace("<Key>data/spot/daily/klines/A", "<Key>x/y/B"),
    "never ends": lambda page: page.replace(">false</IsT", ">true</IsT"),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_is_wrong(world: World, clean: list[tuple[object, ...]], name: str) -> None:
    prefix = "data/spot/daily/klines/AUSDT/1m/"
    page = world.vendor.simulator.bucket.page(prefix, "", "/").decode()
    assert LISTINGS[name](page) != page
    world.vendor.fail(Fault(prefix, "body", text=LISTINGS[name](page)))
    done = world.sync()

    world.require_clean_end(done)
    if "no archive in the configured time: spot/klines/AUSDT" in done.stdout:  # believed for a day
        world.vendor.fail()
        if shutil.which("faketime") is None:
            pytest.skip("faketime is not here")
        later = world.sync("faketime", "-f", "+25h")
        assert later.returncode == Exit.OK, later.stderr
    world.require_sound(clean)


def lines(*numbers: int) -> list[str]:
    start = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)
    return [kline(start + timedelta(minutes=number)) for number in numbers]


# Of the good ZIP and the name of its member it makes a bad one.
Harm = Callable[[bytes, str], bytes]


def changed(change: Callable[[bytes], bytes]) -> Harm:
    return lambda good, _: change(good)


def csv(text: str, member: str = "{}") -> Harm:
    return lambda _, name: zipped(member.format(name), text.encode("utf-8", "surrogateescape"))


ONE = lines(0)[0]
MALFORMED: dict[str, Harm] = {
    "empty": changed(lambda _: b""),
    "no zip": changed(lambda _: b"<html>not here</html>"),
    "half": changed(lambda z: z[: len(z) // 2]),
    "a flipped byte": changed(lambda z: z[:80] + bytes([z[80] ^ 1]) + z[81:]),
    "another name": csv("".join(lines(*range(1440))), "BUSDT-1m-2024-06-03.csv"),
    "a path": csv("".join(lines(0)), "../../{}"),
    "a header only": csv("open_time,open,high,low,close,volume,close_time,quote_volume,count,"
                         "taker_buy_volume,taker_buy_quote_volume,ignore\n"),
    "an empty member": csv(""),
    "a column missing": csv(ONE.rsplit(",", 2)[0] + "\n"),
    "a column more": csv(ONE.strip() + ",1\n"),
    "quotes": csv(",".join(f'"{part}"' for part in ONE.strip().split(",")) + "\n"),
    "a byte order mark": csv("\ufeff" + ONE),
    "a lone carriage return": csv(ONE.replace("1.5", "1\r5")),
    "a NUL byte": csv(ONE.replace("1.5", "1\x005")),
    "text for a number": csv(ONE.replace("1.50000000", "high")),
    "a number too large": csv(ONE.replace("1.50000000", "9" * 25)),
    "nine decimals": csv(ONE.replace("1.50000000", "1.500000001")),
    "nothing for a number": csv(ONE.replace("1.50000000", "")),
    "infinity": csv(ONE.replace("1.50000000", "inf")),
    "another day": csv(ONE.replace(ONE.split(",")[0], str(int(ONE.split(",")[0]) - 86_400_000))),
    "mixed units": csv(ONE + lines(1)[0].replace(lines(1)[0].split(",")[0],
                                                 lines(1)[0].split(",")[0] + "000")),
    "one key, two values": csv(ONE + ONE.replace("1.50000000", "1.60000000")),
    "an SQL of its own": csv(ONE.replace("1.50000000", "1); DROP TABLE x; --")),
}  # fmt: skip


def test_archives_are_malformed(world: World) -> None:
    """One of each kind, of a symbol of its own: nothing of them enters, and the others go on."""
    bad = {f"M{number:02d}USDT": harm for number, harm in enumerate(MALFORMED.values())}
    good = {}
    for symbol, harm in bad.items():
        world.vendor.publish(f"spot/klines/{symbol}/1m", LAST, LAST)
        key = KEY.replace("AUSDT", symbol)
        good[key] = (world.vendor.folder / key).read_bytes()
        name = key.rpartition("/")[2].replace(".zip", ".csv")
        world.vendor.put_bytes(key, harm(good[key], name))
    world.datasets = dataset(f"spot/klines/BUSDT,{','.join(bad)}/1m", start=DAY, end=DAY)
    world.configure(rounds=1)
    done = world.sync()
    held = ask(world.config, "SELECT symbol, count(*) FROM klines GROUP BY 1")
    missing = ask(  # the months of these days were asked for as well, and there are none
        world.config,
        "SELECT status, count(*) FROM sync.missing WHERE length(period) = 10 GROUP BY 1 ORDER BY 1",
    )
    for key, content in good.items():
        world.vendor.put_bytes(key, content, datetime(2024, 9, 1, tzinfo=UTC))
    with duckdb.connect(str(tree_of(world.config).state)) as state:
        state.execute("UPDATE sync.archives SET next_try_at = NULL")
    outcome, _ = sync(world.config)

    world.require_clean_end(done)
    assert done.returncode == Exit.INCOMPLETE
    assert held == [("BUSDT", 1440)]
    # What is no ZIP at all may be a proxy's page: every sync tries again.
    assert missing == [("failed", 2), ("quarantined", len(MALFORMED) - 2)]
    assert outcome.is_complete
    assert ask(world.config, "SELECT count(*) FROM klines") == [(1440 * (1 + len(MALFORMED)),)]
    assert verified(world.config).is_whole


def test_windows_line_ends_are_read(world: World, clean: list[tuple[object, ...]]) -> None:
    with ZipFile(world.vendor.folder / KEY) as good:
        text = good.read(NAME)
    world.vendor.put_bytes(KEY, zipped(NAME, text.replace(b"\n", b"\r\n")))
    done = world.sync()

    assert done.returncode == Exit.OK
    assert world.digest() == clean


@pytest.mark.parametrize("files", [18, 24, 40, 64])
def test_lake_survives_few_file_descriptors(
    world: World, clean: list[tuple[object, ...]], files: int
) -> None:
    done = world.sync("prlimit", f"--nofile={files}")

    assert done.returncode != Exit.OK or files > 18
    shutil.rmtree(world.lake / ".staging", ignore_errors=True)
    (world.lake / ".staging").mkdir(parents=True, exist_ok=True)
    world.require_sound(clean)


def test_lake_survives_little_memory(world: World, clean: list[tuple[object, ...]]) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"fullpool-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError:
        pytest.skip("no memory group can be made here")
    try:
        world.configure(builder_memory_mb=128)
        done = world.sync("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
        world.require_clean_end(done)
        world.require_sound(clean)
    finally:
        group.rmdir()


def test_one_connection_and_slow_disk_suffice(
    world: World, clean: list[tuple[object, ...]]
) -> None:
    world.path.write_text(world.path.read_text().replace("connections = 8", "connections = 1"))
    if shutil.which("strace"):
        done = world.under_strace("fsync:delay_enter=100000")
        world.require_clean_end(done)
        assert done.returncode == Exit.OK
    world.require_sound(clean)


@pytest.mark.parametrize("offset", ["+1h", "-365d", "+400d"])
def test_the_clock_is_wrong(world: World, clean: list[tuple[object, ...]], offset: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not here")
    done = world.sync("faketime", "-f", offset)

    world.require_clean_end(done)
    world.require_sound(clean)


def test_state_is_of_a_newer_version(world: World, clean: list[tuple[object, ...]]) -> None:
    sync(world.config)
    with duckdb.connect(str(tree_of(world.config).state)) as state:
        state.execute("INSERT INTO sync.migrations VALUES ('9999_from_the_future', now())")
    done = world.sync()
    with duckdb.connect(str(tree_of(world.config).state)) as state:
        state.execute("DELETE FROM sync.migrations WHERE name LIKE '9999%'")

    assert done.returncode == Exit.LAKE_NEWER
    world.require_sound(clean)


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty"])
def test_the_state_is_damaged(world: World, clean: list[tuple[object, ...]], harm: str) -> None:
    sync(world.config)
    state = tree_of(world.config).state
    content = bytearray(state.read_bytes())
    match harm:
        case "flip":
            content[5000:5100] = b"x" * 100
        case "truncate":
            del content[len(content) // 2 :]
        case _:
            content.clear()
    state.write_bytes(content)
    done = world.sync()
    world.require_clean_end(done)
    if done.returncode != Exit.OK:
        rebuilt = subprocess.run(
            [sys.executable, "-m", "fullpool", "rebuild", "-c", str(world.path)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert rebuilt.returncode == Exit.OK, rebuilt.stderr

    world.require_sound(clean)
    assert world.again == 0


def test_lake_is_moved_under_the_daemon(
    world: World, clean: list[tuple[object, ...]], daemon: Running
) -> None:
    world.lake.rename(world.folder / "moved")
    assert daemon.process is not None
    code = daemon.process.wait(30)
    (world.folder / "moved").rename(world.lake)

    assert code == Exit.LAKE_UNWRITABLE
    assert "the folder was replaced" in daemon.log.read_text()
    world.require_sound(clean)
    assert world.again == 0


def _remove(folder: Path) -> None:
    """As often as it takes: the daemon may write into it meanwhile, and it is not empty then."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_state_is_removed_under_the_daemon(
    world: World, clean: list[tuple[object, ...]], daemon: Running
) -> None:
    _remove(world.lake / ".state")
    assert daemon.process is not None
    code = daemon.process.wait(30)

    assert code == Exit.STATE_DAMAGED
    assert "its state was removed" in daemon.log.read_text()
    rebuild_state(world.config, threading.Event())
    world.require_sound(clean)


def test_lake_is_removed_under_the_daemon(
    world: World, clean: list[tuple[object, ...]], daemon: Running
) -> None:
    _remove(world.lake)
    assert daemon.process is not None
    code = daemon.process.wait(30)

    # It may look while its state is gone and the lake's folder not yet.
    assert code in (Exit.LAKE_UNWRITABLE, Exit.STATE_DAMAGED)
    world.require_sound(clean)


def test_concurrent_sync_is_refused(world: World, clean: list[tuple[object, ...]]) -> None:
    world.vendor.fail(Fault("*.zip", "slow", 1500))
    first = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "sync", "-c", str(world.path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not (world.lake / ".state" / "writer.json").exists() and time.monotonic() < end:
        wait(0.05)
    second = world.sync()

    assert second.returncode == Exit.LAKE_BUSY
    assert f"process {first.pid}" in second.stderr
    assert first.wait(60) == Exit.OK
    world.require_sound(clean)


def test_stop_mid_sync_leaves_lake_sound(world: World, clean: list[tuple[object, ...]]) -> None:
    world.vendor.fail(Fault("*.zip", "slow", 500))
    process = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "sync", "-c", str(world.path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait(1.5)
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) in (Exit.TERMINATED, -signal.SIGTERM)
    world.require_sound(clean)


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": b"",
    "no http": b"\x16\x03\x01 not http at all\r\n\r\n",
    "a header too long": HEAD + b"X: " + b"a" * 300_000 + b"\r\n\r\nPK\x03\x04",
    "too many headers": HEAD + b"X: a\r\n" * 500 + b"\r\nPK\x03\x04",
    "a length beyond all bounds": HEAD + b"Content-Length: 1000000000000000\r\n\r\nPK\x03\x04",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nPK\x03\x04",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nPK\x03\x04123",
    "fewer bytes than told": HEAD + b"Content-Length: 5000\r\n\r\nPK\x03\x04",
    "no length, cut off": HEAD + b"\r\nPK\x03\x04 and so on",
    "chunks cut off": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nPK\x03\x041\r\n10\r\nabc",
    "chunks that are none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nPK\x03\x04\r\n0\r\n",
    "compressed on its way": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    + b"\x1f\x8b\x08\x00" + b"\x00" * 16,
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_is_not_proper_http(tmp_path: Path, name: str) -> None:
    archive = Archive(
        Series(Market.SPOT, "klines", "AUSDT", Interval.M1), period_from(DAY)
    )  # fmt: skip
    received: list[int] = []
    with _raw_server(ANSWERS[name]) as url:
        access = Access(ssl.create_default_context(), time.monotonic, Flag(), False, 2.0, 5.0)
        opener, target = Opener(access), tmp_path / "target"
        fetcher = Fetcher(opener, url, 1 << 20, received.append)
        try:
            found = fetcher.fetch_unsigned(archive, target)
        except FullpoolError:
            assert not target.exists()
        else:
            assert name in ("no length, cut off", "two lengths")  # which its CHECKSUM tells
            assert isinstance(found, Fetched)
        opener.close()
    assert sum(received) < 1 << 20


@contextmanager
def _raw_server(answer: bytes) -> Iterator[str]:
    """Answer every request with those bytes, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_doctor_tells_a_wrong_clock(world: World) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not here")
    sync(world.config)
    done = subprocess.run(
        ["faketime", "-f", "+1h", sys.executable, "-m", "fullpool", "doctor", "-c", world.path],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == Exit.UNHEALTHY
    assert "clock is +3," in done.stdout
