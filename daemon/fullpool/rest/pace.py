"""What it costs to follow series, and whether the API allows it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from fullpool.config import Config
from fullpool.grid import Places
from fullpool.kinds import grid_of
from fullpool.model import Market, Series
from fullpool.rest.client import usual_weight
from fullpool.rest.questions import weight_of
from fullpool.rest.windows import Window

_API_OFF: Final = "follow = true does nothing: rest.enabled = false keeps the API from being asked"


def not_followed(series: Iterable[Series], config: Config, now: datetime) -> list[str]:
    """Return what keeps *series* from being followed: the API is not asked, or they are too many.

    What a configuration follows ends with its datasets: *now* tells which.
    """
    if not config.rest.enabled:
        is_wanted = any(dataset.follow for dataset in config.dataset)
        return [_API_OFF] if is_wanted else []
    weights: dict[Market, list[float]] = defaultdict(list)
    for one in series:
        if config.follows(one, now):
            weights[one.market].append(_a_minute(one))
    share = config.rest.weight_share
    return [
        f"following {len(own):,} series of {market} takes a weight of {sum(own):,.0f} a minute, and"
        f" the API allows {usual_weight(market, share):,} (rest.weight_share): they fall behind;"
        " follow fewer, or longer intervals"
        for market, own in sorted(weights.items())
        if sum(own) > usual_weight(market, share)
    ]


def _a_minute(series: Series) -> float:
    """Return the weight of asking for each row as it comes; not more often than each minute."""
    grid = grid_of(series, ())
    step = grid.step if grid else None
    minutes = step.total_seconds() / 60 if step else 1.0
    return weight_of(Window(series, Places(0, 1))) / max(minutes, 1.0)
