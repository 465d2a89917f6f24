"""Shares what hosts of the API asked for between the clients of one lake."""

from fullpool.rest import Client
from fullpool.store.state.writer import State


def share_bans(client: Client, state: State) -> None:
    """Take over the bans on record, and record those of the client: the process may end any time.

    A host that is only silent is no ban.
    """
    known = state.queries.bans()
    client.learn(known)
    bans = [ban for ban in client.bans if ban.status]
    if bans != known:
        state.gaps.record_bans(bans)
