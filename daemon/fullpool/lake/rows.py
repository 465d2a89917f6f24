"""Rows of the lake that were selected, and are read only when they are used."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fullpool.errors import UsageError
from fullpool.store.catalogue.session import Session, mapped, result_of, tuples_of

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_BATCH: Final = 100_000
_THESE: Final = "these"


class Rows:
    """A query, which is run each time its rows are used, on the newest data.

    Times are UTC. Raises QueryError, with DuckDB's words, when it is run.
    """

    def __init__(
        self, session: Session, sql: Callable[[], str], parameters: Mapping[str, object]
    ) -> None:
        self._session = session
        self._sql = sql
        self._parameters = dict(parameters)

    def df(self) -> "pd.DataFrame":
        """Return a pandas data frame; times are datetime64 without a zone, in UTC."""
        return self._converted("df")

    def pl(self) -> "pl.DataFrame":
        """Return a Polars data frame."""
        return self._converted("pl")

    def arrow(self) -> "pa.Table":
        """Return a pyarrow table."""
        return self._converted("to_arrow_table")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the rows to any library that takes Arrow, as it reads them."""
        sql = self._sql()
        with mapped(sql):
            reader = result_of(self._session, sql, self._parameters).to_arrow_reader(_BATCH)
            return reader.__arrow_c_stream__(requested_schema)

    def batches(self, rows: int = _BATCH) -> "Iterator[pa.RecordBatch]":
        """Yield pyarrow batches of about so many *rows*: all need not fit into memory."""
        if rows < 1:
            raise UsageError(f"reading batches of {rows} rows", hint="ask for 1 or more")
        return self._batches(rows)

    def _batches(self, rows: int) -> "Iterator[pa.RecordBatch]":
        sql = self._sql()
        with mapped(sql):
            yield from result_of(self._session, sql, self._parameters).to_arrow_reader(rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples."""
        return list(self)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples, without holding all of them."""
        sql = self._sql()
        with mapped(sql):
            yield from tuples_of(self._session, sql, self._parameters)

    def head(self, count: int = 5) -> "Rows":
        """Return the first rows."""
        return self.sql(f"SELECT * FROM {_THESE} LIMIT {int(count)}")

    def count(self) -> int:
        """Return the number of rows."""
        ((number,),) = self.sql(f"SELECT count(*) FROM {_THESE}").fetchall()
        return int(number)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        sql = self._sql()
        with mapped(sql):
            return tuple(result_of(self._session, sql, self._parameters).columns)

    def sql(self, query: str, /, **parameters: object) -> "Rows":
        """Query these rows: *query* selects from `these`. Its parameters have names of their own.

        Raises UsageError if one has the name of another that is something else.
        """
        for name in parameters.keys() & self._parameters.keys():
            if parameters[name] != self._parameters[name]:
                raise UsageError(
                    f"querying rows: the parameter {name} has two values", hint="rename one"
                )
        sql = partial(_chained, self._sql, query)
        return Rows(self._session, sql, self._parameters | parameters)

    def __repr__(self) -> str:
        return f"<Rows of {self._sql()[:200]}>"

    def _converted(self, method: str) -> Any:
        sql = self._sql()
        with mapped(sql):
            return getattr(result_of(self._session, sql, self._parameters), method)()


def _chained(sql: Callable[[], str], query: str) -> str:
    return on(sql(), query)


def on(sql: str, query: str) -> str:
    """Return *query* with what it may call `these`; either may begin with WITH or end with `;`."""
    first, second = (text.strip().rstrip(";") for text in (sql, query))
    return f"WITH {_THESE} AS (\n{first}\n) SELECT * FROM (\n{second}\n)"
