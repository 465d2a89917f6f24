"""Reads the archives of a step: their rows go to sheets of text, one a layout."""

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from fullpool import vendor
from fullpool.decode import Layout, check_span, decode
from fullpool.errors import MalformedError
from fullpool.kinds import kind_of
from fullpool.model import Archive, Cadence, Span, period_of
from fullpool.store.partitions.messages import Accepted, Input, Order, Rejected
from fullpool.store.partitions.provenance import Origin


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The rows of one CSV: their layout, and whether they only fill holes."""

    layout: Layout
    fills: bool


@dataclass(frozen=True)
class Load:
    """Rows as text, one CSV a sheet, and the archives they came from.

    *origin* is where the rows of the files that the step replaces came from, *periods* are those of
    its archives and of the accepted ones. Its spans are asked for once all archives are in it.
    """

    symbol: str
    sheets: dict[_Sheet, Path]
    accepted: list[Accepted]
    origin: Origin
    periods: set[str]

    def fills(self, archive: Archive) -> bool:
        """Whether a daily archive only fills holes of its month, which is there as well.

        Rows of the month stay where both have them.
        """
        month = str(period_of(archive.period.first, Cadence.MONTH))
        return archive.period.cadence is Cadence.DAY and month in self.periods

    @functools.cached_property
    def filled(self) -> list[Span]:
        archives = [one.edition.archive for one in self.accepted]
        return [archive.period.span for archive in archives if self.fills(archive)]

    @functools.cached_property
    def replaced(self) -> list[Span]:
        """The spans whose archives are rewritten."""
        archives = [one.edition.archive for one in self.accepted]
        return [archive.period.span for archive in archives if not self.fills(archive)]

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

    @functools.cached_property
    def others(self) -> list[Span]:
        """The spans of other archives inside those: a month may lack rows that its days had."""
        replaced, others = self.replaced, self.origin.others(self.accepted)
        return [other.span for other in others if _overlaps_any(other.span, replaced)]


def _overlaps_any(span: Span, others: Sequence[Span]) -> bool:
    return any(span.overlaps(other) for other in others)


def load_archives(
    order: Order, origin: Origin, inputs: Iterable[Input], scratch: Path
) -> tuple[Load, list[Rejected]]:
    """Append the rows of all *inputs* to one CSV a sheet: DuckDB parses one file fastest.

    *origin* is that of the files which the step replaces.
    """
    periods = {source.period for source in origin.sources}
    load, rejected = Load(order.step.series.symbol, {}, [], origin, periods), []
    with ExitStack() as stack:
        files: dict[_Sheet, IO[bytes]] = {}

        def file_of(layout: Layout, *, fills: bool) -> IO[bytes]:
            sheet = _Sheet(layout, fills)
            if sheet not in files:
                load.sheets[sheet] = scratch / f"{len(files)}.csv"
                files[sheet] = stack.enter_context(load.sheets[sheet].open("wb"))
            return files[sheet]

        for item in sorted(inputs, key=_is_of_a_day):  # whether a day fills its month is known then
            lengths = {sheet: file.tell() for sheet, file in files.items()}
            sink_of = functools.partial(file_of, fills=load.fills(item.edition.archive))
            try:
                load.accepted.append(_decode(item, order, sink_of))
                load.periods.add(str(item.edition.archive.period))
            except MalformedError as error:
                rejected.append(Rejected(item.edition, str(error)))
                for sheet, file in files.items():
                    file.truncate(file.seek(lengths.get(sheet, 0)))
    return load, rejected


def _is_of_a_day(item: Input) -> bool:
    return item.edition.archive.period.cadence is Cadence.DAY


def _decode(item: Input, order: Order, sink_of: Callable[[Layout], IO[bytes]]) -> Accepted:
    archive = item.edition.archive
    kind = kind_of(archive.series)
    member = vendor.member_name(archive)
    decoded = decode(item.zipped, member, kind, order.inflated_bytes, sink_of)
    check_span(decoded, kind.around(archive.period.span))
    return Accepted(item.edition, decoded.rows, decoded.first_time, decoded.last_time)
