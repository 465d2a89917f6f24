"""Plans the steps for the archives that are due."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from fullpool import grouping, vendor
from fullpool.config import Checks
from fullpool.model import Checksum, Known, Step
from fullpool.planning import Want
from fullpool.store.state.queries import StateQueries


def accepted_checksums(checks: Checks) -> list[Checksum]:
    """Return the CHECKSUMs for which archives are in quarantine that are let in by now."""
    found = [Checksum.MISSING] if checks.accept_missing_checksum else []
    return [*found, Checksum.WRONG] if checks.accept_wrong_checksum else found


def due_steps(
    due: Iterable[Known], queries: StateQueries, wants: Sequence[Want], now: datetime
) -> list[Step]:
    """Return the steps for what is due of the series that are wanted."""
    wanted_of = {want.series: want for want in wants}
    wanted = [
        known
        for known in due
        if known.archive.series in wanted_of
        and wanted_of[known.archive.series].overlaps(known.archive.period.span)
    ]
    series, open_year = {known.archive.series for known in wanted}, vendor.first_open_year(now)
    files = queries.files.to_build_on(series, open_year)
    return list(grouping.steps(wanted, files, queries.files.compared(), now))
