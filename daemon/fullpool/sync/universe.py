"""Takes the list of all symbols of a market from the API, once a day."""

from datetime import timedelta
from typing import Final

from fullpool import logs
from fullpool.errors import RestError
from fullpool.instruments import changes
from fullpool.model import Market
from fullpool.rest import Client, ask_instruments
from fullpool.store.state.writer import State
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work
from fullpool.vendor import REST_URL

log = logs.get_logger()

_EVERY: Final = timedelta(hours=20)  # a day, if it is a bit early


def take_instruments(work: Work, state: State, outcome: Outcome) -> None:
    """Record what can be traded in the configured markets, where no host told it today.

    That none answers is no failure of the pass: no row depends on it.
    """
    client, now = work.rest, work.now()
    if client is None:
        return
    for market in sorted({dataset.market for dataset in work.config.dataset} & REST_URL.keys()):
        asked, reason = state.instruments.asked_at(market)
        if work.is_ending or client.blocked(market) is not None:
            continue
        if asked is None or reason or now - asked >= _EVERY:
            outcome.is_dirty |= _take(work, client, state, market, reason)


def _take(work: Work, client: Client, state: State, market: Market, before: str) -> bool:
    """Record what a market lists, or why it does not; return whether that is news."""
    now = work.now()
    try:
        found = changes(state.instruments.current(market), ask_instruments(client, market))
    except RestError as error:
        if work.is_ending:
            return False
        log.warning("instruments.failed", market=str(market), reason=str(error))
        state.instruments.record_failure(market, str(error))
        return str(error) != before
    state.instruments.record(market, found, now)
    if found.begun or found.ended:
        counts = {"changed": len(found.begun), "ended": len(found.ended)}
        log.info("instruments.taken", market=str(market), **counts)
    return True
