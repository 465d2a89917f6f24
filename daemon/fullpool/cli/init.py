"""Declares init."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fullpool.cli import commands as _commands  # noqa: F401 - they come first in --help
from fullpool.cli.program import program
from fullpool.errors import ConfigError, LakeUnwritableError, UsageError

if TYPE_CHECKING:
    from fullpool.config.template import Answers

_LAKE, _SYMBOLS, _INTERVALS = "~/fullpool-lake", "BTCUSDT, ETHUSDT", "1m, 1h"
_HINTS: Final = {
    "symbols": "`fullpool symbols 'spot/BTC*'` lists what the vendor has",
    "": "`fullpool init -h` explains the options",
}
_Symbols = Annotated[
    str | None, typer.Option(help="Symbols, or patterns such as *USDT, with commas between.")
]
_Intervals = Annotated[str | None, typer.Option(help="Intervals, with commas between.")]


@program.command()
def init(  # noqa: PLR0917 - a command has as many parameters as it has options
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("fullpool.toml"),
    lake: Annotated[str | None, typer.Option(help="Folder of the lake.")] = None,
    symbols: _Symbols = None,
    intervals: _Intervals = None,
    market: Annotated[str, typer.Option(help="spot, um, cm or option.")] = "spot",
    kind: Annotated[str, typer.Option(help="The kind of data.")] = "klines",
    start: Annotated[str, typer.Option(help="First day. Default: the listing.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Fetch the rows of today from the API, too.")
    ] = False,
) -> None:
    """Write a commented configuration, after three questions.

    Options that you give are not asked for. Without a terminal nothing is asked, and what you do
    not give has its default.
    """
    from fullpool.config.template import Answers
    from fullpool.kinds import KINDS

    if file.exists():
        raise UsageError(f"writing {file}: it already exists", hint="name another file")
    has_intervals = kind not in KINDS or bool(KINDS[kind].intervals)
    any_interval = ("1h",) if has_intervals else ()
    known = Answers(_LAKE, market, kind, ("*",), any_interval, _day(start), follow)
    _text(known)  # what options say is checked before anything is asked
    known = _asked(known, "path", "Where should the lake be?", lake, _LAKE)
    known = _asked(known, "symbols", "Which symbols, or patterns such as *USDT?", symbols, _SYMBOLS)
    if has_intervals:
        known = _asked(known, "intervals", "Which intervals?", intervals, _INTERVALS)
    _write(file, _text(known))


def _day(text: str) -> str:
    try:
        return text and date.fromisoformat(text).isoformat()
    except ValueError as error:
        hint = "write a date such as 2024-01-31"
        raise UsageError(f"reading --start {text!r}: it is no date", hint=hint) from error


def _asked(known: "Answers", key: str, question: str, given: str | None, usual: str) -> "Answers":
    """Return the answers with one more: what was given, or is answered, or is usual."""

    def taken(text: str) -> "Answers":
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if key == "path":
            if not text.strip():
                raise UsageError("the answer for path: it is empty", hint=_HINTS[""])
            answers = replace(known, path=text)
        elif key == "symbols":
            answers = replace(known, symbols=names)
        else:
            answers = replace(known, intervals=names)
        _text(answers)
        return answers

    if given is not None or not sys.stdin.isatty():
        return taken(usual if given is None else given)
    return _answered(question, usual, taken)


def _answered(question: str, usual: str, taken: "Callable[[str], Answers]") -> "Answers":
    """Ask until the answer is right."""
    while True:
        try:
            return taken(str(typer.prompt(question, default=usual)))
        except UsageError as error:
            sys.stdout.write(f"{error}\n")


def _text(answers: "Answers") -> str:
    """Return the configuration. Raises UsageError for an answer that is wrong."""
    from fullpool.config import parse
    from fullpool.config.template import filled

    text = filled((files("fullpool.config") / "template.toml").read_text("utf-8"), answers)
    try:
        parse(text, "the answers")
    except ConfigError as error:
        key, _, what = error.problems[0].partition(", ")[2].partition(": ")
        name = key.rpartition(".")[2].partition("[")[0]
        hint = _HINTS.get(name, _HINTS[""])
        raise UsageError(f"the answer for {name}: {what}", hint=hint) from error
    return text


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except (OSError, UnicodeError) as error:
        hint = "name a file in a folder that is there and that you may write to"
        raise LakeUnwritableError(f"writing {file}: {error}", hint=hint) from error
    sys.stdout.write(
        f"{file} written. See what it would download: fullpool plan --config {file}\n"
        f"Then fill the lake: fullpool sync --config {file}\n"
    )
