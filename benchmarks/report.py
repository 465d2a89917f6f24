"""Writes what was measured as tables and plots."""

import json
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import harness
from matplotlib import pyplot as plt

TITLES = {
    "small-0ms": "2,000 daily 1m archives over TLS, 0 ms",
    "small-20ms": "2,000 daily 1m archives over TLS, 20 ms",
    "large": "4 aggTrades archives of about 50 MB over TLS",
    "memory": "Memory of all processes together, one archive with a CSV of 1 GB",
    "kinds": "The other kinds over TLS, one series each",
    "options": "EOHSummary over TLS, 14 days of 5,520 rows",
    "month": "A month of spot trades over TLS, with a CSV of more than 4 GB",
    "peers": "One symbol, 12 monthly and 20 daily archives, 20 ms",
    "peers-faults": "The same archives with faults: what is on disk afterwards",
    "urllib-httpx": "One archive of more than 100 MB: urllib against httpx",
    "sizes": "Bytes for each row of real archives, as downloaded and in the lake",
    "queries": "Queries on 200 symbols x 24 months of 1m bars (400 files)",
    "rest": "500 gaps of 60 to 1,500 bars over REST, 20 ms, TLS",
    "gaps": "Looking for gaps in 200 symbols x 24 months of 1m bars (210 million rows)",
    "soak": "The daemon for ten minutes at sixty times its pace, second fifth of the time -> last",
    "full": "A lake of many series: what a publication, looks for work and questions cost",
    "follow": "Following series of 1m, with 8 readers",
    "planning": "Planning one query against the number of partitions",
}
BARS = ("small-0ms", "small-20ms", "large", "peers", "rest")


def main() -> None:
    parts = ["# What was measured\n", "Compare within a table, never across tables.\n"]
    for name, title in TITLES.items():
        path = harness.RESULTS / f"{name}.json"
        if not path.exists():
            continue
        document = json.loads(path.read_text())
        rows = document["result"]
        parts += [f"## {title}\n", _table(rows)]
        if name in BARS:
            _bars(name, title, rows)
            parts.append(f"![{title}]({name}.png)\n")
        if name == "soak":
            parts.append(f"![{title}](soak.png)\n")
        if name == "full":
            _grown(title, rows)
            parts.append(f"![{title}](full.png)\n")
        if name == "planning":
            _lines(title, rows)
            parts.append(f"![{title}](planning.png)\n")
        machine = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
        parts.append(f"Measured at {document['measured_at']} on: {machine}.\n")
    (harness.RESULTS / "README.md").write_text("\n".join(parts))


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _bars(name: str, title: str, rows: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.4 * len(rows)))
    values = [row["wall_s"] for row in rows]
    spread = [[row["wall_s"] - row["min_s"] for row in rows],
              [row["max_s"] - row["wall_s"] for row in rows]]  # fmt: skip
    axes.barh([row["program"] for row in rows], values, xerr=spread, color="#3b6ea5")
    axes.invert_yaxis()
    axes.set_xlabel("seconds (median, least and most)")
    axes.set_title(title)
    _save(figure, name)


def _grown(title: str, rows: list[dict[str, Any]]) -> None:
    """Draw each figure against the partitions, of which a series has 19; both scales are logs."""
    figure, axes = plt.subplots(figsize=(10, 6))
    axes.set_prop_cycle(color=[plt.colormaps["tab20"](n) for n in range(20)])
    timed = [row for row in rows if "wall_s" in row]
    for what in dict.fromkeys(row["what"] for row in timed):
        own = [row for row in timed if row["what"] == what]
        counts = [row["series"] * 19 for row in own]
        axes.loglog(counts, [row["wall_s"] for row in own], marker="o", label=what)
    counts = sorted({row["series"] * 19 for row in timed})
    axes.loglog(
        counts, [count / 20_000 for count in counts], "k--", label="growing with the partitions"
    )
    axes.set_xlabel("partitions")
    axes.set_ylabel("seconds")
    axes.set_title(title)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, "full")


def _lines(title: str, rows: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    counts = [row["partitions"] for row in rows]
    for key, label in (("view_ms", "view klines"), ("macro_ms", "macro klines_of")):
        axes.plot(counts, [row[key] for row in rows], marker="o", label=label)
    axes.set_xlabel("partitions")
    axes.set_ylabel("milliseconds to plan")
    axes.set_title(title)
    axes.legend()
    _save(figure, "planning")


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(harness.RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
