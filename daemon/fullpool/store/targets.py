"""Files and folders that a command is to write for its user: never in the lake."""

from pathlib import Path

from fullpool.errors import UsageError
from fullpool.store.tree import Tree


def require_outside(tree: Tree, target: Path, doing: str, hint: str) -> None:
    """Raise UsageError for a target that has no name, or lies inside the lake."""
    if not target.name:
        raise UsageError(f"{doing} {str(target)!r}: that is no name", hint=hint)
    if target.resolve().is_relative_to(tree.root.resolve()):
        raise UsageError(f"{doing} {target}: that is inside the lake", hint=hint)
