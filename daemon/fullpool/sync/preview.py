"""What a pass would do now, without doing it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fullpool import vendor
from fullpool.estimate import Estimate, estimated
from fullpool.model import Series, Status, Step
from fullpool.planning import Want
from fullpool.rest import not_followed
from fullpool.store.state.queries import StateQueries
from fullpool.sync.archives.discover import describe_unknown, discover
from fullpool.sync.archives.due import accepted_checksums, due_steps
from fullpool.sync.universe import trading_now
from fullpool.sync.work import Work

_TO_FETCH: Final = (Status.LISTED, Status.EXPECTED)


@dataclass(frozen=True, slots=True)
class Preview:
    """The steps of the next pass, and the series that are new to it or left alone from now on.

    *unknown* are series that the vendor has no archive of, *remarks* describes them; *failed* could
    not be listed, and why.
    """

    steps: tuple[Step, ...]
    begun: tuple[Series, ...]
    left: tuple[Series, ...]
    unknown: tuple[Series, ...]
    remarks: tuple[str, ...]
    failed: Mapping[str, str]
    estimate: Estimate


def _not_followed(work: Work, queries: StateQueries, wants: Iterable[Want]) -> list[str]:
    """Return what is to be said of what is followed and still trades."""
    listed = queries.listings()
    ended = {
        series
        for series, one in listed.items()
        if one.until and not vendor.still_trades(series, one.until, one.at)
    }
    return not_followed((w.series for w in wants if w.series not in ended), work.config, work.now())


def preview(work: Work, queries: StateQueries) -> Preview:
    """Return what the next pass would do; lists at the vendor what is unknown, records nothing."""
    found = discover(work, queries)
    # What was listed today trades, and has no archive yet. Passes record what trades.
    told = queries.symbols.with_trading
    untold = {one.market for one in found.unknown if not told(one.market, one.kind, ())}
    trading = trading_now(work, untold)
    describe_unknown(work, queries, found, trading)
    wanted, before = {want.series for want in found.wants}, queries.wanted()
    news = {known.archive: known for known in found.found}
    accepted = accepted_checksums(work.config.checks)
    due = [known for known in queries.due(work.now(), accepted) if known.archive not in news]
    due += [known for known in news.values() if known.status in _TO_FETCH]
    steps = tuple(due_steps(due, queries, found.wants, work.now()))
    return Preview(
        steps=steps,
        begun=tuple(sorted(wanted - before)),
        left=tuple(sorted(before - wanted)),
        unknown=tuple(found.unknown),
        remarks=(*found.remarks, *_not_followed(work, queries, found.wants)),
        failed=found.failed,
        estimate=estimated(steps, queries.experience()),
    )
