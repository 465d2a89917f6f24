"""Declares export."""

import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fullpool.cli import commands as _commands  # noqa: F401 - they come first in --help
from fullpool.cli.program import AsOfOption, ConfigOption, LakeOption, program, settings_to_read
from fullpool.errors import UsageError
from fullpool.export.order import Choice, Form, Order, Program, Types, Way

if TYPE_CHECKING:
    from fullpool.export.exporting import Exported

_MB: Final = 1_000_000
_TOLD: Final = 5
_Target = Annotated[Path, typer.Argument(help="A folder that does not exist yet.")]
_Names = Annotated[
    list[str] | None, typer.Option(help="Only these; repeat it, or put commas between.")
]
_Symbols = Annotated[list[str] | None, typer.Option(help="Names or patterns: '*USDT', '!*UPUSDT'.")]
_Start = Annotated[str | None, typer.Option(help="The first day or time, in UTC.")]
_End = Annotated[str | None, typer.Option(help="The day or time to stop before.")]
_Types = Annotated[
    Types, typer.Option(help="double, or exact decimals; stored: as the lake's files are.")
]
_Form = Annotated[Form, typer.Option("--format", help="What files to write.")]
_Link = Annotated[
    bool, typer.Option("--link", help="Hard-link the lake's own files: takes no disk space.")
]
_Copy = Annotated[bool, typer.Option("--copy", help="Copy the lake's own files.")]
_Program = Annotated[Program | None, typer.Option("--for", help="Write the files of that program.")]


@program.command()
def export(  # noqa: PLR0917 - a command has as many parameters as it has options
    target: _Target,
    config: ConfigOption = None,
    lake: LakeOption = None,
    as_of: AsOfOption = None,
    market: _Names = None,
    kind: _Names = None,
    symbols: _Symbols = None,
    interval: _Names = None,
    start: _Start = None,
    end: _End = None,
    types: _Types = Types.DOUBLE,
    form: _Form = Form.PARQUET,
    link: _Link = False,
    copy: _Copy = False,
    program_: _Program = None,
) -> None:
    """Write rows into plain files, for other programs.

    By default Parquet files with numbers as double, one per series and year (per month for kinds
    with many rows), in folders such as klines/market=spot/interval=1m/symbol=BTCUSDT. manifest.json
    lists them, with hashes. The folder appears once it is complete.
    """
    from fullpool.app.configuration import tree_of
    from fullpool.cli import screen
    from fullpool.export import exporting

    if link and copy:
        raise UsageError("exporting: --link and --copy were given", hint="give one of them")
    times = _times(start, end)
    choice = Choice(_names(market), _names(kind), _names(symbols), _names(interval), *times)
    way = Way.LINK if link else Way.COPY if copy else Way.WRITE
    order = Order(choice, types, form, way, program_, as_of)
    tree = tree_of(settings_to_read(config, lake))
    target = target.expanduser()
    done = exporting.export(tree, target, order, partial(screen.steps_counter, "exporting"))
    _tell(done, target)


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip() for text in given or [] for name in text.split(","))


def _times(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    from fullpool.lake.selection import instant_of

    first, last = (None if text is None else instant_of(text) for text in (start, end))
    if first and last and first >= last:
        raise UsageError(
            f"exporting: --start {start} is not before --end {end}", hint="give a later --end"
        )
    return first, last


def _tell(done: "Exported", target: Path) -> None:
    """Say how much there is now, and what is not."""
    from fullpool.app.service.progress import counted

    rows = f", {counted(done.rows, 'row')}" if done.rows else ""
    files = counted(done.files, "file")
    sys.stdout.write(f"{files}{rows}, {done.size_bytes / _MB:,.1f} MB in {target}\n")
    for reason in done.left_out[:_TOLD]:
        sys.stderr.write(f"left out: {reason}\n")
    if len(done.left_out) > _TOLD:
        more = f"{len(done.left_out) - _TOLD:,} more; manifest.json lists them"
        sys.stderr.write(f"left out: {more}\n")
