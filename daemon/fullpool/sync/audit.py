"""Comparing what the vendor lists with what is recorded: archives published anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from fullpool import logs, revising
from fullpool.errors import UnreachableError, UntrustedError
from fullpool.model import Identity, Known, Period, Series
from fullpool.planning import Listing, Want
from fullpool.store.memory import Memory
from fullpool.sync.work import AWAY_AFTER, Work
from fullpool.vision import list_keys

log = logs.get_logger()

# Series whose archives are read from the state together.
_BATCH: Final = 200


@dataclass(slots=True)
class Audited:
    """What an audit found, to be recorded: *found* is due now, *renamed* is as good as before.

    *failed* holds what could not be listed, with the reason.
    """

    found: list[Known] = field(default_factory=list)
    renamed: list[Known] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    away: int = 0


def audit(work: Work, memory: Memory, wants: Sequence[Want]) -> Audited:
    """List every series anew and compare each archive with the edition that is recorded."""
    done = Audited()
    work.watcher.listing(len(wants))
    rest = iter(wants)
    while (batch := list(islice(rest, _BATCH))) and not work.is_ending:
        _compare(work, memory, batch, done)
    return done


def _compare(work: Work, memory: Memory, batch: Sequence[Want], done: Audited) -> None:
    known = memory.known_of([want.series for want in batch])
    wanted = (
        (w.series, [k for k in known[w.series] if k.archive.period.span.overlaps(w.span)])
        for w in batch
    )
    items = [(series, own) for series, own in wanted if own]
    for one in work.fetch_map(lambda item: _listings(work, *item), items, lambda _: 1):
        work.watcher.listed()
        series, own = one.item
        if isinstance(one.error, UntrustedError):
            raise one.error
        if one.value is None:
            log.warning("series.unlisted", series=str(series), reason=str(one.error))
            done.failed[str(series)] = str(one.error)
            done.away += isinstance(one.error, UnreachableError)
            if done.away >= AWAY_AFTER:
                raise one.error or UnreachableError("listing the bucket")
            continue
        done.away = 0
        _compare_one(series, own, one.value, done)


def _compare_one(series: Series, own: Sequence[Known], listing: Listing, done: Audited) -> None:
    for before, after in revising.compared(own, listing):
        if after.status is before.status:
            done.renamed.append(after)
            continue
        log.info(
            "archive.revised",
            archive=str(after.archive),
            series=str(series),
            reason=after.reason,
        )
        done.found.append(after)
    if gone := revising.withdrawn(own, listing):
        log.warning(
            "series.shrunk",
            series=str(series),
            archives=len(gone),
            first=str(gone[0].archive),
            last=str(gone[-1].archive),
        )


def _listings(work: Work, series: Series, known: Sequence[Known]) -> Listing:
    """List the archives of a series from the first one recorded on, of each length."""
    found: dict[Period, Identity] = {}
    for first in _firsts(known):
        found |= list_keys(work.opener(), work.config.network.listing_url, series, first)
    return found


def _firsts(known: Sequence[Known]) -> Iterator[Period]:
    for cadence in sorted({one.archive.period.cadence for one in known}):
        yield min(
            (one.archive.period for one in known if one.archive.period.cadence is cadence),
            key=lambda period: period.span,
        )
