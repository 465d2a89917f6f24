"""A lake as Python programs read it: `fullpool.open`."""

from pathlib import Path
from typing import Any

from fullpool.kinds import Kind
from fullpool.lake.asking import Asked, chosen, require_offered, rows_of
from fullpool.lake.kinds import KindMethods
from fullpool.lake.rows import Rows
from fullpool.store.catalogue.reader import Generation, generations
from fullpool.store.catalogue.session import Session
from fullpool.store.duck import quoted
from fullpool.store.tree import Tree


class Lake(KindMethods):
    """Reads a lake, never writes it; may be used from many threads, and after a fork.

    Rows are read when they are used, from what is published then: a lake that is kept open shows
    new rows as the daemon publishes them. One opened *as_of* a generation or a time stays there.
    """

    def __init__(self, path: str | Path, as_of: int | str | None = None) -> None:
        self._tree = Tree(Path(path).expanduser().absolute())
        self._session = Session(self._tree, None if as_of is None else str(as_of))

    @property
    def path(self) -> Path:
        """The lake's folder."""
        return self._tree.root

    def sql(self, query: str, **parameters: Any) -> Rows:
        """Ask any SQL of the views, macros and `sync` tables; `$name` is a parameter."""
        return Rows(self._session, query, parameters)

    def coverage(self) -> Rows:
        """Return what should be there of each series, and what became of it."""
        return self.sql("SELECT * FROM sync.coverage")

    def gaps(self) -> Rows:
        """Return what rows are missing, and why."""
        return self.sql("SELECT * FROM sync.gaps")

    def symbols(self, kind: str = "*", market: str = "*") -> Rows:
        """Return the series of the lake with their first and last row; *kind* as the vendor's."""
        where = f"kind GLOB {quoted(kind)} AND market GLOB {quoted(market)}"
        return self.sql(
            "SELECT market, kind, symbol, nullif(interval, '') AS interval, first_time, last_time,"
            f" row_count FROM sync.coverage WHERE {where} ORDER BY ALL"
        )

    def generations(self) -> list[Generation]:
        """Return the published states of the lake that can still be read, oldest first."""
        return generations(self._tree)

    def _rows(self, kind: Kind, asked: Asked) -> Rows:
        require_offered(kind, asked)
        symbols = chosen(asked.symbols, self._there(kind, asked.market, asked.interval))
        return Rows(self._session, rows_of(kind, asked, symbols), {})

    def _there(self, kind: Kind, market: str, interval: str) -> list[str]:
        """Return the symbols that the lake has of a kind."""
        same = f"market = {quoted(market)} AND kind = {quoted(kind.name)}"
        same += f" AND interval = {quoted(interval)}" if kind.intervals else ""
        rows = self.sql(f"SELECT DISTINCT symbol FROM sync.coverage WHERE {same} ORDER BY 1")
        return [str(symbol) for (symbol,) in rows.fetchall()]
