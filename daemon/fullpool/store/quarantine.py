"""Keeps archives that failed a check, with the reason next to them."""

import json
from datetime import datetime
from pathlib import Path

from fullpool import vendor
from fullpool.model import Archive, Zipped
from fullpool.store.tree import TAKEN_OUT, Tree, make_folder


def quarantined(tree: Tree, archive: Archive) -> Path:
    """Return where an archive is, if it is in quarantine."""
    return tree.quarantine / vendor.archive_key(archive)


def quarantine(tree: Tree, archive: Archive, zipped: Zipped, reason: str, now: datetime) -> None:
    """Put *zipped* in quarantine and write the reason next to it; a file is moved there."""
    target = quarantined(tree, archive)
    make_folder(tree.root, target.parent)
    if isinstance(zipped, Path):
        zipped.replace(target)
    else:
        target.write_bytes(zipped)
    note = {"archive": str(archive), "reason": reason, "at": now.isoformat()}
    _note_path(target).write_text(json.dumps(note, ensure_ascii=False, indent=1) + "\n")


def is_empty(tree: Tree) -> bool:
    """Whether no archive is in quarantine."""
    held = (tree.quarantine / vendor.ROOT).rglob("*")
    return not any(path.is_file() for path in held)


def release(tree: Tree, archive: Archive) -> None:
    """Remove an archive from quarantine, for a good edition of it has come."""
    target = quarantined(tree, archive)
    if target.exists():
        target.unlink()
        _note_path(target).unlink(missing_ok=True)


def forget_taken_out(tree: Tree, before: datetime) -> None:
    """Remove files of the lake that were taken out before *before*."""
    for path in (tree.quarantine / TAKEN_OUT).rglob("*"):
        # The time of its content is older; that of its name is when it came here.
        if path.is_file() and path.stat().st_ctime < before.timestamp():
            path.unlink()


def _note_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")
