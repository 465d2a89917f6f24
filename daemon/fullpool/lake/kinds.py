"""The methods of a lake that return rows of a kind. Made by tests/support/methods.py."""

from abc import abstractmethod
from collections.abc import Sequence

from fullpool.kinds import KINDS, Kind
from fullpool.lake.asking import Asked, Time
from fullpool.lake.rows import Rows


class KindMethods:
    """One method a kind.

    *symbols*: one, several, or patterns such as `*USDT` and `!*UPUSDT`. *start* is included, *end*
    is not; without a zone they are UTC. *exact*: decimals as they were published, not doubles.
    The rows of a symbol come in the order of time. Raises UsageError for what the lake cannot have,
    or a symbol that it has not.
    """

    @abstractmethod
    def _rows(self, kind: Kind, asked: Asked) -> Rows:
        """Return what was asked for of a kind."""

    def klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return klines. Markets: cm, spot, um."""
        asked = Asked(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["klines"], asked)

    def mark_price_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return markPriceKlines. Markets: cm, um."""
        asked = Asked(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["markPriceKlines"], asked)

    def index_price_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return indexPriceKlines. Markets: cm, um."""
        asked = Asked(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["indexPriceKlines"], asked)

    def premium_index_klines(
        self,
        symbols: str | Sequence[str],
        interval: str = "1m",
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return premiumIndexKlines. Markets: cm, um."""
        asked = Asked(symbols, interval, market, start, end, columns, exact)
        return self._rows(KINDS["premiumIndexKlines"], asked)

    def agg_trades(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return aggTrades. Markets: cm, spot, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["aggTrades"], asked)

    def trades(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "spot",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return trades. Markets: cm, spot, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["trades"], asked)

    def book_ticker(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return bookTicker. Markets: cm, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["bookTicker"], asked)

    def book_depth(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return bookDepth. Markets: cm, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["bookDepth"], asked)

    def metrics(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return metrics. Markets: cm, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["metrics"], asked)

    def funding_rate(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return fundingRate. Markets: cm, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["fundingRate"], asked)

    def liquidation_snapshot(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "um",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return liquidationSnapshot. Markets: cm, um."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["liquidationSnapshot"], asked)

    def bvol_index(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "option",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return BVOLIndex. Markets: option."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["BVOLIndex"], asked)

    def eoh_summary(
        self,
        symbols: str | Sequence[str],
        *,
        market: str = "option",
        start: Time | None = None,
        end: Time | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Rows:
        """Return EOHSummary. Markets: option."""
        asked = Asked(symbols, "", market, start, end, columns, exact)
        return self._rows(KINDS["EOHSummary"], asked)
