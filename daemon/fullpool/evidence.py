"""What the API was asked and did not have, as intervals of places. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fullpool.gaps import Gap
from fullpool.grid import Places, subtract
from fullpool.kinds import is_counted
from fullpool.model import Series, Span


@dataclass(frozen=True, slots=True)
class Evidence:
    """Places that the API was asked for at *asked_at* and has no row of.

    *row_before* and *row_after*: it has rows on that side, in the same answers. *near* is where the
    gap was: the ids of a symbol that is used again start again.
    """

    series: Series
    places: Places
    near: Span
    asked_at: datetime
    row_before: bool
    row_after: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What all evidence on one gap comes to: whether the API has rows before it, and after it."""

    row_before: bool
    row_after: bool


class Index:
    """The evidence on one series by its places."""

    def __init__(self, known: Iterable[Evidence]) -> None:
        self._known = sorted(known, key=lambda one: one.places)
        self._starts = [piece.places.first for piece in self._known]

    def of(self, gap: Gap) -> list[Evidence]:
        """Return the evidence that has places of *gap*, in their order."""
        at = bisect_left(self._starts, gap.places.first)
        while at and self._known[at - 1].places.end > gap.places.first:
            at -= 1
        end = bisect_left(self._starts, gap.places.end)
        beside = (piece for piece in self._known[at:end] if piece.places.meet(gap.places))
        return [one for one in beside if _is_same_life(one, gap.span)]

    def of_any(self, gaps: Iterable[Gap]) -> list[Evidence]:
        """Return the evidence that has places of one of *gaps*, each piece once."""
        return list({id(one): one for gap in gaps for one in self.of(gap)}.values())


def _is_same_life(one: Evidence, near: Span) -> bool:
    """Whether evidence is on the life of a symbol that something *near* is in."""
    return not is_counted(one.series) or (one.near.start <= near.end and near.start <= one.near.end)


def empty_in(
    gap: Gap, asked: Iterable[Places], found: Sequence[int], at: datetime
) -> list[Evidence]:
    """Return what answers show of a gap.

    *asked* are the places of answers, neighbours of the gap among them, *found* those that came, in
    their order.
    """
    series = gap.series
    shown: list[Evidence] = []
    for whole in united(asked):
        came = [place for place in found if whole.first <= place < whole.end]
        # Trades are asked for by their first id: what is beyond the window is told as well.
        is_beyond = is_counted(series) and bool(found) and found[-1] >= whole.end
        for empty in subtract(whole.meet(gap.places), came):
            before = bool(came) and came[0] < empty.first
            after = is_beyond or (bool(came) and came[-1] >= empty.end)
            shown.append(Evidence(series, empty, gap.span, at, before, after))
    return shown


def united(places: Iterable[Places]) -> list[Places]:
    """Return *places* sorted, with those that touch or overlap made one."""
    joined: list[Places] = []
    for place in sorted(places):
        if joined and place.first <= joined[-1].end:
            joined[-1] = Places(joined[-1].first, max(joined[-1].end, place.end))
        else:
            joined.append(place)
    return joined


def renewed(old: Iterable[Evidence], new: Sequence[Evidence]) -> list[Evidence]:
    """Return all evidence of a series once *new* takes the place of what it overlaps."""
    taken = sorted(new, key=lambda one: one.places)
    starts = [one.places.first for one in taken]
    kept: list[Evidence] = []
    for piece in old:
        at = max(bisect_left(starts, piece.places.first) - 1, 0)
        end = bisect_left(starts, piece.places.end)
        over = [other.places for other in taken[at:end] if _is_same_life(piece, other.near)]
        kept += _without(piece, united(over))
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
    return without(gap, united(piece.places for piece in known if piece.asked_at >= since))


def proof_of(gap: Places, known: Iterable[Evidence], since: datetime) -> Proof | None:
    """Return what the evidence since then comes to; None if it does not cover the gap.

    A gap is judged by what surrounds the whole of it, however it was asked for.
    """
    inside = sorted(
        (piece for piece in known if piece.asked_at >= since and piece.places.meet(gap)),
        key=lambda one: one.places,
    )
    if not inside or unasked(gap, inside, since):
        return None
    first, last = inside[0], inside[-1]
    # Evidence that reaches beyond the gap shows that the API lacks the row next to it.
    return Proof(
        first.row_before and first.places.first == gap.first,
        last.row_after and last.places.end == gap.end,
    )
