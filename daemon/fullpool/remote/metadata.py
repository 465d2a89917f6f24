"""The metadata of an Iceberg table, as JSON has it: schemas, snapshots and which is current. Pure.

Source: https://iceberg.apache.org/spec/#table-metadata-and-snapshots (format version 2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from pyiceberg.manifest import ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema

from fullpool.remote.contents import Group

Metadata = dict[str, Any]
GENERATION: Final = "fullpool.generation"
_LAKE: Final = "fullpool.lake"
_NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Moment:
    """The generation that is published, of which lake, and when.

    What nothing has named since *oldest* is over. *takes_over*: it may have been another lake's.
    """

    generation: int
    lake: str
    now: datetime
    oldest: datetime
    takes_over: bool = False

    @property
    def milliseconds(self) -> int:
        return round(self.now.timestamp() * 1000)


def new(location: str, number: UUID, specs: Sequence[PartitionSpec]) -> Metadata:
    """Return the metadata of a table without schema and snapshots."""
    return {
        "format-version": 2,
        "table-uuid": str(number),
        "location": location,
        "last-sequence-number": 0,
        "last-updated-ms": 0,
        "schemas": [],
        "default-spec-id": specs[0].spec_id,
        "partition-specs": [_as_json(spec) for spec in specs],
        "last-partition-id": max(one.last_assigned_field_id for one in specs),
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "snapshots": [],
        "current-snapshot-id": _NOBODY,
        "refs": {},
    }


def updated(before: Metadata, schema: Schema, kept: Sequence[Metadata], moment: Moment) -> Metadata:
    """Return metadata with a schema, one it had or a new one, and with the snapshots *kept*."""
    wanted = _as_json(schema)
    schemas = before["schemas"]
    numbers = [one["schema-id"] for one in schemas if one["fields"] == wanted["fields"]]
    number = numbers[0] if numbers else len(schemas)
    return before | {
        "schemas": schemas if numbers else [*schemas, wanted | {"schema-id": number}],
        "current-schema-id": number,
        "last-column-id": schema.highest_field_id,
        "properties": {
            "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
            _LAKE: moment.lake,
        },
        "last-updated-ms": max(moment.milliseconds, before["last-updated-ms"]),
        "snapshots": list(kept),
        "snapshot-log": _log(kept),
    }


def with_snapshot(before: Metadata, number: int, own: Metadata, moment: Moment) -> Metadata:
    """Return metadata with one more snapshot, which is current; *own* is what is known of it.

    Times of snapshots only grow, whatever the clock says.
    """
    parent, snapshots = current_id(before), before["snapshots"]
    last = max((one["timestamp-ms"] for one in snapshots), default=0)
    snapshot = own | {
        "snapshot-id": number,
        "sequence-number": next_sequence(before),
        "timestamp-ms": max(moment.milliseconds, last + 1),
        "schema-id": before["current-schema-id"],
    }
    snapshot |= {} if parent is None else {"parent-snapshot-id": parent}
    return before | {
        "last-sequence-number": snapshot["sequence-number"],
        "last-updated-ms": max(snapshot["timestamp-ms"], before["last-updated-ms"]),
        "snapshots": [*snapshots, snapshot],
        "snapshot-log": _log([*snapshots, snapshot]),
        "current-snapshot-id": number,
        "refs": {"main": {"snapshot-id": number, "type": "branch"}},
    }


def kept_snapshots(metadata: Metadata, is_over: Callable[[str], bool]) -> list[Metadata]:
    """Return the current snapshot, and the older ones whose manifest lists are not over."""
    snapshots: list[Metadata] = metadata.get("snapshots", [])
    return [one for one in snapshots[:-1] if not is_over(one["manifest-list"])] + snapshots[-1:]


def current_id(metadata: Metadata) -> int | None:
    """Return the number of the current snapshot; None if there is none."""
    number = metadata.get("current-snapshot-id", _NOBODY)
    return None if number == _NOBODY else int(number)


def current(metadata: Metadata) -> Metadata | None:
    """Return the current snapshot; None if there is none."""
    number = current_id(metadata)
    return next((s for s in metadata.get("snapshots", []) if s["snapshot-id"] == number), None)


def next_sequence(metadata: Metadata) -> int:
    return int(metadata["last-sequence-number"]) + 1


def is_of(metadata: Metadata, lake: str) -> bool:
    """Whether a lake wrote the table."""
    return bool(metadata["properties"].get(_LAKE) == lake)


def summary(
    written: Sequence[ManifestFile], groups: Sequence[Group], generation: int
) -> dict[str, str]:
    """Return the summary of a snapshot, as Iceberg's readers know it, with our generation."""
    added = sum(one.added_files_count or 0 for one in written)
    removed = sum(one.deleted_files_count or 0 for one in written)
    operations = {(True, False): "append", (False, True): "delete", (True, True): "overwrite"}
    return {
        "operation": operations.get((added > 0, removed > 0), "replace"),
        "added-data-files": str(added),
        "deleted-data-files": str(removed),
        "total-data-files": str(sum(one.files for one in groups)),
        "total-records": str(sum(one.rows for one in groups)),
        "total-files-size": str(sum(one.size_bytes for one in groups)),
        GENERATION: str(generation),
    }


def _log(snapshots: Sequence[Metadata]) -> list[Metadata]:
    return [
        {"snapshot-id": one["snapshot-id"], "timestamp-ms": one["timestamp-ms"]}
        for one in snapshots
    ]


def _as_json(one: Schema | PartitionSpec) -> Metadata:
    found: Metadata = orjson.loads(one.model_dump_json())
    return found
