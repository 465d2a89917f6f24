"""The README, the reference and the shipped configuration are held to the code."""

import re
import tomllib
from pathlib import Path

from fullpool.cli.program import program
from fullpool.errors import Exit, FullpoolError
from fullpool.gaps import Explanation
from fullpool.jobs import Job
from fullpool.kinds import KINDS
from fullpool.model import Cadence, Market, Status

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
SOURCES = sorted((ROOT / "daemon" / "fullpool").rglob("*.py"))


def section(title: str) -> str:
    return REFERENCE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_exit_codes_match_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", section("Exit codes"), re.MULTILINE)

    assert [(int(code), name) for code, name in rows] == [(int(one), one.name) for one in Exit]


def test_deliberate_errors_have_code_and_hint() -> None:
    for error in FullpoolError.__subclasses__():
        assert error.exit_code in Exit
        assert error.hint


def test_log_events_match_the_code() -> None:
    listed = re.findall(r"^\| `([\w.]+)` \|", section("Log events"), re.MULTILINE)

    assert sorted(listed) == sorted(_logged())


def _logged() -> set[str]:
    """Return every text in the sources that has the form of an event."""
    nouns = (
        "archive|series|partition|generation|pass|gap|row|rest|config|clock|control|daemon"
        "|housekeeping|job|workers|instruments|follow|tail|remote|cluster"
    )
    event = re.compile(rf'"((?:{nouns}|metrics)\.[a-z_]+)"')
    found = {name for path in SOURCES for name in event.findall(path.read_text())}
    return {name for name in found if not name.endswith(".html")}


def test_jobs_match_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Jobs"), re.MULTILINE)

    assert sorted(listed) == sorted(str(job) for job in Job)


def test_statuses_match_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Archive statuses"), re.MULTILINE)

    assert sorted(listed) == sorted(str(status) for status in Status)


def test_explanations_match_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Gap explanations"), re.MULTILINE)

    assert sorted(listed) == sorted(str(one) for one in Explanation)


def test_commands_match_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Commands"), re.MULTILINE)

    names = [c.name or c.callback.__name__ for c in program.registered_commands if c.callback]
    assert sorted(listed) == sorted(names)


def test_its_configuration_parses() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)

    assert tomllib.loads(block)["dataset"][0]["market"] == "spot"


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert "://" in target or (ROOT / target).exists(), target


def test_fault_table_names_existing_tests() -> None:
    table = (ROOT / "docs" / "faults.md").read_text()
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    written = "".join(sources.values())

    missing = [n for n in re.findall(r"`(test_\w+)`", table) if f"def {n}(" not in written]
    files = [n for n in re.findall(r"`tests/\w+/(test_\w+\.py)`", table) if n not in sources]
    assert (missing, files) == ([], [])


def test_metrics_match_the_code() -> None:
    listed = set(re.findall(r"`(fullpool_\w+)", section("Metrics")))
    source = (ROOT / "daemon" / "fullpool" / "metrics.py").read_text()

    named = {f"fullpool_{name}" for name in re.findall(r'_(?:gauge|labelled)\(\s*"(\w+)"', source)}
    counters = re.findall(r'CounterMetricFamily\(\s*"(fullpool_\w+)"', source)
    counters += [f"fullpool_{name}" for name in re.findall(r'_counter\(\s*"(\w+)"', source)]
    named |= {f"{name}_total" for name in counters}
    named |= set(re.findall(r'"(fullpool_\w+)"', source)) - set(counters)
    assert listed == named


def test_kinds_match_the_table() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| ([\w, ]+) \| ([\w, ]+) \| ([^|]+) \|", section("Kinds"),
        re.MULTILINE,
    )  # fmt: skip

    expected = []
    for kind in KINDS.values():
        markets = ", ".join(market for market in Market if market in kind.markets)
        archives = ", ".join(
            word
            for cadence, word in ((Cadence.DAY, "daily"), (Cadence.MONTH, "monthly"))
            if cadence in kind.cadences
        )
        expected.append((kind.name, kind.table, markets, archives, kind.key))
    found = [
        (name, table, markets, archives, tuple(re.findall(r"`(\w+)`", key)))
        for name, table, markets, archives, key in rows
    ]
    assert found == expected
