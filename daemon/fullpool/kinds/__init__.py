"""The kinds of data: a table with one row a kind, and what follows from it. Pure."""

from fullpool.kinds.kind import (
    BY_MONTH_ONLY,
    HIVE_KEYS,
    Api,
    Column,
    Derived,
    Kind,
    Type,
    is_hive_key,
    lake_cadence,
    misread_signs,
    offers,
)
from fullpool.kinds.series import (
    api_of,
    grid_of,
    has_archives,
    is_by_period,
    is_counted,
    kind_of,
)
from fullpool.kinds.table import KINDS

__all__ = [
    "BY_MONTH_ONLY",
    "HIVE_KEYS",
    "KINDS",
    "Api",
    "Column",
    "Derived",
    "Kind",
    "Type",
    "api_of",
    "grid_of",
    "has_archives",
    "is_by_period",
    "is_counted",
    "is_hive_key",
    "kind_of",
    "lake_cadence",
    "misread_signs",
    "offers",
]
