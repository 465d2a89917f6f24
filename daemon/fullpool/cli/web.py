"""Declares web and report."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fullpool.app.signals import stop_on_signals
from fullpool.cli.program import ConfigOption, LakeOption, program, settings_to_read
from fullpool.errors import WebError, refused

if TYPE_CHECKING:
    from fullpool.store.catalogue.bounded import Limits
    from fullpool.web.site import Site

_NEEDED: Final = ("anyio", "jinja2", "starlette", "uvicorn")


def _require_installed(doing: str) -> None:
    """Raise WebError if the extra `web` is not installed."""
    try:
        for name in _NEEDED:
            import_module(name)
    except ImportError as error:
        raise WebError(f"{doing}: {error}", hint="run: pip install 'fullpool[web]'") from error


def _site(config: Path | None, lake: Path | None, limits: "Limits") -> "Site":
    """Return the lake to show. Raises ConfigError if its path is not to be had."""
    from fullpool.app.configuration import find_config, load_config, tree_of
    from fullpool.web.site import Site

    tree = tree_of(settings_to_read(config, lake))
    return Site(tree, lambda: None if lake else load_config(find_config(config)), limits)


@program.command()
def report(
    file: Annotated[Path, typer.Argument(help="HTML file to write; replaced if it is there.")],
    config: ConfigOption = None,
    lake: LakeOption = None,
) -> None:
    """Write the coverage map and what is wrong into an HTML file."""
    _require_installed("writing a report")
    from fullpool.store.catalogue.bounded import Limits
    from fullpool.store.targets import file_to_write
    from fullpool.web.report_file import report as report_of

    site = _site(config, lake, Limits(seconds=60))
    target = file_to_write(site.tree, file)
    text = report_of(site)
    staged = target.with_name(f".{target.name}.part")
    try:
        staged.write_text(text, "utf-8")
        staged.replace(target)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise refused(error, f"writing {file}") from error
    sys.stdout.write(f"{file}: {len(text.encode()) / 1000:,.0f} kB\n")


@program.command()
def web(  # noqa: PLR0917 - a command has as many parameters as it has options
    config: ConfigOption = None,
    lake: LakeOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Everybody who reaches it reads the lake.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8787,
    socket: Annotated[
        Path | None, typer.Option(help="Listen at a unix socket instead, for a reverse proxy.")
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path below which a reverse proxy has the page, such as /lake.")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name that it answers to, such as the proxy's; repeatable."),
    ] = None,
) -> None:
    """Serve a page that shows the lake in a browser.

    What it has by series and month, the rows of each series, the daemon, past states. A process of
    its own that only reads; the daemon need not run. Only this machine can open it unless --host
    says otherwise.
    """
    _require_installed("serving a page")
    from fullpool.store.catalogue.bounded import Limits
    from fullpool.web.server import Place, serve

    site = _site(config, lake, Limits())
    place = Place(host.strip("[]"), port, socket, root_path.rstrip("/"), tuple(allow_host or ()))

    if not site.tree.root.is_dir():
        sys.stderr.write(f"there is no lake at {site.tree.root} yet\n")

    def tell(address: str) -> None:
        sys.stdout.write(f"the lake {site.tree.root} is shown at {address}\n")
        sys.stdout.flush()

    serve(site, place, stop_on_signals(), tell)
