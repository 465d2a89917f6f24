"""Declares init."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from fullpool.cli import commands as _commands  # noqa: F401 - they come first in --help
from fullpool.cli.program import program
from fullpool.errors import ConfigError, LakeUnwritableError, UsageError

_DEFAULTS: Final = {"lake": "~/fullpool-lake", "symbols": "BTCUSDT, ETHUSDT", "intervals": "1m, 1h"}

_Names = Annotated[str | None, typer.Option(help="Names, or patterns, with commas between.")]


@program.command()
def init(  # noqa: PLR0917 - a command has as many parameters as it has options
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("fullpool.toml"),
    lake: Annotated[str | None, typer.Option(help="Folder of the lake.")] = None,
    symbols: _Names = None,
    intervals: _Names = None,
    market: Annotated[str, typer.Option(help="spot, um, cm or option.")] = "spot",
    kind: Annotated[str, typer.Option(help="The kind of data.")] = "klines",
    start: Annotated[str, typer.Option(help="First day. Default: the listing.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Also the rows of today.")] = False,
) -> None:
    """Write a commented configuration, after three questions.

    What an option says is not asked; without a terminal nothing is, and the rest has its default.
    """
    from fullpool.config import parse
    from fullpool.config.template import Answers, filled
    from fullpool.kinds import KINDS

    if file.exists():
        raise UsageError(f"writing {file}: it already exists", hint="name another file")
    has_intervals = kind not in KINDS or bool(KINDS[kind].intervals)
    answers = Answers(
        path=_answer("Where should the lake be?", lake, "lake"),
        market=market,
        kind=kind,
        symbols=_split(_answer("Which symbols, or patterns such as *USDT?", symbols, "symbols")),
        intervals=_split(_answer("Which intervals?", intervals, "intervals"))
        if has_intervals
        else (),
        start=start,
        follow=follow,
    )
    text = filled((files("fullpool.config") / "template.toml").read_text("utf-8"), answers)
    try:
        parse(text, str(file))
    except ConfigError as error:
        wrong = "; ".join(problem.partition(", ")[2] for problem in error.problems)
        hint = "`fullpool symbols 'spot/BTC*'` lists what the vendor has"
        raise UsageError(f"writing {file}: {wrong}", hint=hint) from error
    _write(file, text)


def _answer(question: str, given: str | None, key: str) -> str:
    """Return what was given, else what is answered on a terminal, else the default."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return _DEFAULTS[key]
    return str(typer.prompt(question, default=_DEFAULTS[key]))


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except OSError as error:
        hint = "name a file that you may write"
        raise LakeUnwritableError(f"writing {file}: {error}", hint=hint) from error
    sys.stdout.write(
        f"{file} written. See what it would download: fullpool plan --config {file}\n"
        f"Then fill the lake: fullpool sync --config {file}\n"
    )
