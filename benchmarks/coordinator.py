"""What a backfill on a cluster costs its coordinator and scheduler, by the number of archives.

All that workers do is left out: steps are planned, sent as tasks that do nothing, and recorded as
if they had been built. Usage: coordinator.py [ARCHIVES...]
"""

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import harness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from distributed import Client

from dask_cluster import DaskCluster
from fullpool.model import (
    Archive,
    Cadence,
    Identity,
    Interval,
    Known,
    Market,
    PartitionFile,
    Period,
    Series,
    Span,
    Status,
    Step,
)
from fullpool.planning import Want
from fullpool.store.partitions.messages import Accepted, Built, Edition, Order
from fullpool.store.state.opening import open_state
from fullpool.store.tree import Tree, partition_path
from fullpool.sync.archives.due import due_steps
from fullpool.sync.publishing import publish_state

A = TypeVar("A")

SIZES = (100_000, 1_000_000)
DAYS, FIRST = 500, date(2025, 1, 1)
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
IDENTITY = Identity("0" * 32, 60_000, NOW - timedelta(days=1))
# As many steps as end in a second on 50 workers.
BATCH = 50
TASKS = 3_000


def series(count: int) -> list[Series]:
    return [Series(Market.SPOT, "klines", f"S{n:05}USDT", Interval.M1) for n in range(count)]


def listed(one: Series) -> Iterator[Known]:
    for number in range(DAYS):
        archive = Archive(one, Period(FIRST + timedelta(days=number), Cadence.DAY))
        yield Known(archive, Status.LISTED, "", IDENTITY)


def built(step: Step) -> Built:
    """Return what a worker would return of a step."""
    accepted = tuple(
        Accepted(Edition(one.archive, "0" * 64, IDENTITY), 1440, span.start, span.end)
        for one in step.archives
        for span in [one.archive.period.span]
    )
    (partition,) = step.partitions
    file = PartitionFile(
        partition, partition_path(partition, 1), 1, 1440 * len(accepted), 2_000_000,
        accepted[0].first_time, accepted[-1].last_time, sha256="0" * 64,
    )  # fmt: skip
    return Built(step, (file,), accepted, ())


def timed(found: dict[str, Any], name: str, act: Callable[[], A]) -> A:
    began = time.process_time()
    value = act()
    found[name] = round(time.process_time() - began, 2)
    return value


def coordinated(archives: int, folder: Path) -> dict[str, Any]:
    """Plan and record a backfill; return CPU seconds of each part."""
    found: dict[str, Any] = {"archives": archives}
    names = series(archives // DAYS)
    tree = Tree(folder / "lake")
    tree.create()
    state = open_state(tree.state, tree.staging / "spill", NOW)

    def list_all() -> None:
        for at in range(0, len(names), 100):
            state.record_listings([], [k for one in names[at : at + 100] for k in listed(one)], NOW)

    timed(found, "record_listings_s", list_all)
    wants = [Want(one, Span(datetime(2025, 1, 1, tzinfo=UTC), NOW)) for one in names]
    due = timed(found, "load_due_s", lambda: state.queries.due(NOW))
    steps = timed(found, "plan_s", lambda: due_steps(due, state.queries, wants, NOW))
    found |= {"steps": len(steps), "planned_mb": peak_mb()}
    done = [built(step) for step in steps]

    def record_all() -> None:
        for at in range(0, len(done), BATCH):
            state.record_built(done[at : at + BATCH], tree.root, NOW)

    timed(found, "record_built_s", record_all)
    generation = state.next_value("generation")
    timed(found, "publication_s", lambda: publish_state(state, tree, generation, NOW))
    state.close()
    return found


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def nothing(_order: Order, answer: bytes) -> bytes:
    """Do what a worker does, but for fetching and building."""
    return answer


def messages(folder: Path) -> dict[str, Any]:
    """Send steps that do nothing; return milliseconds of CPU a step, here and in the scheduler."""
    (one,) = series(1)
    known = tuple(listed(one))[:31]
    month = Period(FIRST, Cadence.MONTH)
    step = Step(one, month, known, (), (), "new")
    order = Order(step, (), folder, folder, 1, 256, 1 << 30)
    answer = pickle.dumps((order, [replace(k, status=Status.PRESENT) for k in known]))
    with DaskCluster(folder / "dask") as cluster:
        for _ in range(2):
            cluster.start_worker(threads=8)
        assert cluster.scheduler is not None
        client: Any = Client(cluster.address.replace("dask", "tcp"), set_as_default=False)  # type: ignore[no-untyped-call]
        began, there = time.process_time(), cpu_s(cluster.scheduler.pid)
        for at in range(0, TASKS, 100):
            futures = [client.submit(nothing, order, answer, pure=False) for _ in range(100)]
            client.gather(futures)
            assert at < TASKS
        here, there = time.process_time() - began, cpu_s(cluster.scheduler.pid) - there
        client.close()
    return {
        "order_bytes": len(pickle.dumps(order)),
        "coordinator_ms_a_step": round(1000 * here / TASKS, 2),
        "scheduler_ms_a_step": round(1000 * there / TASKS, 2),
    }


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    if "--one" in sys.argv:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(coordinated(int(sys.argv[-1]), Path(name))))
        return
    sizes = [int(text) for text in sys.argv[1:]] or SIZES
    found: list[dict[str, Any]] = []
    for size in sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1], flush=True)
    with tempfile.TemporaryDirectory() as name:
        sent = messages(Path(name))
    print(sent)
    harness.save("coordinator", {"by_archives": found, "messages": sent})


if __name__ == "__main__":
    main()
