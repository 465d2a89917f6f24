"""Fills in the commented configuration that travels with the program. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_DATASET: Final = "[[dataset]]\n"
# The keys of the template's dataset, each at the beginning of a line.
_KEYS: Final = ("market", "kind", "symbols", "intervals", "start", "follow")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a new configuration asks for; *start* is a date as text, or "" for the listing."""

    path: str
    market: str
    kind: str
    symbols: Sequence[str]
    intervals: Sequence[str]
    start: str
    follow: bool


def filled(template: str, answers: Answers) -> str:
    """Return the template with the answers in the place of its examples."""
    # Another section has a key `follow` too.
    head, mark, dataset = template.partition(_DATASET)
    text = _with(head, "path", answers.path) + mark
    for key in _KEYS:
        dataset = _with(dataset, key, getattr(answers, key))
    return text + dataset


def _with(text: str, key: str, value: object) -> str:
    """Return *text* with another value of a key, which is left out if that is empty."""
    line = f"# {key} =" if value in ("", ()) else f"{key} = {_toml(key, value)}"
    before, old, after = re.split(rf"^({key} = .*)$", text, maxsplit=1, flags=re.MULTILINE)
    assert old
    return f"{before}{line}{after}"


def _toml(key: str, value: object) -> str:
    # JSON's texts, lists and truths are TOML's too; a date has no quotes.
    return str(value) if key == "start" else json.dumps(value, ensure_ascii=False)
