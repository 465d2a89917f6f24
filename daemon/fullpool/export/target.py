"""The folder of an export: it appears when everything is in it, with a list of its files."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from fullpool.errors import NO_ROOM, DiskFullError, FullpoolError, LakeUnwritableError, UsageError
from fullpool.export.written import Written
from fullpool.kinds import is_hive_key
from fullpool.store.catalogue.reader import FILE_GONE
from fullpool.store.targets import require_outside
from fullpool.store.tree import Tree, sync_file, sync_folder

MANIFEST: Final = "manifest.json"
# The folder for what does not fit into memory.
SPILL: Final = ".spill"
_ELSEWHERE: Final = "name a folder that does not exist yet, outside the lake"
_WRITE: Final = "name a new folder in one that you may write to"
_FREE: Final = "free some space, or export less; nothing was left of this"


def require_free(tree: Tree, target: Path) -> None:
    """Raise UsageError if *target* is there, inside the lake, or no name for a folder of data."""
    if "://" in str(target) or ":/" in str(target):
        raise UsageError(f"exporting to {target}: that is no folder", hint=_ELSEWHERE)
    if target.exists() or target.is_symlink():
        raise UsageError(f"exporting to {target}: it already exists", hint=_ELSEWHERE)
    if wrong := next((name for name in target.absolute().parts if is_hive_key(name)), None):
        raise UsageError(
            f"exporting to {target}: engines would read the folder {wrong} as a column",
            hint="name a folder that is not called market=, interval= or symbol=",
        )
    require_outside(tree, target, "exporting to", _ELSEWHERE)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a folder that becomes *target* at the end; nothing is left of it if the block fails.

    Raises LakeUnwritableError or DiskFullError if it cannot be written.
    """
    parent = target.absolute().parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    folder = _new_folder(target, parent)
    try:
        yield folder
        shutil.rmtree(folder / SPILL, ignore_errors=True)
        for each in [path for path in folder.rglob("*") if path.is_dir()]:
            sync_folder(each)
        sync_folder(folder)
        folder.rename(target)
        sync_folder(parent)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
        if isinstance(error, OSError | DiskFullError):
            raise _refused(error, target) from error
        raise


def _new_folder(target: Path, parent: Path) -> Path:
    """Make a folder beside *target* that has no other's name, with the rights of any other."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=parent))
    except OSError as error:
        raise LakeUnwritableError(f"exporting to {target}: {error}", hint=_WRITE) from error
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    return folder


def _refused(error: OSError | DiskFullError, target: Path) -> FullpoolError:
    if isinstance(error, DiskFullError):
        return DiskFullError(str(error), hint=_FREE)
    text = f"exporting to {target}: {error}"
    if error.errno in NO_ROOM:
        return DiskFullError(text, hint=_FREE)
    if error.errno == errno.EXDEV:
        return LakeUnwritableError(text, hint="that is another disk than the lake's: use --copy")
    hint = FILE_GONE if isinstance(error, FileNotFoundError) else _WRITE
    return LakeUnwritableError(text, hint=hint)


def write_manifest(folder: Path, about: Mapping[str, object], files: Sequence[Written]) -> None:
    """Write the list of files, with *about*, what they were made of, before it."""
    listed = [asdict(file) for file in sorted(files, key=lambda file: file.path)]
    content = json.dumps({**about, "files": listed}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")
    sync_file(folder / MANIFEST)
