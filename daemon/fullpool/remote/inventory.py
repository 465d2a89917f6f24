"""Which objects the remote copy has, as far as this lake knows, and which are to be deleted."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.kinds import KINDS
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.delta import LOG
from fullpool.remote.tables import FOLDER
from fullpool.store.partitions import tails
from fullpool.store.tree import CATALOGUE_NAME, Tree

_NAME: Final = "objects.json"
CATALOGUES: Final = ".catalogue"
# What lies elsewhere below the prefix is not ours.
OWN_FOLDERS: Final = (
    *sorted(kind.table for kind in KINDS.values()), tails.FOLDER, CATALOGUES, FOLDER,
)  # fmt: skip


def own_objects(bucket: Bucket) -> Iterator[Object]:
    """Yield the objects that are ours; the logs of Delta tables are kept by who writes them."""
    for folder in OWN_FOLDERS:
        yield from (one for one in bucket.list(folder) if f"/{LOG}/" not in one.path)


@dataclass(slots=True)
class Stock:
    """An object that is there; *retired_at* is when nothing newest named it any more."""

    size_bytes: int
    etag: str
    retired_at: datetime | None = None


class Inventory:
    """The objects of the remote copy by their paths."""

    def __init__(self, objects: dict[str, Stock]) -> None:
        self._objects = objects

    @classmethod
    def read(cls, tree: Tree) -> "Inventory | None":
        """Return what the last publication left; None if that is not to be read."""
        try:
            content: Any = json.loads((tree.remote / _NAME).read_bytes())
            return cls({path: _stock(values) for path, values in content.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    @classmethod
    def listed(cls, bucket: Bucket) -> "Inventory":
        """List what is there: all of it, for nobody knows what the last publication did."""
        return cls({one.path: Stock(one.size_bytes, one.etag) for one in own_objects(bucket)})

    def write(self, tree: Tree) -> None:
        """Replace the file. Raises OSError."""
        tree.remote.mkdir(exist_ok=True)
        content = {
            path: [one.size_bytes, one.etag, one.retired_at and one.retired_at.isoformat()]
            for path, one in self._objects.items()
        }
        staged = tree.remote / f"{_NAME}.new"
        staged.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        staged.replace(tree.remote / _NAME)

    def has(self, path: str, size_bytes: int) -> bool:
        found = self._objects.get(path)
        return found is not None and found.size_bytes == size_bytes

    def add(self, one: Object) -> None:
        self._objects[one.path] = Stock(one.size_bytes, one.etag)

    def add_named(self, paths: Iterable[str]) -> None:
        """Note objects of tables, whose sizes nobody asks for."""
        for path in paths:
            self._objects.setdefault(path, Stock(0, ""))

    def retire_all_but(self, named: Iterable[str], now: datetime) -> None:
        """Note what is named by nothing newest any more, and what is again."""
        kept = set(named)
        for path, one in self._objects.items():
            if path in kept:
                one.retired_at = None
            elif one.retired_at is None:
                one.retired_at = now

    def past_grace(self, grace: timedelta, now: datetime) -> list[str]:
        """Return the objects that nothing has named for so long."""
        return [
            path
            for path, one in self._objects.items()
            if one.retired_at is not None and one.retired_at <= now - grace
        ]

    def forget(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._objects.pop(path, None)

    def tables(self) -> set[str]:
        """Return the names of the tables that are there."""
        folders = (path.split("/") for path in self._objects if path.startswith(f"{FOLDER}/"))
        return {parts[1] for parts in folders}

    @property
    def objects(self) -> Mapping[str, Stock]:
        return self._objects


def _stock(values: Any) -> Stock:
    size_bytes, etag, retired_at = values
    return Stock(size_bytes, etag, datetime.fromisoformat(retired_at) if retired_at else None)


def catalogue_files(tree: Tree, generation: int) -> list[str]:
    """Return the paths of what a generation is read by: its folder, and the skeletons."""
    folders = (tree.catalogue(generation).parent, tree.catalogues / "skeleton")
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return [str(file.relative_to(tree.root)) for file in files]


NEWEST: Final = CATALOGUE_NAME
