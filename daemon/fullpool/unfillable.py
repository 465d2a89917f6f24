"""Explains gaps that no source can fill, or not yet, as far as that is known unasked. Pure."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from fullpool.gaps import Explanation, Gap, GapStatus, part_of
from fullpool.grid import Grid, Places
from fullpool.kinds import kind_of
from fullpool.ladder import explained
from fullpool.model import Known, Status

# After so long an archive that is late is looked for in the records again.
_LATE_WAIT: Final = timedelta(hours=1)


def suspended(gap: Gap, archives: Iterable[Known]) -> Gap:
    """Return a gap that is empty at the source as a suspension, if no archive of its days is there.

    An outage of hours leaves an archive of that day; a symbol that is not traded has none.
    """
    if gap.explanation is not Explanation.EMPTY_AT_SOURCE:
        return gap
    lost = [
        known.archive.period
        for known in archives
        if known.status is Status.ABSENT and gap.span.covers(known.archive.period.span)
    ]
    if not lost:
        return gap
    days = sum((period.span.end - period.span.start for period in lost), timedelta()).days
    reason = f"the API has the rows around it, and the vendor has no archive of {days} days of it"
    return replace(gap, explanation=Explanation.SUSPENDED, reason=reason)


def relisted(gap: Gap, listed_at: datetime | None) -> Gap:
    """Return a gap that is `suspended` as `relisted` if the symbol was listed within it.

    A name is used again for another asset, or for the same one after it was taken off.
    """
    if listed_at is None or not gap.span.start < listed_at <= gap.span.end:
        return gap
    reason = f"{gap.reason}; the API tells that the symbol was listed at {listed_at:%Y-%m-%d %H:%M}"
    return replace(gap, explanation=Explanation.RELISTED, reason=reason)


def is_awaited(gap: Gap, archives: Iterable[Known]) -> bool:
    """Whether an archive that the gap is in may still come, or be fetched."""
    coming = (Status.EXPECTED, Status.NOT_PUBLISHED, Status.LISTED)
    return any(
        known.status in coming and known.archive.period.span.overlaps(gap.span)
        for known in archives
    )


def awaited(gap: Gap, now: datetime) -> Gap:
    """Explain a gap whose archive is late: nothing else can have its rows."""
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=Explanation.NOT_PUBLISHED,
        reason="the vendor has not published its archive yet",
        evidence=json.dumps({"decided_at": now.isoformat()}),
        next_try_at=now + _LATE_WAIT,
    )


def not_asked(gap: Gap) -> Gap:
    """Return a gap that no archive fills, where the API is not to be asked."""
    if gap.explanation is Explanation.NOT_PUBLISHED:
        return gap
    reason = "no archive has these rows, and the API is not asked (rest.enabled = false)"
    return replace(gap, reason=reason)


def without_api(gap: Gap, now: datetime, *, is_head: bool) -> Gap:
    """Explain a gap of a kind that the API does not have, which no archive fills."""
    last = "the API does not have the kind"
    return _without_rows(gap, Explanation.NO_ARCHIVE, last, now, is_head=is_head)


def _without_rows(
    gap: Gap, explanation: Explanation, last: str, now: datetime, *, is_head: bool
) -> Gap:
    """Explain a gap that no source fills: at the head of a series there was nothing."""
    gap = replace(gap, attempts=gap.attempts + 1)
    reason = "no available archive has these rows"
    if is_head:
        explanation, reason = Explanation.NOT_LISTED, "the vendor's first archive is of later"
    told = explained(gap, explanation, f"{reason}, and {last}", now)
    return replace(told, evidence=json.dumps({"decided_at": now.isoformat()}))


def too_old(gap: Gap, kept: timedelta, now: datetime, *, is_head: bool = False) -> Gap:
    """Explain a gap that the API has forgotten: it has the rows of the time *kept* alone."""
    days = kept / timedelta(days=1)
    last = f"the API keeps {kind_of(gap.series).name} for {days:.0f} days"
    return _without_rows(gap, Explanation.TOO_OLD_FOR_API, last, now, is_head=is_head)


def split_by_age(gap: Gap, grid: Grid | None, kept: timedelta, now: datetime) -> list[Gap]:
    """Return a gap as what the API has forgotten of it, and the rest; of ids none tells when."""
    turn = now - kept
    if grid is None or not gap.span.start < turn < gap.span.end:
        return [gap]
    cut = grid.at(turn)
    parts = (Places(gap.places.first, cut), Places(cut, gap.places.end))
    return [part_of(gap, grid, places) for places in parts if places]
