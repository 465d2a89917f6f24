"""Reads the archives of a step: their rows go to sheets of text, one a layout."""

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import IO

from fullpool import vendor
from fullpool.decode import Layout, check_span, decode
from fullpool.errors import MalformedError, NoRowsError
from fullpool.kinds import Kind, kind_of
from fullpool.model import Cadence, Fault, Span, period_from, period_of
from fullpool.store.partitions.messages import Accepted, Edition, Input, Order, Rejected
from fullpool.store.partitions.provenance import Origin, Source


class Rank(IntEnum):
    """Which rows stay where two archives have them: those of the higher rank.

    A day fills the holes of its month, unless it was published after it: then it corrects it.
    """

    FILLS = 0
    REPLACES = 1
    CORRECTS = 2


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The rows of one CSV: their layout and rank, and how many sheets were begun before it."""

    layout: Layout
    rank: Rank
    number: int


@dataclass(frozen=True)
class Load:
    """Rows as text, one CSV a sheet, and the archives they came from.

    *origin* is where the rows of the files that the step replaces came from, *published* tells when
    its archives and the accepted ones were, by period. Its spans are asked for once all archives
    are in it.
    """

    symbol: str
    sheets: dict[_Sheet, Path]
    accepted: list[Accepted]
    origin: Origin
    published: dict[str, datetime | None]

    def rank_of(self, edition: Edition) -> Rank:
        """Return the rank of an archive beside that of its month, if that is there as well."""
        period = edition.archive.period
        month = str(period_of(period.first, Cadence.MONTH))
        if period.cadence is not Cadence.DAY or month not in self.published:
            return Rank.REPLACES
        is_newer = _is_later(edition.identity.modified_at, self.published[month])
        return Rank.CORRECTS if is_newer else Rank.FILLS

    @functools.cached_property
    def filled(self) -> list[Span]:
        """The spans of days that only fill holes of their month."""
        return self._spans(lambda rank: rank is Rank.FILLS)

    @functools.cached_property
    def replaced(self) -> list[Span]:
        """The spans whose archives are rewritten, but for days of the lake that correct them."""
        return self._uncorrected(self._rewritten)

    def replaced_around(self, kind: Kind) -> list[Span]:
        """Return the same with what an archive may have outside its span."""
        return self._uncorrected([kind.around(span) for span in self._rewritten])

    @property
    def _rewritten(self) -> list[Span]:
        return self._spans(lambda rank: rank is not Rank.FILLS)

    def _uncorrected(self, spans: Iterable[Span]) -> list[Span]:
        return [part for span in spans for part in _outside(span, self._held_corrections)]

    @property
    def refilled(self) -> list[Span]:
        """The spans of which rows that fill holes come anew."""
        return [*self.filled, *self._held_corrections]

    @functools.cached_property
    def corrected(self) -> list[Span]:
        """The spans of days that were published after the accepted month they are in."""
        return [*self._held_corrections, *self._spans(lambda rank: rank is Rank.CORRECTS)]

    @functools.cached_property
    def _held_corrections(self) -> list[Span]:
        """The spans of days of the lake that were published after a month that is accepted now."""
        others = self.origin.others(self.accepted)
        days = [one for one in others if period_from(one.period).cadence is Cadence.DAY]
        return [day.span for day in days if self._is_newer_than_its_month(day)]

    def _is_newer_than_its_month(self, day: Source) -> bool:
        """Whether the month of a day is accepted now, and was published before it."""
        return any(
            one.edition.archive.period.cadence is Cadence.MONTH
            and one.edition.archive.period.span.covers(day.span)
            and _is_later(day.identity.modified_at, one.edition.identity.modified_at)
            for one in self.accepted
        )

    def _spans(self, is_meant: Callable[[Rank], bool]) -> list[Span]:
        editions = [one.edition for one in self.accepted]
        return [one.archive.period.span for one in editions if is_meant(self.rank_of(one))]

    def edges(self, slack: timedelta) -> list[Span]:
        """Return where rows are that may be of the archive before what is rewritten.

        An archive may end with the first row of the next one's span.
        """
        ends = {source.span.end for source in self.origin.others(self.accepted)}
        return self._starting_at(ends, slack)

    def inner_edges(self, slack: timedelta) -> list[Span]:
        """Return where rows are that two of the accepted archives may have."""
        return self._starting_at({span.end for span in self.replaced}, slack)

    def _starting_at(self, ends: set[datetime], slack: timedelta) -> list[Span]:
        starts = (span.start for span in self.replaced)
        return [Span(start, start + slack) for start in starts if slack and start in ends]

    def merged(self, kind: Kind) -> list[Span]:
        """Return the spans where rows stay that an archive lacks and another one may have.

        Rows without a key of an edition that is gone cannot be told apart from its month's.
        """
        if kind.key:
            return self.replaced
        return [span for span in self.replaced if span not in self._corrected_again]

    @functools.cached_property
    def _corrected_again(self) -> list[Span]:
        """The spans of days that correct their month and have an older edition in the lake."""
        held = {source.period for source in self.origin.sources}
        again = [one.edition for one in self.accepted if str(one.edition.archive.period) in held]
        return [e.archive.period.span for e in again if self.rank_of(e) is Rank.CORRECTS]

    @functools.cached_property
    def others(self) -> list[Span]:
        """The spans of other archives inside those: a month may lack rows that its days had."""
        replaced, others = self.replaced, self.origin.others(self.accepted)
        return [other.span for other in others if _overlaps_any(other.span, replaced)]


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one > other


def _outside(span: Span, taken: Sequence[Span]) -> list[Span]:
    """Return what of a span is in none of those *taken*, which lie in it or beside it."""
    parts, start = [], span.start
    for inner in sorted(one for one in taken if span.covers(one)):
        if start < inner.start:
            parts.append(Span(start, inner.start))
        start = max(start, inner.end)
    return [*parts, Span(start, span.end)] if start < span.end else parts


def _overlaps_any(span: Span, others: Sequence[Span]) -> bool:
    return any(span.overlaps(other) for other in others)


def load_archives(
    order: Order, origin: Origin, inputs: Iterable[Input], scratch: Path
) -> tuple[Load, list[Rejected]]:
    """Append the rows of all *inputs* to one CSV a sheet: DuckDB parses one file fastest.

    *origin* is that of the files which the step replaces.
    """
    published = {source.period: source.identity.modified_at for source in origin.sources}
    load, rejected = Load(order.step.series.symbol, {}, [], origin, published), []
    with ExitStack() as stack:
        files: dict[_Sheet, IO[bytes]] = {}

        def file_of(layout: Layout, *, rank: Rank) -> IO[bytes]:
            # Only the last sheet is written on: so branches are in the order of the archives.
            sheet = next(reversed(files), None)
            if sheet is None or (sheet.layout, sheet.rank) != (layout, rank):
                sheet = _Sheet(layout, rank, len(files))
                load.sheets[sheet] = scratch / f"{sheet.number}.csv"
                files[sheet] = stack.enter_context(load.sheets[sheet].open("wb"))
            return files[sheet]

        for item in sorted(inputs, key=_turn):
            lengths = {sheet: file.tell() for sheet, file in files.items()}
            sink_of = functools.partial(file_of, rank=load.rank_of(item.edition))
            try:
                load.accepted.append(_decode(item, order, sink_of))
                edition = item.edition
                load.published[str(edition.archive.period)] = edition.identity.modified_at
            except MalformedError as error:
                fault = Fault.NO_ROWS if isinstance(error, NoRowsError) else Fault.WRONG_ROWS
                rejected.append(Rejected(item.edition, str(error), fault))
                for sheet, file in files.items():
                    file.truncate(file.seek(lengths.get(sheet, 0)))
    return load, rejected


def _turn(item: Input) -> tuple[bool, date]:
    """Return what inputs are sorted by: a month first, for its days' ranks hang on it."""
    period = item.edition.archive.period
    return period.cadence is Cadence.DAY, period.first


def _decode(item: Input, order: Order, sink_of: Callable[[Layout], IO[bytes]]) -> Accepted:
    archive = item.edition.archive
    kind = kind_of(archive.series)
    member = vendor.member_name(archive)
    decoded = decode(item.zipped, member, kind, order.inflated_bytes, sink_of)
    check_span(decoded, kind.around(archive.period.span))
    return Accepted(item.edition, decoded.rows, decoded.first_time, decoded.last_time)
