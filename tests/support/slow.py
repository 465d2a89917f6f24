"""Writes tests/slow.txt: what `make test` leaves to `make test-slow`. Usage: slow.py JUNIT.

JUNIT is what `make test-all ARGS=--junitxml=FILE` leaves. The quickest tests that fit into the time
stay in `make test`; every test of a function is where its slowest case is.
"""

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Final

SLOW: Final = Path(__file__).parents[1] / "slow.txt"
# Of the seconds of all tests, this share may be of those that stay.
_SHARE: Final = 0.13


def main(junit: Path) -> None:
    seconds: dict[str, float] = defaultdict(float)
    for case in ET.parse(junit).getroot().iter("testcase"):  # noqa: S314 - pytest wrote it
        if not case.attrib["classname"]:  # a module that was skipped as a whole
            continue
        parts = case.attrib["classname"].split(".")
        module = next(n for n, part in enumerate(parts) if part.startswith("test_"))
        name = case.attrib["name"].partition("[")[0]
        where = "/".join(parts[: module + 1]) + ".py"
        seconds["::".join([where, *parts[module + 1 :], name])] += float(case.attrib["time"])
    left = _SHARE * sum(seconds.values())
    slow = []
    for test, took in sorted(seconds.items(), key=lambda item: item[1]):
        left -= took
        slow += [test] if left < 0 else []
    SLOW.write_text("\n".join(sorted(slow)) + "\n")
    sys.stdout.write(f"{len(slow)} of {len(seconds)} test functions are in {SLOW}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
