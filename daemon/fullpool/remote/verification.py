"""Compares the remote copy with what was published: names, sizes and hashes."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fullpool.errors import RemoteError
from fullpool.remote.bucket import PART, Bucket, Object
from fullpool.remote.inventory import Inventory, own_objects
from fullpool.remote.naming import path_of
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import Reader
from fullpool.store.tree import Tree

_HASHES: Final = "SELECT path, sha256 FROM sync.partitions"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found: *missing* objects, *changed* ones, and *foreign* ones.

    Of *objects* all were listed; *unchecked* are those of which the lake no longer has the file.
    """

    objects: int
    size_bytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    foreign: tuple[str, ...]
    unchecked: int

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.changed)


def compare(tree: Tree, bucket: Bucket, reader: Reader) -> Compared:
    """List all objects and compare them with what is recorded of them.

    Hashes are the bucket's own where it makes them as Amazon does, else an object is read.
    Raises RemoteError, also if nothing was published there.
    """
    record, inventory = remote_record.read(tree), Inventory.read(tree)
    if record is None or inventory is None or record.to != bucket.to or not record.is_whole:
        raise RemoteError(
            f"comparing {bucket.to}: the last publication did not come to its end",
            hint="run `fullpool publish` first",
        )
    there = {one.path: one for one in own_objects(bucket)}
    hashes = {str(path): str(sum_) for path, sum_ in reader.query(_HASHES).rows}
    known = inventory.objects
    missing = [path for path in known if path not in there]
    own = [one for path, one in there.items() if path in known]
    wrong_size = {
        one.path for one in own
        if known[one.path].size_bytes and one.size_bytes != known[one.path].size_bytes
    }  # fmt: skip
    verdicts = dict(_verdicts(tree, bucket, (o for o in own if o.path not in wrong_size), hashes))
    changed = wrong_size | {path for path, is_same in verdicts.items() if is_same is False}
    return Compared(
        objects=len(there),
        size_bytes=sum(one.size_bytes for one in there.values()),
        missing=tuple(sorted(missing)),
        changed=tuple(sorted(changed)),
        foreign=tuple(sorted(there.keys() - known.keys())),
        unchecked=sum(is_same is None for is_same in verdicts.values()),
    )


def _verdicts(
    tree: Tree, bucket: Bucket, objects: Iterable[Object], hashes: dict[str, str]
) -> Iterator[tuple[str, bool | None]]:
    """Yield whether each object is the lake's file of its name; None where that has none."""
    for one in objects:
        file = tree.root / path_of(one.path)
        if not file.is_file():
            yield one.path, None
        elif one.etag == etag_of(file):
            yield one.path, True
        else:
            yield (
                one.path,
                _has_sum(bucket, one.path, hashes.get(path_of(one.path)) or _sha256(file)),
            )


def _has_sum(bucket: Bucket, path: str, expected: str) -> bool:
    content = bucket.get(path)
    return content is not None and hashlib.sha256(content).hexdigest() == expected


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def etag_of(file: Path) -> str:
    """Return the ETag that S3 gives a file: its MD5, or that of its parts' and their number."""
    with file.open("rb") as content:
        parts = [
            hashlib.md5(part, usedforsecurity=False)
            for part in iter(lambda: content.read(PART), b"")
        ]
    if len(parts) <= 1:
        return (parts[0] if parts else hashlib.md5(b"", usedforsecurity=False)).hexdigest()
    whole = hashlib.md5(b"".join(part.digest() for part in parts), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(parts)}"
