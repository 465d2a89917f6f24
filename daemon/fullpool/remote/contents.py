"""What a generation has that the remote copy must have: files by their Iceberg manifests."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fullpool.kinds import KINDS, Kind
from fullpool.store.catalogue.reader import Queries

# About so many files share a manifest: as many entries are written again if one of them changes.
FILES_A_MANIFEST: Final = 1000
# Changes with what a manifest holds of a file: then all manifests are written again.
_FORMAT: Final = 2
# The files of a kind, market and interval in groups: those of the newest month apart, for they
# change each day, and the others by symbol. A group ends where the hash of a symbol says so: then a
# new symbol changes one group. Followed rows have all symbols of a market in a file.
_GROUPED: Final = f"""
CREATE OR REPLACE TEMP TABLE grouped AS
WITH files AS (
    SELECT kind, market, coalesce(interval, '') AS interval, symbol, left(period, 7) AS month, path,
        size_bytes, row_count, first_time, last_time, sha256, false AS is_tail
    FROM internal.partitions
), dated AS (
    SELECT *, month >= left(max(month) OVER same, length(month)) AS is_newest FROM files
    WINDOW same AS (PARTITION BY kind, market, interval)
), sized AS (
    SELECT kind, market, interval, is_newest, 2 ** greatest(0, floor(log2(
        {FILES_A_MANIFEST} * count(DISTINCT symbol) / count(*))))::BIGINT AS symbols_a_manifest
    FROM dated GROUP BY ALL
), cut AS (
    SELECT kind, market, interval, is_newest, symbol, sum(CASE WHEN
        ('0x' || left(md5(symbol), 7))::BIGINT % symbols_a_manifest = 0 THEN 1 ELSE 0 END) OVER (
        PARTITION BY kind, market, interval, is_newest ORDER BY symbol) AS part
    FROM (SELECT DISTINCT kind, market, interval, is_newest, symbol FROM dated)
    JOIN sized USING (kind, market, interval, is_newest)
)
SELECT kind, market, interval, is_newest, part::BIGINT AS part, is_tail, symbol, path, size_bytes,
    row_count, first_time, last_time, sha256
FROM dated JOIN cut USING (kind, market, interval, is_newest, symbol)
UNION ALL
SELECT kind, market, coalesce(interval, ''), true, 0, true, NULL, path, size_bytes, row_count,
    NULL, NULL, '' FROM internal.tail_files
"""
_KEYS: Final = "kind, market, interval, is_newest, part, is_tail"
_GROUPS: Final = (
    f"SELECT {_KEYS}, count(*), sum(row_count)::BIGINT, sum(size_bytes)::BIGINT,"
    f" md5('{_FORMAT}' || string_agg(path || ':' || size_bytes || sha256, '|'"
    " ORDER BY path))"
    f" FROM grouped GROUP BY {_KEYS} ORDER BY {_KEYS}"
)
_FILES: Final = (
    "SELECT path, symbol, size_bytes, row_count, first_time, last_time FROM grouped"
    f" WHERE ({_KEYS}) = (?, ?, ?, ?, ?, ?) ORDER BY path"
)
_SUMS: Final = "SELECT path, sha256 FROM grouped WHERE sha256 <> ''"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file; *symbol* is None, and no times are known, of a file of followed rows."""

    path: str
    symbol: str | None
    size_bytes: int
    rows: int
    first_time: datetime | None
    last_time: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """The files that share a manifest; *sum* tells them from any other files."""

    keys: tuple[Any, ...]
    files: int
    rows: int
    size_bytes: int
    sum: str

    @property
    def kind(self) -> Kind:
        return KINDS[self.keys[0]]

    @property
    def market(self) -> str:
        return str(self.keys[1])

    @property
    def interval(self) -> str:
        return str(self.keys[2])

    @property
    def is_tail(self) -> bool:
        return bool(self.keys[5])

    def partition_of(self, file: DataFile) -> dict[str, str | None]:
        """Return what the folders of a file are called, by their keys."""
        return {"market": self.market, "interval": self.interval, "symbol": file.symbol}


class Contents:
    """The files of one generation in groups, in a temporary table of the reader's connection."""

    def __init__(self, reader: Queries) -> None:
        self._reader = reader
        reader.query("SET threads = 1")  # each has memory of its own, and there is no hurry
        reader.query(_GROUPED)
        self.groups = [Group(row[:6], *row[6:]) for row in reader.query(_GROUPS).rows]

    def by_kind(self) -> dict[str, list[Group]]:
        """Return the groups of each kind that has any."""
        found: dict[str, list[Group]] = {}
        for group in self.groups:
            found.setdefault(group.kind.name, []).append(group)
        return found

    def sums(self) -> dict[str, str]:
        """Return the hashes of partition files that are known, by their paths."""
        return dict(self._reader.query(_SUMS).rows)

    def files_of(self, group: Group) -> list[DataFile]:
        """Return the files of a group, by their paths."""
        return [DataFile(*row) for row in self._reader.query(_FILES, group.keys).rows]

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the path and the size of every file."""
        yield from self._reader.query("SELECT path, size_bytes FROM grouped").rows
