"""What a running daemon says of itself, for those who ask beside it."""

import json
from pathlib import Path
from typing import Any

from fullpool.app.lock import is_held
from fullpool.store.tree import Tree


def status_of(tree: Tree) -> dict[str, Any] | None:
    """Return what the daemon of a lake says of itself; None if none runs there.

    What it said stays when it is killed, so it is believed only while somebody holds the lake.
    """
    try:
        said: dict[str, Any] = json.loads(Path(tree.daemon).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if is_held(tree) else None
