"""Prints the results of verify, rebuild, doctor and forget."""

import sys
from collections.abc import Sequence
from typing import Any, Final

from fullpool.app.doctor.checks_sql import Finding
from fullpool.app.forget import Held
from fullpool.app.rebuild import Rebuilt
from fullpool.app.verify import Verified
from fullpool.cli import screen
from fullpool.errors import DamagedError, IncompleteError

_MB: Final = 1_000_000
_SHOWN: Final = 20


def require_whole(found: Verified, lake: str) -> None:
    if not found.is_whole:
        damaged = [*found.damaged, *found.followed, *found.damaged_tables]
        raise DamagedError(
            f"verifying the lake {lake}: {len(damaged)} files are damaged,"
            f" {len(found.unread)} cannot be read,"
            f" {len(found.foreign)} do not belong there,"
            f" {len(found.outdated)} archives have a new CHECKSUM",
            hint=_hint(found),
        )


def _hint(found: Verified) -> str | None:
    """Return what to do if nothing but the vendor has changed; None for what is usual."""
    if found.damaged or found.foreign or found.unread or found.followed or found.damaged_tables:
        return None
    return "`fullpool verify --vendor --repair` makes the next sync download them again"


def require_answers(found: Verified, lake: str) -> None:
    if found.unanswered:
        raise IncompleteError(
            f"verifying the lake {lake}: {len(found.unanswered)} CHECKSUMs could not be fetched,"
            f" such as that of {found.unanswered[0]}",
            hint="check the network and network.archive_url, and verify again",
        )


def verified(found: Verified, due: list[str], *, is_json: bool) -> None:
    damaged = {inspected.file.path: list(inspected.problems) for inspected in found.damaged}
    unread = tuple(f"{one.file.path}: {one.problems[0]}" for one in found.unread)
    if is_json:
        screen.show_json(_as_json(found) | {"damaged": damaged, "unread": unread, "to_fetch": due})
        return
    rate = found.size_bytes / _MB / max(found.seconds, 0.001)
    sys.stdout.write(
        f"{found.files:,} files, {found.size_bytes / _MB:,.1f} MB in {found.seconds:.1f} s"
        f" ({rate:,.0f} MB/s)\n"
    )
    for path, problems in damaged.items():
        sys.stdout.write(f"damaged: {path}: {'; '.join(problems)}\n")
    listed("could not be read, left as it is", unread)
    listed("damaged; a repair asks the API for its followed rows again", found.followed)
    listed("damaged in the newest generation; a repair publishes it again", found.damaged_tables)
    listed("does not belong to this lake", found.foreign)
    listed("left over from a killed pass; the next pass removes it", found.left_over)
    listed("outdated, its CHECKSUM has changed", list(map(str, found.outdated)))
    listed("withdrawn by the vendor", list(map(str, found.withdrawn)))
    listed("its CHECKSUM could not be fetched", found.unanswered)
    listed("to be downloaded by the next sync", due)
    if found.is_whole and not found.unanswered:
        sys.stdout.write("all files are as recorded\n")


def _as_json(found: Verified) -> dict[str, Any]:
    return {
        "files": found.files,
        "bytes": found.size_bytes,
        "seconds": round(found.seconds, 3),
        "foreign": found.foreign,
        "left_over": found.left_over,
        "followed": found.followed,
        "damaged_tables": found.damaged_tables,
        "outdated": list(map(str, found.outdated)),
        "withdrawn": list(map(str, found.withdrawn)),
        "unanswered": found.unanswered,
    }


def listed(what: str, names: tuple[str, ...] | list[str]) -> None:
    for name in names[:_SHOWN]:
        sys.stdout.write(f"{what}: {name}\n")
    if len(names) > _SHOWN:
        sys.stdout.write(f"and {len(names) - _SHOWN:,} more; --json lists them all\n")


def rebuilt(done: Rebuilt, *, is_json: bool) -> None:
    """Print what a rebuild brought back."""
    if is_json:
        screen.show_json(
            {
                "files": done.files,
                "archives": done.archives,
                "rows": done.rows,
                "damaged": done.damaged,
                "unproven": done.unproven,
                "not_restored": done.not_restored,
            }
        )
        return
    sys.stdout.write(
        f"{done.files:,} files of {done.archives:,} archives, {done.rows:,} rows recorded again\n"
    )
    listed("damaged and removed; its archives are downloaded again", done.damaged)
    if done.not_restored:
        sys.stdout.write(
            "not taken over from the newest generation, where they are gone, damaged, or of an"
            f" older version: {', '.join(done.not_restored)}\n"
        )
    if done.unproven:
        sys.stdout.write(
            f"of {done.unproven:,} files no hash is known: a flipped byte"
            " in one of them would go unnoticed\n"
        )


def examined(found: Sequence[Finding], *, is_json: bool) -> None:
    """Print what the doctor found."""
    if is_json:
        screen.show_json([{"what": one.what, "advice": one.advice} for one in found])
        return
    if not found:
        sys.stdout.write("no problems found\n")
    for one in found:
        sys.stdout.write(f"- {one.what}\n  {one.advice}\n")


def unwanted(found: Sequence[Held]) -> None:
    """Print what the lake has of series that are to be forgotten."""
    columns = ("series", "rows", "files", "MB")
    rows = [(str(o.series), o.rows, o.files, round(o.size_bytes / _MB, 1)) for o in found]
    screen.show_table("", columns, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        sys.stdout.write(f"and {len(rows) - _SHOWN:,} more\n")
    size = sum(one.size_bytes for one in found) / _MB
    sys.stdout.write(f"{len(found):,} series, {size:,.1f} MB\n")
