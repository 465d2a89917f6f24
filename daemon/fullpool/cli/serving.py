"""`fullpool simulator`: serves a folder until a signal ends it."""

import math
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from fullpool.app import clock
from fullpool.app.signals import stop_on_signals
from fullpool.simulator import Api, Bucket, Simulator, fault_from, generate, spec_from


@dataclass(frozen=True, slots=True)
class Invention:
    """What to invent first: series, for so many days, of so many trades each.

    *api* is the folder of what the API has; there it goes on to the end of today.
    """

    series: Sequence[str]
    days: int
    trades_a_day: int
    api: Path | None


def serve(
    folder: Path,
    invention: Invention,
    *,
    port: int,
    delay_ms: float,
    fault: Sequence[str],
    cert: Path | None,
) -> None:
    """Invent what is asked for, say where the folder is served, and serve it."""
    try:
        faults = [fault_from(text) for text in fault]
        _invent_all(folder, invention)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    tls = _server_context(cert) if cert else None
    with _served(folder, port=port, delay_s=delay_ms / 1000, faults=faults, tls=tls) as served:
        if invention.api is not None:
            served.api = Api(invention.api)
        sys.stdout.write(
            f'[network]\narchive_url = "{served.url}"\nlisting_url = "{served.listing_url}"\n'
        )
        hosts = (f'{market}_url = "{served.url}"' for market in ("spot", "um", "cm"))
        sys.stdout.write("[rest]\n" + "\n".join(hosts) + "\n")
        sys.stdout.flush()
        clock.sleeper(stop_on_signals())(math.inf)


def _invent_all(folder: Path, invention: Invention) -> None:
    yesterday = clock.now().date() - timedelta(days=1)
    first = yesterday - timedelta(days=invention.days - 1)
    if invention.series:
        sys.stderr.write(f"inventing {first} to {yesterday} in {folder}\n")
    for text in invention.series:
        spec = spec_from(text, first, yesterday, invention.trades_a_day)
        for _ in generate(folder, spec):
            pass
        if invention.api is not None:
            for _ in generate(invention.api, replace(spec, end=yesterday + timedelta(days=1))):
                pass


def _served(folder: Path, *, port: int, **options: Any) -> Simulator:
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}; --series invents one")
    try:
        return Simulator(Bucket(folder), port=port, **options)
    except OSError as error:
        raise typer.BadParameter(f"port {port} on 127.0.0.1: {error}") from error


def _server_context(cert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert)
    except OSError as error:  # of which ssl's own are
        raise typer.BadParameter(f"the certificate {cert}: {error}") from error
    return context
