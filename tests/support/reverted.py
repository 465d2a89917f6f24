"""Reverts fixes of lost rows in a copy of the code, one at a time; histories have to notice each.

Usage: python tests/support/reverted.py [WORD...]: those whose names have one of the words.
HISTORIES says how many are invented for each at most, 40 unless told. Says what found each, and
ends with 1 if one could be reverted unnoticed, or is not where it was.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HISTORIES: Final = "40"


@dataclass(frozen=True, slots=True)
class Change:
    """A text of a module, and what is put in its place."""

    module: str
    text: str
    other: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix, named by what is wrong without it, and the kind of history that meets it soonest."""

    name: str
    kind: str
    changes: tuple[Change, ...]


def fix(name: str, kind: str, *changes: tuple[str, str, str]) -> Fix:
    return Fix(name, f"Test{kind}", tuple(Change(*change) for change in changes))


STAND_INS: Final = "stand_ins.py"
FIXES: Final = (
    fix(
        "1 sync never audits", "Klines",
        ("sync/passes.py", "if last is not None and last.date()", "if False and last.date()"),
    ),
    fix(
        "2 a month is not asked for where its days fail or have a hole", "RawTrades",
        (STAND_INS, "        if month.series in wants\n", "        if not months\n"),
        (STAND_INS, "if month in months and vendor.first", "if not month and vendor.first"),
    ),
    fix(
        "3 a month that fails does not fall to its days", "RawTrades",
        (STAND_INS, "if not vendor.has_daily(month.series):", "if month.series:"),
        (STAND_INS, "elif record.is_held or record.is_of_no_use:", "elif record.is_held:"),
    ),
    fix(
        "4a archives before the first one are not found", "Klines",
        ("sync/archives/audit.py", "    done.found += found\n", ""),
    ),
    fix(
        "4b days of an earlier month without archive are not listed", "Klines",
        (
            "planning.py",
            "        if not want.overlaps(month.span):\n            continue\n",
            "        if monthly and month < max(monthly):\n            continue\n",
        ),
    ),
    fix(
        "5 the hole of one series hides that of another", "Klines",
        (
            STAND_INS,
            "for record in known.get(gap.series, ())}",
            "for every in known.values() for record in every}",
        ),
    ),
    fix(
        "6 what a clock ahead had recorded stays", "Klines",
        ("sync/passes.py", "is_news = state.take_back(work.now())", "is_news = False"),
    ),
    fix(
        "7a gaps that touch are two", "Klines",
        ("gaps.py", "if found and _belong_together", "if not found and _belong_together"),
    ),
    fix(
        "7b each piece of evidence is judged by itself", "FoldedYear",
        ("evidence.py", "if not inside or unasked", "if len(inside) != 1 or unasked"),
    ),
    fix(
        "8a what was taken for the end of a series stays so", "Klines",
        (
            "gaps.py",
            "gap.explanation is Explanation.DELISTED and not missing.is_tail",
            "gap.explanation is None",
        ),
    ),
    fix(
        "8b ids that begin anew are counted as if they went on", "Trades",
        (
            "cuts.py",
            "return sum(inside.rows(file, span) for file in held if file.path)",
            "return held[-1].last_key - held[0].first_key + 1 if held and inside else 0",
        ),
    ),
    fix(
        "9a bars off the grid are missing", "Klines",
        ("grid.py", "return self.step / 10", "return timedelta()"),
    ),
    fix(
        "9b bars that follow each other at their own length lack one", "Klines",
        ("grid.py", "opening = min(opening, ", "opening = min(opening, opening + "),
        ("store/partitions/holes.py", 'f"least({opening}, ', 'f"greatest({opening}, 0 * '),
    ),
    fix(
        "14 archives that are merged are not examined", "Trades",
        ("store/partitions/build.py", "if not arranged.is_strict:", "if arranged:"),
    ),
)  # fmt: skip


def main() -> int:
    words = sys.argv[1:] or [""]
    chosen = [one for one in FIXES if any(word in one.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="reverted-") as folder:
        noticed = [is_noticed(one, Path(folder) / "copy") for one in chosen]
    say(f"{sum(noticed)} of {len(chosen)} are noticed")
    return 0 if all(noticed) else 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def is_noticed(one: Fix, copy: Path) -> bool:
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("daemon", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for change in one.changes:
        path = copy / "daemon/fullpool" / change.module
        content = path.read_text(encoding="utf-8")
        if content.count(change.text) != 1:
            say(f"{one.name}: {change.module} does not have {change.text!r} once")
            return False
        path.write_text(content.replace(change.text, change.other), encoding="utf-8")
    done = run_histories(one, copy)
    said = re.findall(r"^E   +((?:assert|\w+Error)\b.*)", done.stdout, re.MULTILINE)
    say(f"{one.name}: {said[0] if said else 'nothing noticed'}")
    return done.returncode == 1 and bool(said)


def run_histories(one: Fix, copy: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HISTORIES": HISTORIES} | os.environ
    environment["PYTHONPATH"] = str(copy / "daemon")  # found before the code as it is
    test = f"tests/integration/test_history.py::{one.kind}"
    command = [sys.executable, "-m", "pytest", "-x", "-m", "", test]
    return subprocess.run(
        command, cwd=copy, env=environment, check=False, capture_output=True, text=True
    )


if __name__ == "__main__":
    sys.exit(main())
