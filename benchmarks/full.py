"""A lake at full size: what a publication, looks for work and questions cost, by its partitions.

The state and the files are invented: each series has the archives of eight years and eleven months
on record, and 19 partitions, which are hard links of one real file. Usage: full.py [SERIES...]
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event

import harness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from fullpool import logs
from fullpool.app import pools, syncing
from fullpool.app.assembly import working
from fullpool.app.configuration import tree_of
from fullpool.config import parse
from fullpool.model import Interval, Market, Series, Span
from fullpool.planning import Want
from fullpool.store import inventory
from fullpool.store.catalogue.figures import figures_of
from fullpool.store.catalogue.reader import reading
from fullpool.store.state.opening import open_state
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync.archives.due import due_steps
from fullpool.sync.gaps.finder import GapFinder
from fullpool.sync.outcome import Outcome
from fullpool.sync.preview import preview
from fullpool.sync.publishing import publish_state
from served import Seen, Vendor, dataset

SIZES = (53, 526, 5_000)
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
JANUARY = datetime(2027, 1, 15, 9, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 27)
# Years of 2018 to 2025, then months; k counts them.
_PERIODS = (
    "SELECT if(k < 8, strftime(a, '%Y'), strftime(a, '%Y-%m')) AS p, a,"
    " least(b, TIMESTAMP '2026-11-28') AS b FROM (SELECT k,"
    " if(k < 8, TIMESTAMP '2018-01-01' + to_years(k), TIMESTAMP '2026-01-01' + to_months(k - 8))"
    " AS a, if(k < 8, a + INTERVAL 1 YEAR, a + INTERVAL 1 MONTH) AS b FROM range(19) AS r(k))"
)
_MONTHS_AND_DAYS = (
    "SELECT strftime(a, '%Y-%m') AS p, a, a + INTERVAL 1 MONTH AS b, 'monthly' AS cadence FROM"
    " (SELECT TIMESTAMP '2018-01-01' + to_months(k) AS a FROM range(106) AS r(k))"
    " UNION ALL SELECT strftime(a, '%Y-%m-%d'), a, a + INTERVAL 1 DAY, 'daily' FROM"
    " (SELECT TIMESTAMP '2026-11-01' + to_days(k) AS a FROM range(27) AS r(k))"
)


def invent(root: Path, series: int) -> Path:
    """Make a lake of so many series; return the path of its configuration."""
    shutil.rmtree(root, ignore_errors=True)
    with Vendor(root / "vendor") as vendor:
        vendor.publish("spot/klines/S0USDT/1m", FIRST, LAST)
        text = dataset("spot/klines/S0USDT/1m", start=str(FIRST), end=str(LAST))
        syncing.sync(vendor.config(root / "lake", text), Seen(), Event())
        symbols = ", ".join(f'"S{n}USDT"' for n in range(series))
        whole = text.replace('"S0USDT"', symbols).replace(str(FIRST), "2018-01-01")
        path = root / "fullpool.toml"
        path.write_text(vendor.config_text(root / "lake", whole))
    tree = Tree(root / "lake")
    ((source, _),) = inventory.partition_files(tree)
    state = open_state(tree.state, tree.staging / "spill", NOW)
    _fill(state, series, (tree.root / source).stat().st_size)
    _link(tree, tree.root / source, [file.path for file in state.queries.files.current()])
    state.close()
    return path


def _fill(state: State, series: int, size_bytes: int) -> None:
    run = state.connection.execute
    names = f"range({series}) AS s(s)"
    run("DELETE FROM internal.partitions")
    run("DELETE FROM sync.archives")
    run("DELETE FROM internal.listings")
    run("DELETE FROM internal.expected")
    run(
        "INSERT INTO internal.partitions BY NAME SELECT 'spot' AS market, 'klines' AS kind,"
        " 'S' || s || 'USDT' AS symbol, '1m' AS interval, p AS period,"
        " 'klines/market=spot/interval=1m/symbol=S' || s || 'USDT/' || p || '.g000001.parquet'"
        " AS path, 1 AS generation, date_diff('minute', a, b) AS row_count,"
        f" {size_bytes} AS size_bytes,"
        " a AS first_time, b - INTERVAL 1 MINUTE AS last_time, b AS written_at, 0 AS patched_rows,"
        " epoch_us(a) AS first_key, epoch_us(b) - 60000000 AS last_key,"
        f" md5(p || s) || md5(p || s) AS sha256 FROM {names}, ({_PERIODS})"
    )
    run(
        "INSERT INTO sync.archives BY NAME SELECT 'data/spot/' || cadence || '/klines/S' || s ||"
        " 'USDT/1m/S' || s || 'USDT-1m-' || p || '.zip' AS key, 'spot' AS market,"
        " 'klines' AS kind, 'S' || s || 'USDT' AS symbol, '1m' AS interval, p AS period,"
        " a AS period_start, b AS period_end, 'present' AS status, '' AS reason,"
        " md5(p || s) AS etag, 60000 AS size_bytes, b + INTERVAL 6 HOUR AS modified_at,"
        " md5('x' || p || s) || md5('y' || p || s) AS sha256, 60000 AS held_bytes,"
        " date_diff('minute', a, b) AS row_count, a AS first_time, b - INTERVAL 1 MINUTE AS"
        " last_time, 0 AS attempts, b + INTERVAL 7 HOUR AS tried_at, 'verified' AS checksum,"
        f" b + INTERVAL 7 HOUR AS recorded_at FROM {names}, ({_MONTHS_AND_DAYS})"
    )
    run(
        "INSERT INTO internal.listings BY NAME SELECT 'spot' AS market, 'klines' AS kind,"
        " 'S' || s || 'USDT' AS symbol, '1m' AS interval, TIMESTAMP '2018-01-01' AS listed_from,"
        " TIMESTAMP '2200-01-01' AS listed_to, TIMESTAMP '2026-11-28 08:00' AS listed_at,"
        f" TIMESTAMP '2026-11-28' AS known_until FROM {names}"
    )
    state.passes.record_wanted({want.series: want.span for want in wants(series)})
    run("CHECKPOINT")


def _link(tree: Tree, source: Path, paths: list[str]) -> None:
    """Give one file many names; a file has at most 65,000."""
    base = source
    for number, path in enumerate(paths):
        if number % 60_000 == 0:
            base = tree.root / f".staging/base{number}"
            shutil.copy(source, base)
        target = tree.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(base, target)


def wants(series: int) -> list[Want]:
    span = Span(datetime(2018, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
    names = (Series(Market.SPOT, "klines", f"S{n}USDT", Interval.M1) for n in range(series))
    return [Want(name, span) for name in names]


def publication(state: State, tree: Tree, _series: int) -> None:
    """Publish the change of one partition."""
    state.connection.execute(
        "UPDATE internal.partitions SET sha256 = uuid()::VARCHAR WHERE rowid = 7"
    )
    publish_state(state, tree, state.next_value("generation"), NOW)


def at_rest(state: State, tree: Tree, series: int) -> None:
    """Do what a quiet hour of the daemon does, and have what is left of memory counted."""
    publication(state, tree, series)
    quiet_tick(state, tree, series)
    figures_of(state.connection)
    pools.give_back_memory()


def sweep(state: State, tree: Tree, _series: int) -> None:
    inventory.sweep(state, tree, NOW)


def quiet_tick(state: State, _tree: Tree, series: int) -> None:
    due_steps(state.queries.due(NOW), state.queries, wants(series), NOW)


def january_tick(state: State, _tree: Tree, series: int) -> None:
    due_steps(state.queries.due(JANUARY), state.queries, wants(series), JANUARY)


def look(state: State, tree: Tree, series: int) -> None:
    """Look for the gaps of all series, as after midnight; none of them has one."""
    config = parse((tree.root.parent / "fullpool.toml").read_text(), "full.toml")
    with working(config, Seen(), Event(), nullcontext(pools.Idle())) as work:
        GapFinder(replace(work, now=lambda: NOW), state, Outcome(), wants(series)).look()


def plan(state: State, tree: Tree, _series: int) -> None:
    """Do what `fullpool plan` does where nothing is to be listed."""
    config = parse((tree.root.parent / "fullpool.toml").read_text(), "full.toml")
    with working(config, Seen(), Event(), nullcontext(pools.Idle())) as work:
        preview(replace(work, now=lambda: NOW), state.queries)


ACTS: dict[str, Callable[[State, Tree, int], None]] = {
    "publication": publication,
    "at rest": at_rest,
    "sweep": sweep,
    "quiet tick": quiet_tick,
    "quiet tick of January": january_tick,
    "look after midnight": look,
    "plan": plan,
}
ASKED = {
    "view, one symbol": "SELECT count(*), sum(close) FROM klines WHERE symbol = 'S7USDT'",
    "view, one day": "SELECT count(*), sum(close) FROM klines"
    " WHERE open_time >= '2026-11-01' AND open_time < '2026-11-02'",
    "macro, one symbol": "SELECT count(*), sum(close) FROM klines_of('S7USDT')",
    "klines_between, one day": "SELECT count(*), sum(close)"
    " FROM klines_between('2026-11-01', '2026-11-02')",
    "klines_between, planning": "EXPLAIN SELECT count(*), sum(close)"
    " FROM klines_between('2026-11-01', '2026-11-02')",
    "klines_latest": "SELECT count(*), sum(close) FROM klines_latest()",
    "files of the day by hand": "SELECT count(*), sum(close::DOUBLE) FROM"
    " read_parquet('{root}/klines/market=spot/interval=1m/*/2026-11.g000001.parquet')"
    " WHERE open_time >= '2026-11-01' AND open_time < '2026-11-02'",
}


def measure(what: str, root: Path, series: int) -> dict[str, float]:
    """Do one thing in this process; return seconds of wall and CPU, and megabytes."""
    logs.configure("CRITICAL")
    config = parse((root / "fullpool.toml").read_text(), "full.toml")
    tree = tree_of(config)
    if what in ASKED:
        return _asked(tree, ASKED[what].format(root=tree.root))
    state = open_state(tree.state, tree.staging / "spill", NOW)
    before = _written(tree)
    wall, cpu = time.perf_counter(), time.process_time()
    ACTS[what](state, tree, series)
    found = {
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
        "peak_mb": memory_mb("VmHWM"),
    }
    if what == "publication":
        found["written_mb"] = round((_written(tree) - before) / 1e6, 2)
    if what == "at rest":
        found = {"resident_mb": memory_mb("VmRSS")}
    state.close()
    return found


def _written(tree: Tree) -> int:
    """Return the bytes of all generations; a file that two of them share counts once."""
    files = (path.stat() for path in tree.catalogues.rglob("*") if path.is_file())
    return sum({file.st_ino: file.st_size for file in files}.values())


def memory_mb(name: str) -> int:
    """Return a figure of this process; what `getrusage` tells counts its parent's memory too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1000


def _asked(tree: Tree, sql: str) -> dict[str, float]:
    """Return the best of three, and the time to open the lake and ask once."""
    times = []
    for _ in range(3):
        with reading(tree) as reader:
            began = time.perf_counter()
            reader.query(sql)
            times.append(time.perf_counter() - began)
    return {"wall_s": round(min(times), 4)}


def in_its_own_process(what: str, root: Path, series: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, str(root), str(series)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def command(config: Path, *arguments: str) -> dict[str, float]:
    lake = str(config.parent / "lake")
    found = harness.run([sys.executable, "-m", "fullpool", *arguments, "--lake", lake])
    return {"wall_s": round(found.wall_s, 2), "cpu_s": round(found.cpu_s, 2)}


def measured(series: int) -> list[dict[str, object]]:
    root = harness.CACHE / f"full{series}"
    config = invent(root, series)
    rows: list[dict[str, object]] = []
    in_its_own_process("publication", root, series)  # the first one writes all tables
    for what in (*ACTS, *ASKED):
        rows.append({"series": series, "what": what, **in_its_own_process(what, root, series)})
        print(rows[-1], flush=True)
    for arguments in (("status",), ("gaps",), ("generations",), ("doctor",)):
        rows.append({"series": series, "what": arguments[0], **command(config, *arguments)})
        print(rows[-1], flush=True)
    size_mb = round(Tree(root / "lake").state.stat().st_size / 1e6, 1)
    rows.append({"series": series, "what": "state", "written_mb": size_mb})
    shutil.rmtree(root)
    return rows


def main() -> None:
    logs.configure("CRITICAL")
    sizes = [int(text) for text in sys.argv[1:]] or SIZES
    rows = [row for series in sizes for row in measured(series)]
    harness.save("full", rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
