"""Declares publish."""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fullpool.cli.program import ConfigOption, JsonOption, Level, LogOption, program
from fullpool.errors import DamagedError, FullpoolError, RemoteError

if TYPE_CHECKING:
    from fullpool.config import Config
    from fullpool.remote.publisher import Sent

_MB: Final = 1_000_000
_SHOWN: Final = 20


@program.command()
def publish(
    config: ConfigOption = None,
    log_level: LogOption = Level.ERROR,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Publish also where another lake was published."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Publish the newest generation to object storage.

    To publish.to of the configuration. Sends the files that are not there yet, then Iceberg tables
    over them, then lake.duckdb. Readers see the last whole generation meanwhile. The daemon and
    sync do the same by themselves.
    """
    from dataclasses import asdict

    from fullpool import logs
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli import screen

    logs.configure(log_level.upper())
    settings = load_config(find_config(config))
    require_remote(settings, "publishing")
    sent = publish_newest(settings, takes_over=take_over)
    if json:
        screen.show_json({"to": settings.publish.to} | asdict(sent))
    elif sent.is_news:
        tell(sent, settings.publish.to)
    else:
        sys.stdout.write(f"{settings.publish.to} has generation {sent.generation} already\n")


def require_remote(settings: "Config", doing: str) -> None:
    """Raise RemoteError if there is nowhere to publish to."""
    if not settings.publish.to:
        raise RemoteError(
            f"{doing}: publish.to is empty",
            hint='set it to a bucket and a prefix, such as "s3://my-bucket/lake"',
        )


def publish_newest(settings: "Config", *, takes_over: bool = False) -> "Sent":
    """Publish the newest generation. Raises what `publish_lake` does."""
    from fullpool.app.configuration import tree_of
    from fullpool.remote.installed import require_installed

    require_installed(f"publishing to {settings.publish.to}")
    from fullpool.remote.publishing import publish_lake

    grace = settings.lake.grace
    return publish_lake(tree_of(settings), settings.publish, grace, takes_over=takes_over)


def tell(sent: "Sent", to: str) -> None:
    """Print what a publication sent."""
    from fullpool.app.service.progress import counted

    sys.stdout.write(
        f"generation {sent.generation} published to {to}: {counted(sent.files, 'file')} sent"
        f" ({sent.size_bytes / _MB:,.1f} MB), {counted(sent.tables, 'table')} changed,"
        f" {counted(sent.deleted, 'old object')} deleted\n"
    )


def publish_after_sync(settings: "Config", *, is_quiet: bool) -> FullpoolError | None:
    """Publish what a sync left, if that is configured; return what kept it from that."""
    from fullpool.app.configuration import tree_of

    if not (settings.publish.to and tree_of(settings).published()):
        return None
    try:
        sent = publish_newest(settings)
    except FullpoolError as error:
        return error
    if sent.is_news and not is_quiet:
        tell(sent, settings.publish.to)
    return None


def verify_remote(settings: "Config", *, is_json: bool) -> None:
    """Compare the copy in object storage, and print what differs. Raises DamagedError."""
    from dataclasses import asdict

    from fullpool.app.configuration import tree_of
    from fullpool.cli import screen
    from fullpool.remote.installed import require_installed

    to = settings.publish.to
    require_installed(f"comparing {to}")
    from fullpool.remote.publishing import compare_lake

    found = compare_lake(tree_of(settings), to)
    if is_json:
        screen.show_json({"to": to} | asdict(found))
    else:
        sys.stdout.write(f"{to}: {found.objects:,} objects, {found.size_bytes / _MB:,.1f} MB\n")
        for what, paths in (
            ("missing", found.missing),
            ("not what was sent", found.changed),
            ("not sent by this lake", found.foreign),
        ):
            for path in paths[:_SHOWN]:
                sys.stdout.write(f"{what}: {path}\n")
            if len(paths) > _SHOWN:
                sys.stdout.write(f"{what}: and {len(paths) - _SHOWN:,} more\n")
        if found.is_whole:
            sys.stdout.write("all objects are as they were sent\n")
    if not found.is_whole:
        raise DamagedError(
            f"verifying {to}: {len(found.missing)} objects are missing, {len(found.changed)} are"
            " not what was sent",
            hint="`fullpool publish` sends files of the newest generation again, like the daemon,"
            " and says which folder to delete if a table's metadata is damaged",
        )
