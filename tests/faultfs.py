"""A file system in user space that hands everything on to a folder, and fails as it is told.

`python faultfs.py FOLDER MOUNTPOINT RULE`. RULE is a file read anew at every call: empty, or
`{"call": "fsync", "errno": 5, "match": ".parquet", "after": 2, "times": 1}`, which has that
call fail on paths that contain *match*, after it has worked *after* times, *times* times. Each
failure is printed.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import mfusepy

P = ParamSpec("P")
T = TypeVar("T")


def failing(
    call: Callable[Concatenate["Faulty", str, P], T],
) -> Callable[Concatenate["Faulty", str, P], T]:
    """Have *call* fail where the rule says so."""

    def failing_call(self: "Faulty", path: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.fail(call.__name__, path)
        return call(self, path, *args, **kwargs)

    return failing_call


class Faulty(mfusepy.Operations):  # type: ignore[misc]  # the package has no types
    """The folder behind, with faults. Signatures are those of the package."""

    use_ns = True

    def __init__(self, folder: Path, rule: Path) -> None:
        self._folder = folder.resolve()
        self._rule = rule
        self._seen = 0
        self._lock = threading.Lock()

    def fail(self, call: str, path: str) -> None:
        """Raise what the rule has for this call, if it has anything."""
        text = self._rule.read_text()
        rule: dict[str, Any] = json.loads(text) if text else {"call": ""}
        if rule["call"] != call or rule["match"] not in path:
            return
        with self._lock:
            self._seen += 1
            if rule["after"] < self._seen <= rule["after"] + rule["times"]:
                sys.stdout.write(f"{call} {path}\n")
                sys.stdout.flush()
                raise OSError(rule["errno"], os.strerror(rule["errno"]))

    def at(self, path: str) -> Path:
        return self._folder / path.removeprefix("/")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        del fh
        found = self.at(path).lstat()
        times = {
            name: getattr(found, f"{name}_ns") for name in ("st_atime", "st_ctime", "st_mtime")
        }
        names = ("st_gid", "st_ino", "st_mode", "st_nlink", "st_size", "st_uid")
        return {name: getattr(found, name) for name in names} | times

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.at(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def readdir(self, path: str, fh: int) -> list[str]:
        del fh
        return [".", "..", *(one.name for one in self.at(path).iterdir())]

    @failing
    def mkdir(self, path: str, mode: int) -> None:
        self.at(path).mkdir(mode)

    @failing
    def rmdir(self, path: str) -> None:
        self.at(path).rmdir()

    @failing
    def unlink(self, path: str) -> None:
        self.at(path).unlink()

    @failing
    def rename(self, old: str, new: str) -> None:
        self.at(old).rename(self.at(new))

    @failing
    def link(self, target: str, source: str) -> None:
        self.at(target).hardlink_to(self.at(source))

    @failing
    def symlink(self, target: str, source: str) -> None:
        self.at(target).symlink_to(source)

    def readlink(self, path: str) -> str:
        return str(self.at(path).readlink())

    @failing
    def chmod(self, path: str, mode: int) -> None:
        self.at(path).chmod(mode)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self.at(path), ns=times or (time.time_ns(),) * 2)

    @failing
    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        del fh
        os.truncate(self.at(path), length)

    @failing
    def open(self, path: str, flags: int) -> int:
        return os.open(self.at(path), flags)

    @failing
    def create(self, path: str, mode: int, flags: int | None = None) -> int:
        del flags
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    @failing
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        del path
        return os.pread(fh, size, offset)

    @failing
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        del path
        return os.pwrite(fh, data, offset)

    @failing
    def flush(self, path: str, fh: int) -> None:
        """Called at every close."""
        del path, fh

    @failing
    def fsync(self, path: str, datasync: int, fh: int) -> None:
        del path, datasync
        os.fsync(fh)

    @failing
    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        del path, datasync, fh

    def release(self, path: str, fh: int) -> None:
        del path
        os.close(fh)


if __name__ == "__main__":
    folder, mountpoint, rule = sys.argv[1:]
    mfusepy.FUSE(Faulty(Path(folder), Path(rule)), mountpoint, foreground=True)
