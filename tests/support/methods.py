"""Writes the methods of the kinds, from their table: python tests/support/methods.py > FILE."""

from fullpool.kinds import KINDS, Kind

_HEAD = '''"""The methods of a lake that return rows of a kind. Made by tests/support/methods.py."""

from abc import abstractmethod
from collections.abc import Sequence

from fullpool.kinds import KINDS, Kind
from fullpool.lake.rows import Rows
from fullpool.lake.selection import Selection, Time


class KindMethods:
    """One method a kind.

    *symbols*: one, several, or patterns such as `*USDT` and `!*UPUSDT`, which match what is there
    when the rows are read. *start* is included, *end* is not; without a zone they are UTC. *exact*:
    decimals as they were published, not doubles. The rows of a symbol come in the order of time.
    Raises UsageError for what the lake cannot have, or a symbol that it does not have.
    """

    @abstractmethod
    def _rows(self, kind: Kind, selection: Selection) -> Rows:
        """Return the rows of a kind that were selected."""
'''
_METHOD = '''
    def {table}(
        self,
        symbols: str | Sequence[str],{interval}
        *,
        market: str = "{market}",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return {name}. Markets: {markets}."""
        selection = Selection(symbols, {given}, market, start, end, columns, exact)
        return self._rows(KINDS["{name}"], selection)
'''


def _method(kind: Kind) -> str:
    return _METHOD.format(
        table=kind.table,
        name=kind.name,
        market=kind.default_market,
        markets=", ".join(sorted(kind.markets)),
        interval='\n        interval: str = "1m",' if kind.intervals else "",
        given="interval" if kind.intervals else '""',
    )


def text() -> str:
    """Return the module `fullpool.lake.kinds`."""
    return _HEAD + "".join(_method(kind) for kind in KINDS.values())


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201 - that is what it is for
