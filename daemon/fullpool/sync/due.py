"""The steps for what is due of the series that are wanted."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from fullpool import planning
from fullpool.config import Checks
from fullpool.model import Known, Step
from fullpool.planning import Want
from fullpool.store.memory import Memory
from fullpool.vision import NO_SUM, WRONG_SUM


def accepted_reasons(checks: Checks) -> list[str]:
    """Return how the reasons begin for which archives are in quarantine that are let in by now."""
    reasons = [NO_SUM] if checks.accept_missing_checksum else []
    return [*reasons, WRONG_SUM] if checks.accept_wrong_checksum else reasons


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
    files = memory.files_for({known.archive.series for known in wanted}, now)
    return list(planning.steps(wanted, files, now))
