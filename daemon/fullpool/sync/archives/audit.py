"""Compares recorded archives with the vendor's listing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from fullpool import logs, planning, revising
from fullpool.errors import UnreachableError, UntrustedError
from fullpool.model import Known, Series
from fullpool.planning import Listing, Want
from fullpool.store.state.queries import StateQueries
from fullpool.sync.archives.listing import list_series, note_listing_failure
from fullpool.sync.steps.step import AWAY_AFTER
from fullpool.sync.work import Work

log = logs.get_logger()

# Series whose archives are read from the state together.
_BATCH: Final = 200


@dataclass(slots=True)
class Audited:
    """What an audit found, to be recorded: *found* is due now, *renamed* is as good as before.

    *failed* holds what could not be listed, with the reason; *hint* says what to do about a host
    that is *away*, so many times in a row.
    """

    found: list[Known] = field(default_factory=list)
    renamed: list[Known] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    away: int = 0
    hint: str = ""


def audit(work: Work, queries: StateQueries, wants: Sequence[Want]) -> Audited:
    """List every series again and compare each archive with the edition that is recorded."""
    done = Audited()
    work.watcher.listing(len(wants))
    rest = iter(wants)
    while (batch := list(islice(rest, _BATCH))) and not work.is_ending:
        _compare(work, queries, batch, done)
    return done


def _compare(work: Work, queries: StateQueries, batch: Sequence[Want], done: Audited) -> None:
    known = queries.known_of([want.series for want in batch])
    wanted = _wanted(batch, known)

    def listed(want: Want) -> tuple[Listing, Listing]:
        return list_series(work, want, work.now(), wanted[want])

    for one in work.fetch_map(listed, wanted, lambda _: 1):
        work.watcher.listed()
        series = one.item.series
        if isinstance(one.error, UntrustedError):
            raise one.error
        if one.value is None:
            note_listing_failure(series, str(one.error), done.failed)
            if isinstance(one.error, UnreachableError):
                done.away, done.hint = done.away + 1, one.error.hint
            if done.away >= AWAY_AFTER:
                raise one.error or UnreachableError("listing the bucket")
            continue
        done.away = 0
        monthly, daily = one.value
        _compare_one(series, wanted[one.item], {**monthly, **daily}, done)
        chosen = planning.choose(one.item, monthly, daily, work.now())
        _add_new(planning.unrecorded(chosen, known[series]), done)


def _wanted(
    batch: Sequence[Want], known: Mapping[Series, Sequence[Known]]
) -> dict[Want, list[Known]]:
    """Return the archives on record that are wanted, by what wants them."""
    wanted: dict[Want, list[Known]] = {}
    for want in batch:
        archives = known[want.series]
        if archives:
            wanted[want] = [
                record for record in archives if want.overlaps(record.archive.period.span)
            ]
    return wanted


def _add_new(found: Sequence[Known], done: Audited) -> None:
    """Record archives that the vendor has put before those on record, or between them."""
    for one in found:
        log.info("archive.discovered", archive=str(one.archive), series=str(one.archive.series))
    done.found += found


def _compare_one(series: Series, own: Sequence[Known], listing: Listing, done: Audited) -> None:
    for before, after in revising.compared(own, listing):
        if after.status is before.status:
            done.renamed.append(after)
            continue
        log.info(
            "archive.republished",
            archive=str(after.archive),
            series=str(series),
            reason=after.reason,
        )
        done.found.append(after)
    if gone := revising.withdrawn(own, listing):
        log.warning(
            "archive.withdrawn",
            series=str(series),
            archives=len(gone),
            first=str(gone[0].archive),
            last=str(gone[-1].archive),
        )
