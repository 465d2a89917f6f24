"""Publishes the newest generation to object storage: files, then tables, then the catalogue.

Readers there see the last whole generation whatever step this ends at, and a repeat sends what is
missing. Nothing of the lake is changed but what is known of the copy.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from fullpool import logs
from fullpool.errors import NoLakeError, RemoteError
from fullpool.kinds import KINDS
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.contents import Contents
from fullpool.remote.delta import DeltaTables
from fullpool.remote.etag import etag_of
from fullpool.remote.inventory import Inventory, catalogue_files
from fullpool.remote.metadata import Moment
from fullpool.remote.naming import NEWEST, names_of, path_of
from fullpool.remote.owner import OWNER, Owner, owner_of
from fullpool.remote.tables import Table
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import Queries, reading
from fullpool.store.inventory import published_tails
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.remote_record import RemoteRecord
from fullpool.store.tree import Tree

log = logs.get_logger()

# Each holds a part or two of a file in memory.
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
        if not self.tree.published():
            raise NoLakeError(f"publishing {self.tree.root}: nothing is published there yet")
        gone: Exception | None = None
        lake = remote_record.name_of(self.tree)
        owner = owner_of(self.bucket, lake, takes_over=takes_over)
        for _ in range(_TRIES):
            try:
                return self._publish(owner, takes_over=takes_over)
            except (FileNotFoundError, NoLakeError) as error:
                gone = error
        raise RemoteError(f"publishing to {self.bucket.to}: {gone}") from gone

    def record(self) -> RemoteRecord:
        """Return what is known of the copy; nothing if it is another one."""
        return remote_record.read_for(self.tree, self.bucket.to) or RemoteRecord(self.bucket.to)

    def _publish(self, owner: Owner, *, takes_over: bool) -> Sent:
        record, generation, now = self.record(), self.tree.published(), self.now()
        before = Inventory.read(self.tree, self.bucket.to, owner.lake, now)
        is_known = before is not None and _is_undisturbed(record, before, owner)
        has_all = record.delta == (self.delta is not None) and record.generation == generation
        if is_known and before and has_all and not before.past(now - self.grace):
            return Sent(generation)
        replace(record, is_whole=False).write(self.tree)  # from here on, until it is whole again
        inventory = before or Inventory(self.bucket.to, owner.lake, owner.publication)
        inventory = inventory if is_known else inventory.listed(self.bucket)
        with reading(self.tree, str(generation)) as reader:
            contents = Contents(reader)
            sizes = _named(dict(contents.sizes()) | self._catalogue(generation))
            sent = self._send(sizes, _sums(contents, reader), inventory)
            moment = Moment(generation, owner.lake, now, now - self.grace, takes_over)
            changed, named = self._commit(contents, inventory, moment)
        inventory.add(self.bucket.put_file(NEWEST, self.tree.catalogue(generation)))
        inventory.retire_all_but([*sizes, *named, NEWEST], self.now())
        old = inventory.past(now - self.grace)
        self.bucket.delete(old)
        inventory.forget(old)
        self._end(inventory, record, owner, (generation, sizes))
        size_bytes = sum(sizes[path] for path in sent)
        log.info(
            "remote.published", to=self.bucket.to, generation=generation, files=len(sent),
            size_bytes=size_bytes, tables=changed, deleted=len(old),
        )  # fmt: skip
        return Sent(generation, len(sent), size_bytes, changed, len(old), is_news=True)

    def _end(
        self, inventory: Inventory, record: RemoteRecord, owner: Owner,
        published: tuple[int, Mapping[str, int]],
    ) -> None:  # fmt: skip
        """Record that the copy is whole: here, there, and last that both say the same."""
        generation, sizes = published
        inventory.publication = owner.publication + 1
        inventory.write(self.tree)
        self.bucket.put(OWNER, Owner(owner.lake, inventory.publication).content())
        replace(
            record, publication=inventory.publication, generation=generation,
            delta=self.delta is not None, published_at=self.now(), files=len(sizes),
            size_bytes=sum(sizes.values()), tried_at=self.now(),
            due_at=inventory.next_end(self.grace), reason="", hint="", is_whole=True,
        ).write(self.tree)  # fmt: skip

    def _catalogue(self, generation: int) -> dict[str, int]:
        """Return the files that a generation is read by, with their sizes."""
        files = catalogue_files(self.tree, generation)
        return {path: (self.tree.root / path).stat().st_size for path in files}

    def _send(
        self, sizes: Mapping[str, int], sums: Mapping[str, str], inventory: Inventory
    ) -> list[str]:
        """Send the files that are not there, and note them; return their paths.

        One that is not as it was written ends that, for a sound copy of it may be there. Raises
        RemoteError.
        """

        def send(path: str) -> Object:
            file = path_of(path)
            self._require_as_written(file, sizes[path], sums.get(file, ""))
            return self.bucket.put_file(path, self.tree.root / file)

        missing = [
            path for path, size in sizes.items() if not self._is_there(path, size, inventory)
        ]
        with ThreadPoolExecutor(_SENDERS) as senders:
            try:
                for one in senders.map(send, missing):
                    inventory.add(one)
            except BaseException:
                senders.shutdown(wait=False, cancel_futures=True)
                raise
        return missing

    def _is_there(self, path: str, size_bytes: int, inventory: Inventory) -> bool:
        """Whether an object is the lake's file of its name, also if somebody else has sent it."""
        one = inventory.objects.get(path)
        if one is None or one.size_bytes != size_bytes:
            return False
        one.is_sure = one.is_sure or one.etag == etag_of(self.tree.root / path_of(path))
        return one.is_sure

    def _require_as_written(self, path: str, size_bytes: int, sha256: str) -> None:
        """Raise RemoteError for a file that is damaged, FileNotFoundError for one that is gone."""
        file = self.tree.root / path
        if file.stat().st_size == size_bytes and (not sha256 or sha256_of(file) == sha256):
            return
        raise RemoteError(
            f"publishing to {self.bucket.to}: {path} does not have the bytes that were written,"
            " and is not sent",
            hint="run `fullpool verify --repair`, then `fullpool sync`: the file is built again",
        )

    def _commit(
        self, contents: Contents, inventory: Inventory, moment: Moment
    ) -> tuple[int, list[str]]:
        """Bring all tables up to a generation; return how many changed, and the objects named."""
        groups, changed, named = contents.by_kind(), 0, list[str]()
        there = inventory.tables()
        for kind in KINDS.values():
            if kind.name in groups or kind.table in there:
                own = groups.get(kind.name, [])
                done = Table(self.bucket, kind, inventory).commit(own, contents, moment)
                changed += done.is_changed
                named += done.named
                if self.delta is not None:
                    self.delta.commit(kind, own, contents, moment)
        return changed, named


def _named(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the names of the objects that files of the lake become, with their sizes."""
    return {name: sizes[path_of(name)] for name in names_of(sizes)}


def _is_undisturbed(record: RemoteRecord, before: Inventory, owner: Owner) -> bool:
    """Whether the last publication came to its end, and nobody else has published since."""
    return record.is_whole and before.publication == record.publication == owner.publication


def _sums(contents: Contents, reader: Queries) -> dict[str, str]:
    """Return the hashes that files were written with, by their paths, as far as they are known."""
    return contents.sums() | {file.path: file.sha256 for file in published_tails(reader)}
