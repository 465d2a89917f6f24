"""Archives that failed a check, kept with the reason beside them, under the vendor's own path."""

import json
from datetime import datetime
from pathlib import Path

from fullpool import vendor
from fullpool.model import Archive
from fullpool.store.tree import Tree


def quarantine(tree: Tree, archive: Archive, zipped: Path, reason: str, now: datetime) -> None:
    """Move *zipped* to quarantine and write the reason beside it."""
    target = tree.quarantine / vendor.archive_key(archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    zipped.replace(target)
    note = {"archive": str(archive), "reason": reason, "at": now.isoformat()}
    _note_path(target).write_text(json.dumps(note, ensure_ascii=False, indent=1) + "\n")


def release(tree: Tree, archive: Archive) -> None:
    """Remove an archive from quarantine, for a good edition of it has come."""
    target = tree.quarantine / vendor.archive_key(archive)
    if target.exists():
        target.unlink()
        _note_path(target).unlink(missing_ok=True)


def _note_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")
