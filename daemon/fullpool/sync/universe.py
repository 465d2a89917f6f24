"""Takes the list of all symbols of a market from the API, once a day."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from fullpool import logs
from fullpool.errors import RestError
from fullpool.instruments import changes
from fullpool.model import Market
from fullpool.rest import Client, ask_instruments
from fullpool.store.state.writer import State
from fullpool.sync.bans import share_bans
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work
from fullpool.vendor import REST_URL, TRADING

log = logs.get_logger()

_EVERY: Final = timedelta(hours=20)  # a day, if it is a bit early
_RETRY: Final = timedelta(hours=1)


def take_instruments(work: Work, state: State, outcome: Outcome) -> None:
    """Record what can be traded in the configured markets, where no host told it today.

    That none answers is no failure of the pass: no row depends on it.
    """
    client, now = work.rest, work.now()
    if client is None:
        return
    for market in sorted({dataset.market for dataset in work.config.dataset} & REST_URL.keys()):
        lists = state.instruments.lists_of(market)
        if work.is_ending or client.blocked(market) is not None:
            continue
        if _is_over(lists.told_at, _EVERY, now) and _is_over(lists.failed_at, _RETRY, now):
            outcome.is_dirty |= _take(work, client, state, market, lists.reason)


def trading_now(work: Work, markets: Iterable[Market]) -> dict[Market, list[str]]:
    """Return the symbols that trade in those of some markets whose API tells; record nothing."""
    client, found = work.rest, dict[Market, list[str]]()
    if client is None:
        return found
    for market in sorted(set(markets) & REST_URL.keys()):
        if client.blocked(market) is None:
            with suppress(RestError):
                listed = ask_instruments(client, market)
                found[market] = [one.symbol for one in listed if one.status == TRADING]
    return found


def _is_over(since: datetime | None, wait: timedelta, now: datetime) -> bool:
    """Whether a wait is over; one that began in the future is none."""
    return since is None or not timedelta() <= now - since < wait


def _take(work: Work, client: Client, state: State, market: Market, before: str) -> bool:
    """Record what a market lists, or why it does not; return whether that is news."""
    now = work.now()
    try:
        found = changes(state.instruments.current(market), ask_instruments(client, market))
    except RestError as error:
        if work.is_ending:
            return False
        log.warning("instruments.failed", market=str(market), reason=str(error))
        share_bans(client, state)
        state.instruments.record_failure(market, str(error), now)
        return str(error) != before
    state.instruments.record(market, found, now)
    if found.begun or found.ended:
        counts = {"changed": len(found.begun), "ended": len(found.ended)}
        log.info("instruments.taken", market=str(market), **counts)
    return True
