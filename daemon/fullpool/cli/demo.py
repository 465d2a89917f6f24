"""Declares demo and simulator."""

from pathlib import Path
from typing import Annotated

import typer

from fullpool.cli.program import program


@program.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put it; created if missing.")] = Path(
        "demo-lake"
    ),
) -> None:
    """Fill a lake from a simulated vendor, offline, and query it."""
    from fullpool.cli import tour

    tour.show(folder)


FaultOption = Annotated[
    list[str] | None,
    typer.Option(
        help="PATTERN=KIND[:VALUE[:TIMES]]: status, truncate, reset, tamper, html, slow, body,"
        " hangup or redirect, as in '*.zip=status:503:2'; repeatable."
    ),
]
SeriesOption = Annotated[
    list[str] | None,
    typer.Option(help="Invent MARKET/KIND/SYMBOL[/INTERVAL] into the folder first; repeatable."),
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")
]
DaysOption = Annotated[
    int, typer.Option(min=1, max=10_000, help="Days to invent, up to yesterday.")
]
TradesOption = Annotated[int, typer.Option(min=1, help="Trades to invent for a day.")]
DelayOption = Annotated[float, typer.Option(min=0, help="Milliseconds before every answer.")]


@program.command()
def simulator(  # noqa: PLR0917 - a command has as many parameters as it has options
    folder: Annotated[Path, typer.Argument(help="Folder with archives under the bucket's keys.")],
    port: PortOption = 8765,
    series: SeriesOption = None,
    days: DaysOption = 40,
    trades_a_day: TradesOption = 20_000,
    delay_ms: DelayOption = 0.0,
    api: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what the API has, if not of the archives; --series goes there"
            " too, up to now."
        ),
    ] = None,
    fault: FaultOption = None,
    cert: Annotated[
        Path | None, typer.Option(help="PEM file with certificate and key: serve https.")
    ] = None,
) -> None:
    """Serve a folder of archives as the vendor does.

    With listing, CHECKSUM, REST API, and faults on demand. The folder is read once. Missing
    CHECKSUM files are computed; --fault '*.CHECKSUM=status:404' hides them.
    """
    from fullpool.cli.serving import Invention, serve

    invention = Invention(series or [], days, trades_a_day, api)
    serve(folder, invention, port=port, delay_ms=delay_ms, fault=fault or [], cert=cert)
