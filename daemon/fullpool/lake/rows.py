"""Rows of the lake that were asked for, and are read only when they are used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from fullpool.store.catalogue.session import Session, mapped, result_of, tuples_of

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_BATCH: Final = 100_000
_THESE: Final = "these"


class Rows:
    """A query, which is run each time its rows are asked for, on the newest data.

    Times are UTC. Raises QueryError, with DuckDB's words, when it is run.
    """

    def __init__(self, session: Session, sql: str, parameters: dict[str, Any]) -> None:
        self._session = session
        self._sql = sql
        self._parameters = parameters

    def df(self) -> "pd.DataFrame":
        """Return a pandas data frame; times are datetime64 without a zone, in UTC."""
        with mapped(self._sql):
            return self._run().df()

    def pl(self) -> "pl.DataFrame":
        """Return a Polars data frame."""
        with mapped(self._sql):
            return self._run().pl()

    def arrow(self) -> "pa.Table":
        """Return a pyarrow table."""
        with mapped(self._sql):
            return self._run().to_arrow_table()

    def batches(self, rows: int = _BATCH) -> "Iterator[pa.RecordBatch]":
        """Yield pyarrow batches of at most so many *rows*: all need not fit into memory."""
        with mapped(self._sql):
            yield from self._run().to_arrow_reader(rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples."""
        with mapped(self._sql):
            return list(self._run().fetchall())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples, without holding all of them."""
        with mapped(self._sql):
            yield from tuples_of(self._session, self._sql, self._parameters)

    def count(self) -> int:
        """Return the number of rows."""
        ((number,),) = self.sql(f"SELECT count(*) FROM {_THESE}").fetchall()
        return int(number)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        with mapped(self._sql):
            none = _on(self._sql, f"SELECT * FROM {_THESE} LIMIT 0")
            return tuple(result_of(self._session, none, self._parameters).columns)

    def sql(self, query: str, **parameters: Any) -> "Rows":
        """Ask on: *query* selects from `these`, the rows of this one."""
        return Rows(self._session, _on(self._sql, query), self._parameters | parameters)

    def __repr__(self) -> str:
        return f"<Rows of {self._sql[:200]}>"

    def _run(self) -> Any:
        return result_of(self._session, self._sql, self._parameters)


def _on(sql: str, query: str) -> str:
    """Return *query* with what it may call `these`."""
    first, _, rest = query.strip().partition(" ")
    if first.upper() == "WITH":
        recursive, _, others = rest.strip().partition(" ")
        is_recursive = recursive.upper() == "RECURSIVE"
        word = "WITH RECURSIVE" if is_recursive else "WITH"
        return f"{word} {_THESE} AS ({sql}), {others if is_recursive else rest}"
    return f"WITH {_THESE} AS ({sql}) {query}"
