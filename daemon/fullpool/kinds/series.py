"""What follows for a series from its kind. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from fullpool.grid import Grid, bars_of, spaced
from fullpool.kinds.kind import BY_MONTH_ONLY, Api, Kind
from fullpool.kinds.table import KINDS
from fullpool.model import Cadence, PartitionFile, Series


def kind_of(series: Series) -> Kind:
    return KINDS[series.kind]


def api_of(series: Series) -> Api:
    """Return what the API has of a series."""
    return kind_of(series).api_of(series.market, series.symbol)


def is_counted(series: Series) -> bool:
    """Whether rows of a series are expected by an id without a break."""
    return kind_of(series).is_counted(series.market)


def has_archives(series: Series, cadence: Cadence) -> bool:
    """Whether a series is to be had by archives of that length, as far as it tells."""
    if cadence is Cadence.DAY and series.interval in BY_MONTH_ONLY:
        return False
    return cadence in kind_of(series).cadences


def is_by_period(series: Series) -> bool:
    """Whether whole archives are expected of a series, of which each has a row at least."""
    grid = grid_of(series, ())
    return grid is not None and grid.is_by_period


def grid_of(series: Series, held: Sequence[PartitionFile]) -> Grid | None:
    """Return where the rows of a series are expected; None if by an id without a break.

    *held* are the files of the series, which tell where three-day bars are, and how far apart
    funding rates.
    """
    kind = kind_of(series)
    if series.interval is not None:
        return bars_of(series.interval, held)
    if is_counted(series):
        return None
    if kind.step is not None:
        return spaced(kind.step, held) if kind.spacing else Grid(kind.step)
    is_daily = Cadence.DAY in kind.cadences
    return Grid(timedelta(days=1) if is_daily else None, is_by_period=True, slack=kind.slack)
