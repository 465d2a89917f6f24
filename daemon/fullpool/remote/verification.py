"""Compares the remote copy with what was published: names, sizes and hashes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from fullpool.errors import RemoteError
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.inventory import Inventory, Stock, own_objects
from fullpool.remote.owner import OWNER
from fullpool.store import remote_record
from fullpool.store.tree import Tree


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found: *missing* objects, *changed* ones, and *foreign* ones."""

    objects: int
    size_bytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.changed)


def compare(tree: Tree, bucket: Bucket, now: datetime) -> Compared:
    """List all objects and compare them with what is recorded of them: names, sizes, hashes.

    What is not as it was sent is sent again by the next publication. Raises RemoteError, also if
    the last publication did not come to its end.
    """
    record = remote_record.read(tree)
    inventory = Inventory.read(tree, bucket.to, remote_record.name_of(tree), now)
    if record is None or inventory is None or not record.is_whole or record.to != bucket.to:
        raise RemoteError(
            f"comparing {bucket.to}: the last publication did not come to its end",
            hint="run `fullpool publish` first",
        )
    there = {one.path: one for one in own_objects(bucket)}
    missing, changed = _missing_and_changed(inventory, there)
    foreign = sorted(there.keys() - inventory.objects.keys())
    if bucket.get(OWNER) is None:
        missing.append(OWNER)
    if missing or changed:
        inventory.forget([*missing, *changed])
        inventory.write(tree)
        replace(record, is_whole=False).write(tree)
    return Compared(
        objects=len(there),
        size_bytes=sum(one.size_bytes for one in there.values()),
        missing=tuple(sorted(missing)),
        changed=tuple(sorted(changed)),
        foreign=tuple(foreign),
    )


def _missing_and_changed(
    inventory: Inventory, there: Mapping[str, Object]
) -> tuple[list[str], list[str]]:
    """Return what was sent and is not there, and what is not there as it was sent."""
    missing: list[str] = []
    changed: list[str] = []
    for path, known in inventory.objects.items():
        if path not in there:
            missing.append(path)
        elif not _is_same(there[path], known):
            changed.append(path)
    return missing, changed


def _is_same(one: Object, known: Stock) -> bool:
    return one.size_bytes == known.size_bytes and one.etag == known.etag
