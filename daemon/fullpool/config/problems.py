"""Describes errors in a configuration: line, key, allowed values, nearest spelling."""

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any, Final

from pydantic import ValidationError

from fullpool.config.settings import Config
from fullpool.config.spelling import nearest, nearest_interval


def problems_of(error: ValidationError, text: str) -> Iterator[str]:
    """Yield every mistake that was found, with its line."""
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # nothing valid was left of what was given; those mistakes are named already
        yield f"{where(detail['loc'], text)}: {_what(detail, detail['loc'])}"


def line_in(problem: str) -> int:
    found = re.match(r"line (\d+)", problem)
    return int(found[1]) if found else 0


def where(loc: tuple[int | str, ...], text: str) -> str:
    """Return `line 3, lake.path` for the key at *loc*, without the line if it is not in *text*."""
    name = ""
    for part in loc:
        # Counted from 1, as a person counts the [[dataset]] tables of the file.
        name += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if name else part
    line = _line_of(loc, text)
    return f"line {line}, {name}" if line else name


def _line_of(loc: tuple[int | str, ...], text: str) -> int | None:
    """Return the line of a key, or of its table's heading; None if neither is written out."""
    table = str(loc[0]) if loc else ""
    wanted = loc[1] + 1 if len(loc) > 1 and isinstance(loc[1], int) else 1
    key = next((p for p in loc[1:] if isinstance(p, str)), None)
    heading, seen, found = "", 0, None
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#", 1)[0].strip()
        name = stripped.split("=", 1)[0].strip()
        if stripped.startswith("["):
            heading = stripped.strip("[] ")
            seen += heading == table
            if heading == table and seen == wanted:
                found = number
        elif (heading == table and seen == wanted and name == key) or (
            not heading and name == table
        ):
            return number
    return found


# What pydantic calls by the names of Python.
_LACKING: Final = {
    "missing": "missing; it has no default",
    "missing_argument": "missing; it has no default",
    "too_short": "must not be empty",
}
_WRONG: Final = {
    "date_type": "must be a date without quotes and without a time, such as 2024-01-31",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "dataclass_type": "must be a table",
}
_LISTS: Final = {"symbols": '["BTCUSDT"]', "intervals": '["1h"]'}


def _what(detail: Any, loc: tuple[int | str, ...]) -> str:
    kind, given = detail["type"], _shown(detail["input"])
    if kind in _LACKING:
        return _LACKING[kind]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        allowed = _keys_at(loc[:-1])
        return f"unknown key; allowed here: {', '.join(allowed)}{nearest(str(loc[-1]), allowed)}"
    if kind == "enum":
        expected = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        given_text, is_interval = str(detail["input"]), "intervals" in loc
        hint = (
            nearest_interval(given_text)
            if is_interval
            else nearest(given_text, expected.split(", "))
        )
        return f"must be one of {expected}, not {given}{hint}"
    if kind == "value_error":
        what = str(detail["ctx"]["error"])
        # What was given for a proxy may hold a password.
        return what if loc[-1:] == ("proxy",) else f"{what}, not {given}"
    if kind == "tuple_type":
        return f"{_listed(loc)}, not {given}"
    message = _WRONG.get(kind) or f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
    return f"{message}, not {given}"


def _listed(loc: tuple[int | str, ...]) -> str:
    if loc == ("dataset",):
        return "must be a list of tables: write [[dataset]] over each"
    return f"must be a list, such as {_LISTS[str(loc[-1])]}"


def _shown(value: Any) -> str:
    """Return a value as the file has it, as far as that is known."""
    if isinstance(value, bool):
        return str(value).lower()
    return (value.isoformat() if isinstance(value, date) else repr(value))[:80]


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at *loc* may have."""
    shape: Any = Config
    for part in loc:
        if isinstance(part, int):
            continue
        shape = _dataclass_in(typing.get_type_hints(shape)[part])
    return [f.name for f in fields(shape)]


def _dataclass_in(hint: Any) -> Any:
    while not is_dataclass(hint):
        inner = typing.get_args(hint)
        hint = next(i for i in inner if i is not Ellipsis and not isinstance(i, types.NoneType))
    return hint
