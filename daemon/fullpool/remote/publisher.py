"""Publishes the newest generation to object storage: files, then tables, then the catalogue.

Readers there see the last whole generation whatever step this ends at, and a repeat sends what is
missing. Nothing of the lake is changed but what is known of the copy.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from fullpool import logs
from fullpool.errors import RemoteError
from fullpool.kinds import KINDS
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.contents import Contents
from fullpool.remote.delta import DeltaTables
from fullpool.remote.inventory import NEWEST, Inventory, catalogue_files
from fullpool.remote.metadata import Moment
from fullpool.remote.naming import names_of, path_of
from fullpool.remote.tables import Table
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import reading
from fullpool.store.remote_record import RemoteRecord
from fullpool.store.tree import Tree

log = logs.get_logger()

# Says which lake is published there.
OWNER: Final = "_fullpool.json"
_SENDERS: Final = 4
# A generation of which a file is gone was replaced long ago: the next one is tried.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Sent:
    """What a publication did; nothing if *generation* was there already."""

    generation: int
    files: int = 0
    size_bytes: int = 0
    tables: int = 0
    deleted: int = 0
    is_news: bool = False


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes the lake of *tree* to a bucket; objects that were replaced stay for their *grace*.

    *now* tells the time. With *delta* there are Delta tables too. Two processes must not use it at
    once.
    """

    tree: Tree
    bucket: Bucket
    grace: timedelta
    now: Callable[[], datetime]
    delta: DeltaTables | None = None

    def publish(self, *, takes_over: bool = False) -> Sent:
        """Bring the copy up to the newest generation.

        With *takes_over* also where another lake was published. Raises RemoteError, NoLakeError.
        """
        record = self._record()
        try:
            self._require_own(record, takes_over=takes_over)
            return self._published(record)
        except RemoteError as error:
            record.failed(str(error), self.now()).write(self.tree)
            raise

    def _published(self, record: RemoteRecord) -> Sent:
        gone: FileNotFoundError | None = None
        for _ in range(_TRIES):
            try:
                return self._publish(record)
            except FileNotFoundError as error:
                gone = error
        raise RemoteError(f"publishing to {self.bucket.to}: {gone}") from gone

    def _record(self) -> RemoteRecord:
        """Return what is known of the copy; nothing but the lake's name if it is another one."""
        found = remote_record.read(self.tree)
        if found is None:
            return RemoteRecord(self.bucket.to, str(uuid4()))
        return found if found.to == self.bucket.to else RemoteRecord(self.bucket.to, found.lake)

    def _require_own(self, record: RemoteRecord, *, takes_over: bool) -> None:
        """Raise RemoteError if another lake is published there."""
        if record.is_whole and not takes_over:
            return  # it was ours the last time
        mine = json.dumps({"lake": record.lake}).encode()
        if takes_over:
            self.bucket.put(OWNER, mine)
        elif not self.bucket.create(OWNER, mine):
            raise RemoteError(
                f"publishing to {self.bucket.to}: another lake is published there",
                hint="give this one another prefix in publish.to; if it is this one, moved or set"
                " up anew, run `fullpool publish --take-over` once",
            )

    def _publish(self, record: RemoteRecord) -> Sent:
        generation, now = self.tree.published(), self.now()
        inventory = Inventory.read(self.tree) if record.is_whole else None
        is_there = inventory is not None and generation == record.generation
        if inventory is not None and is_there and not inventory.past_grace(self.grace, now):
            return Sent(generation)
        replace(record, is_whole=False).write(self.tree)  # from here on, until it is whole again
        inventory = inventory or Inventory.listed(self.bucket)
        with reading(self.tree, str(generation)) as reader:
            contents = Contents(reader)
            sizes = _named(dict(contents.sizes()) | self._catalogue(generation))
            sent = self._send(sizes, inventory)
            moment = Moment(generation, record.lake, now, self.grace)
            changed, named = self._commit(contents, inventory, moment)
        self.bucket.put_file(NEWEST, self.tree.catalogue(generation))
        inventory.retire_all_but([*sizes, *named], self.now())
        old = inventory.past_grace(self.grace, now)
        self.bucket.delete(old)
        inventory.forget(old)
        inventory.write(self.tree)
        done = replace(
            record, generation=generation, published_at=self.now(), files=len(sizes),
            size_bytes=sum(sizes.values()), tried_at=self.now(), reason="", is_whole=True,
        )  # fmt: skip
        done.write(self.tree)
        size_bytes = sum(sizes[path] for path in sent)
        log.info(
            "remote.published", to=self.bucket.to, generation=generation, files=len(sent),
            size_bytes=size_bytes, tables=changed, deleted=len(old),
        )  # fmt: skip
        return Sent(generation, len(sent), size_bytes, changed, len(old), is_news=True)

    def _catalogue(self, generation: int) -> dict[str, int]:
        """Return the files that a generation is read by, with their sizes."""
        files = catalogue_files(self.tree, generation)
        return {path: (self.tree.root / path).stat().st_size for path in files}

    def _send(self, sizes: Mapping[str, int], inventory: Inventory) -> list[str]:
        """Send the files that are not there, and note them; return their paths."""
        missing = [path for path, size in sizes.items() if not inventory.has(path, size)]
        with ThreadPoolExecutor(_SENDERS) as senders:
            try:
                for one in senders.map(self._put, missing):
                    inventory.add(one)
            except BaseException:
                senders.shutdown(wait=False, cancel_futures=True)
                raise
        return missing

    def _put(self, path: str) -> Object:
        return self.bucket.put_file(path, self.tree.root / path_of(path))

    def _commit(
        self, contents: Contents, inventory: Inventory, moment: Moment
    ) -> tuple[int, list[str]]:
        """Bring all tables up to a generation; return how many changed, and the objects named."""
        groups, changed, named = contents.by_kind(), 0, list[str]()
        there = inventory.tables()
        for kind in KINDS.values():
            if kind.name in groups or kind.table in there:
                done = Table(self.bucket, kind).commit(groups.get(kind.name, []), contents, moment)
                changed += done.is_changed
                if self.delta is not None:
                    self.delta.commit(kind, groups.get(kind.name, []), contents, moment)
                named += done.named
                inventory.add_named(done.named)
        return changed, named


def _named(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the names of the objects that files of the lake become, with their sizes."""
    return {name: sizes[path_of(name)] for name in names_of(sizes)}
