"""Which objects the remote copy has, as far as this lake knows, and which are to be deleted."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.naming import FOLDERS, NEWEST, TABLES, is_own
from fullpool.store.tree import Tree, replace_file

_NAME: Final = "objects.json"


@dataclass(slots=True)
class Stock:
    """An object that is there; *retired_at* is when the newest generation stopped naming it.

    *is_sure*: this lake sent it; otherwise only its size is known to match.
    """

    size_bytes: int
    etag: str
    retired_at: datetime | None = None
    is_sure: bool = True


@dataclass(slots=True)
class Inventory:
    """The objects of a copy by their paths, after its *publication* of that number."""

    to: str
    lake: str
    publication: int
    objects: dict[str, Stock] = field(default_factory=dict)

    @classmethod
    def read(cls, tree: Tree, to: str, lake: str, now: datetime) -> "Inventory | None":
        """Return what the last publication to there left; None if that is not to be read."""
        try:
            content: Any = json.loads((tree.remote / _NAME).read_bytes())
            known = {path: _stock(values, now) for path, values in content["objects"].items()}
            if (content["to"], content["lake"]) != (to, lake):
                return None
            return cls(to, lake, int(content["publication"]), known)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None

    def listed(self, bucket: Bucket) -> "Inventory":
        """Return what is there now: of what was there before, times and hashes are still known."""
        return Inventory(
            self.to, self.lake, self.publication,
            {one.path: self._known(one) for one in own_objects(bucket)},
        )  # fmt: skip

    def _known(self, one: Object) -> Stock:
        before = self.objects.get(one.path)
        if (
            before
            and before.is_sure
            and (before.size_bytes, before.etag) == (one.size_bytes, one.etag)
        ):
            return before
        return Stock(one.size_bytes, one.etag, is_sure=False)

    def write(self, tree: Tree) -> None:
        """Replace the file. Raises OSError."""
        content = {
            "to": self.to,
            "lake": self.lake,
            "publication": self.publication,
            "objects": {path: _values(one) for path, one in self.objects.items()},
        }
        replace_file(tree.remote / _NAME, json.dumps(content, ensure_ascii=False))

    def add(self, one: Object) -> None:
        self.objects[one.path] = Stock(one.size_bytes, one.etag)

    def retire_all_but(self, named: Iterable[str], now: datetime) -> None:
        """Note which objects the newest generation no longer names, and which it names again."""
        kept = set(named)
        for path, one in self.objects.items():
            if path in kept:
                one.retired_at = None
            elif one.retired_at is None:
                one.retired_at = now

    def is_past(self, path: str, before: datetime) -> bool:
        """Whether nothing has named an object since *before*."""
        one = self.objects.get(path)
        return one is not None and one.retired_at is not None and one.retired_at <= before

    def past(self, before: datetime) -> list[str]:
        """Return the objects that nothing has named since *before*."""
        return [path for path in self.objects if self.is_past(path, before)]

    def next_end(self, grace: timedelta) -> datetime | None:
        """Return when the next grace ends; None if nothing is retired."""
        retired = (one.retired_at for one in self.objects.values())
        return min((at + grace for at in retired if at is not None), default=None)

    def forget(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.objects.pop(path, None)

    def tables(self) -> set[str]:
        """Return the names of the tables that are there."""
        return {path.split("/")[1] for path in self.objects if path.startswith(f"{TABLES}/")}


def own_objects(bucket: Bucket) -> Iterator[Object]:
    """Yield the objects that have a name of ours: others may lie below the prefix, too."""
    for folder in FOLDERS:
        yield from (one for one in bucket.list(folder) if is_own(one.path))
    newest = bucket.head(NEWEST)
    if newest is not None:
        yield newest


def _stock(values: Any, now: datetime) -> Stock:
    """Return an object as it is on record; a time that is not yet is that of a wrong clock."""
    size_bytes, etag, retired_at, is_sure = values
    at = datetime.fromisoformat(retired_at) if retired_at else None
    return Stock(int(size_bytes), str(etag), min(at, now) if at else None, bool(is_sure))


def _values(one: Stock) -> list[Any]:
    return [one.size_bytes, one.etag, one.retired_at and one.retired_at.isoformat(), one.is_sure]


def catalogue_files(tree: Tree, generation: int) -> list[str]:
    """Return the paths of what a generation is read by: its folder, and the skeletons."""
    folders = (tree.catalogue(generation).parent, tree.catalogues / "skeleton")
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return [str(file.relative_to(tree.root)) for file in files]
