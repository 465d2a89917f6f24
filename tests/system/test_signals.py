"""SIGINT and SIGTERM end every command at any moment: soon, in one line, with nothing lost."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fullpool.errors import Exit
from fullpool.simulator import Fault
from served import sync, wait
from world import World

pytestmark = pytest.mark.faults

MOMENTS = 10
LONG = "SELECT count(*) FROM range(3000000) a, range(3000000) b WHERE a.range % 7 = b.range % 11"
COMMANDS = {
    "sync": [], "plan": [], "status": [], "gaps": [], "revisions": [], "generations": [],
    "doctor": [], "verify": ["--vendor"], "rebuild": [], "sql": [LONG], "export": [], "check": [],
    "demo": [], "simulator": [], "report": [], "web": ["--port", "0"], "run": [], "reload": [],
    "health": [], "forget": ["--yes"], "init": [], "symbols": [], "publish": [],
}  # fmt: skip
# How a command ends by itself here: without a daemon, a series to forget or a bucket.
ENDS = {
    "reload": Exit.NOT_RUNNING, "health": Exit.NOT_RUNNING, "forget": Exit.USAGE,
    "publish": Exit.REMOTE,
}  # fmt: skip


def arguments(world: World, command: str) -> list[str]:
    """Return what the command is run with; its target is a folder that is not there."""
    target = str(world.folder / "target")
    given = {
        "check": [str(world.path)],
        "report": [f"{target}.html", "-c", str(world.path)],
        "export": [target, "-c", str(world.path)],
        "demo": [target],
        "simulator": [target, "--series", "spot/klines/BTCUSDT/1h", "--port", "0"],
        "forget": ["spot/klines/NONE/1m", "-c", str(world.path)],
        "init": [f"{target}.toml", "--symbols", "AUSDT", "--intervals", "1h"],
        "symbols": ["spot/*", "-c", str(world.path)],
    }
    return [command, *given.get(command, ["-c", str(world.path)]), *COMMANDS[command]]


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fullpool", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_signals_end_commands_at_any_moment(
    world: World, clean: list[tuple[object, ...]], command: str
) -> None:
    sync(world.config)
    chance = random.Random(command)  # noqa: S311 - the same every time
    world.vendor.fail(Fault("*", "slow", 100))
    ended = 0
    for moment in range(MOMENTS):
        if command == "sync":
            shutil.rmtree(world.lake, ignore_errors=True)
        number = (signal.SIGINT, signal.SIGTERM)[moment % 2]
        process = started(*arguments(world, command))
        wait(chance.uniform(0.05, 2.5))
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        shutil.rmtree(world.folder / "target", ignore_errors=True)
        (world.folder / "target.toml").unlink(missing_ok=True)

        assert "Traceback" not in said, said
        # -number: in the tenth of a second before a program of ours has begun.
        expected = {128 + number, -number, ENDS.get(command, Exit.OK)}
        assert process.returncode in expected, (process.returncode, said)
        ended += process.returncode == 128 + number
        if process.returncode == 128 + number:
            assert said.splitlines()[-1].startswith("stopped"), said
            assert "hint:" not in said
    # The others may all have ended by themselves before the signal came.
    assert ended or command not in ("sync", "sql", "simulator", "web", "symbols")

    world.vendor.fail()
    world.require_sound(clean)


IN_A_CALLBACK = """
import os, signal, time, weakref
from fullpool.app.signals import watch_signals

class Thing:
    pass

watch_signals()
thing = Thing()
kept = weakref.ref(thing, lambda _: [os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.1)])
del thing
time.sleep(20)
"""


def test_a_stopped_query_leaves_no_part_of_its_file(
    world: World, clean: list[tuple[object, ...]], tmp_path: Path
) -> None:
    assert clean
    sync(world.config)
    target = tmp_path / "big.parquet"
    query = "SELECT a.*, random() FROM klines AS a, range(1000000)"
    running = started("sql", query, "-c", str(world.path), "--parquet", str(target))
    while not (tmp_path / ".big.parquet.part").exists():
        assert running.poll() is None
        wait(0.01)
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=60)

    assert (running.returncode, error) == (Exit.TERMINATED, "stopped\n")
    assert list(tmp_path.glob("*big*")) == []


def test_signals_during_weakref_callbacks_end_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_CALLBACK],
        check=False, capture_output=True, text=True, timeout=10,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "stopped\n")


AS_IT_IS_IMPORTED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
except BaseException as error:
    print("raised in the import:", repr(error))
"""


def test_signals_during_imports_end_it_afterwards(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text(AS_IT_IS_IMPORTED)
    script = (
        "import time; from fullpool.app.signals import watch_signals; watch_signals()\n"
        "import imported; time.sleep(1); print('not ended')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path,
        check=False, capture_output=True, text=True, timeout=10,
    )  # fmt: skip

    assert "raised in the import" not in done.stdout
    assert "not ended" not in done.stdout
    assert "Interrupted" in done.stderr  # the script has nobody who would catch it


def silent_resolver(world: World) -> list[str]:
    """Return what a command is run under to find a name server that never answers."""
    resolver = world.folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    script = world.folder / "silent.sh"
    listener = (
        "import socket, time; s = socket.socket(2, 2); s.bind(('127.0.0.1', 53)); time.sleep(60)"
    )
    script.write_text(
        f"mount --bind {resolver} /etc/resolv.conf && ip link set lo up\n"
        f'{sys.executable} -c "{listener}" &\nsleep 0.3\nexec "$@"\n'
    )
    return ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "bash", str(script)]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["sync", "plan", "doctor", "run"])
def test_signals_are_noticed_during_name_resolution(
    world: World, command: str, number: signal.Signals
) -> None:
    text = world.path.read_text().replace("127.0.0.1:", "vendor.invalid:")
    world.path.write_text(text.replace("http://", "https://").replace('"AUSDT"', '"A*"'))
    line = f"{sys.executable} -m fullpool {command} -c {world.path}"
    # The signal comes from inside: `unshare` would not hand it on.
    inside = f'{line} & p=$!; sleep 2.5; kill -{number} $p; wait $p; echo "code $?"'
    done = subprocess.run(
        [*silent_resolver(world), "bash", "-c", inside],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert f"code {0 if command == 'run' else 128 + number}" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:" not in done.stderr
