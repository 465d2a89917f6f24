"""Iceberg's manifests and manifest lists, as bytes. Written from what is recorded of the files."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from pyiceberg.conversions import to_bytes
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, PrimitiveType

from fullpool.remote import contents
from fullpool.remote.contents import Group
from fullpool.remote.naming import table_name

_VERSION: Final = 2
_CODEC: Final = "deflate"
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Bytes(io.BytesIO):
    """What was written stays readable once it is closed."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


class Written(OutputFile):
    """A file of metadata that is written in memory."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._stream = _Bytes()

    @property
    def content(self) -> bytes:
        return self._stream.content

    def __len__(self) -> int:
        return len(self.content)

    def exists(self) -> bool:
        return False

    def to_input_file(self) -> InputFile:
        return Held(self.location, self.content)

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002 - pyiceberg's
        del overwrite
        self._stream = _Bytes()
        return self._stream


class Held(InputFile):
    """A file of metadata that was read as a whole."""

    def __init__(self, location: str, content: bytes) -> None:
        super().__init__(location)
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def exists(self) -> bool:
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: FBT001, FBT002 - pyiceberg's
        del seekable
        return io.BytesIO(self._content)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the files of a table are laid out: its *schema* and a partition spec, at *root*."""

    schema: Schema
    spec: PartitionSpec
    root: str
    time: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The number of a state of a table, and its place in their order."""

    id: int
    sequence: int


def data_file(layout: Layout, group: Group, file: contents.DataFile) -> DataFile:
    """Return what a manifest says of a file of a group."""
    field = layout.schema.find_field(layout.time)
    time = cast("PrimitiveType", field.field_type)
    keys = group.partition_of(file)
    names = [layout.schema.find_column_name(one.source_id) or "" for one in layout.spec.fields]
    bounds = [
        {} if at is None else {field.field_id: to_bytes(time, _bound(at, time))}
        for at in (file.first_time, file.last_time)
    ]
    found = DataFile.from_args(
        _table_format_version=_VERSION,
        content=DataFileContent.DATA,
        file_path=f"{layout.root}/{table_name(file.path)}",
        file_format=FileFormat.PARQUET,
        partition=Record(*(keys[name] for name in names)),
        record_count=file.rows,
        file_size_in_bytes=file.size_bytes,
        column_sizes={},
        value_counts={field.field_id: file.rows},
        null_value_counts={field.field_id: 0},
        nan_value_counts={},
        lower_bounds=bounds[0],
        upper_bounds=bounds[1],
        split_offsets=[4],  # where a Parquet file's first row group begins
        equality_ids=None,
        sort_order_id=None,
        key_metadata=None,
    )
    found.spec_id = layout.spec.spec_id
    return found


def _bound(at: datetime, time: PrimitiveType) -> int:
    """Return an instant as Iceberg counts it: in microseconds, or in days."""
    since = at.replace(tzinfo=UTC) - _EPOCH
    return since.days if isinstance(time, DateType) else since // _MICROSECOND


def has_files(manifest: ManifestFile) -> bool:
    """Whether any file is in the table by a manifest, and not only such that were removed."""
    return manifest.has_added_files() or manifest.has_existing_files()


def written(
    location: str,
    layout: Layout,
    snapshot: Snapshot,
    files: Iterable[DataFile],
    before: Mapping[str, ManifestEntry],
) -> tuple[ManifestFile, bytes]:
    """Write a manifest of files; those of *before*, by their paths, were in the table already."""
    target = Written(location)
    writer = write_manifest(_VERSION, layout.spec, layout.schema, target, snapshot.id, _CODEC)
    with writer:
        for file in files:
            known = before.get(file.file_path)
            if known is None:
                writer.add(ManifestEntry.from_args(sequence_number=None, data_file=file))
            else:
                writer.existing(_entry(known, file))
    return writer.to_manifest_file(), target.content


def removed(
    location: str, layout: Layout, snapshot: Snapshot, entries: Iterable[ManifestEntry]
) -> tuple[ManifestFile, bytes]:
    """Write a manifest of the files that are no longer in the table."""
    target = Written(location)
    writer = write_manifest(_VERSION, layout.spec, layout.schema, target, snapshot.id, _CODEC)
    with writer:
        for entry in entries:
            writer.delete(entry)
    return writer.to_manifest_file(), target.content


def _entry(known: ManifestEntry, file: DataFile) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=ManifestEntryStatus.EXISTING,
        snapshot_id=known.snapshot_id,
        sequence_number=known.sequence_number,
        file_sequence_number=known.file_sequence_number,
        data_file=file,
    )


def list_of(
    location: str, snapshot: Snapshot, parent: int | None, manifests: Sequence[ManifestFile]
) -> bytes:
    """Write the list of the manifests of a snapshot."""
    target = Written(location)
    writer = write_manifest_list(_VERSION, target, snapshot.id, parent, snapshot.sequence, _CODEC)
    with writer:
        writer.add_manifests(list(manifests))
    return target.content


def listed_in(location: str, content: bytes) -> list[ManifestFile]:
    """Return the manifests of a list."""
    return list(read_manifest_list(Held(location, content)))


def entries_in(manifest: ManifestFile, content: bytes) -> list[ManifestEntry]:
    """Return the files that are in the table by a manifest."""
    return manifest.fetch_manifest_entry(_One(content), discard_deleted=True)


class _One(FileIO):
    """Reads the one file that is at hand."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content

    def new_input(self, location: str) -> InputFile:
        return Held(location, self._content)

    def new_output(self, location: str) -> OutputFile:
        return Written(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError(f"deleting {location}")
