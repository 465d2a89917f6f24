"""Which archive's rows stay where two have them. Pure.

Archives of one series overlap: a day with its month, and at midnight with the archive after it.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum

from fullpool.kinds import Kind
from fullpool.model import Cadence, Span, period_from, period_of
from fullpool.store.partitions.messages import Accepted, Edition
from fullpool.store.partitions.provenance import Origin, Source, edition_key


class Rank(IntEnum):
    """Which rows stay where two archives have them: those of the higher rank.

    A day fills the holes of its month, unless it was published after it: then it corrects it.
    """

    FILLS = 0
    REPLACES = 1
    CORRECTS = 2


class Precedence:
    """Decides which archive's rows stay, for one step.

    *origin* is where the rows of the files that the step replaces came from. Read the spans only
    after the last `accept`: they are computed once.
    """

    def __init__(self, kind: Kind, origin: Origin) -> None:
        self._kind = kind
        self.origin = origin
        self.accepted: list[Accepted] = []
        self._known = {source.key: source for source in origin.sources}
        self._published = {one.period: one.identity.modified_at for one in origin.sources}

    def accept(self, accepted: Accepted) -> None:
        """Take in an archive that comes anew, a month before its days."""
        edition = accepted.edition
        self.accepted.append(accepted)
        self._published[str(edition.archive.period)] = edition.identity.modified_at

    def correct_times(self, examined: Mapping[Edition, Accepted]) -> None:
        """Take in the first and last rows of archives whose rows are out of order."""
        self.accepted = [examined[one.edition] for one in self.accepted]

    def rank_of(self, edition: Edition) -> Rank:
        """Return the rank of an archive beside that of its month, if that is there as well."""
        period = edition.archive.period
        month = str(period_of(period.first, Cadence.MONTH))
        if period.cadence is not Cadence.DAY or month not in self._published:
            return Rank.REPLACES
        is_newer = _is_later(edition.identity.modified_at, self._published[month])
        return Rank.CORRECTS if is_newer else Rank.FILLS

    @property
    def is_needed(self) -> bool:
        """Whether rows of other archives may lie among those of one that comes anew, or after."""
        starts = [source.span.start for source in self._held]
        ends = [span.end for span in self._rewritten]
        comes_between = bool(starts and ends) and max(starts) >= min(ends)
        return comes_between or any((self.filled, self.corrected, self.others, self.edges))

    @functools.cached_property
    def filled(self) -> list[Span]:
        """The spans of days that only fill holes of their month."""
        return self._spans(lambda rank: rank is Rank.FILLS)

    @functools.cached_property
    def replaced(self) -> list[Span]:
        """The spans whose archives are rewritten, but for days of the lake that correct them."""
        return [part for span in self._rewritten for part in _outside(span, self._held_corrections)]

    @functools.cached_property
    def dropped(self) -> list[Span]:
        """The spans whose rows in the lake give way: also those of older editions beyond these."""
        slack = self._kind.slack
        if not self._kind.key:
            return [*self.replaced, *_around(self._rewritten, slack, self._held)]
        keys = [edition_key(one.edition) for one in self.accepted]
        older = [self._known[key] for key in keys if key in self._known]
        ends = {source.span.end for source in older if source.is_known_to_pass_its_end}
        ends &= {span.end for span in self._rewritten}
        return [*self.replaced, *_edges(_in_none(ends, self._held, slack), slack)]

    @property
    def refilled(self) -> list[Span]:
        """The spans of which rows that fill holes come anew."""
        return [*self.filled, *self._held_corrections]

    @functools.cached_property
    def corrected(self) -> list[Span]:
        """The spans of days that were published after the accepted month they are in."""
        return [*self._held_corrections, *self._spans(lambda rank: rank is Rank.CORRECTS)]

    @functools.cached_property
    def edges(self) -> list[Span]:
        """The spans with rows that may be of the archive before what is rewritten.

        An archive may end with the first row of the next one's span.
        """
        ends = {source.span.end for source in self._held if source.may_pass_its_end}
        return _edges(ends & {span.start for span in self.replaced}, self._kind.slack)

    @functools.cached_property
    def inner_edges(self) -> list[Span]:
        """The spans with rows that two of the accepted archives may have."""
        ends = {span.end for span in self.replaced}
        return _edges(ends & {span.start for span in self.replaced}, self._kind.slack)

    @functools.cached_property
    def starts_of_next(self) -> list[Span]:
        """The spans after what is rewritten of which the next archive of the lake has rows."""
        slack = self._kind.slack
        starts = {one.span.start for one in self._held if one.is_known_to_begin_within(slack)}
        return _edges(starts & {span.end for span in self._rewritten}, slack)

    @functools.cached_property
    def merged(self) -> list[Span]:
        """The spans where rows stay that an archive lacks and another one may have.

        Rows without a key of an edition that is gone cannot be told apart from another archive's.
        """
        if self._kind.key:
            return self.replaced
        spans: list[Span] = []
        for edition in (accepted.edition for accepted in self.accepted):
            older = self._known.get(edition_key(edition))
            if older is not None and older.sha256 != edition.sha256:
                spans.append(edition.archive.period.span)
        return [part for span in self.replaced for part in _outside(span, spans)]

    @functools.cached_property
    def others(self) -> list[Span]:
        """The spans of other archives inside those: a month may lack rows that its days had.

        With what days are known to have beyond their ends.
        """
        spans = [one.span for one in self._held]
        late = [one.span.end for one in self._held if one.is_known_to_pass_its_end]
        spans += _edges(late, self._kind.slack) if self._kind.key else []
        return [span for span in spans if _overlaps_any(span, self.replaced)]

    @functools.cached_property
    def corrected_beyond(self) -> list[Span]:
        """The spans after days that correct their month once more, where they have their own row.

        An older edition's may be there. If it is the month's, that archive comes again as well.
        """
        new = [one.edition for one in self.accepted if edition_key(one.edition) in self._known]
        again = [one for one in new if self.rank_of(one) is Rank.CORRECTS]
        ends = {edition.archive.period.span.end for edition in again}
        taken = {span.start for span in [*self.starts_of_next, *self.corrected]}
        return _edges(ends - taken, self._kind.slack)

    @functools.cached_property
    def _held(self) -> tuple[Source, ...]:
        """The archives of the lake that do not come anew."""
        return self.origin.others(self.accepted)

    @functools.cached_property
    def _rewritten(self) -> list[Span]:
        return self._spans(lambda rank: rank is not Rank.FILLS)

    def _spans(self, is_meant: Callable[[Rank], bool]) -> list[Span]:
        editions = [one.edition for one in self.accepted]
        return [one.archive.period.span for one in editions if is_meant(self.rank_of(one))]

    @functools.cached_property
    def _held_corrections(self) -> list[Span]:
        """The spans of days of the lake that were published after a month that is accepted now."""
        days = [one for one in self._held if period_from(one.period).cadence is Cadence.DAY]
        editions = [one.edition for one in self.accepted]
        return [day.span for day in days if _is_newer_than_its_month(day, editions)]


def _edges(moments: Iterable[datetime], slack: timedelta) -> list[Span]:
    return [Span(moment, moment + slack) for moment in sorted(moments) if slack]


def _around(spans: Sequence[Span], slack: timedelta, held: Sequence[Source]) -> list[Span]:
    """Return the spans before and after some that no archive of the lake is of."""
    sides = [Span(span.start - slack, span.start) for span in spans]
    sides += [Span(span.end, span.end + slack) for span in spans]
    taken = [source.span for source in held]
    return [part for side in sides for part in _outside(side, taken)]


def _is_newer_than_its_month(day: Source, editions: Iterable[Edition]) -> bool:
    """Whether the month of a day is among *editions*, and was published before it."""
    return any(
        one.archive.period.cadence is Cadence.MONTH
        and one.archive.period.span.covers(day.span)
        and _is_later(day.identity.modified_at, one.identity.modified_at)
        for one in editions
    )


def _in_none(
    moments: Iterable[datetime], held: Sequence[Source], slack: timedelta
) -> set[datetime]:
    """Return the moments of which none of the archives may have a row."""
    left = set(moments)
    for source in held:
        left -= {moment for moment in left if _may_be_in(source, moment, slack)}
    return left


def _may_be_in(source: Source, moment: datetime, slack: timedelta) -> bool:
    """Whether an archive may have a row of that moment, or as late after it as *slack*."""
    span = source.span
    if moment == span.start:
        return not source.first_time or source.is_known_to_begin_within(slack)
    return source.may_pass_its_end if moment == span.end else span.start < moment < span.end


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one > other


def _outside(span: Span, taken: Sequence[Span]) -> list[Span]:
    """Return what of a span is in none of those *taken*."""
    parts, start = [], span.start
    for other in sorted(one for one in taken if span.overlaps(one)):
        if start < other.start:
            parts.append(Span(start, other.start))
        start = max(start, other.end)
    return [*parts, Span(start, span.end)] if start < span.end else parts


def _overlaps_any(span: Span, others: Sequence[Span]) -> bool:
    return any(span.overlaps(other) for other in others)
