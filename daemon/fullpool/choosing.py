"""Which gaps to ask the API about now. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fullpool import ladder
from fullpool.gaps import Explanation, Gap, GapStatus
from fullpool.grid import Places
from fullpool.kinds import Api, api_of, is_counted

# An outage that this many symbols have alike, to the bar, is one: the others are not asked for.
WITNESSES: Final = 3
# So long the gaps of others explain one; then it is asked for by itself, also if that fails.
_SHARED_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Gaps sorted by what is to be done: asked for now, or explained by those of other symbols."""

    to_ask: list[Gap]
    shared: list[Gap]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the gaps of an outage of a whole market have in common.

    Ids belong to one symbol, and an archive that is not there to one series.
    """

    market: str
    kind: str
    interval_or_symbol: str
    places: Places


def shape_of(gap: Gap) -> Shape:
    series = gap.series
    is_shared = api_of(series) is not Api.NOTHING and not is_counted(series)
    what = series.interval or "" if is_shared else series.symbol
    return Shape(series.market, series.kind, what, gap.places)


def choose(gaps: Sequence[Gap], patched: AbstractSet[Shape], now: datetime) -> Chosen:
    """Choose what to ask for now, so that an outage of a whole market is asked for only once.

    Gaps that many symbols have alike are asked for of a few; when those are all empty at the
    source, so are the others for 30 days; after that each is asked for by itself, also if that
    failed. *patched* are shapes that the API had rows for: no outages.
    """
    groups: dict[Shape, list[Gap]] = defaultdict(list)
    for gap in gaps:
        groups[shape_of(gap)].append(gap)
    to_ask: list[Gap] = []
    shared: list[Gap] = []
    for shape, alike in groups.items():
        chosen = _of_one_shape(alike, is_patched=shape in patched, now=now)
        to_ask += chosen.to_ask
        shared += chosen.shared
    # The shortest first: a gap of years is not to keep all others waiting.
    return Chosen(sorted(to_ask, key=lambda gap: (len(gap.places), gap.span, gap.series)), shared)


def _of_one_shape(alike: Sequence[Gap], *, is_patched: bool, now: datetime) -> Chosen:
    """Choose among gaps that are alike."""
    witnesses = [gap for gap in alike if _is_witness(gap) and not gap.is_due(now)]
    by_itself, due = _due(alike, now)
    if len(witnesses) >= WITNESSES:
        return Chosen(by_itself, [ladder.like(gap, witnesses, now) for gap in due])
    if len(alike) > WITNESSES and not is_patched and not _is_mixed(alike, now):
        due = sorted(due, key=lambda gap: gap.series)[: WITNESSES - len(witnesses)]
    return Chosen([*by_itself, *due], [])


def _due(alike: Iterable[Gap], now: datetime) -> tuple[list[Gap], list[Gap]]:
    """Return the gaps that are due: those that nobody else explains any more, and the others."""
    by_itself: list[Gap] = []
    others: list[Gap] = []
    for gap in (gap for gap in alike if gap.is_due(now)):
        is_old = now - gap.found_at >= _SHARED_FOR
        (by_itself if is_old or _is_like_others(gap) else others).append(gap)
    return by_itself, others


def _is_witness(gap: Gap) -> bool:
    return gap.explanation is Explanation.EMPTY_AT_SOURCE and gap.asked_at is not None


def _is_like_others(gap: Gap) -> bool:
    """Whether a gap was explained by those of other symbols alone."""
    return gap.explanation is Explanation.EMPTY_AT_SOURCE and gap.asked_at is None


def _is_mixed(alike: Iterable[Gap], now: datetime) -> bool:
    """Whether one of the gaps was asked for lately, to no avail: they are no sure outage."""
    return any(g.status is GapStatus.OPEN and g.attempts and not g.is_due(now) for g in alike)
