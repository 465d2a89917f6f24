"""The steps for what is due of the series that are wanted."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from fullpool import planning
from fullpool.config import Checks
from fullpool.model import Cadence, Checksum, Known, Status, Step, period_of
from fullpool.planning import Want
from fullpool.store.memory import Memory


def accepted_checksums(checks: Checks) -> list[Checksum]:
    """Return the CHECKSUMs for which archives are in quarantine that are let in by now."""
    found = [Checksum.MISSING] if checks.accept_missing_checksum else []
    return [*found, Checksum.WRONG] if checks.accept_wrong_checksum else found


def _months_again(due: Sequence[Known], memory: Memory) -> list[Known]:
    """Return the months that the days among *due* filled holes of: they are due with them.

    A file does not tell which of a day's rows are the day's own, and which its month had.
    """
    days = [
        known.archive
        for known in due
        if known.is_held and known.archive.period.cadence is Cadence.DAY
    ]
    months = {(day.series, period_of(day.period.first, Cadence.MONTH)) for day in days}
    if not months:
        return []
    return [
        replace(known, status=Status.PUBLISHED, reason="a day that fills it is had again")
        for known in memory.known({series for series, _ in months})
        if known.status is Status.PRESENT and (known.archive.series, known.archive.period) in months
    ]


def due_steps(
    due: Iterable[Known], memory: Memory, wants: Sequence[Want], now: datetime
) -> list[Step]:
    """Return the steps for what is due of the series that are wanted."""
    spans = {want.series: want.span for want in wants}
    wanted = [
        known
        for known in due
        if known.archive.series in spans
        and known.archive.period.span.overlaps(spans[known.archive.series])
    ]
    wanted += _months_again(wanted, memory)
    files = memory.files_for({known.archive.series for known in wanted}, now)
    return list(planning.steps(wanted, files, now))
