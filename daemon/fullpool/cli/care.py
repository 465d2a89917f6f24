"""The commands that look after a lake: verify, rebuild, doctor."""

import sys
from typing import Annotated, Final

import typer

from fullpool import app
from fullpool.cli import screen
from fullpool.cli.commands import ConfigOption, JsonOption, LakeOption, program
from fullpool.errors import DamagedError, IncompleteError, UnhealthyError

_MB: Final = 1_000_000
_SHOWN: Final = 20


@program.command()
def verify(
    config: ConfigOption = None,
    lake: LakeOption = None,
    *,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Take damaged files out and have their archives due again."),
    ] = False,
    vendor: Annotated[
        bool,
        typer.Option(
            "--vendor", help="Also ask for every archive's CHECKSUM: one small request each."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Hold every file of the lake to what is recorded: bytes, rows, order, doubles, holes.

    Finds a flipped byte, and a file that is gone, truncated, swapped or not of the lake. Works
    beside a running daemon; --repair needs it stopped. The next sync fetches what was taken out.
    """
    if lake is not None and vendor:
        raise typer.BadParameter("--vendor needs the configuration, not --lake")
    settings = app.load_lake_config(config, lake)
    stop = app.stop_on_signals()
    with screen.bytes_counter("verifying") as looked:
        found = app.verify(settings, stop, looked)
    if vendor:
        with screen.watcher() as watcher:
            found = app.compare_with_vendor(settings, watcher, stop, found)
    due = app.repair(settings, found) if repair and not found.is_whole else []
    _show(found, [str(archive) for archive in due], is_json=json)
    if not repair or found.unread:
        _require_whole(found, settings.lake.path)
    _require_answers(found, settings.lake.path)


def _require_whole(found: app.Verified, lake: str) -> None:
    if not found.is_whole:
        raise DamagedError(
            f"verifying the lake {lake}: {len(found.damaged)} files are damaged,"
            f" {len(found.unread)} cannot be read,"
            f" {len(found.foreign)} do not belong there,"
            f" {len(found.outdated)} archives have another CHECKSUM by now",
            hint=_hint(found),
        )


def _hint(found: app.Verified) -> str | None:
    """Return what to do if nothing but the vendor has changed; None for what is usual."""
    if found.damaged or found.foreign or found.unread:
        return None
    return "`fullpool verify --vendor --repair` has them fetched again by the next sync"


def _require_answers(found: app.Verified, lake: str) -> None:
    if found.unanswered:
        raise IncompleteError(
            f"verifying the lake {lake}: {len(found.unanswered)} CHECKSUMs could not be had,"
            f" as of {found.unanswered[0]}",
            hint="check the network and network.archive_url, and verify again",
        )


def _show(found: app.Verified, due: list[str], *, is_json: bool) -> None:
    damaged = {one.file.path: list(one.problems) for one in found.damaged}
    unread = tuple(f"{one.file.path}: {one.problems[0]}" for one in found.unread)
    if is_json:
        screen.show_json(
            {
                "files": found.files,
                "bytes": found.size_bytes,
                "seconds": round(found.seconds, 3),
                "damaged": damaged,
                "unread": unread,
                "foreign": found.foreign,
                "left_over": found.left_over,
                "outdated": [str(archive) for archive in found.outdated],
                "withdrawn": [str(archive) for archive in found.withdrawn],
                "unanswered": found.unanswered,
                "to_fetch": due,
            }
        )
        return
    rate = found.size_bytes / _MB / max(found.seconds, 0.001)
    sys.stdout.write(
        f"{found.files:,} files, {found.size_bytes / _MB:,.1f} MB in {found.seconds:.1f} s"
        f" ({rate:,.0f} MB/s)\n"
    )
    for path, problems in damaged.items():
        sys.stdout.write(f"damaged: {path}: {'; '.join(problems)}\n")
    _list("unread, and left alone", unread)
    _list("foreign: not a file of this lake", found.foreign)
    _list("left over from a pass that was killed, for the next to take out", found.left_over)
    _list("outdated, its CHECKSUM is another by now", [str(one) for one in found.outdated])
    _list("withdrawn, the vendor has it no more", [str(one) for one in found.withdrawn])
    _list("unanswered: its CHECKSUM could not be had", found.unanswered)
    _list("to be fetched by the next sync", due)


def _list(what: str, names: tuple[str, ...] | list[str]) -> None:
    for name in names[:_SHOWN]:
        sys.stdout.write(f"{what}: {name}\n")
    if len(names) > _SHOWN:
        sys.stdout.write(f"and {len(names) - _SHOWN:,} more; --json lists them all\n")


@program.command()
def rebuild(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Write the state (.state) anew from the lake's own files, when it is lost or damaged.

    Downloads nothing. The old state is kept as state.duckdb.before. What it knew beside the files,
    such as which gaps were asked for, is found out again.
    """
    done = app.rebuild(app.load_config(app.find_config(config)), app.stop_on_signals())
    if json:
        screen.show_json(
            {
                "files": done.files,
                "archives": done.archives,
                "rows": done.rows,
                "damaged": done.damaged,
                "unproven": done.unproven,
            }
        )
        return
    sys.stdout.write(
        f"{done.files:,} files of {done.archives:,} archives, {done.rows:,} rows, on record again\n"
    )
    _list("damaged, taken out; what was in it is fetched again", done.damaged)
    if done.unproven:
        sys.stdout.write(
            f"of {done.unproven:,} files no hash was left to hold them to: a byte that was flipped"
            " in one of them was not noticed\n"
        )


@program.command()
def doctor(config: ConfigOption = None, lake: LakeOption = None, json: JsonOption = False) -> None:
    """Say in one sentence each what needs a person, and what to do; exit 17 if anything does.

    With --lake only the lake is looked at, not the network nor the room that is to stay free.
    """
    settings = app.load_lake_config(config, lake)
    if lake is not None:
        found = app.examine_lake(app.tree_of(settings))
    else:
        with screen.watcher() as watcher:
            found = app.examine(settings, watcher)
    if json:
        screen.show_json([{"what": one.what, "advice": one.advice} for one in found])
    elif not found:
        sys.stdout.write("all is well\n")
    for one in found if not json else ():
        sys.stdout.write(f"- {one.what}\n  {one.advice}\n")
    if found:
        raise UnhealthyError(f"examining {settings.lake.path}: {len(found)} to look after")
