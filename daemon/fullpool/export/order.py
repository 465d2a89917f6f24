"""What may be ordered of an export. Loads nothing, so that the command line knows it at once."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from fullpool.model import EVER, Span


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows: those of *markets*, *kinds* and so on, of all where none is named.

    *symbols* may be patterns. *intervals* choose among kinds that have them. *start* is included,
    *end* is not.
    """

    markets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None

    @property
    def span(self) -> Span:
        """From when to when rows are wanted, within what times can be; of no length if never."""
        start = min(max(self.start or EVER.start, EVER.start), EVER.end)
        return Span(start, max(start, min(self.end or EVER.end, EVER.end)))


class Types(StrEnum):
    """What numbers are exported as."""

    DOUBLE = "double"
    EXACT = "exact"
    STORED = "stored"


class Form(StrEnum):
    """What files are written."""

    PARQUET = "parquet"
    CSV = "csv"
    FEATHER = "feather"


class Program(StrEnum):
    """Whose own files are written."""

    FREQTRADE = "freqtrade"
    NAUTILUS = "nautilus"


class Way(StrEnum):
    """How files come into the folder."""

    WRITE = "write"
    LINK = "link"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Order:
    """What is exported, and as what."""

    choice: Choice = field(default_factory=Choice)
    types: Types = Types.DOUBLE
    form: Form = Form.PARQUET
    way: Way = Way.WRITE
    program: Program | None = None
    as_of: str | None = None
