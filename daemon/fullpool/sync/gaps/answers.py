"""Imports the rows the API returned, and judges the ones it does not have."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from fullpool import ladder, unfillable
from fullpool.choosing import Shape, shape_of
from fullpool.errors import NoSymbolError, RestRefusedError
from fullpool.evidence import Evidence, Index, renewed
from fullpool.gaps import Explanation, Gap
from fullpool.ladder import Reply
from fullpool.model import Known, Series
from fullpool.rest import Client, address, requests_of
from fullpool.store.state.writer import State
from fullpool.sync.bans import share_bans
from fullpool.sync.gaps.asker import Asker, Inquiry
from fullpool.sync.gaps.patch_builds import PatchBuilds
from fullpool.sync.gaps.records import GapRecords, Key, key_of
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work


class Answers:
    """Asks the API, by *asker*, and records what it answered.

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
        self.asker = Asker(work, client)

    def explain_never_listed(self, inquiries: Sequence[Inquiry], now: datetime) -> set[int]:
        """Record the gaps from before trading began; return their ids, as `id` gives them."""
        young = [inquiry.gap for inquiry in self.asker.never_listed(inquiries)]
        judged = []
        for gap in young:
            left = ladder.not_listed(gap, address(self._client, gap.series), now)
            judged.append(self._records.doubted(gap, left, now))
        self._records.replace(young, judged)
        return {id(gap) for gap in young}

    def record(self, inquiries: Sequence[Inquiry]) -> None:
        """Build the rows in, then record what is left of every gap, and why."""
        client, now = self._client, self._work.now()
        share_bans(client, self._state)
        left: list[Gap] = []
        evidence = self._renewed(inquiries, now)
        PatchBuilds(self._work, self._state, self._outcome, client).build(inquiries)
        if self._work.stop.is_set():  # what was cut off counts as not asked
            inquiries = [inquiry for inquiry in inquiries if inquiry.error is None]
        self._outcome.requests = client.requests
        known = self._state.queries.known_of({inquiry.gap.series for inquiry in inquiries})
        for inquiry in inquiries:
            shown = evidence[inquiry.gap.series].of(inquiry.gap)
            parts = ladder.remaining(self._reply(inquiry, shown, now), inquiry.grid)
            told = (self._told(part, known[part.series]) for part in parts)
            rest = [self._records.doubted(inquiry.gap, part, now) for part in told]
            left += rest
            self._note(inquiry, rest, now)
        self._records.replace([inquiry.gap for inquiry in inquiries], left)

    def _told(self, part: Gap, archives: Sequence[Known]) -> Gap:
        """Tell a suspension and a new listing from an outage of hours."""
        told = unfillable.suspended(part, archives)
        if told.explanation is not Explanation.SUSPENDED:
            return told
        return unfillable.relisted(told, self._state.instruments.listed_at(told.series))

    def _reply(self, inquiry: Inquiry, shown: Sequence[Evidence], now: datetime) -> Reply:
        return Reply(
            gap=inquiry.gap,
            evidence=shown,
            found=sorted(inquiry.places),
            url=address(self._client, inquiry.gap.series),
            requests=requests_of(inquiry.gap.series) * len(inquiry.windows),
            at=now,
            error=inquiry.error,
            is_head=inquiry.is_head,
            is_tail=inquiry.is_tail,
            existed_before=inquiry.existed_before,
            existed_after=inquiry.existed_after,
            is_trading=inquiry.is_trading,
        )

    def _note(self, inquiry: Inquiry, rest: Sequence[Gap], now: datetime) -> None:
        """Note what this pass is done with, what it patched, and what it could not ask."""
        is_left = any(gap.is_due(now) for gap in rest)
        if not inquiry.windows or inquiry.error or not is_left:
            self.asked.add(key_of(inquiry.gap))
        self._note_failure(inquiry)
        if inquiry.rows:
            self.patched.add(shape_of(inquiry.gap))

    def _renewed(self, inquiries: Sequence[Inquiry], now: datetime) -> dict[Series, Index]:
        """Record what the answers show to be missing; return all that is known of these series."""
        new: dict[Series, list[Evidence]] = defaultdict(list)
        for inquiry in inquiries:
            new[inquiry.gap.series] += inquiry.evidence(now)
        known = self._state.queries.gaps.evidence_of(new)
        evidence = {series: renewed(known[series], own) for series, own in new.items()}
        self._state.gaps.record_evidence(evidence)
        return {series: Index(own) for series, own in evidence.items()}

    def _note_failure(self, inquiry: Inquiry) -> None:
        """Record what the network or the host kept from us; what they refuse is explained."""
        name = str(inquiry.gap)
        self._outcome.open_gaps.pop(name, None)
        if inquiry.error is not None and not isinstance(
            inquiry.error, RestRefusedError | NoSymbolError
        ):
            self._outcome.open_gaps[name] = str(inquiry.error)
