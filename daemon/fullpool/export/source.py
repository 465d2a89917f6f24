"""One generation of a lake: its series, and the SQL of their rows."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fullpool.export.choice import Held, Part
from fullpool.kinds import KINDS
from fullpool.model import Market, Span
from fullpool.store.catalogue.reader import Reader
from fullpool.store.catalogue.views import select_in, skeleton_path
from fullpool.store.duck import quoted
from fullpool.store.partitions.rows import order_of
from fullpool.store.tree import Tree, partition_in

_Key = tuple[str, str, str, str]


class Source:
    """Selects rows of a generation that is open; its files are listed once."""

    def __init__(self, tree: Tree, reader: Reader) -> None:
        self.tree = tree
        self.reader = reader
        self._files: defaultdict[_Key, list[tuple[str, Span]]] = defaultdict(list)
        self._tails: defaultdict[_Key, list[str]] = defaultdict(list)
        series = "market, kind, coalesce(interval, '')"
        for path, *key in self._rows(f"path, {series}, symbol FROM sync.files"):
            partition = partition_in(path)
            assert partition is not None
            self._files[tuple(key)].append((path, partition.period.span))
        for path, *key in self._rows(f"path, {series} FROM sync.tail_files"):
            self._tails[(*key, "")].append(path)

    def held(self) -> list[Held]:
        """Return the series that have rows, sorted."""
        found = self._rows(
            "market, kind, symbol, coalesce(interval, ''), first_time, last_time"
            " FROM sync.coverage WHERE first_time IS NOT NULL"
        )
        return [
            Held(KINDS[kind], Market(market), symbol, interval, _utc(first), _utc(last))
            for market, kind, symbol, interval, first, last in found
        ]

    def published(self) -> tuple[int, datetime]:
        """Return the number of the generation, and when it was published."""
        ((number, at),) = self._rows(
            "(SELECT max(generation) FROM sync.generations), published_at FROM sync.published"
        )
        return int(number), _utc(at)

    def files(self, series: Held, span: Span) -> list[str]:
        """Return the partition files that may have rows of a span, by their paths in the lake."""
        around = series.kind.around(span)
        found = self._files[series.market, series.kind.name, series.interval, series.symbol]
        return [path for path, own in found if own.overlaps(around)]

    def recorded(self) -> dict[str, tuple[int, int, str]]:
        """Return the number of rows, the size and the hash of each partition file."""
        found = self._rows("path, row_count, size_bytes, sha256 FROM sync.partitions")
        return {path: (rows, size_bytes, sha256) for path, rows, size_bytes, sha256 in found}

    def select(self, part: Part, flavour: str) -> str:
        """Return the SQL of the rows of a part, in their order, without the series' keys."""
        kind = part.series.kind
        keys = "market, symbol, interval" if kind.intervals else "market, symbol"
        rows = f"SELECT * EXCLUDE ({keys}) FROM ({self._within(part, flavour)})"
        return f"{rows} ORDER BY {order_of(kind)}"

    def _within(self, part: Part, flavour: str) -> str:
        series, kind = part.series, part.series.kind
        paths = [skeleton_path(kind, flavour), *self.files(series, part.span)]
        tails = self._tails[series.market, kind.name, series.interval, ""]
        which = (
            f"symbol = {quoted(series.symbol)}"
            f" AND {kind.time} >= {_timestamp(part.span.start)}"
            f" AND {kind.time} < {_timestamp(part.span.end)}"
        )
        return select_in(kind, flavour, self._below(paths), self._below(tails), which)

    def _below(self, paths: Sequence[str]) -> list[str]:
        return [str(self.tree.root / path) for path in paths]

    def _rows(self, what: str) -> Sequence[tuple[Any, ...]]:
        return self.reader.query(f"SELECT {what} ORDER BY ALL").rows


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}'"
