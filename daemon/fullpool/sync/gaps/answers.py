"""What the API answered is built in, and what it does not have is judged."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from fullpool import ladder
from fullpool.errors import NoSymbolError, RestRefusedError
from fullpool.evidence import Evidence, Index, renewed
from fullpool.gaps import Gap
from fullpool.ladder import Heard, Shape
from fullpool.model import Series
from fullpool.rest import Client, address
from fullpool.store.state.writer import State
from fullpool.sync.gaps.asker import Talk
from fullpool.sync.gaps.patch_builds import Mending
from fullpool.sync.gaps.records import GapRecords, Key, key_of
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work


class Answers:
    """Records what the API answered.

    *asked*: the gaps that this pass need not ask for once more. *patched*: what the API had rows
    for.
    """

    def __init__(
        self, work: Work, state: State, outcome: Outcome, records: GapRecords, client: Client
    ) -> None:
        self.asked: set[Key] = set()
        self.patched: set[Shape] = set()
        self._work = work
        self._state = state
        self._outcome = outcome
        self._records = records
        self._client = client

    def record(self, talks: Sequence[Talk]) -> None:
        """Build the rows in, then record what is left of every gap, and why."""
        client, now = self._client, self._work.now()
        self._record_bans()
        left: list[Gap] = []
        evidence = self._renewed(talks, now)
        Mending(self._work, self._state, self._outcome, client).build(talks)
        if self._work.stop.is_set():  # what was cut off counts as not asked
            talks = [talk for talk in talks if talk.error is None]
        self._outcome.requests = client.requests
        for talk in talks:
            heard = Heard(
                gap=talk.gap,
                evidence=evidence[talk.gap.series].of(talk.gap),
                found=sorted(talk.places),
                url=address(client, talk.gap.series),
                requests=len(talk.windows),
                at=now,
                error=talk.error,
                is_head=talk.is_head,
                is_tail=talk.is_tail,
                existed_before=talk.existed_before,
                existed_after=talk.existed_after,
                is_trading=talk.is_trading,
            )
            parts = ladder.remaining(heard, talk.grid)
            rest: list[Gap] = [self._records.doubted(talk.gap, part, now) for part in parts]
            left += rest
            if not talk.windows or talk.error or not any(gap.is_due(now) for gap in rest):
                self.asked.add(key_of(talk.gap))
            self._note_failure(talk)
            if talk.rows:
                self.patched.add(ladder.shape_of(talk.gap))
        self._records.replace([talk.gap for talk in talks], left)

    def _renewed(self, talks: Sequence[Talk], now: datetime) -> dict[Series, Index]:
        """Record what the answers show to be missing; return all that is known of these series."""
        new: dict[Series, list[Evidence]] = defaultdict(list)
        for talk in talks:
            new[talk.gap.series] += talk.evidence(now)
        known = self._state.queries.gaps.evidence_of(new)
        evidence = {series: renewed(known[series], own) for series, own in new.items()}
        self._state.gaps.record_evidence(evidence)
        return {series: Index(own) for series, own in evidence.items()}

    def _note_failure(self, talk: Talk) -> None:
        """Take note of what the network or the host kept from us; what they refuse is explained."""
        name = str(talk.gap)
        self._outcome.open_gaps.pop(name, None)
        if talk.error is not None and not isinstance(talk.error, RestRefusedError | NoSymbolError):
            self._outcome.open_gaps[name] = str(talk.error)

    def _record_bans(self) -> None:
        """Keep what hosts asked for, at once: the process may end at any time."""
        bans = [ban for ban in self._client.bans if ban.status]
        if bans != self._state.queries.bans():
            self._state.gaps.record_bans(bans)
