"""Iceberg's schema and partition specs of each kind. Pure."""

from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestampType,
)

from fullpool.kinds import Column, Derived, Kind, Type
from fullpool.store.catalogue.paths import hive_keys
from fullpool.store.partitions.csv_rows import OWN_FIELDS, SOURCE_COLUMN

# Files of partitions are of one symbol each; those of followed rows of all symbols of a market.
BY_SYMBOL: Final = 0
OF_ALL_SYMBOLS: Final = 1
_FIRST_FIELD: Final = 1000
# Files hold decimals of 18 or 38 digits; readers see one type.
_TYPES: Final[dict[Type, PrimitiveType]] = {
    Type.TIME: TimestampType(),
    Type.DATE: DateType(),
    Type.PRICE: DecimalType(18, 8),
    Type.AMOUNT: DecimalType(38, 8),
    Type.FINE: DecimalType(38, 16),
    Type.COUNT: LongType(),
    Type.FLAG: BooleanType(),
    Type.TEXT: StringType(),
}


def schema_of(kind: Kind) -> Schema:
    """Return the columns of a kind: those of its folders, of its files, and the source of a row.

    They have the field ids that are in the files, so no name mapping is needed but for files of
    before there were any.
    """
    keys = [name for name in ("market", "symbol", "interval") if name in hive_keys(kind)]
    fields = [NestedField(OWN_FIELDS[name], name, StringType(), required=False) for name in keys]
    fields += [
        NestedField(kind.field_ids[one.name], one.name, _type_of(one), required=False)
        for one in kind.kept
    ]
    source = NestedField(OWN_FIELDS[SOURCE_COLUMN], SOURCE_COLUMN, StringType(), required=False)
    return Schema(*fields, source)


def _type_of(column: Column | Derived) -> PrimitiveType:
    return _TYPES[column.type]


def specs_of(kind: Kind) -> list[PartitionSpec]:
    """Return how files are partitioned: by what their folders are called."""
    fields = [
        PartitionField(OWN_FIELDS[name], _FIRST_FIELD + number, IdentityTransform(), name)
        for number, name in enumerate(hive_keys(kind))
    ]
    return [
        PartitionSpec(*fields, spec_id=BY_SYMBOL),
        PartitionSpec(*fields[:-1], spec_id=OF_ALL_SYMBOLS),
    ]
