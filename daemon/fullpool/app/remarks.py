"""Configured symbols and series that the vendor does not have, as far as the lake knows."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from fullpool import unknown, vendor
from fullpool.app import clock
from fullpool.app.configuration import tree_of
from fullpool.app.doctor.checks_sql import LAGS, LAGS_BY_MONTH
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.grid import bars
from fullpool.model import Cadence, Series, Span
from fullpool.rest import not_followed
from fullpool.store.catalogue.reader import Queries, Reader, reading
from fullpool.store.state.queries import StateQueries
from fullpool.store.state.tables import SERIES_NAME, series_in

# A bar is there seconds after it closed, or with the next question if that failed.
_LATE: Final = timedelta(minutes=10)
_LATE_BARS: Final = 2
_LAGS: Final = (
    "SELECT market, kind, symbol, interval,"
    " lag_s + date_diff('second', published_at, ?::TIMESTAMP)"
    " FROM sync.coverage AS c, sync.published WHERE is_trading AND lag_s IS NOT NULL"
    f" AND NOT EXISTS (FROM internal.instruments AS i WHERE i.market = c.market"
    " AND i.symbol = c.symbol AND i.valid_to IS NULL"
    f" AND i.status <> '{vendor.TRADING}') ORDER BY ALL"
)
_WITHOUT_ROWS: Final = (
    f"SELECT {SERIES_NAME} AS name FROM sync.wanted WHERE name NOT IN"
    f" (SELECT {SERIES_NAME} FROM sync.coverage WHERE row_count > 0) ORDER BY name"
)
_TRADING: Final = "SELECT market, kind, symbol, interval FROM sync.coverage WHERE is_trading"


def without_rows(source: Queries) -> list[str]:
    """Return the names of configured series that have no row yet, sorted."""
    return [str(name) for (name,) in source.query(_WITHOUT_ROWS).rows]


def remarks_on(config: Config) -> list[str]:
    """Return what is to be said of the symbols of a configuration, as far as a lake tells."""
    with suppress(FullpoolError), reading(tree_of(config)) as reader:
        return remarks_by(reader, config)
    return _on_following(config, ())


def never_listed(reader: Reader, config: Config) -> list[Series]:
    """Return the series that a configuration spells out and no pass has looked for yet.

    Those were whose symbol is not in the vendor's list, which is read for patterns beside them.
    """
    known = reader.queries.listings()
    wanted = dict.fromkeys(s for dataset in config.dataset for s in dataset.named_series)
    kinds = [(dataset.market, dataset.kind) for dataset in config.dataset]
    symbols = reader.queries.symbols.lists(kinds, vendor.beginning())
    strange = set(unknown.strange(wanted, symbols))
    return [series for series in wanted if series not in known and series not in strange]


def remarks_by(reader: Reader, config: Config) -> list[str]:
    """Return the same from a generation that is open; nothing if it is too old to tell."""
    return [*on_names(reader, config), *on_following(reader, config)]


def on_names(reader: Reader, config: Config) -> list[str]:
    """Return what is to be said of names that the vendor does not have."""
    with suppress(FullpoolError):
        return _on_names(reader.queries, config)
    return []


def on_following(reader: Reader, config: Config) -> list[str]:
    """Return what is to be said of what is followed."""
    with suppress(FullpoolError):
        rows = reader.query(f"{_TRADING} ORDER BY ALL").rows
        return _on_following(config, [series_in(row) for row in rows])
    return []


def behind(reader: Reader, config: Config, now: datetime) -> list[str]:
    """Return what is to be said of bars that are followed, and older than they should be *now*."""
    late: list[tuple[float, Series]] = []
    with suppress(FullpoolError):  # a generation may be too old to tell
        for *keys, lag_s in reader.query(_LAGS, [now.replace(tzinfo=None)]).rows:
            series = series_in(keys)
            allowed_s = _allowed_s(series)
            if config.follows(series, now) and allowed_s and allowed_s < lag_s < _told_s(series):
                late.append((lag_s, series))
    if not late:
        return []
    lag_s, series = max(late)
    more = f" (and {len(late) - 1:,} more)" if len(late) > 1 else ""
    said = f"{series}{more} is followed, but its newest bar closed {lag_s / 60:,.0f} minutes ago"
    return [f"{said}: does the API answer? The log has follow.failed, or rest.*, if not"]


def _told_s(series: Series) -> float:
    """Return from which lag on a series lags by what archives it should have: that is told."""
    by_month = vendor.shortest(series) is Cadence.MONTH
    return (LAGS_BY_MONTH if by_month else LAGS).total_seconds()


def _allowed_s(series: Series) -> float | None:
    """Return how old the newest bar of a series may be; None if nobody can say."""
    step = bars(series.interval).step if series.interval else None
    return None if step is None else (_LATE_BARS * step + _LATE).total_seconds()


def _on_following(config: Config, trading: Iterable[Series]) -> list[str]:
    """Return what is to be said of what is followed: of the series that trade, or are named."""
    named = (series for dataset in config.dataset for series in dataset.named_series)
    return not_followed(dict.fromkeys([*trading, *named]), config, clock.now())


def _on_names(queries: StateQueries, config: Config) -> list[str]:
    """Return a line for each market and kind with names that the vendor was found not to have."""
    # It is looked up once in that time; a symbol that was listed since is not misspelled.
    max_age = 2 * timedelta(hours=config.discovery.symbols_max_age_h)
    listings, since = queries.listings(), clock.now() - max_age
    kinds = [(dataset.market, dataset.kind) for dataset in config.dataset]
    symbols = queries.symbols.lists(kinds, since)
    strange: dict[Series, Span] = {}
    unfit = []
    for dataset in config.dataset:
        if listed := symbols.get((dataset.market, dataset.kind)):
            strange |= dict.fromkeys(dataset.not_among(listed), dataset.span)
            unfit += [(dataset, pattern) for pattern in dataset.unfit(listed)]
        for series in dataset.named_series:
            known = listings.get(series)
            span = min(dataset.span, strange.get(series, dataset.span))
            if known is not None and known.at >= since:
                if known.until:
                    strange.pop(series, None)
                else:
                    strange[series] = span
    lines = [unknown.unfit_pattern(d.market, d.kind, pattern) for d, pattern in unfit]
    alive = queries.symbols.trading(symbols)
    early = unknown.awaited(queries.symbols.since(strange), alive, clock.now())
    return [*dict.fromkeys(lines), *unknown.told(sorted(strange.keys() - early), symbols)]
