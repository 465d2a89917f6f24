"""The states of a cell of the coverage map. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from fullpool.gaps import Explanation


@dataclass(frozen=True, slots=True)
class State:
    """What most of a cell is; *letter* stands for it in the map, *name* in the page's styles."""

    letter: str
    name: str
    label: str
    meaning: str


ARCHIVED: Final = State("A", "archived", "archived", "in the vendor's archives")
PATCHED: Final = State("P", "patched", "patched", "not in any archive; fetched from the REST API")
FOLLOWED: Final = State("F", "followed", "followed", "from the API, until the archive is published")
EXPLAINED: Final = State(
    "E", "explained", "explained", "no source has these rows, and it is known why"
)
OPEN: Final = State("O", "open", "open", "missing; fetched as soon as a source has them")
NOT_PUBLISHED: Final = State("N", "not-published", "not published", "not due yet")
NOT_LISTED: Final = State("L", "not-listed", "not listed", "trading began later")
OUTSIDE: Final = State(".", "outside", "not expected", "before the first row, or after the last")

STATES: Final = (
    ARCHIVED, PATCHED, FOLLOWED, EXPLAINED, OPEN, NOT_PUBLISHED, NOT_LISTED, OUTSIDE,
)  # fmt: skip
# Those whose length in a cell is measured, the worst first: of equal ones the first stands.
MEASURED: Final = (OPEN, EXPLAINED, PATCHED, NOT_PUBLISHED, FOLLOWED, NOT_LISTED)
# Those that are marked in a cell that is mostly something else.
MARKED: Final = (OPEN, EXPLAINED, PATCHED, FOLLOWED)


def shortened(cells: list[str]) -> str:
    """Return cells as runs: `12A1Ae` are twelve archived ones, and one with explained rows."""
    runs: list[str] = []
    count = 0
    for number, cell in enumerate(cells):
        count += 1
        if number + 1 == len(cells) or cells[number + 1] != cell:
            runs.append(f"{count if count > 1 else ''}{cell}")
            count = 0
    return "".join(runs)


def cells_in(text: str) -> list[str]:
    """Return the cells of such runs."""
    return [code for count, code in _RUN.findall(text) for _ in range(int(count or 1))]


_RUN: Final = re.compile(r"(\d*)([A-Z.][a-z]?)")

# What the explanation of a gap means, in words; docs/reference.md has more.
MEANINGS: Final[dict[str, str]] = {
    Explanation.EMPTY_AT_SOURCE: "the API has the rows around it, but not these: trading halted",
    Explanation.SUSPENDED: "the symbol was suspended, or its name was used again",
    Explanation.RELISTED: "the symbol's name was listed anew: the API tells since when",
    Explanation.NOT_LISTED: "the vendor has nothing from before: trading began later",
    Explanation.DELISTED: "nothing follows, and the API does not list the symbol as trading",
    Explanation.NOT_PUBLISHED: "the archive is not late yet",
    Explanation.TOO_OLD_FOR_API: "no archive has these rows, and the API has them no more",
    Explanation.UNKNOWN_TO_API: "no archive has these rows, and the API does not know the symbol",
    Explanation.NO_ARCHIVE: "no archive has these rows, and the API does not have the kind",
    Explanation.API_REFUSED: "the API does not serve this machine",
}
