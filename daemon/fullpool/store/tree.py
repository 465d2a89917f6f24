"""Folders and file names of a lake, and how a file gets its name."""

import errno
import filecmp
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from fullpool.errors import NO_LINKS, LakeUnwritableError, UsageError
from fullpool.kinds import KINDS, is_hive_key, kind_of, misread_signs
from fullpool.model import Interval, Market, Partition, Series, period_from

_READABLE: Final = 0o444
_PARQUET: Final = b"PAR1"
# The folder in quarantine for files of the lake.
TAKEN_OUT: Final = "damaged"
CATALOGUE_NAME: Final = "lake.duckdb"
# The folder in staging for what does not fit into memory.
SPILL: Final = "spill"


_NOTICE: Final = """\
This is a lake of market data that fullpool keeps. It is open to every reader:

    duckdb -readonly lake.duckdb "FROM klines LIMIT 5"      (DuckDB 1.1 or newer)
    fullpool.open("this folder")                            (Python)
    fullpool export DIR                                     (plain files for anything else)

Do not read the Parquet files with a glob: some have been replaced by newer ones and are
kept for readers of the past, so their rows would count twice. Change nothing here by hand.
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """Where everything is below the lake's root."""

    root: Path

    @property
    def staging(self) -> Path:
        return self.root / ".staging"

    @property
    def quarantine(self) -> Path:
        return self.root / ".quarantine"

    @property
    def state(self) -> Path:
        return self.root / ".state" / "state.duckdb"

    @property
    def owner(self) -> Path:
        return self.root / ".state" / "writer.json"

    @property
    def daemon(self) -> Path:
        """What the running daemon says of itself."""
        return self.root / ".daemon.json"

    @property
    def control(self) -> Path:
        """The socket that the running daemon listens at."""
        return self.root / ".control" / "socket"

    @property
    def remote(self) -> Path:
        """What is known of the copy in object storage."""
        return self.root / ".remote"

    @property
    def catalogues(self) -> Path:
        return self.root / ".catalogue"

    @property
    def current(self) -> Path:
        """What users open: a symlink to the newest generation's catalogue."""
        return self.root / CATALOGUE_NAME

    @property
    def notice(self) -> Path:
        """What tells people how to read the lake."""
        return self.root / "README.txt"

    @property
    def foreign_log(self) -> Path:
        """Where DuckDB 1.x keeps what a client writes into the catalogue."""
        return self.root / f"{CATALOGUE_NAME}.wal"

    def published(self) -> int:
        """Return the number of the newest generation; 0 if there is none."""
        if not self.current.is_symlink():
            return 0
        name = self.current.resolve().parent.name
        return int(name) if name.isdigit() else 0

    def generations(self) -> list[int]:
        """Return the numbers of all generations that have a folder."""
        return sorted(int(f.name) for f in self.catalogues.glob("[0-9]*") if f.name.isdigit())

    def catalogue(self, generation: int) -> Path:
        return self.catalogues / f"{generation:06d}" / CATALOGUE_NAME

    def create(self) -> None:
        """Make the folders that are not there yet; readers have no business in the daemon's own."""
        self.catalogues.mkdir(parents=True, exist_ok=True)
        for folder in (self.staging, self.quarantine, self.state.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # older versions left them to the umask
        if not self.notice.exists() or self.notice.read_bytes() != _NOTICE.encode():
            staged = self.staging / f"{uuid4().hex}-{self.notice.name}"  # others may open it, too
            with suppress(FileNotFoundError):  # who holds the lake empties this folder
                staged.write_bytes(_NOTICE.encode())
                staged.replace(self.notice)

    def require_symlinks(self) -> None:
        """Raise LakeUnwritableError where readers could not be led to the newest generation."""
        probe = self.staging / "probe"
        try:
            probe.unlink(missing_ok=True)
            probe.symlink_to("nowhere")
            probe.unlink()
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            raise LakeUnwritableError(
                f"making a symbolic link in {self.staging}: {error}",
                hint="this file system does not support them, and readers open a lake through one:"
                " put it on another one, such as ext4, xfs, btrfs, ZFS or NFS",
            ) from error


def lake_at(root: Path) -> Tree:
    """Return the tree of a lake.

    Raises UsageError where DuckDB would not find the files, or would have a folder's name stand in
    every row.
    """
    elsewhere = "rename that folder, or put the lake elsewhere"
    if signs := misread_signs(str(root)):
        what = f"DuckDB finds no files below a name with {signs}"
        raise UsageError(f"looking for the lake {root}: {what}", hint=elsewhere)
    if wrong := next((name for name in root.parts if is_hive_key(name)), None):
        what = f"DuckDB would read the folder {wrong} as a column"
        raise UsageError(f"looking for the lake {root}: {what}", hint=elsewhere)
    return Tree(root)


def partition_path(partition: Partition, generation: int) -> str:
    """Return the path below the root of what *generation* writes for *partition*."""
    series = partition.series
    interval = f"interval={series.interval}/" if series.interval else ""
    folder = f"{kind_of(series).table}/market={series.market}/{interval}symbol={series.symbol}"
    return f"{folder}/{partition.period}.g{generation:06d}.parquet"


def partition_in(path: str) -> Partition | None:
    """Return the partition that a path below the root names; None if it names none."""
    table, *folders, name = path.split("/")
    keys = dict(folder.partition("=")[::2] for folder in folders)
    kind = next((kind for kind in KINDS.values() if kind.table == table), None)
    try:
        period = period_from(name.partition(".")[0])
        interval = Interval(keys["interval"]) if "interval" in keys else None
        series = Series(Market(keys["market"]), kind.name if kind else "", keys["symbol"], interval)
    except (KeyError, ValueError):
        return None
    return Partition(series, period) if kind else None


def make_folder(root: Path, folder: Path) -> None:
    """Make a folder of the lake, but never the lake's own: who removed that wants it gone.

    Raises FileNotFoundError if the lake's folder is not there.
    """
    for part in (*reversed(folder.relative_to(root).parents[:-1]), folder.relative_to(root)):
        (root / part).mkdir(exist_ok=True)


def generation_in(path: str) -> int | None:
    """Return which generation wrote the partition file of that name; None if it is no such."""
    stem, _, ending = path.rpartition(".")
    number = stem.rpartition(".g")[2]
    return int(number) if ending == "parquet" and number != stem and number.isdigit() else None


def give_name(staged: Path, root: Path, path: str) -> None:
    """Give a finished file its name for good: on disk first, then named, then the name on disk.

    *path* is that in the lake's folder *root*. Folders in between are made if need be. Raises
    FileExistsError if another file has it.
    """
    target = root / path
    close_to_writing(staged)
    sync_file(staged)
    made = [folder for folder in (target.parent, *target.parents[1:]) if not folder.exists()]
    make_folder(root, target.parent)
    _name(staged, target)
    for folder in dict.fromkeys((target.parent, *(f.parent for f in made))):
        sync_folder(folder)


def _name(staged: Path, target: Path) -> None:
    """Give a file its name. Raises FileExistsError if another file has it, unlike a rename.

    One of the same bytes is as good: it may be of a try before, whose success nobody heard of.
    """
    try:
        os.link(staged, target)
    except FileExistsError:
        if not filecmp.cmp(staged, target, shallow=False):
            raise
        staged.unlink()
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists() and not filecmp.cmp(staged, target, shallow=False):
            raise FileExistsError(errno.EEXIST, "the name is already taken", str(target)) from error
        staged.rename(target)
    else:
        staged.unlink()


def close_to_writing(file: Path) -> None:
    """Leave the rights to read a finished file, and take those to write it."""
    file.chmod(file.stat().st_mode & _READABLE)


def ends_whole(path: Path) -> bool:
    """Whether a file ends as a Parquet file does: one that was cut short does not."""
    with path.open("rb") as content:
        content.seek(max(path.stat().st_size - len(_PARQUET), 0))
        return content.read() == _PARQUET


def replace_file(path: Path, content: str) -> None:
    """Write a file as a whole: after a power cut it is the old one or this one. Raises OSError."""
    path.parent.mkdir(exist_ok=True)
    staged = path.with_name(f"{path.name}.new")
    staged.write_text(content, encoding="utf-8")
    sync_file(staged)
    staged.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file


def empty(folder: Path, *, keep: str = "") -> None:
    """Remove everything in *folder* but what is called *keep*."""
    for entry in folder.iterdir():
        if entry.name == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_folder(entry)
        else:
            entry.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder and all that is in it. Who still writes there finds it gone at once."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder.rename(folder.with_name(f"gone-{uuid4().hex}")), ignore_errors=True)


def taken_out(tree: Tree, path: str) -> Path:
    """Return where a file of the lake, by its path below the root, is after `take_out`."""
    return tree.quarantine / TAKEN_OUT / path


def take_out(tree: Tree, path: str) -> None:
    """Move a file of the lake where no reader finds it."""
    if (tree.root / path).exists():
        (tree.root / path).rename(_room_for(tree, path))


def keep_copy(tree: Tree, path: str) -> None:
    """Keep a file of the lake in quarantine too; the lake's is removed after its grace.

    Readers of generations that name it are not disturbed.
    """
    if (tree.root / path).exists():
        link_or_copy(tree.root / path, _room_for(tree, path))


def link_or_copy(file: Path, target: Path) -> None:
    """Give a file a second name; where there is but one name a file, copy it."""
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copy2(file, target)


def _room_for(tree: Tree, path: str) -> Path:
    """Return where a file is to lie that is taken out, with nothing of that name there."""
    target = taken_out(tree, path)
    make_folder(tree.root, target.parent)
    target.unlink(missing_ok=True)  # to rename one hard link to another does nothing
    return target
