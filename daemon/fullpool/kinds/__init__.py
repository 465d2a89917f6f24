"""The kinds of data: a table with one row a kind, and what follows from it. Pure."""

from collections.abc import Sequence

from fullpool.grid import Grid
from fullpool.kinds import kind as of_kind
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
    offers,
)
from fullpool.kinds.table import KINDS
from fullpool.model import Cadence, PartitionFile, Series


def kind_of(series: Series) -> Kind:
    return KINDS[series.kind]


def api_of(series: Series) -> Api:
    """Return what the API has of a series."""
    return kind_of(series).api_of(series.market, series.symbol)


def grid_of(series: Series, held: Sequence[PartitionFile]) -> Grid | None:
    """Return where the rows of a series are expected; None if by an id without a break."""
    return of_kind.grid_of(kind_of(series), series.market, series.interval, held)


def is_counted(series: Series) -> bool:
    """Whether rows of a series are expected by an id without a break."""
    return kind_of(series).is_counted(series.market)


def has_archives(series: Series, cadence: Cadence) -> bool:
    """Whether a series is to be had by archives of that length, as far as it tells."""
    return of_kind.has(kind_of(series), series.interval, cadence)


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
    "is_counted",
    "is_hive_key",
    "kind_of",
    "lake_cadence",
    "offers",
]
