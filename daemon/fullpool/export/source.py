"""One generation of a lake: its series, and the SQL of their rows."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fullpool.export.choice import Held, Part
from fullpool.export.pairs import Pair, Pairs
from fullpool.export.written import Written
from fullpool.following import span_of
from fullpool.kinds import KINDS, Kind
from fullpool.model import Market, Span
from fullpool.store.catalogue.reader import Reader
from fullpool.store.catalogue.views import select_in, skeleton_path
from fullpool.store.duck import quoted
from fullpool.store.partitions.rows import order_of, within
from fullpool.store.state.tables import SERIES_NAME
from fullpool.store.tree import Tree, partition_in

_ALL_SYMBOLS: Final = "concat_ws('/', market, kind, nullif(interval, ''))"


@dataclass(frozen=True, slots=True)
class Published:
    """Which generation it is, and since when."""

    number: int
    at: datetime


class ExportSource:
    """Selects rows of a generation that is open; its files are listed once."""

    def __init__(self, tree: Tree, reader: Reader) -> None:
        self.tree = tree
        self.reader = reader
        self._files: defaultdict[str, list[tuple[str, Span]]] = defaultdict(list)
        self._tails: defaultdict[str, list[tuple[Path, Span]]] = defaultdict(list)
        for series, path in self._rows(f"{SERIES_NAME}, path FROM sync.files"):
            partition = partition_in(path)
            assert partition is not None
            self._files[series].append((path, partition.period.span))
        for series, path, period in self._rows(
            f"{_ALL_SYMBOLS}, path, period FROM internal.tail_files"
        ):
            self._tails[series].append((tree.root / path, span_of(period)))

    def keep_tails(self, folder: Path) -> None:
        """Copy the files of followed rows below *folder*: they are kept for minutes only.

        Raises FileNotFoundError if one is gone already.
        """
        for files in self._tails.values():
            for number, (path, span) in enumerate(files):
                copy = folder / path.relative_to(self.tree.root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                files[number] = (copy, span)

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

    def pairs(self) -> Pairs:
        """Return the assets of symbols, as far as the vendor's API told."""
        found = self.reader.query(
            "SELECT market, symbol, coalesce(base_asset, ''), coalesce(quote_asset, ''),"
            " coalesce(tick_size::VARCHAR, ''), coalesce(step_size::VARCHAR, '') FROM instruments"
            " ORDER BY valid_from NULLS FIRST"
        ).rows
        return Pairs({(market, symbol): Pair(*values) for market, symbol, *values in found})

    def published(self) -> Published:
        """Return which generation this is."""
        ((number, at),) = self._rows(
            "(SELECT max(generation) FROM sync.generations), published_at FROM sync.published"
        )
        return Published(int(number), _utc(at))

    def files(self, series: Held, span: Span) -> list[str]:
        """Return the partition files that may have rows of a span, by their paths in the lake."""
        around = series.kind.around(span)
        return [path for path, held in self._files[str(series)] if held.overlaps(around)]

    def recorded(self) -> dict[str, Written]:
        """Return what is recorded of each partition file, by its path in the lake."""
        found = self._rows(
            "path, row_count, size_bytes, coalesce(sha256, '') FROM internal.partitions"
        )
        return {path: Written(_plain(path), *values) for path, *values in found}

    def followed(self, series: Sequence[Held]) -> list[str]:
        """Return what is said of the rows that no partition file has yet."""
        found = self._rows(f"{SERIES_NAME}, sum(row_count) FROM sync.followed GROUP BY ALL")
        names = {str(each) for each in series}
        return [f"{name}: {rows:,} followed rows" for name, rows in found if name in names]

    def select(self, part: Part, flavour: str) -> str:
        """Return the SQL of the rows of a part, in their order, without the series' keys."""
        return f"{self.unordered(part, flavour)} ORDER BY {order_of(part.series.kind)}"

    def columns(self, part: Part, columns: str) -> str:
        """Return the SQL of columns, SQL too, of the rows that the vendor did not take back."""
        void = part.series.kind.void
        valid = f" WHERE NOT ({void})" if void else ""
        return f"SELECT {columns} FROM ({self.select(part, 'double')}){valid}"

    def unordered(self, part: Part, flavour: str) -> str:
        """Return the SQL of the rows of a part, as they come."""
        kind = part.series.kind
        keys = "market, symbol, interval" if kind.intervals else "market, symbol"
        return f"SELECT * EXCLUDE ({keys}) FROM ({self._within(part, flavour, kind)})"

    def _within(self, part: Part, flavour: str, kind: Kind) -> str:
        series = part.series
        paths = [skeleton_path(kind, flavour), *self.files(series, part.span)]
        own = "/".join(filter(None, (series.market, kind.name, series.interval)))
        tails = [str(path) for path, span in self._tails[own] if span.overlaps(part.span)]
        which = f"symbol = {quoted(series.symbol)} AND {within(kind.time, part.span)}"
        return select_in(kind, flavour, self._below(paths), tails, which)

    def _below(self, paths: Sequence[str]) -> list[str]:
        return [str(self.tree.root / path) for path in paths]

    def _rows(self, what: str) -> Sequence[tuple[Any, ...]]:
        return self.reader.query(f"SELECT {what} ORDER BY ALL").rows


def _plain(path: str) -> str:
    """Return `.../2024-03.parquet` for `.../2024-03.g000123.parquet`."""
    stem, _, _ = path.removesuffix(".parquet").rpartition(".g")
    return f"{stem}.parquet"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
