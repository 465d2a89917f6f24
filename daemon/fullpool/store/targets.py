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


def file_to_write(tree: Tree, target: Path) -> Path:
    """Return the file that *target* names, or a link of that name leads to.

    Raises UsageError for one inside the lake, in a folder that is not there, and for what is no
    file: a rename would put one in the place of a device.
    """
    hint = "name a file outside the lake, in a folder that exists"
    require_outside(tree, target, "writing", hint)
    file = target.resolve()
    if file.exists() and not file.is_file():
        raise UsageError(f"writing {target}: it is there, and no file", hint=hint)
    if not file.parent.is_dir():
        raise UsageError(f"writing {target}: there is no folder {file.parent}", hint=hint)
    return file
