"""Running a pass: discover, then rounds of fetching and building until nothing is due any more."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from fullpool import __version__, logs
from fullpool.errors import DiskFullError, FullpoolError
from fullpool.model import Step
from fullpool.planning import Want
from fullpool.store import catalogue
from fullpool.store.state import PassSummary, State
from fullpool.sync.discover import Discovered, discover
from fullpool.sync.due import due_steps
from fullpool.sync.outcome import Outcome
from fullpool.sync.patching import Patching
from fullpool.sync.rounds import Round, publish
from fullpool.sync.work import Work

log = logs.get_logger()

_ENDED: Final = ("complete", "incomplete")
_LONGEST_SPACING_S: Final = 15.0
_MB: Final = 1_000_000


def run_pass(work: Work, state: State, command: str) -> Outcome:
    """Bring the lake up to date; what fails is recorded, tried again in a later round, and told.

    Raises what makes going on useless: no host, no trust, no disk. What was recorded by then is
    published all the same.
    """
    outcome = Outcome()
    number = state.begin_pass(command, __version__, work.now())
    result = "interrupted"
    try:
        found = discover(work, state.memory)
        _record(state, found, outcome, work)
        _rounds(work, state, found.wants, outcome)
        fetch = partial(_rounds, work, state, found.wants, outcome)
        Patching(work, state, outcome, found.wants, fetch).run()
        if not work.stop.is_set():
            result = "complete" if outcome.is_complete else "incomplete"
    except FullpoolError as error:
        result = f"stopped: {error}"
        raise
    finally:
        _close(work, state, number, outcome, result)
    return outcome


def _record(state: State, found: Discovered, outcome: Outcome, work: Work) -> None:
    now = work.now()
    for one in found.symbols:
        state.record_symbols(one.market, one.kind, one.symbols, now)
    if found.listings or found.found:
        state.record_listings(list(found.listings.values()), found.found)
        outcome.is_dirty = True
    outcome.unlisted = found.failed
    outcome.unknown = tuple(found.unknown)
    for series in found.unknown:
        log.warning("series.unknown", series=str(series))


def _rounds(work: Work, state: State, wants: Sequence[Want], outcome: Outcome) -> None:
    for number in range(work.config.limits.rounds):
        now = work.now()
        steps = due_steps(state.memory.due(now), state.memory, wants, now)
        if not steps or work.stop.is_set():
            return
        if number:
            work.sleep(_spacing_s(steps, now.timestamp()))
        _check_disk(work, steps)
        Round(work, state, outcome).run(steps)


def _spacing_s(steps: Sequence[Step], now: float) -> float:
    tries = [known.next_try_at for step in steps for known in step.archives if known.next_try_at]
    longest = max((moment.timestamp() - now for moment in tries), default=0.0)
    return min(max(longest, 0.0), _LONGEST_SPACING_S)


def _check_disk(work: Work, steps: Sequence[Step]) -> None:
    """Raise DiskFullError if what is planned would leave less free than configured."""
    free = shutil.disk_usage(work.tree.root).free
    floor = int(work.config.lake.min_free_gb * 1e9)
    planned = sum(step.size_bytes for step in steps)
    if free - planned < floor:
        raise DiskFullError(
            f"planning {planned / _MB:,.0f} MB for {work.tree.root}: {free / _MB:,.0f} MB are free,"
            f" and {floor / _MB:,.0f} MB are to stay free",
            hint="free some space, move the lake, ask for less, or lower lake.min_free_gb",
        )


def _close(work: Work, state: State, number: int, outcome: Outcome, result: str) -> None:
    """Record how the pass ended, publish that, and remove what its grace has ended for."""
    summary = PassSummary(
        result, outcome.archives, len(outcome.failed), outcome.downloaded_bytes, outcome.rows
    )
    state.end_pass(number, summary, work.now())
    outcome.missing = state.memory.missing()
    is_behind = not state.is_published() and (result in _ENDED or state.memory.files())
    if outcome.is_dirty or is_behind:
        publish(work, state, outcome, state.next_value("generation"))
    grace = timedelta(hours=work.config.lake.retain_hours)
    freed = catalogue.retire(state, work.tree, work.now() - grace)
    log.info(
        "pass.ended",
        outcome=result,
        archives=outcome.archives,
        failed=len(outcome.failed),
        rows=outcome.rows,
        downloaded_bytes=outcome.downloaded_bytes,
        freed_bytes=freed,
    )
