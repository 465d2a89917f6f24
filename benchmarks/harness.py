"""Measuring: runs of several programs, interleaved, with wall time, CPU and peak memory of each."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serve import Server

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CACHE = HERE.parent / ".cache" / "bench"


@dataclass(frozen=True)
class Run:
    """One run of a program: seconds of wall and CPU, peak bytes of all its processes together."""

    wall_s: float
    cpu_s: float
    peak_bytes: int | None
    output: str


def run(
    command: Sequence[str], env: Mapping[str, str] | None = None, *, watches_memory: bool = False
) -> Run:
    """Run a program to its end; exit if it fails.

    What was written before is on disk first: else the one that syncs its files pays for those that
    do not. To watch the memory takes a tenth of a core.
    """
    os.sync()
    # Modules are compiled once, as they are for a user, whatever the environment says.
    env = {k: v for k, v in (env or os.environ).items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = os.times()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    memory = _Memory(process.pid) if watches_memory else None
    output, _ = process.communicate()
    wall_s = time.perf_counter() - started
    after = os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    cpu_s = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Run(wall_s, cpu_s, memory.stop() if memory else None, output)


def limit(server: Server, out: Path, *arguments: str) -> Run:
    """Run the limit script into a folder that is removed then."""
    script, ca_file = str(HERE / "limit.py"), str(server.ca_file or "-")
    addresses = [server.archive_url, server.listing_url]
    found = run([sys.executable, script, *addresses, str(out), ca_file, *arguments])
    shutil.rmtree(out)
    return found


class _Memory:
    """Samples the proportional memory of a process and all below it, ten times a second."""

    def __init__(self, root: int) -> None:
        self._root, self._peak = root, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self._peak = max(self._peak, sum(map(pss_bytes, family(self._root))))


def family(root: int) -> list[int]:
    """Return a process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += parents.get(pid, [])
    return found


def pss_bytes(pid: int) -> int:
    """Return the proportional memory of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def interleaved(programs: Mapping[str, Callable[[int], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every program once a round, in turn, so that the machine's moods fall on all alike."""
    found: dict[str, list[Run]] = {name: [] for name in programs}
    for number in range(rounds):
        for name, program in programs.items():
            found[name].append(program(number))
            print(f"  round {number + 1}: {name:<28} {found[name][-1].wall_s:7.2f} s", flush=True)
    return found


def table(runs: Mapping[str, list[Run]], unit: str) -> list[dict[str, Any]]:
    """Return a row a program: medians, and its rate against that of the program *unit*."""
    base = statistics.median(run.wall_s for run in runs[unit])
    return [
        {
            "program": name,
            "wall_s": round(statistics.median(run.wall_s for run in all_), 3),
            "min_s": round(min(run.wall_s for run in all_), 3),
            "max_s": round(max(run.wall_s for run in all_), 3),
            "cpu_s": round(statistics.median(run.cpu_s for run in all_), 2),
            f"rate_vs_{unit}": round(base / statistics.median(run.wall_s for run in all_), 2),
        }
        | _peak(all_)
        for name, all_ in runs.items()
    ]


def _peak(runs: Sequence[Run]) -> dict[str, int]:
    seen = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return {"peak_mb": round(max(seen) / 1e6)} if seen else {}


def save(name: str, value: Any) -> None:
    """Write one result with the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document | {"result": value}, indent=1) + "\n")


def machine() -> dict[str, Any]:
    import duckdb  # noqa: PLC0415

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine(),
    )  # fmt: skip
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
    }
