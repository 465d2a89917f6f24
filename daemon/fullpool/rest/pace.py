"""What it costs to follow series, and whether the API allows it."""

from collections.abc import Iterable

from fullpool.grid import Places
from fullpool.kinds import grid_of
from fullpool.model import Series
from fullpool.rest.client import DEFAULT_WEIGHT
from fullpool.rest.questions import weight_of
from fullpool.rest.windows import Window


def too_much(series: Iterable[Series], weight_share: float) -> list[str]:
    """Return a line for each market whose series cannot all be followed, whatever is tried."""
    weights: dict[str, list[float]] = {}
    limits: dict[str, int] = {}
    for one in series:
        weights.setdefault(str(one.market), []).append(_a_minute(one))
        limits[str(one.market)] = int(DEFAULT_WEIGHT[one.market] * weight_share)
    return [
        f"following {len(own):,} series of {market} takes a weight of {sum(own):,.0f} a minute, and"
        f" the API allows {limits[market]:,} (rest.weight_share): they fall behind; follow fewer,"
        " or longer intervals"
        for market, own in sorted(weights.items())
        if sum(own) > limits[market]
    ]


def _a_minute(series: Series) -> float:
    """Return the weight of asking for each row as it comes; not more often than each minute."""
    grid = grid_of(series, ())
    step = grid.step if grid else None
    minutes = step.total_seconds() / 60 if step else 1.0
    return weight_of(Window(series, Places(0, 1))) / max(minutes, 1.0)
