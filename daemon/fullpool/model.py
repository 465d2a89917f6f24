"""The words of the domain as immutable values: Series, Period, Span, Archive, Step."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SYMBOL_LENGTH: Final = 40  # the vendor's longest is 24; file names hold 255 bytes

# An archive that failed so often has others tried in its place.
TRIES: Final = 2
# Rows of one id that are more than this from each other are of two lives of a symbol, which was
# suspended and used again.
ANOTHER_LIFE: Final = timedelta(days=1)

_DAY: Final = timedelta(days=1)


class Market(StrEnum):
    """A market of the vendor, as it is spelled in the lake."""

    SPOT = "spot"
    UM = "um"
    CM = "cm"
    OPTION = "option"


class Interval(StrEnum):
    """The length of a kline, as the archives spell it (the API writes 1M for 1mo)."""

    S1 = "1s"
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1mo"


class Cadence(StrEnum):
    """How long a period is."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open UTC range `[start, end)`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is not UTC or self.end.tzinfo is not UTC:
            raise ValueError(f"a span is in UTC: {self.start}..{self.end}")
        if self.end < self.start:
            raise ValueError(f"a span ends after it starts: {self.start}..{self.end}")

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ}..{self.end:%Y-%m-%dT%H:%M:%SZ}"

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end

    def covers(self, other: "Span") -> bool:
        return self.start <= other.start and other.end <= self.end

    def meet(self, other: "Span") -> "Span":
        """Return what both have; of no length if nothing."""
        start = max(self.start, other.start)
        return Span(start, max(start, min(self.end, other.end)))


# All times that rows can have, and that a number of nanoseconds can hold.
EVER: Final = Span(EPOCH, datetime(2262, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A whole UTC day, month or year, named by its first day."""

    first: date
    cadence: Cadence

    def __post_init__(self) -> None:
        if self.first != _floor(self.first, self.cadence):
            raise ValueError(f"a {self.cadence} does not start on {self.first}")

    def __str__(self) -> str:
        return self.first.isoformat()[: _LABEL_LENGTH[self.cadence]]

    @property
    def span(self) -> Span:
        return _span_of(self)

    def before(self) -> "Period":
        """Return the period that ends where this one starts."""
        return Period(_floor(self.first - _DAY, self.cadence), self.cadence)

    def next(self) -> "Period":
        """Return the period that starts where this one ends."""
        if self.cadence is Cadence.DAY:
            return Period(self.first + _DAY, Cadence.DAY)
        ahead = timedelta(days=32 if self.cadence is Cadence.MONTH else 366)
        return Period(_floor(self.first + ahead, self.cadence), self.cadence)


@functools.lru_cache(maxsize=1 << 16)
def _span_of(period: Period) -> Span:
    """Return the span of a period; kept, for planning asks for the same ones over and over."""
    return Span(_midnight(period.first), _midnight(period.next().first))


def instant(microseconds: int) -> datetime:
    """Return the time that is so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def period_of(moment: date, cadence: Cadence) -> Period:
    """Return the period of that length which *moment* falls in."""
    return Period(_floor(moment, cadence), cadence)


@functools.lru_cache(maxsize=1 << 16)
def period_from(text: str) -> Period:
    """Read `2024`, `2024-03` or `2024-03-01`. Raises ValueError for anything else."""
    for cadence, length in _LABEL_LENGTH.items():
        if len(text) == length:
            return Period(date.fromisoformat(text + "-01-01"[length - 4 :]), cadence)
    raise ValueError(f"not a day, month or year: {text!r}")


def periods(span: Span, cadence: Cadence) -> Iterator[Period]:
    """Yield every period that overlaps *span*, oldest first."""
    period = period_of(span.start.date(), cadence)
    while period.span.start < span.end:
        yield period
        period = period.next()


_LABEL_LENGTH: Final = {Cadence.DAY: 10, Cadence.MONTH: 7, Cadence.YEAR: 4}


def _floor(moment: date, cadence: Cadence) -> date:
    if isinstance(moment, datetime):
        moment = moment.date()
    if cadence is Cadence.DAY:
        return moment
    return moment.replace(day=1, month=moment.month if cadence is Cadence.MONTH else 1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def is_symbol(text: str) -> bool:
    """Whether *text* may appear in a path and in SQL: letters and digits of any script, and `_`.

    Source: the bucket holds `币安人生USDT`, `1000CATBNB`, `BTCUSDT_210326`, `ICPUSDT_SETTLED`.
    """
    return 0 < len(text) <= MAX_SYMBOL_LENGTH and all(c.isalnum() or c == "_" for c in text)


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One market, kind and symbol, and for kline kinds an interval."""

    market: Market
    kind: str
    symbol: str
    interval: Interval | None = None

    def __post_init__(self) -> None:
        if not is_symbol(self.symbol):
            raise ValueError(f"not a symbol: {self.symbol!r}")

    def __str__(self) -> str:
        parts = (self.market, self.kind, self.symbol, self.interval)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """One ZIP of the vendor: a series and a UTC day or month."""

    series: Series
    period: Period

    def __str__(self) -> str:
        return f"{self.series}/{self.period}"


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A series and a lake period; its content at any time is one immutable Parquet file."""

    series: Series
    period: Period

    def __str__(self) -> str:
        return f"{self.series}/{self.period}"


# A ZIP that is held: a large one as a file in staging, a small one as its bytes, for to make and
# remove thousands of files costs more than all else that is done with them.
Zipped = Path | bytes


class Checksum(StrEnum):
    """What the vendor's CHECKSUM said of an archive."""

    VERIFIED = "verified"
    MISSING = "missing"
    WRONG = "wrong"


class Fault(StrEnum):
    """Why an archive is not in the lake, or not the newest edition of it."""

    NOT_THERE = "not_there"  # the vendor has no such archive
    NO_SUM = "no_checksum"  # the vendor lists it, and has no CHECKSUM of it
    WRONG_SUM = "wrong_checksum"  # its bytes are not those of the CHECKSUM
    WRONG_ROWS = "wrong_rows"  # it is what the vendor published, and that is wrong
    NO_ROWS = "no_rows"  # it is what the vendor published: a header alone
    OTHER = "other"  # the network's or ours
    GONE = "file_gone"  # the partition file that held it is gone
    DAMAGED = "file_damaged"  # the partition file that held it is not what was written


class Status(StrEnum):
    """Where an archive stands. `present` is where every archive should end."""

    EXPECTED = "expected"
    NOT_PUBLISHED = "not_published"
    LISTED = "listed"
    PRESENT = "present"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one edition of an archive from another, as the vendor's server names it."""

    etag: str
    size_bytes: int
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the state holds of one archive. *is_held*: the lake has rows of one of its editions.

    *checksum* is what that said, if it is why the archive is not in the lake, or if the archive is.
    *fault* is how the last try ended, if it brought nothing; *sha256* and *held_bytes* are of the
    edition that the lake has, or had. One that is in the lake is looked at again at *next_try_at*.
    """

    archive: Archive
    status: Status
    reason: str = ""
    identity: Identity | None = None
    attempts: int = 0
    next_try_at: datetime | None = None
    is_held: bool = False
    checksum: Checksum | None = None
    fault: Fault | None = None
    sha256: str = ""
    held_bytes: int | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the vendor has a newer edition of this archive than the lake, and it failed."""
        return self.status in (Status.FAILED, Status.QUARANTINED)

    @property
    def is_of_no_use(self) -> bool:
        """Whether the vendor has this archive and it brought nothing: others are to stand in."""
        has_failed = self.status is Status.FAILED and self.attempts >= TRIES
        return not self.is_held and (has_failed or self.status is Status.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Hole:
    """Two neighbouring rows that others are missing between: their keys and instants.

    The key of a trade is its id, that of a kline the microseconds since 1970 at which it opens.
    """

    before: int
    after: int
    before_time: datetime
    after_time: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows that are from REST, with the ids of the first and the last if they count.

    Where a part of a run was taken out, the time of a counted row is that of its neighbour.
    """

    first_time: datetime
    last_time: datetime
    rows: int
    first_id: int | None = None
    last_id: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionFile:
    """One Parquet file of the lake, by its path below the lake's root.

    *patched_rows* of its rows are from REST, in the *runs*; *holes* are between its first and last
    row. *sha256* is "" if an older version wrote it.
    """

    partition: Partition
    path: str
    generation: int
    rows: int
    size_bytes: int
    first_time: datetime
    last_time: datetime
    patched_rows: int = 0
    first_key: int = 0
    last_key: int = 0
    holes: tuple[Hole, ...] = ()
    runs: tuple[Run, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """How a file of the lake is not what was written: that it is gone, or other *words*."""

    fault: Fault
    words: str

    def __str__(self) -> str:
        return self.words


GONE: Final = Damage(Fault.GONE, "is gone")


@dataclass(frozen=True, slots=True)
class Step:
    """What is done in one go: archives fetched, then the partitions of one unit written once.

    *unit* is the period all of them lie in; *files* are the partition files it replaces;
    *partitions* are the ones to write. What files *beside* have in their own period is left out.
    """

    series: Series
    unit: Period
    archives: tuple[Known, ...]
    files: tuple[PartitionFile, ...]
    partitions: tuple[Partition, ...]
    reason: str
    beside: tuple[PartitionFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes to download, as far as the vendor's listing told their size."""
        return sum(known.identity.size_bytes for known in self.archives if known.identity)


@dataclass(frozen=True, slots=True)
class Ban:
    """A host that is not to be asked before *until*: it said so with *status*, or 0: is silent."""

    host: str
    status: int
    reason: str
    at: datetime
    until: datetime


class Stop(Protocol):
    """Says whether work is to end now; a `threading.Event` is one."""

    def is_set(self) -> bool: ...
