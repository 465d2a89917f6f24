"""Holds the figures in README and docs to what was measured. Usage: claims.py check|write|names.

`names` prints the benchmarks whose results are cited. `check` lists every text that says something
else than its result, and exits with 1. `write` does so too, and puts the figures into the texts.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import harness

ROOT = harness.HERE.parent
# The benchmark that writes a result of another name than its own.
_WRITTEN_BY = {
    "small-0ms": "small", "small-20ms": "small", "memory": "large", "peers": "peers_race",
    "peers-faults": "peers_faults", "cluster-150ms": "cluster", "cluster-20ms": "cluster",
}  # fmt: skip
_FIGURE = r"[\d.,]*\d"


@dataclass(frozen=True)
class Claim:
    """A passage of a page: *text* with {} in the place of each of its *figures*."""

    page: Path
    text: str
    figures: Sequence[str]

    def expected(self) -> str:
        """Return the passage as it should stand there."""
        return self.text.format(*map(_shown, self.figures))

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the passage, whatever figures are in it and where its lines break.

        Its groups are what stands around the figures.
        """
        parts = (re.escape(part).replace(r"\ ", r"\s+") for part in self.text.split("{}"))
        return re.compile(_FIGURE.join(f"({part})" for part in parts))

    def found(self) -> str | None:
        """Return the passage as it stands there; None if it does not."""
        match = self.pattern().search(self.page.read_text())
        return re.sub(r"\s+", " ", match[0]) if match else None

    def write(self) -> None:
        """Put the figures into the page."""
        content = self.page.read_text()
        if match := self.pattern().search(content):
            values = [*map(_shown, self.figures), ""]
            passage = "".join(chain.from_iterable(zip(match.groups(), values, strict=True)))
            self.page.write_text(content[: match.start()] + passage + content[match.end() :])


def claims() -> list[Claim]:
    """Return all claims, in the order of the file."""
    listed = tomllib.loads((harness.HERE / "claims.toml").read_text())["claim"]
    return [Claim(ROOT / one["page"], one["text"], one["figures"]) for one in listed]


def cited() -> list[str]:
    """Return the benchmarks whose results are cited."""
    results = (figure.split("/")[0] for claim in claims() for figure in claim.figures)
    return list(dict.fromkeys(_WRITTEN_BY.get(name, name) for name in results))


def _shown(figure: str) -> str:
    where, _, how = figure.rpartition(":")
    name, _, path = where.partition("/")
    value = json.loads((harness.RESULTS / f"{name}.json").read_text())["result"]
    return format(_at(value, path, figure), how)


def _at(value: Any, path: str, figure: str) -> Any:
    """Return what is at *path*: of a list the row that begins with that, which may have slashes."""
    if not path:
        return value
    rows = {str(next(iter(r.values()))): r for r in value} if isinstance(value, list) else value
    for name, inner in rows.items():
        if path == name or path.startswith(f"{name}/"):
            return _at(inner, path[len(name) + 1 :], figure)
    raise SystemExit(f"{figure}: there is no such figure")


def _wrong() -> Iterator[str]:
    for claim in claims():
        found, expected = claim.found(), claim.expected()
        if found != expected:
            page = claim.page.relative_to(ROOT)
            yield f"{page}: {found or 'nothing like it'}\n    measured: {expected}"


def main(what: str) -> None:
    if what == "names":
        print(*cited())
        return
    wrong = list(_wrong())
    if what == "write":
        for claim in claims():
            claim.write()
    for line in wrong:
        print(line)
    if wrong:
        done = "; they are put right now: look at the difference" if what == "write" else ""
        sys.exit(f"{len(wrong)} of {len(claims())} texts said something else than measured{done}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "check")
