"""Delta tables over the same files, for those who need them. Owns deltalake.

They lie where the files of a kind do, for paths in a Delta log are relative. Followed rows are not
in them: a file of all symbols has no place in a table that is partitioned by symbol. Polars cannot
read one with symbols that are not ASCII: it asks for the escaped name of their files.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.errors import RemoteError
from fullpool.kinds import Kind, Type
from fullpool.remote.bucket import endpoint_in, is_local
from fullpool.remote.contents import Contents, DataFile, Group
from fullpool.remote.metadata import GENERATION, Moment
from fullpool.store.catalogue.paths import hive_keys
from fullpool.store.partitions.csv_rows import SOURCE_COLUMN

_MILLISECOND: Final = timedelta(milliseconds=1)
_TYPES: Final = {
    Type.TIME: "timestamp_ntz",
    Type.DATE: "date",
    Type.PRICE: "decimal(18,8)",
    Type.AMOUNT: "decimal(38,8)",
    Type.FINE: "decimal(38,16)",
    Type.COUNT: "long",
    Type.FLAG: "boolean",
    Type.TEXT: "string",
}


@dataclass(frozen=True, slots=True)
class DeltaTables:
    """The Delta tables below *to*, reached by the variables of an *environment*."""

    to: str
    environment: Mapping[str, str]

    def commit(
        self, kind: Kind, groups: Sequence[Group], contents: Contents, moment: Moment
    ) -> None:
        """Make a kind's table that of a generation. Raises RemoteError."""
        try:
            import deltalake  # noqa: PLC0415 - an extra
            from deltalake.exceptions import DeltaError  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise RemoteError(
                f"publishing Delta tables to {self.to}: {error}",
                hint="install it: `pip install 'fullpool[delta]'`, or set publish.delta = false",
            ) from error
        wanted: dict[str, tuple[Group, DataFile]] = {}
        for group in groups:
            if not group.is_tail:
                wanted |= {_path(kind, file): (group, file) for file in contents.files_of(group)}
        uri, options = f"{self.to}/{kind.table}", self._options()
        try:
            if deltalake.DeltaTable.is_deltatable(uri, options):
                table = deltalake.DeltaTable(uri, storage_options=options)
                _change(table, kind, wanted, moment)
            elif wanted:
                _create(uri, options, kind, wanted, moment)
        except (DeltaError, OSError) as error:
            raise RemoteError(f"publishing the Delta table {uri}: {error}") from error

    def _options(self) -> dict[str, str]:
        """Return the options of a client: it reads no environment that we were not given."""
        given = {n: v for n, v in self.environment.items() if n.startswith("AWS_")}
        endpoint = endpoint_in(self.environment)
        if endpoint:
            given["AWS_ENDPOINT_URL"] = endpoint
        if is_local(endpoint):
            given["AWS_ALLOW_HTTP"] = "true"
        return given


_Wanted = Mapping[str, tuple[Group, DataFile]]


def _create(uri: str, options: dict[str, str], kind: Kind, wanted: _Wanted, moment: Moment) -> None:
    from deltalake.transaction import create_table_with_add_actions  # noqa: PLC0415 - an extra

    create_table_with_add_actions(
        uri,
        _schema(kind),
        [_added(kind, path, *found, moment) for path, found in wanted.items()],
        partition_by=list(hive_keys(kind)),
        name=kind.table,
        storage_options=options,
        commit_properties=_properties(moment),
    )


def _change(table: Any, kind: Kind, wanted: _Wanted, moment: Moment) -> None:
    """Add the files that are not in the table, and remove those that are no longer wanted."""
    held = _held(table, kind)
    # After a restored backup the same name may stand for other rows. Adding it again replaces its
    # entry.
    same = {
        path
        for path, (_, file) in wanted.items()
        if path in held and held[path][:2] == (file.size_bytes, file.rows)
    }
    actions = [
        _added(kind, path, *found, moment) for path, found in wanted.items() if path not in same
    ]
    for path in held.keys() - wanted.keys():
        size, _, partition = held[path]
        actions.append(_removed(path, size, partition, moment))
    if actions:
        table.create_write_transaction(
            actions, "append", _schema(kind), list(hive_keys(kind)),
            commit_properties=_properties(moment),
        )  # fmt: skip


def _held(table: Any, kind: Kind) -> dict[str, tuple[int, int, dict[str, str | None]]]:
    """Return the size, the rows and the partition of each file of a table, by its path."""
    found = table.get_add_actions(flatten=True)
    keys = hive_keys(kind)
    columns = [found[f"partition.{key}"].to_pylist() for key in keys]
    partitions: Iterable[dict[str, str | None]] = (
        dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)
    )
    sizes, rows = found["size_bytes"].to_pylist(), found["num_records"].to_pylist()
    held = zip(sizes, rows, partitions, strict=True)
    return dict(zip(found["path"].to_pylist(), held, strict=True))


def _path(kind: Kind, file: DataFile) -> str:
    return file.path.removeprefix(f"{kind.table}/")


def _added(kind: Kind, path: str, group: Group, file: DataFile, moment: Moment) -> Any:
    from deltalake.transaction import AddAction  # noqa: PLC0415 - an extra

    values = group.partition_of(file)
    return AddAction(
        path=path,
        size=file.size_bytes,
        partition_values={key: values[key] for key in hive_keys(kind)},
        modification_time=moment.milliseconds,
        data_change=True,
        stats=json.dumps(_stats(kind, file)),
    )


def _removed(path: str, size: int, partition: dict[str, str | None], moment: Moment) -> Any:
    from deltalake.transaction import RemoveAction  # noqa: PLC0415 - an extra

    return RemoveAction(
        path=path,
        data_change=True,
        deletion_timestamp=moment.milliseconds,
        size=size,
        partition_values=partition,
    )


def _stats(kind: Kind, file: DataFile) -> dict[str, Any]:
    """Return what a log says of a file's rows; it has times to the millisecond, so rounded out."""
    assert file.first_time is not None
    assert file.last_time is not None
    return {
        "numRecords": file.rows,
        "minValues": {kind.time: _text(file.first_time)},
        "maxValues": {kind.time: _text(_rounded_up(file.last_time))},
        "nullCount": {kind.time: 0},
    }


def _rounded_up(at: datetime) -> datetime:
    over = timedelta(microseconds=at.microsecond % 1000)
    return at + _MILLISECOND - over if over else at


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _schema(kind: Kind) -> Any:
    from deltalake import Field, Schema  # noqa: PLC0415 - an extra
    from deltalake.schema import PrimitiveType  # noqa: PLC0415 - an extra

    columns = dict.fromkeys((*hive_keys(kind), SOURCE_COLUMN), "string")
    columns |= {one.name: _TYPES[one.type] for one in kind.kept}
    return Schema(
        [Field(name, PrimitiveType(type_), nullable=True) for name, type_ in columns.items()]
    )


def _properties(moment: Moment) -> Any:
    from deltalake import CommitProperties  # noqa: PLC0415 - an extra

    return CommitProperties(custom_metadata={GENERATION: str(moment.generation)})
