"""Declares verify, rebuild, doctor, health and forget."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fullpool.app.signals import stop_on_signals
from fullpool.cli import commands as _commands  # noqa: F401 - they come first in --help
from fullpool.cli.program import (
    ConfigOption,
    JsonOption,
    LakeOption,
    program,
    settings_to_read,
)
from fullpool.errors import ConfigError, UnhealthyError, UsageError

RepairOption = Annotated[
    bool, typer.Option("--repair", help="Remove damaged files, for the next sync to replace.")
]
VendorOption = Annotated[
    bool,
    typer.Option(
        "--vendor",
        help="Also compare every archive with the vendor's CHECKSUM (one small request each).",
    ),
]
RemoteOption = Annotated[
    bool, typer.Option("--remote", help="Check the copy in object storage (publish.to) instead.")
]


@program.command()
def verify(
    config: ConfigOption = None,
    lake: LakeOption = None,
    *,
    repair: RepairOption = False,
    vendor: VendorOption = False,
    remote: RemoteOption = False,
    json: JsonOption = False,
) -> None:
    """Check every file against its recorded size, hash and rows.

    Finds flipped bytes, and files that are missing, truncated, swapped or foreign. Works next to a
    running daemon; --repair needs it stopped. The next sync downloads what was removed.
    """
    _require_fit(lake, {"--vendor": vendor, "--remote": remote, "--repair": repair})
    if remote:
        _verify_remote(config, is_json=json)
        return
    from fullpool.app import verify as care
    from fullpool.app.configuration import load_lake_config
    from fullpool.cli import care_report, screen

    settings = (load_lake_config if repair or vendor else settings_to_read)(config, lake)
    stop = stop_on_signals()
    with screen.bytes_counter("verifying") as looked:
        found = care.verify(settings, stop, looked)
    if vendor:
        with screen.watcher() as watcher:
            found = care.compare_with_vendor(settings, watcher, stop, found)
    due = care.repair(settings, found) if repair and not found.is_whole else []
    care_report.verified(found, [str(archive) for archive in due], is_json=json)
    if not repair or found.unread:
        care_report.require_whole(found, settings.lake.path)
    care_report.require_answers(found, settings.lake.path)


def _require_fit(lake: Path | None, given: dict[str, bool]) -> None:
    """Raise BadParameter for options that make no sense together."""
    names = {name for name, is_given in given.items() if is_given}
    if lake is not None and names - {"--repair"}:
        raise typer.BadParameter("--vendor and --remote need the configuration, not --lake")
    if "--remote" in names and len(names) > 1:
        raise typer.BadParameter("--remote cannot be combined with --repair or --vendor")


def _verify_remote(config: Path | None, *, is_json: bool) -> None:
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli.publishing import require_remote, verify_remote

    settings = load_config(find_config(config))
    require_remote(settings, "verifying")
    verify_remote(settings, is_json=is_json)


@program.command()
def rebuild(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Rebuild the state from the lake's own files.

    For a .state that is lost or damaged. Downloads nothing. The old state is kept as
    state.duckdb.before. What only the state knew, such as which gaps the API was asked about, is
    found out again.
    """
    from fullpool.app import rebuild as care
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli import care_report

    done = care.rebuild(load_config(find_config(config)), stop_on_signals())
    care_report.rebuilt(done, is_json=json)


@program.command()
def doctor(config: ConfigOption = None, lake: LakeOption = None, json: JsonOption = False) -> None:
    """List problems that need attention, each with a fix. Exits 17 if there are any.

    With --lake it checks only the lake, not the network or free disk space.
    """
    from fullpool.app.configuration import load_lake_config, tree_of
    from fullpool.app.doctor import examination
    from fullpool.app.service.progress import counted
    from fullpool.cli import care_report, screen

    try:
        settings, problems = load_lake_config(config, lake), []
    except ConfigError as error:
        settings, problems = settings_to_read(config, lake), [str(error)]
    if problems or lake is not None:
        found = examination.examine_lake(tree_of(settings), problems)
    else:
        with screen.watcher() as watcher:
            found = examination.examine(settings, watcher)
    care_report.examined(found, is_json=json)
    if found:
        count = counted(len(found), "problem")
        raise UnhealthyError(f"examining {settings.lake.path}: {count} found")


@program.command()
def health(config: ConfigOption = None, lake: LakeOption = None) -> None:
    """Tell whether the daemon is running and making progress. Exits 15 or 17 if not.

    For containers and monitors. What is wrong with the lake itself, `fullpool doctor` says.
    """
    from fullpool.app import clock
    from fullpool.app.configuration import tree_of
    from fullpool.app.service.status_file import require_alive

    status = require_alive(tree_of(settings_to_read(config, lake)), clock.now())
    sys.stdout.write(f"{status.status}\n")


@program.command()
def forget(
    series: Annotated[
        list[str],
        typer.Argument(help="MARKET/KIND/SYMBOL/INTERVAL, or less of it; * and ? match any."),
    ],
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove series that are no longer configured.

    Shows what they take and asks. Their files are deleted after lake.retain_hours; until then past
    generations have them. The daemon must be stopped.
    """
    from fullpool.app import forget as care
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli import care_report

    settings = load_config(find_config(config))
    found = care.unwanted(settings, series)
    care_report.unwanted(found)
    care.require_free(settings)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("forgetting: there is no terminal to confirm on", hint="add --yes")
        typer.confirm("Remove them?", abort=True)
    care.forget(settings, [one.series for one in found])
    hours = f"{settings.lake.retain_hours:g}"
    sys.stdout.write(f"removed; the files are deleted {hours} hours from now\n")
