"""A lake as Python programs read it: `fullpool.open`."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Self

from fullpool.errors import QueryError
from fullpool.kinds import Kind
from fullpool.lake.kinds import KindMethods
from fullpool.lake.rows import Rows
from fullpool.lake.selection import Selection, matching, require_offered, rows_of
from fullpool.store.catalogue.reader import Generation, generations
from fullpool.store.catalogue.session import Session
from fullpool.store.duck import listed, quoted
from fullpool.store.tree import lake_at

# Generations of the first formats have no rows that are followed.
_HAS_FOLLOWED: Final = (
    "FROM information_schema.tables WHERE table_schema = 'sync' AND table_name = 'followed'"
)


class Lake(KindMethods):
    """Reads a lake, never writes it; may be used from many threads, and after a fork.

    Rows are read when they are used, from what is published then: a lake that is kept open shows
    new rows as the daemon publishes them. One opened *as_of* a generation or a time stays there.
    *settings* are DuckDB's, such as `memory_limit` and `threads`. Raises NoLakeError; UsageError
    for settings that DuckDB does not take, and a path below which it would misread the files.
    """

    def __init__(
        self,
        path: str | Path,
        as_of: int | str | datetime | None = None,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        self._tree = lake_at(Path(path).expanduser().absolute())
        text = as_of.isoformat() if isinstance(as_of, datetime) else as_of
        self._session = Session(self._tree, None if text is None else str(text), settings or {})

    def __repr__(self) -> str:
        return f"<Lake {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; a lake that is used again opens them again."""
        self._session.close()

    @property
    def path(self) -> Path:
        """The lake's folder."""
        return self._tree.root

    def sql(self, query: str, /, **parameters: object) -> Rows:
        """Query the views, macros and `sync` tables with SQL; `$name` is a parameter."""
        return Rows(self._session, partial(str, query), parameters)  # which can be pickled

    def coverage(self) -> Rows:
        """Return what should be there of each series, and what became of it."""
        return self.sql("SELECT * FROM sync.coverage")

    def gaps(self) -> Rows:
        """Return what rows are missing, and why."""
        return self.sql("SELECT * FROM sync.gaps")

    def symbols(self, kind: str = "*", market: str = "*") -> Rows:
        """Return the symbols of the lake, one row a series, with its first and last row.

        *kind* as the vendor or as the view calls it: `aggTrades`, `agg_trades`.
        """
        where = f"replace(lower(kind), '_', '') GLOB {quoted(kind.replace('_', '').lower())}"
        return self.sql(
            "SELECT market, kind, symbol, nullif(interval, '') AS interval, first_time, last_time,"
            f" row_count FROM sync.coverage WHERE {where} AND market GLOB {quoted(market)}"
            " ORDER BY ALL"
        )

    def generations(self) -> list[Generation]:
        """Return the generations that can still be read, oldest first."""
        return generations(self._tree)

    def _rows(self, kind: Kind, selection: Selection) -> Rows:
        require_offered(kind, selection)
        sql = partial(self._sql_of, kind, selection.kept())
        sql()  # what is wrong is said at once; what a pattern matches is seen each time
        return Rows(self._session, sql, {})

    def _sql_of(self, kind: Kind, selection: Selection) -> str:
        same = _same_series(kind, selection)
        held = self._symbols(f"sync.coverage WHERE {same}")
        symbols = matching(selection.symbols, held)
        if len(symbols) < len(held):
            same += f" AND symbol IN {listed(symbols)}"
        return rows_of(kind, selection, symbols, len(held), self._mixed(same))

    def _mixed(self, same: str) -> list[str]:
        """Return the symbols whose files overlap in time.

        Either an archive came before the one of an earlier day, which is still followed; or an
        archive ends with rows of the next day.
        """
        overlapping = self._symbols(
            f"sync.files WHERE {same} QUALIFY first_time < lag(last_time)"
            " OVER (PARTITION BY symbol ORDER BY period)"
        )
        return sorted({*overlapping, *self._with_early_followed(same)})

    def _with_early_followed(self, same: str) -> list[str]:
        """Return the symbols with followed rows from before the last row of their partitions."""
        try:
            if not self._symbols(f"sync.followed WHERE {same}"):
                return []
        except QueryError:
            if self.sql(_HAS_FOLLOWED).fetchall():
                raise
            return []
        followed = f"SELECT symbol, min(first_time) AS first_time FROM sync.followed WHERE {same}"
        held = f"SELECT symbol, max(last_time) AS last_time FROM sync.files WHERE {same}"
        return self._symbols(
            f"({followed} GROUP BY symbol) JOIN ({held} GROUP BY symbol) USING (symbol)"
            " WHERE first_time < last_time"
        )

    def _symbols(self, source: str) -> list[str]:
        rows = self.sql(f"SELECT DISTINCT symbol FROM {source} ORDER BY 1").fetchall()
        return [str(symbol) for (symbol,) in rows]


def _same_series(kind: Kind, selection: Selection) -> str:
    """Return the condition that tells the series of a kind, market and interval."""
    same = f"market = {quoted(selection.market)} AND kind = {quoted(kind.name)}"
    return same + (f" AND interval = {quoted(selection.interval)}" if kind.intervals else "")
