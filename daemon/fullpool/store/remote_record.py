"""The file in the lake that says how far its remote copy is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from fullpool.store.tree import Tree, sync_file, sync_folder

_NAME: Final = "status.json"


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """How far the remote copy *to* is: which *generation* it has, and when it got that.

    *lake* is what the copy knows the lake by. *tried_at* is when it was last tried; *reason* says
    why that failed. *is_whole*: what is there is on record; else the objects are listed again.
    """

    to: str
    lake: str
    generation: int = 0
    published_at: datetime | None = None
    files: int = 0
    size_bytes: int = 0
    tried_at: datetime | None = None
    reason: str = ""
    is_whole: bool = False

    def has(self, generation: int, to: str) -> bool:
        """Whether the copy at *to* is that of a generation."""
        return self.is_whole and self.generation == generation and self.to == to

    def failed(self, reason: str, now: datetime) -> "RemoteRecord":
        return replace(self, reason=reason, tried_at=now, is_whole=False)

    def write(self, tree: Tree) -> None:
        """Replace the file. Raises OSError."""
        tree.remote.mkdir(exist_ok=True)
        target = tree.remote / _NAME
        staged = target.with_name(f"{_NAME}.new")
        staged.write_text(json.dumps(_plain(asdict(self)), ensure_ascii=False) + "\n", "utf-8")
        sync_file(staged)
        staged.replace(target)
        sync_folder(target.parent)


def read(tree: Tree) -> RemoteRecord | None:
    """Return what the file says; None if there is none, or another version wrote it."""
    try:
        content: Any = json.loads((tree.remote / _NAME).read_text(encoding="utf-8"))
        known = {one.name for one in fields(RemoteRecord)}
        given = {name: value for name, value in content.items() if name in known}
        for name in ("published_at", "tried_at"):
            given[name] = datetime.fromisoformat(given[name]) if given[name] else None
        return RemoteRecord(**given)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def words_of(known: RemoteRecord | None, newest: int, to: str) -> str:
    """Return in words how far the copy at *to* is, when *newest* is the lake's generation."""
    if known is None or known.to != to:
        return "nothing is published there yet"
    if known.has(newest, to):
        return f"generation {newest}, as in the lake"
    there = f"generation {known.generation} of {newest}" if known.published_at else "nothing yet"
    if known.reason:
        return f"{there}; the last attempt failed: {known.reason}"
    return f"{there}; the rest is being sent, or is with the next publication"


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in record.items()}
