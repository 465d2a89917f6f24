"""Files and folders that a command is to write for its user: never in the lake."""

import os
from pathlib import Path

from fullpool.errors import LakeUnwritableError, UsageError
from fullpool.store.tree import Tree


def require_outside(tree: Tree, target: Path, doing: str, hint: str) -> None:
    """Raise UsageError for a target that has no name, or lies inside the lake."""
    if not target.name:
        raise UsageError(f"{doing} {str(target)!r}: that is no name", hint=hint)
    if Path(os.path.realpath(target)).is_relative_to(tree.root.resolve()):
        raise UsageError(f"{doing} {target}: that is inside the lake", hint=hint)


def file_to_write(tree: Tree, target: Path) -> Path:
    """Return the file that *target* names, or a link of that name leads to.

    Raises UsageError for one inside the lake, and for what is no file: a rename would put one in
    the place of a device. LakeUnwritableError if its folder is not there.
    """
    hint = "name a file outside the lake, in a folder that exists"
    require_outside(tree, target, "writing", hint)
    file = Path(os.path.realpath(target))
    # Not of Path: those raise. A pipe is there, though what its link says is not.
    is_there = os.path.lexists(file) or os.path.exists(target)  # noqa: PTH110
    if is_there and not os.path.isfile(target):  # noqa: PTH113
        raise UsageError(f"writing {target}: it exists and is not a regular file", hint=hint)
    if not os.path.isdir(file.parent):  # noqa: PTH112 - does not raise
        raise LakeUnwritableError(f"writing {target}: there is no folder {file.parent}", hint=hint)
    return file
