"""What the API was asked of a series and does not have: intervals of places."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fullpool.grid import Places, subtract
from fullpool.model import Series


@dataclass(frozen=True, slots=True)
class Evidence:
    """Places that the API was asked for at *asked_at* and has no row of.

    *row_before* and *row_after*: it has rows on that side, in the same answers.
    """

    series: Series
    places: Places
    asked_at: datetime
    row_before: bool
    row_after: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What all evidence on one gap comes to: whether the API has rows before it, and after it."""

    row_before: bool
    row_after: bool


def empty_in(
    series: Series, gap: Places, asked: Iterable[Places], found: Sequence[int], at: datetime
) -> list[Evidence]:
    """Return what answers show of the places of *gap*.

    *asked* are the places of answers, neighbours of the gap among them, *found* those that came.
    """
    shown: list[Evidence] = []
    for whole in united(asked):
        came = [place for place in found if whole.first <= place < whole.end]
        beyond = [place for place in found if place >= whole.end]
        for empty in subtract(whole.meet(gap), came):
            before = bool(came) and came[0] < empty.first
            after = bool(came) and came[-1] >= empty.end
            # Trades are asked for by their first id: what is beyond the window is told as well.
            after = after or (bool(beyond) and series.interval is None)
            shown.append(Evidence(series, empty, at, before, after))
    return shown


def united(places: Iterable[Places]) -> list[Places]:
    """Return *places* sorted, with those that touch or overlap made one."""
    joined: list[Places] = []
    for one in sorted(places):
        if joined and one.first <= joined[-1].end:
            joined[-1] = Places(joined[-1].first, max(joined[-1].end, one.end))
        else:
            joined.append(one)
    return joined


def renewed(old: Iterable[Evidence], new: Sequence[Evidence]) -> list[Evidence]:
    """Return all evidence of a series once *new* takes the place of what it overlaps."""
    taken = united(one.places for one in new)
    kept = [part for one in old for part in _without(one, taken)]
    return sorted([*kept, *new], key=lambda one: one.places)


def _without(one: Evidence, taken: Sequence[Places]) -> list[Evidence]:
    """Return the parts of evidence outside *taken*; what is cut off has no row on that side."""
    left = []
    for places in without(one.places, taken):
        before = one.row_before and places.first == one.places.first
        after = one.row_after and places.end == one.places.end
        left.append(replace(one, places=places, row_before=before, row_after=after))
    return left


def without(places: Places, taken: Sequence[Places]) -> list[Places]:
    """Return what is left of *places* without those *taken*, which are united."""
    left, at = [], places.first
    for one in taken:
        if one.end <= at or one.first >= places.end:
            continue
        if at < one.first:
            left.append(Places(at, one.first))
        at = one.end
    return [*left, Places(at, places.end)] if at < places.end else left


def unasked(gap: Places, known: Iterable[Evidence], since: datetime | None) -> list[Places]:
    """Return the places of a gap that were not asked for *since* then; all if that is None."""
    if since is None:
        return [gap]
    return without(gap, united(one.places for one in known if one.asked_at >= since))


def proof_of(gap: Places, known: Iterable[Evidence], since: datetime) -> Proof | None:
    """Return what the evidence since then comes to; None if it does not cover the gap.

    A gap is judged by what surrounds the whole of it, however it was asked for.
    """
    inside = sorted(
        (one for one in known if one.asked_at >= since and one.places.meet(gap)),
        key=lambda one: one.places,
    )
    if not inside or unasked(gap, inside, since):
        return None
    first, last = inside[0], inside[-1]
    # Evidence that reaches beyond the gap shows that the API lacks the row beside it.
    return Proof(
        first.row_before and first.places.first == gap.first,
        last.row_after and last.places.end == gap.end,
    )
