"""One pass from beginning to end."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from fullpool import __version__, logs, stand_ins
from fullpool.errors import FullpoolError
from fullpool.model import Archive, Known, Market, Series, Step
from fullpool.planning import Want
from fullpool.store import duck
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.publication import Manner
from fullpool.store.inventory import is_sound
from fullpool.store.state.passes import PassOutcome, PassSummary
from fullpool.store.state.writer import State
from fullpool.sync.archives.audit import audit
from fullpool.sync.archives.discover import Discovered, describe_unknown, discover
from fullpool.sync.archives.due import accepted_checksums, due_steps
from fullpool.sync.archives.rounds import Round
from fullpool.sync.disk import with_room
from fullpool.sync.follow import Follow, Wire
from fullpool.sync.gaps.finder import GapFinder
from fullpool.sync.gaps.patching import Patching
from fullpool.sync.outcome import Outcome
from fullpool.sync.publishing import publish
from fullpool.sync.tails import set_aside_damaged
from fullpool.sync.universe import take_instruments
from fullpool.sync.work import Work

log = logs.get_logger()

_ENDED: Final = (PassOutcome.COMPLETE, PassOutcome.INCOMPLETE)
_LONGEST_SPACING_S: Final = 15.0
# Two days of a futures contract without a trade are asked for hour by hour.
_MOST_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Begun:
    """A pass on record: which command ran it, and its number."""

    command: str
    number: int


def run_pass(work: Work, state: State, command: str) -> Outcome:
    """Bring the lake up to date; what fails is recorded, tried again in a later round, and told.

    Audits, if that was not done today. Raises what makes going on useless: no host, no trust, no
    disk. What was recorded by then is published all the same.
    """
    last = state.queries.last_audit(work.now())
    if last is not None and last.date() < work.now().date():
        return run_audited_pass(work, state, command)
    return _framed(work, state, command, partial(_bring_up_to_date, work, state))


def run_audited_pass(work: Work, state: State, command: str) -> Outcome:
    """Do what `run_pass` does, and audit, whenever that was done last."""

    def act(found: Discovered, outcome: Outcome) -> None:
        _audit(work, state, found, outcome)
        _bring_up_to_date(work, state, found, outcome)

    return _framed(work, state, command, act)


def _bring_up_to_date(work: Work, state: State, found: Discovered, outcome: Outcome) -> None:
    _rounds(work, state, found.wants, outcome)
    take_instruments(work, state, outcome)  # before what was just listed is followed
    _follow(work, state, outcome)
    state.gaps.reopen_unanswered()
    _patching(work, state, found, outcome).run()


def _follow(work: Work, state: State, outcome: Outcome) -> None:
    """Bring what is followed up to now, before gaps are looked for."""
    if work.following is not None:
        work.following.follow_now()
        return
    follow = Follow(work.config, state, work.tree)
    if work.rest is None or not follow.is_on or work.is_ending:
        return
    followed = follow.run(Wire(work.rest, work.rest_map, work.now, rounds=_MOST_ROUNDS))
    for market in Market:
        work.rest.reserve(market, 0)
    outcome.followed_rows += followed.rows
    outcome.is_dirty = outcome.is_dirty or bool(followed.rows)
    outcome.open_gaps |= {
        f"the newest rows of {name}": reason for name, reason in followed.troubles.items()
    }


def run_tick(work: Work, state: State, command: str) -> Outcome:
    """Fetch and build what is due, and find what is missing then. Raises as `run_pass` does."""

    def act(found: Discovered, outcome: Outcome) -> None:
        _fill(work, state, found, outcome)

    return _framed(work, state, command, act)


def run_patch(work: Work, state: State, command: str) -> Outcome:
    """Bring the gaps that are due down the ladder. Raises as `run_pass` does."""

    def act(found: Discovered, outcome: Outcome) -> None:
        _patching(work, state, found, outcome).run()

    return _framed(work, state, command, act)


def run_audit(work: Work, state: State, command: str) -> Outcome:
    """Fetch again what was republished. Raises as `run_pass` does."""

    def act(found: Discovered, outcome: Outcome) -> None:
        _audit(work, state, found, outcome)
        _fill(work, state, found, outcome)
        take_instruments(work, state, outcome)

    return _framed(work, state, command, act)


def _audit(work: Work, state: State, found: Discovered, outcome: Outcome) -> None:
    """Compare what is recorded with what the vendor lists, but for what was just listed whole."""
    wants = [want for want in found.wants if want.series not in found.new]
    audited = audit(work, state.queries, wants)
    if audited.found or audited.renamed:
        state.record_listings([], [*audited.found, *audited.renamed], work.now())
        outcome.is_dirty = True
    outcome.listing_failures |= audited.failed
    outcome.hint = audited.hint or outcome.hint
    outcome.is_audited = not work.is_ending and not audited.failed


def _framed(
    work: Work, state: State, command: str, act: Callable[[Discovered, Outcome], None]
) -> Outcome:
    """Discover, act, and record how that went, whatever happens."""
    outcome = Outcome()
    begun = _Begun(command, state.passes.begin(command, __version__, work.now()))
    result, reason = PassOutcome.INTERRUPTED, ""
    with logs.bound(run=begun.number), duck.map_errors(f"working on {work.tree.root}"):
        try:
            outcome.is_dirty = _took_back(work, state)
            outcome.is_dirty |= set_aside_damaged(state, work.tree, work.now())
            found = discover(work, state.queries)
            if found.unknown:
                take_instruments(work, state, outcome)  # or what is new would be told as unknown
            describe_unknown(work, state.queries, found)
            _record(state, found, outcome, work)
            act(found, outcome)
            if not work.is_ending:
                is_complete = outcome.is_complete
                result = PassOutcome.COMPLETE if is_complete else PassOutcome.INCOMPLETE
        except FullpoolError as error:
            result, reason = PassOutcome.STOPPED, str(error)
            raise
        finally:
            _close(work, state, begun, outcome, result, reason)
    return outcome


def _took_back(work: Work, state: State) -> bool:
    """Take back what was recorded while the clock was ahead; return whether anything was."""
    if state.is_behind(work.now()):
        log.warning("clock.behind", now=work.now().isoformat())
        return False
    is_news = state.take_back(work.now())
    if is_news:
        log.warning("clock.ahead")
    return is_news


def _fill(work: Work, state: State, found: Discovered, outcome: Outcome) -> None:
    _rounds(work, state, found.wants, outcome)
    _follow(work, state, outcome)
    GapFinder(work, state, outcome, found.wants).look()


def _patching(work: Work, state: State, found: Discovered, outcome: Outcome) -> Patching:
    fetch = partial(_rounds_over_some, work, state, found.wants, outcome)
    return Patching(work, state, outcome, found.wants, fetch)


def _record(state: State, found: Discovered, outcome: Outcome, work: Work) -> None:
    now = work.now()
    for listed in found.symbols:
        state.record_symbols(listed.market, listed.kind, listed.symbols, now)
        outcome.is_dirty = True  # by these, readers tell misspelled symbols
    if found.listings or found.found:
        state.record_listings(list(found.listings.values()), found.found, now)
        outcome.is_dirty = True
    known = state.queries.wanted()
    if state.passes.record_wanted({want.series: want.span for want in found.wants}):
        outcome.is_dirty = True
    # Archives are asked for again that the configuration lets in by now.
    for checksum in accepted_checksums(work.config.checks):
        state.reopen_quarantined(checksum)
    outcome.listing_failures, outcome.hint = found.failed, found.hint
    outcome.unknown, outcome.remarks = tuple(found.unknown), tuple(found.remarks)
    outcome.has_series = found.has_series
    _log_unknown(found, known)


def _log_unknown(found: Discovered, known: Collection[Series]) -> None:
    """Log what is not known to the vendor once a day, when it is looked for again."""
    is_news = any(series in found.listings or series not in known for series in found.unknown)
    if is_news or found.symbols:
        for remark in found.remarks:
            log.warning("series.unknown", reason=remark)


def _rounds(work: Work, state: State, wants: Sequence[Want], outcome: Outcome) -> None:
    """Run rounds over all that is due, until nothing is any more."""
    _rounds_over(work, state, wants, outcome, state.queries.due)


def _rounds_over_some(
    work: Work,
    state: State,
    wants: Sequence[Want],
    outcome: Outcome,
    archives: Collection[Archive],
) -> None:
    """Run rounds over those of some archives that are due."""

    def due(now: datetime) -> list[Known]:
        return [known for known in state.queries.due(now) if known.archive in archives]

    _rounds_over(work, state, wants, outcome, due)


def _rounds_over(
    work: Work,
    state: State,
    wants: Sequence[Want],
    outcome: Outcome,
    due: Callable[[datetime], list[Known]],
) -> None:
    """Run rounds over what is due, and one more over what needs no archive.

    A day of the last round may have a row that the file of the next day has too: two of it would
    be published.
    """
    last = work.config.limits.rounds
    for number in range(last + 1):
        now = work.now()
        _stand_in(state, wants, now)
        archives = due(now) if number < last else []
        steps = due_steps(archives, state.queries, wants, now)
        if not steps or work.is_ending:
            return
        steps = with_room(work, steps, outcome)
        if not steps:
            return
        if number:
            work.sleep(_spacing_s(steps, now.timestamp()))
        Round(work, state, outcome).run(steps)


def _stand_in(state: State, wants: Sequence[Want], now: datetime) -> None:
    """Have days tried in place of months that are unusable, and the month of days that are."""
    if not state.queries.missing():
        return
    wanted = {want.series: want for want in wants}
    found: list[Known] = []
    for month, recorded in state.queries.months_of_no_use():
        if month.series in wanted:
            found += stand_ins.days_instead(month, recorded, wanted[month.series])
    found += stand_ins.months_instead(state.queries.months_of_lost_days(), wanted, now)
    if found:
        state.record_listings([], found, now)


def _spacing_s(steps: Sequence[Step], now: float) -> float:
    tries = [known.next_try_at for step in steps for known in step.archives if known.next_try_at]
    longest = max((moment.timestamp() - now for moment in tries), default=0.0)
    return min(max(longest, 0.0), _LONGEST_SPACING_S)


def _is_behind(state: State, result: PassOutcome, *, is_whole: bool) -> bool:
    """Whether readers do not see what the state holds, and there is something to see."""
    if state.generations.is_published() and is_whole:
        return False
    return result in _ENDED or bool(state.queries.files.paths())


def _is_news(state: State, begun: _Begun, result: PassOutcome) -> bool:
    """Whether readers are to be told how a pass ended, though it brought nothing else."""
    if result is PassOutcome.INTERRUPTED or not state.generations.is_published():
        return False
    return state.passes.is_news(begun.number)


def _close(  # noqa: PLR0913, PLR0917 - how a pass ended
    work: Work, state: State, begun: _Begun, outcome: Outcome, result: PassOutcome, reason: str
) -> None:
    """Record how the pass ended, publish that, and remove what its grace has ended for."""
    summary = PassSummary(
        outcome=result,
        reason=reason,
        audited=outcome.is_audited,
        archives=outcome.archives,
        failed=len(outcome.failed),
        downloaded_bytes=outcome.downloaded_bytes,
        rows=outcome.rows,
    )
    state.passes.end(begun.number, summary, work.now())
    outcome.missing = state.queries.missing()
    # Files of a generation go into the next one, and a pass with news does not read them: so an
    # audit does, and every sync that a person runs.
    is_unread = outcome.is_dirty and not outcome.is_audited and begun.command != "sync"
    is_first = outcome.is_dirty and not work.tree.current.exists()
    is_whole = is_unread or is_first or is_sound(work.tree)
    if outcome.is_dirty or _is_behind(state, result, is_whole=is_whole):
        manner = Manner(is_afresh=not is_whole)
        publish(work, state, outcome, state.next_value("generation"), manner)
    elif _is_news(state, begun, result):
        with suppress(FullpoolError):  # what stopped the pass may stop this as well
            publish(work, state, outcome, state.next_value("generation"))
    freed = publication.retire(state, work.tree, work.now() - work.config.lake.grace)
    log.info(
        "pass.ended",
        command=begun.command,
        outcome=str(result),
        archives=outcome.archives,
        failed=len(outcome.failed),
        rows=outcome.rows,
        downloaded_bytes=outcome.downloaded_bytes,
        freed_bytes=freed,
    )
