"""The Typer program, and options that several commands share.

A command loads what it works with when it runs: `fullpool --version` and `--help` load none of it.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fullpool import __version__

if TYPE_CHECKING:
    from fullpool.config import Config

program = typer.Typer(
    help="Keep a local DuckDB/Parquet lake of Binance market data up to date.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file. Default: $FULLPOOL_CONFIG, ./fullpool.toml,"
        " ./config/fullpool.toml, ~/.config/fullpool/fullpool.toml, /etc/fullpool/fullpool.toml.",
    ),
]
LakeOption = Annotated[
    Path | None,
    typer.Option("--lake", help="Folder of the lake. Default: lake.path of the config."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="Query a past state: a generation number or a UTC time."),
]


def settings_to_read(config: Path | None, lake: Path | None) -> "Config":
    """Return the settings of a command that only reads the lake; say if all but its path is wrong.

    Raises ConfigError.
    """
    from fullpool.app.configuration import load_for_reading

    return load_for_reading(config, lake, sys.stderr.write)


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogOption = Annotated[Level, typer.Option("--log-level", help="How much to log to standard error.")]


def _version(*, is_wanted: bool) -> None:
    if is_wanted:
        sys.stdout.write(f"fullpool {__version__}\n")
        raise typer.Exit


@program.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keep a local DuckDB/Parquet lake of Binance market data up to date."""
    del version
    from fullpool import logs

    logs.configure("ERROR")
