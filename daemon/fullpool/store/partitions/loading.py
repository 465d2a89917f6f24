"""Reads the archives of a step: their rows go to sheets of text, one a layout."""

import functools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO

from fullpool import vendor
from fullpool.decode import Layout, check_span, decode
from fullpool.errors import MalformedError, NoRowsError
from fullpool.kinds import kind_of
from fullpool.model import Cadence, Fault
from fullpool.store.partitions.messages import Accepted, Input, Order, Rejected
from fullpool.store.partitions.precedence import Precedence, Rank
from fullpool.store.partitions.provenance import Origin


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The rows of one CSV: their layout and rank, and how many sheets were begun before it."""

    layout: Layout
    rank: Rank
    number: int


@dataclass(frozen=True)
class Load:
    """Rows as text, one CSV a sheet, and what decides between the archives they came from."""

    symbol: str
    sheets: dict[_Sheet, Path]
    precedence: Precedence

    @property
    def accepted(self) -> list[Accepted]:
        return self.precedence.accepted


def load_archives(
    order: Order, origin: Origin, inputs: Iterable[Input], scratch: Path
) -> tuple[Load, list[Rejected]]:
    """Append the rows of all *inputs* to one CSV a sheet: DuckDB parses one file fastest.

    *origin* is that of the files which the step replaces.
    """
    precedence = Precedence(kind_of(order.step.series), origin)
    load, rejected = Load(order.step.series.symbol, {}, precedence), []
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
            sink_of = functools.partial(file_of, rank=precedence.rank_of(item.edition))
            try:
                precedence.accept(_decode(item, order, sink_of))
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
