"""The folder of an export: it appears when everything is in it, with a list of its files."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fullpool.errors import NO_ROOM, DiskFullError, LakeUnwritableError, UsageError
from fullpool.kinds import is_hive_key
from fullpool.store.catalogue.reader import FILE_GONE
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.tree import Tree

MANIFEST: Final = "manifest.json"
_ELSEWHERE: Final = "name a folder that does not exist yet, outside the lake"


@dataclass(frozen=True, slots=True)
class Written:
    """A file of an export, by its path below the folder; *rows* is None if it was not counted."""

    path: str
    rows: int | None
    size_bytes: int
    sha256: str


def described(folder: Path, file: Path, rows: int | None) -> Written:
    """Return the record of a finished file below *folder*."""
    path = str(file.relative_to(folder))
    return Written(path, rows, file.stat().st_size, sha256_of(file))


@contextmanager
def staged(tree: Tree, target: Path) -> Iterator[Path]:
    """Yield a folder that becomes *target* at the end; nothing is left of it if the block fails.

    Raises UsageError if *target* is there or inside the lake, LakeUnwritableError or DiskFullError
    if it cannot be written.
    """
    _require_free(tree, target)
    folder = target.absolute().with_name(f".{target.name}.part-{os.getpid()}")
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(target)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise _refused(error, target) from error
        raise


def _require_free(tree: Tree, target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise UsageError(f"exporting to {target}: it already exists", hint=_ELSEWHERE)
    if wrong := next((name for name in target.absolute().parts if is_hive_key(name)), None):
        raise UsageError(
            f"exporting to {target}: engines would read the folder {wrong} as a column",
            hint="name a folder that is not called market=, interval= or symbol=",
        )
    if target.resolve().is_relative_to(tree.root.resolve()):
        raise UsageError(f"exporting to {target}: that is inside the lake", hint=_ELSEWHERE)


def _refused(error: OSError, target: Path) -> LakeUnwritableError | DiskFullError:
    text = f"exporting to {target}: {error}"
    if error.errno in NO_ROOM:
        return DiskFullError(text, hint="free some space, or export less; nothing was left of it")
    if error.errno == errno.EXDEV:
        return LakeUnwritableError(text, hint="that is another disk than the lake's: use --copy")
    hint = FILE_GONE if isinstance(error, FileNotFoundError) else _ELSEWHERE
    return LakeUnwritableError(text, hint=hint)


def write_manifest(folder: Path, about: dict[str, Any], files: list[Written]) -> None:
    """Write the list of files, with *about*, what they were made of, before it."""
    listed = [asdict(one) for one in sorted(files, key=lambda one: one.path)]
    content = json.dumps({**about, "files": listed}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")
