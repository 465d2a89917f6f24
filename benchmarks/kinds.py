"""Every other kind against the limit script, and a month of trades whose CSV has more than 4 GB.

All of it, or the parts named: kinds, options, month.
"""

import shutil
import sys
import zipfile
from pathlib import Path

import data
import harness
import large
from serve import serving

ROUNDS = 3


def prefixes(root: Path, used: str) -> list[str]:
    """Return the folders of the archives that a sync fetches: by month where there are both."""
    zips = sorted(root.rglob("*.zip"))
    folders = {str(path.parent.relative_to(root)) + "/" for path in zips}
    return sorted(folder for folder in folders if f"/{used}/" in folder)


def text_mb(root: Path, folders: list[str]) -> float:
    """Return the megabytes of CSV in the archives of some folders."""
    sizes = 0
    for folder in folders:
        for path in (root / folder).glob("*.zip"):
            with zipfile.ZipFile(path) as opened:
                sizes += sum(info.file_size for info in opened.infolist())
    return sizes / 1e6


def race(root: Path, scratch: Path, series: str, rounds: int) -> list[dict[str, object]]:
    """Sync the archives of one series, and have the limit script do it, in turns."""
    used = "monthly" if "fundingRate" in series or "month" in str(root) else "daily"
    folders = prefixes(root, used)
    megabytes = text_mb(root, folders)
    with serving(root, scratch / "nginx", tls=True) as server:

        def limit(number: int) -> harness.Run:
            return harness.limit(server, scratch / f"limit{number}", *folders)

        def ours(number: int) -> harness.Run:
            return large.sync(server, scratch, f"lake{number}", series, watches_memory=True)

        runs = harness.interleaved({"limit": limit, "fullpool sync": ours}, rounds)
    rows = harness.table(runs, "limit")
    for row in rows:
        row["program"] = f"{series}, {row['program']}"
        row["csv_mb"] = round(megabytes)
        row["csv_mb_per_s"] = round(megabytes / row["wall_s"], 1)
    return rows


def others(run_folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for one, folder in data.kinds(harness.CACHE / "kinds").items():
        print(one)
        found += race(folder, run_folder, one, ROUNDS)
        shutil.rmtree(run_folder, ignore_errors=True)
    return found


def options(run_folder: Path) -> list[dict[str, object]]:
    return race(data.options(harness.CACHE / "options"), run_folder, data.OPTIONS, ROUNDS)


def month(run_folder: Path) -> list[dict[str, object]]:
    root = data.month_of_trades(harness.CACHE / "month")
    return race(root, run_folder, "spot/trades/BTCUSDT", 2)


PARTS = {"kinds": others, "options": options, "month": month}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(name)
        shutil.rmtree(harness.CACHE / "run", ignore_errors=True)
        harness.save(name, PARTS[name](harness.CACHE / "run"))
