"""The file in the lake that says how far its remote copy is."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from fullpool.store.tree import Tree, replace_file

_NAME: Final = "status.json"
_LAKE: Final = "lake"


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """How far the remote copy *to* is: which *generation* it has, and when it got that.

    *publication* counts what came to its end there. *due_at* is when the next old object is to be
    deleted. *tried_at* is when it was last tried; *reason* says why that failed, *hint* what to do.
    *is_whole*: what is there is on record; else the objects are listed again.
    """

    to: str
    publication: int = 0
    generation: int = 0
    delta: bool = False
    published_at: datetime | None = None
    files: int = 0
    size_bytes: int = 0
    tried_at: datetime | None = None
    due_at: datetime | None = None
    reason: str = ""
    hint: str = ""
    is_whole: bool = False

    def has(self, generation: int, to: str) -> bool:
        """Whether the copy at *to* is that of a generation."""
        return self.is_whole and self.generation == generation and self.to == to

    def is_done(self, now: datetime, *, delta: bool) -> bool:
        """Whether nothing is left to do: all tables are there, and nothing is to be deleted."""
        return self.delta == delta and not (self.due_at and self.due_at <= now)

    def failed(self, reason: str, now: datetime, hint: str = "") -> "RemoteRecord":
        """Return the record after an attempt that came to nothing."""
        return replace(self, reason=reason, hint=hint, tried_at=now, is_whole=False)

    def write(self, tree: Tree) -> None:
        """Replace the file. Raises OSError."""
        content = json.dumps(_plain(asdict(self)), ensure_ascii=False) + "\n"
        replace_file(tree.remote / _NAME, content)


def read(tree: Tree) -> RemoteRecord | None:
    """Return what the file says; None if there is none, or another version wrote it."""
    try:
        content: Any = json.loads((tree.remote / _NAME).read_text(encoding="utf-8"))
        known = {one.name for one in fields(RemoteRecord)}
        given = {name: value for name, value in content.items() if name in known}
        for name in ("published_at", "tried_at", "due_at"):
            given[name] = _instant(given[name]) if given[name] else None
        return RemoteRecord(**given)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def read_for(tree: Tree, to: str) -> RemoteRecord | None:
    """Return what is known of the copy at *to*; None if nothing is."""
    known = read(tree)
    return known if known and known.to == to else None


def _instant(text: str) -> datetime:
    """Return a time. Raises ValueError for one without a zone, which is not ours."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return found


def name_of(tree: Tree) -> str:
    """Return what copies know the lake by: made once, and on disk before anybody is told."""
    file = tree.remote / _LAKE
    with suppress(OSError):
        if known := file.read_text(encoding="utf-8").strip():
            return known
    name = str(uuid4())
    replace_file(file, f"{name}\n")
    return name


def words_of(known: RemoteRecord | None, newest: int) -> str:
    """Return in words how far a copy is, when *newest* is the lake's generation."""
    if known is None:
        return "nothing is published there yet"
    if known.has(newest, known.to):
        return f"generation {newest}, as in the lake"
    there = f"generation {known.generation} of {newest}" if known.published_at else "nothing yet"
    if known.reason:
        return f"{there}; the last attempt failed: {known.reason}"
    if known.generation == newest:
        return f"generation {newest}; it is being checked, or sent again"
    return f"{there}; the next publication brings it up to date"


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in record.items()}
