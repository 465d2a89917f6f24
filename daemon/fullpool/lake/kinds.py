"""The methods of a lake that return rows of a kind. Made by tests/support/methods.py."""

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

    def klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return klines. Markets: cm, spot, um."""
        selection = Selection(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["klines"], selection)

    def mark_price_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return markPriceKlines. Markets: cm, um."""
        selection = Selection(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["markPriceKlines"], selection)

    def index_price_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return indexPriceKlines. Markets: cm, um."""
        selection = Selection(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["indexPriceKlines"], selection)

    def premium_index_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return premiumIndexKlines. Markets: cm, um."""
        selection = Selection(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["premiumIndexKlines"], selection)

    def agg_trades(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return aggTrades. Markets: cm, spot, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["aggTrades"], selection)

    def trades(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return trades. Markets: cm, spot, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["trades"], selection)

    def book_ticker(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return bookTicker. Markets: cm, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["bookTicker"], selection)

    def book_depth(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return bookDepth. Markets: cm, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["bookDepth"], selection)

    def metrics(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return metrics. Markets: cm, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["metrics"], selection)

    def funding_rate(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return fundingRate. Markets: cm, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["fundingRate"], selection)

    def liquidation_snapshot(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return liquidationSnapshot. Markets: cm, um."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["liquidationSnapshot"], selection)

    def bvol_index(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "option",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return BVOLIndex. Markets: option."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["BVOLIndex"], selection)

    def eoh_summary(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "option",
        start: Time | None = None,
        end: Time | None = None,
        columns: str | Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return EOHSummary. Markets: option."""
        selection = Selection(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["EOHSummary"], selection)
