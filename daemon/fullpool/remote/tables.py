"""Iceberg tables in a bucket: a snapshot for each generation that changed one."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import orjson
from pyiceberg.manifest import ManifestEntry, ManifestFile

from fullpool.errors import RemoteError
from fullpool.kinds import Kind
from fullpool.remote import manifests, metadata
from fullpool.remote.bucket import Bucket, Object
from fullpool.remote.contents import Contents, Group
from fullpool.remote.iceberg_schema import BY_SYMBOL, OF_ALL_SYMBOLS, schema_of, specs_of
from fullpool.remote.inventory import Inventory
from fullpool.remote.metadata import Metadata, Moment
from fullpool.remote.naming import TABLES

# Names the newest version for readers without a catalog.
_HINT: Final = "version-hint.text"


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit of one table did: whether it changed, and the objects that it names."""

    is_changed: bool
    named: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to change: groups that have a manifest, with it, those that get one, and old ones."""

    same: Mapping[Group, ManifestFile]
    groups: Sequence[Group]
    outdated: Sequence[ManifestFile]

    def __bool__(self) -> bool:
        return bool(self.groups or self.outdated)


class Table:
    """One kind's table in a bucket; what is written is noted in the inventory."""

    def __init__(self, bucket: Bucket, kind: Kind, inventory: Inventory) -> None:
        self._bucket = bucket
        self._inventory = inventory
        self._kind = kind
        self._folder = f"{TABLES}/{kind.table}/metadata"
        schema = schema_of(kind)
        self._schema, self._specs = schema, specs_of(kind)
        self._layouts = [
            manifests.Layout(schema, spec, bucket.to, kind.time) for spec in self._specs
        ]
        self._version, self._metadata = self._read()

    def commit(self, groups: Sequence[Group], contents: Contents, moment: Moment) -> Commit:
        """Make the table that of a generation; older snapshots end after their grace.

        Raises RemoteError if somebody else writes the table.
        """
        self._take_up_unfinished(moment)
        change = _change(groups, self._current_manifests())
        kept = metadata.kept_snapshots(
            self._metadata, lambda one: self._inventory.is_past(self._name(one), moment.oldest)
        )
        is_changed = bool(change) or len(kept) != len(self._metadata.get("snapshots", []))
        if is_changed:
            before = self._metadata or self._new()
            after = metadata.updated(before, self._schema, kept, moment)
            if change:
                after = self._with_snapshot(after, change, contents, moment)
            self._write(after)
        return Commit(is_changed, tuple(self._named()))

    def _new(self) -> Metadata:
        location = self._bucket.url(f"{TABLES}/{self._kind.table}")
        return metadata.new(location, uuid4(), self._specs)

    def _read(self) -> tuple[int, Metadata]:
        """Return the newest version and its metadata; 0 and nothing if there is no table."""
        hint = self._bucket.get(f"{self._folder}/{_HINT}")
        if hint is None:
            return 0, {}
        if not hint.strip().isdigit():
            raise _damaged(self._bucket.url(f"{self._folder}/{_HINT}"), "it is not a number")
        version = int(hint)
        location = self._bucket.url(self._path(version))
        return version, _parsed(location, self._object(location))

    def _path(self, version: int) -> str:
        return f"{self._folder}/v{version}.metadata.json"

    def _take_up_unfinished(self, moment: Moment) -> None:
        """Go on from a version whose writer was killed before the hint named it."""
        while content := self._bucket.get(self._path(self._version + 1)):
            found = _parsed(self._path(self._version + 1), content)
            if not (moment.takes_over or metadata.is_of(found, moment.lake)):
                raise self._is_foreign()
            self._version, self._metadata = self._version + 1, found
            self._put_hint()

    def _current_manifests(self) -> list[ManifestFile]:
        """Return the manifests of the current snapshot that have files of the table.

        Raises RemoteError if the bucket has lost one.
        """
        current = [one for one in self._all_current() if manifests.has_files(one)]
        for one in current:
            if self._name(one.manifest_path) not in self._inventory.objects:
                raise _damaged(one.manifest_path, "it is not there")
        return current

    def _all_current(self) -> list[ManifestFile]:
        own = metadata.current(self._metadata)
        if own is None:
            return []
        location = own["manifest-list"]
        content = self._object(location)
        with _mapped(location):
            return manifests.listed_in(location, content)

    def _object(self, location: str) -> bytes:
        content = self._bucket.get(self._name(location))
        if content is None:
            raise _damaged(location, "it is not there")
        return content

    def _with_snapshot(
        self, before: Metadata, change: _Change, contents: Contents, moment: Moment
    ) -> Metadata:
        """Write the manifests of a new snapshot and their list; return the metadata with it."""
        snapshot = manifests.Snapshot(secrets.randbits(62), metadata.next_sequence(before))
        written = list(self._manifests(change, contents, snapshot))
        location = self._bucket.url(f"{self._folder}/snap-{snapshot.id}.avro")
        parent = metadata.current_id(before)
        listed = [*change.same.values(), *written]
        self._put(location, manifests.list_of(location, snapshot, parent, listed))
        summary = metadata.summary(written, [*change.same, *change.groups], moment.generation)
        own = {"manifest-list": location, "summary": summary}
        return metadata.with_snapshot(before, snapshot.id, own, moment)

    def _manifests(
        self, change: _Change, contents: Contents, snapshot: manifests.Snapshot
    ) -> Iterator[ManifestFile]:
        """Write a manifest for each group that changed, and one by spec of files that are gone."""
        before = {one.data_file.file_path: one for one in self._entries(change.outdated)}
        gone = dict(before)
        for group in change.groups:
            layout = self._layouts[OF_ALL_SYMBOLS if group.is_tail else BY_SYMBOL]
            files = [manifests.data_file(layout, group, one) for one in contents.files_of(group)]
            for file in files:
                gone.pop(file.file_path, None)
            location = self._bucket.url(f"{self._folder}/{group.sum}-{snapshot.id}.avro")
            one, content = manifests.written(location, layout, snapshot, files, before)
            self._put(location, content)
            yield one
        for layout in self._layouts:
            number = layout.spec.spec_id
            own = [one for one in gone.values() if one.data_file.spec_id == number]
            if own:
                location = self._bucket.url(f"{self._folder}/removed-{number}-{snapshot.id}.avro")
                one, content = manifests.removed(location, layout, snapshot, own)
                self._put(location, content)
                yield one

    def _entries(self, outdated: Sequence[ManifestFile]) -> Iterator[ManifestEntry]:
        for one in outdated:
            content = self._object(one.manifest_path)
            with _mapped(one.manifest_path):
                entries = manifests.entries_in(one, content)
            yield from entries

    def _write(self, after: Metadata) -> None:
        """Write the next version, which readers see once the hint names it."""
        path, content = self._path(self._version + 1), orjson.dumps(after)
        if not self._bucket.create(path, content):
            raise self._is_foreign()
        self._inventory.add(self._bucket.head(path) or Object(path, len(content), ""))
        self._version, self._metadata = self._version + 1, after
        self._put_hint()

    def _put_hint(self) -> None:
        hint = self._bucket.put(f"{self._folder}/{_HINT}", str(self._version).encode())
        self._inventory.add(hint)

    def _put(self, location: str, content: bytes) -> None:
        self._inventory.add(self._bucket.put(self._name(location), content))

    def _name(self, location: str) -> str:
        return location.removeprefix(f"{self._bucket.to}/")

    def _named(self) -> Iterator[str]:
        """Yield the objects that the current version needs; older ones have their grace."""
        if self._version:
            yield self._path(self._version)
            yield f"{self._folder}/{_HINT}"
            if own := metadata.current(self._metadata):
                yield self._name(own["manifest-list"])
            yield from (self._name(one.manifest_path) for one in self._all_current())

    def _is_foreign(self) -> RemoteError:
        return RemoteError(
            f"writing {self._bucket.url(self._folder)}: another process also writes there",
            hint="let one lake publish to it, or give this one another prefix in publish.to",
        )


def _parsed(location: str, content: bytes) -> Metadata:
    with _mapped(location):
        found: Metadata = orjson.loads(content)
        return found


@contextmanager
def _mapped(location: str) -> Iterator[None]:
    """Raise RemoteError if metadata cannot be parsed."""
    try:
        yield
    except (ValueError, TypeError, KeyError, EOFError, IndexError, AssertionError) as error:
        raise _damaged(location, str(error)) from error


def _damaged(location: str, what: str) -> RemoteError:
    folder = location.rpartition("/")[0]
    return RemoteError(
        f"reading {location}: {what}",
        hint=f"delete {folder} in the bucket; the next publication writes the table again",
    )


def _change(groups: Sequence[Group], before: Sequence[ManifestFile]) -> _Change:
    """Compare the groups that there are to be with the manifests that there are."""
    by_sum = {_sum_in(one.manifest_path): one for one in before}
    same = {group: by_sum[group.sum] for group in groups if group.sum in by_sum}
    kept = {group.sum for group in same}
    return _Change(
        same,
        groups=[group for group in groups if group not in same],
        outdated=[one for name, one in by_sum.items() if name not in kept],
    )


def _sum_in(location: str) -> str:
    """Return the sum of the files of the group that a manifest is named after."""
    return location.rpartition("/")[2].partition("-")[0]
