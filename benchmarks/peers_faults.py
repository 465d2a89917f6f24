"""What four other tools and fullpool leave behind when something goes wrong, on one symbol.

Each starts afresh for each fault and is run twice: a transfer that is cut short once, a day that is
republished between the two runs, a day whose bytes are not those of its CHECKSUM. What counts are
the rows on disk and whose values they have, as DuckDB reads them; not what the tool says.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import data
import duckdb
import harness
import peers_race

from fullpool.simulator import Bucket, Fault, Simulator

DAY = date(2025, 1, 10)
NAME = f"BTCUSDT-1m-{DAY}"
VICTIM = f"data/spot/daily/klines/BTCUSDT/1m/{NAME}.zip"
SCRATCH = harness.CACHE / "faults"

Tool = Callable[[Simulator, Path], None]


def other_edition() -> bytes:
    """Return the day with other values, zipped."""
    staged = SCRATCH / "edition.zip"
    data.zip_into(staged, f"{NAME}.csv", data.klines("OTHER", DAY, 1440))
    return staged.read_bytes()


def theirs(tool: str, python: str, server: Simulator, home: Path) -> None:
    command, env = peers_race.driven(tool, python, server.url, home)
    subprocess.run(command, check=False, capture_output=True, env=env)


def ours(server: Simulator, home: Path) -> None:
    home.mkdir(exist_ok=True)
    command = peers_race.synced(server.url, server.listing_url, home / "lake")
    subprocess.run([*command, "--audit"], check=False, capture_output=True)


def left(home: Path) -> tuple[int, float]:
    """Return the rows that are on disk below *home*, and the sum of their volumes."""
    lake, out = home / "lake" / "lake.duckdb", home / "out"
    with duckdb.connect() as connection:
        if lake.exists():
            connection.execute(f"ATTACH '{lake}' AS lake (READ_ONLY)")
            source = "SELECT volume FROM lake.klines"
        elif files := [str(path) for path in out.rglob("*.parquet")]:
            source = f"SELECT volume FROM read_parquet({files}, union_by_name = true)"
        else:
            files = [str(path) for path in out.rglob("*.csv") if path.stat().st_size]
            if not files:
                return 0, 0.0
            source = f"SELECT column05 AS volume FROM read_csv({files}, header = false)"
        found = connection.execute(f"SELECT count(*), sum(volume::DOUBLE) FROM ({source})")
        count, total = found.fetchall()[0]
    return count, total or 0.0


def vendor(name: str) -> tuple[Path, Path]:
    """Return a bucket of its own for a case, and a home for the tool."""
    root, home = SCRATCH / name / "vendor", SCRATCH / name / "home"
    shutil.copytree(data.one_symbol(harness.CACHE / "one"), root)
    return root, home


def cut_short(name: str, tool: Tool) -> tuple[int, int]:
    """Return the rows after a run in which one transfer is cut short, and after the next."""
    root, home = vendor(f"{name}-cut")
    with Simulator(Bucket(root), faults=[Fault(f"*{NAME}.zip", "truncate", 20_000, 1)]) as server:
        tool(server, home)
        first = left(home)[0]
        tool(server, home)
    return first, left(home)[0]


def republished(name: str, tool: Tool, after: float) -> bool:
    root, home = vendor(f"{name}-republished")
    bucket = Bucket(root)
    with Simulator(bucket) as server:
        tool(server, home)
        (root / VICTIM).write_bytes(other_edition())
        (root / f"{VICTIM}.CHECKSUM").write_text(_checksum(root))
        bucket.refresh()
        tool(server, home)
        return abs(left(home)[1] - after) < 1


def altered(name: str, tool: Tool, after: float) -> bool:
    """Whether a day is refused whose CHECKSUM is that of other bytes."""
    root, home = vendor(f"{name}-altered")
    (root / VICTIM).write_bytes(other_edition())  # beside the CHECKSUM of the one before
    with Simulator(Bucket(root)) as server:
        tool(server, home)
        return abs(left(home)[1] - after) >= 1


def main() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    tools: dict[str, Tool] = {"fullpool": ours}
    for name, version in peers_race.TOOLS.items():
        tools[name] = partial(theirs, name, peers_race.python_of(name, version))
    root, home = vendor("truth")
    with Simulator(Bucket(root)) as server:
        ours(server, home)
    rows, before = left(home)
    changed = _sum(other_edition()) - _sum((root / VICTIM).read_bytes())
    table: list[dict[str, Any]] = []
    for name, tool in tools.items():
        first, second = cut_short(name, tool)
        table.append({
            "program": name,
            "rows_in_archives": rows,
            "rows_after_a_cut": first,
            "rows_after_the_next_run": second,
            "sees_a_republished_day": republished(name, tool, before + changed),
            "refuses_altered_bytes": altered(name, tool, before + changed),
        })  # fmt: skip
        print(table[-1], flush=True)
    harness.save("peers-faults", table)


def _checksum(root: Path) -> str:
    return f"{hashlib.sha256((root / VICTIM).read_bytes()).hexdigest()}  {NAME}.zip"


def _sum(zipped: bytes) -> float:
    """Return the sum of the volumes in a zipped day."""
    staged = SCRATCH / "day.zip"
    staged.write_bytes(zipped)
    shutil.unpack_archive(staged, SCRATCH / "day")
    with duckdb.connect() as connection:
        sql = f"SELECT sum(column05) FROM read_csv('{SCRATCH}/day/{NAME}.csv', header = false)"
        return float(connection.execute(sql).fetchall()[0][0])


if __name__ == "__main__":
    main()
