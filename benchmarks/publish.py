"""What publishing to object storage costs, and how fast others read it there.

A lake of 100 series by 50 files is published to SeaweedFS on this machine; then one partition
changes. Of a lake of 50,000 files only the commit is measured: its files are taken for sent. With
ENGINES_PYTHON (see `make test-engines`) engines ask for a week of one symbol and for a day of all.
Usage: publish.py [FILES...]
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import full
import harness

from fullpool.app.configuration import load_config, tree_of
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.contents import Contents
from fullpool.remote.inventory import Inventory
from fullpool.remote.owner import OWNER, Owner
from fullpool.remote.publisher import Publisher
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import reading
from fullpool.store.remote_record import RemoteRecord
from fullpool.store.state.opening import open_state
from fullpool.sync.publishing import publish_state
from seaweed import KEY, SECRET, credentials, served

FILES_A_SERIES = 19
GRACE = timedelta(hours=24)
ENGINES = ("duckdb", "polars", "chdb", "pyiceberg", "sail")
W = (
    "SELECT count(*) AS n, sum(volume) AS v FROM {t} WHERE symbol = 'S42USDT' AND open_time >="
    " TIMESTAMP '2026-11-21 00:00:00' AND open_time < TIMESTAMP '2026-11-28 00:00:00'"
)
D = (
    "SELECT symbol, count(*) AS n, sum(volume) AS v FROM {t} WHERE open_time >="
    " TIMESTAMP '2026-11-25 00:00:00' AND open_time < TIMESTAMP '2026-11-26 00:00:00'"
    " GROUP BY symbol"
)


def publisher(root: Path, address: str, to: str) -> Publisher:
    tree = tree_of(load_config(root / "fullpool.toml"))
    return Publisher(tree, Bucket(to, credentials(address)), GRACE, lambda: datetime.now(UTC))


def take_for_sent(root: Path, address: str, to: str) -> None:
    """Note that all files are there, so that nothing but the commit is left to do."""
    one = publisher(root, address, to)
    with reading(one.tree) as reader:
        found = [Object(path, size, "") for path, size in Contents(reader).sizes()]
    lake = remote_record.name_of(one.tree)
    inventory = Inventory(to, lake, 1)
    for each in found:
        inventory.add(each)
    inventory.write(one.tree)
    one.bucket.put(OWNER, Owner(lake, 1).content())
    RemoteRecord(to, 1, is_whole=True).write(one.tree)


def change_one(root: Path) -> None:
    """Have one partition of the lake be another file."""
    tree = tree_of(load_config(root / "fullpool.toml"))
    state = open_state(tree.state, tree.staging / "spill", full.NOW)
    generation = state.next_value("generation")
    ((old,),) = state.connection.execute(
        "SELECT path FROM internal.partitions WHERE symbol = 'S7USDT' ORDER BY path DESC LIMIT 1"
    ).fetchall()
    new = old.replace(".g000001.", f".g{generation:06d}.")
    os.link(tree.root / old, tree.root / new)
    state.connection.execute(
        "UPDATE internal.partitions SET path = ?, generation = ? WHERE path = ?",
        [new, generation, old],
    )
    publish_state(state, tree, generation, full.NOW)
    state.close()


# Runs a program from a small process, and prints what that took: a program's peak counts the memory
# of the process that started it.
WATCH = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(child.pid, 0)
assert status == 0, status
cpu_s = round(used.ru_utime + used.ru_stime, 2)
wall_s = round(time.perf_counter() - began, 2)
print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": used.ru_maxrss // 1000}))
"""


def measured(root: Path, address: str, to: str) -> dict[str, float]:
    """Publish once, as the daemon has it done; return what that took, with the start of Python."""
    order = {
        "root": str(root / "lake"), "publish": {"to": to}, "grace_s": GRACE.total_seconds(),
    }  # fmt: skip
    command = [sys.executable, "-m", "fullpool.remote", json.dumps(order)]
    environment = {**os.environ, **credentials(address), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", WATCH, *command],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    told = json.loads(done.stderr.splitlines()[-1])
    return found | {"files": told["files"], "mb": round(told["size_bytes"] / 1e6, 1)}


def asked(engine: str, address: str, to: str, sql: str) -> float:
    """Return how long an engine takes for one question, from its start on a table it has opened."""
    order = {
        "engine": engine, "root": to, "table": "klines", "endpoint": address, "key": KEY,
        "secret": SECRET, "questions": {"first": sql, "again": sql}, "snapshot": 0,
        "catalogue": "lake.duckdb", "is_timed": True,
    }  # fmt: skip
    script = Path(__file__).parents[1] / "tests" / "support" / "engine_reader.py"
    done = subprocess.run(
        [os.environ["ENGINES_PYTHON"], str(script)],
        input=json.dumps(order), check=True, capture_output=True, text=True,
    )  # fmt: skip
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    return float(answers["seconds"]["first"])


def one_size(files: int, address: str, folder: Path) -> dict[str, object]:
    root, to = folder / f"lake-{files}", f"s3://bench/{files}"
    full.FIRST = date(2026, 11, 20)  # eight days a file: a third of a megabyte
    full.invent(root, round(files / FILES_A_SERIES))
    tree = tree_of(load_config(root / "fullpool.toml"))
    state = open_state(tree.state, tree.staging / "spill", full.NOW)
    publish_state(state, tree, state.next_value("generation"), full.NOW)
    state.close()
    if files > 10_000:
        take_for_sent(root, address, to)
    first = measured(root, address, to)
    change_one(root)
    change = measured(root, address, to)
    found: dict[str, object] = {"files": files, "first": first, "one change": change}
    if "ENGINES_PYTHON" in os.environ and files <= 10_000:
        found["engines"] = {
            engine: {"W_s": asked(engine, address, to, W), "D_s": asked(engine, address, to, D)}
            for engine in ENGINES
        }
    return found


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [5_000, 50_000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weed").mkdir()
        with served(folder / "weed", "bench") as address:
            found = [one_size(files, address, folder) for files in sizes]
    for one in found:
        print(json.dumps(one, indent=1))
    harness.save("publish", found)


if __name__ == "__main__":
    main()
