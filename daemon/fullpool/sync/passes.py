"""Running a pass: rounds of fetching and building until nothing is due any more."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from fullpool import __version__, logs, planning, vendor
from fullpool.errors import (
    DiskFullError,
    FullpoolError,
    LakeUnwritableError,
    MalformedError,
    UnreachableError,
    UntrustedError,
)
from fullpool.model import Archive, Known, Status, Step
from fullpool.planning import Want
from fullpool.store import catalogue
from fullpool.store.build import Built, Input, Order, build
from fullpool.store.memory import Memory
from fullpool.store.quarantine import quarantine, release
from fullpool.store.state import PassSummary, State
from fullpool.sync.discover import Discovered, discover
from fullpool.sync.work import Done, Work
from fullpool.vision import Fetched, NotModified, NotThere

log = logs.get_logger()

# Errors that would be the same for every archive: the pass ends instead of failing each.
_FATAL: Final = (DiskFullError, LakeUnwritableError, UntrustedError)
# This many archives in a row that find no host, and none that does: the host is away.
_AWAY_AFTER: Final = 8
_LONGEST_SPACING_S: Final = 15.0
_MB: Final = 1_000_000
_EVENTS: Final = {
    Status.FAILED: "archive.failed",
    Status.QUARANTINED: "archive.quarantined",
    Status.NOT_PUBLISHED: "archive.not_published",
    Status.ABSENT: "archive.absent",
}


@dataclass(slots=True)
class Outcome:
    """What a pass did so far."""

    archives: int = 0
    rows: int = 0
    downloaded_bytes: int = 0
    built: int = 0
    generation: int | None = None
    failed: dict[Archive, str] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing for a reason that is ours or the network's."""
        return not self.failed and not self.unlisted


@dataclass(frozen=True, slots=True)
class _Task:
    """One archive of one step, to be fetched to *target*."""

    step: Step
    known: Known
    target: Path


def run_pass(work: Work, state: State, command: str) -> Outcome:
    """Bring the lake up to date; what fails is recorded, tried again in a later round, and told.

    Raises what makes going on useless: no host, no trust, no disk. What was finished by then is
    recorded and published.
    """
    outcome = Outcome()
    number = state.begin_pass(command, __version__, work.now())
    result = "interrupted"
    try:
        found = discover(work, state.memory)
        _record(state, found, work.now())
        outcome.unlisted = {str(series): reason for series, reason in found.failed}
        _rounds(work, state, found.wants, outcome)
        if not state.is_published():
            _publish(work, state, outcome, state.next_value("generation"))
        if not work.stop.is_set():
            result = "complete" if outcome.is_complete else "incomplete"
    except FullpoolError as error:
        result = f"stopped: {error}"
        raise
    finally:
        _close(work, state, number, outcome, result)
    return outcome


def _record(state: State, found: Discovered, now: datetime) -> None:
    for dataset, names in found.symbols:
        state.record_symbols(dataset.market, dataset.kind, names, now)
    state.record_listings(found.listings, found.found)


def _rounds(work: Work, state: State, wants: Sequence[Want], outcome: Outcome) -> None:
    for number in range(work.config.limits.rounds):
        now = work.now()
        steps = due_steps(state.memory.due(now), state.memory, wants, now)
        if not steps or work.stop.is_set():
            return
        if number:
            work.sleep(_spacing_s(steps, work.now()))
        _check_disk(work, steps)
        _Round(work, state, outcome, work.now()).run(steps)


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
    return list(planning.steps(wanted, memory.files(), now))


def _spacing_s(steps: Sequence[Step], now: datetime) -> float:
    tries = [known.next_try_at for step in steps for known in step.archives if known.next_try_at]
    longest = max(((moment - now).total_seconds() for moment in tries), default=0.0)
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


class _Round:
    """One round: every step's archives fetched, its partitions built, both recorded as they end."""

    def __init__(self, work: Work, state: State, outcome: Outcome, started: datetime) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._generation = state.next_value("generation")
        self._published_at = started
        self._unreachable = 0
        self._is_dirty = False

    def run(self, steps: Sequence[Step]) -> None:
        limits = self._work.config.limits
        archives = sum(len(step.archives) for step in steps)
        self._work.watcher.planned(archives, sum(step.size_bytes for step in steps))
        orders = (self._order(step, inputs) for step, inputs in self._fetched(steps))
        ready = (order for order in orders if order.inputs or not order.step.archives)
        try:
            for done in self._work.build_map(build, ready, lambda _: 1):
                self._record(done)
                if self._age() >= timedelta(seconds=limits.publish_every_s):
                    self._publish()
                    self._generation = self._state.next_value("generation")
        finally:
            self._publish()

    def _fetched(self, steps: Sequence[Step]) -> Iterator[tuple[Step, list[Input]]]:
        """Yield each step once all its archives have been tried, with those that came."""
        staging = self._work.tree.staging
        left = {id(step): len(step.archives) for step in steps}
        inputs: dict[int, list[Input]] = {id(step): [] for step in steps}
        tasks = (_task(step, known, staging) for step in steps for known in step.archives)
        yield from ((step, []) for step in steps if not step.archives)
        for done in self._work.fetch_map(self._fetch, tasks, _size_bytes):
            if self._work.stop.is_set():
                return
            step = done.item.step
            left[id(step)] -= 1
            if (item := self._input(done)) is not None:
                inputs[id(step)].append(item)
            if not left[id(step)]:
                yield step, inputs.pop(id(step))

    def _fetch(self, task: _Task) -> Fetched | NotModified | NotThere:
        known = task.known
        is_held = known.status is Status.QUARANTINED and known.identity is not None
        etag = known.identity.etag if is_held and known.identity else None
        return self._work.fetcher().fetch(known.archive, etag or None, task.target)

    def _input(self, done: Done[_Task, Fetched | NotModified | NotThere]) -> Input | None:
        """Return what came of one download as an input; record it if nothing came."""
        task, value = done.item, done.value
        self._note_reach(done.error)
        if isinstance(value, Fetched):
            self._outcome.downloaded_bytes += value.identity.size_bytes
            return Input(task.known.archive, task.target, value.sha256, value.identity)
        known = self._verdict(task, value, done.error)
        self._settle([known])
        return None

    def _note_reach(self, error: FullpoolError | None) -> None:
        if isinstance(error, _FATAL):
            raise error
        self._unreachable = self._unreachable + 1 if isinstance(error, UnreachableError) else 0
        if self._unreachable >= _AWAY_AFTER and not self._outcome.archives:
            assert error is not None
            raise error

    def _verdict(
        self, task: _Task, value: NotModified | NotThere | None, error: FullpoolError | None
    ) -> Known:
        """Return what is known of an archive after a try that brought nothing."""
        now, known = self._work.now(), task.known
        attempts = known.attempts + 1
        if isinstance(value, NotModified):
            status, reason = Status.QUARANTINED, known.reason
        elif isinstance(value, NotThere):
            overdue = vendor.is_overdue(known.archive.period, now)
            status = Status.ABSENT if overdue else Status.NOT_PUBLISHED
            reason = "the vendor has no such archive (404)"
        elif isinstance(error, MalformedError):
            status, reason = Status.QUARANTINED, str(error)
            quarantine(self._work.tree, known.archive, task.target, reason, now)
        else:
            status, reason = Status.FAILED, str(error)
        next_try_at = planning.next_try(status, attempts, now)
        return replace(
            known, status=status, reason=reason, attempts=attempts, next_try_at=next_try_at
        )

    def _order(self, step: Step, inputs: list[Input]) -> Order:
        limits = self._work.config.limits
        return Order(
            step=step,
            inputs=tuple(sorted(inputs, key=lambda item: item.archive.period.span)),
            root=self._work.tree.root,
            generation=self._generation,
            memory_mb=limits.builder_memory_mb,
            inflated_bytes=limits.inflated_mb * _MB,
        )

    def _record(self, done: Done[Order, Built]) -> None:
        """Record what a build did, or that it failed; throw its downloads away."""
        now, order, built = self._work.now(), done.item, done.value
        if isinstance(done.error, _FATAL):
            raise done.error
        if built is None:
            status = Status.QUARANTINED if isinstance(done.error, MalformedError) else Status.FAILED
            self._reject([(item, str(done.error)) for item in order.inputs], order, status)
        else:
            self._state.record_built([built], now)
            self._reject(
                [(one.input, one.reason) for one in built.rejected], order, Status.QUARANTINED
            )
            self._count(built)
        for item in order.inputs:
            item.zipped.unlink(missing_ok=True)

    def _count(self, built: Built) -> None:
        self._is_dirty = self._is_dirty or bool(built.files)
        self._outcome.built += len(built.files)
        for accepted in built.accepted:
            archive = accepted.input.archive
            self._outcome.archives += 1
            self._outcome.rows += accepted.rows
            self._outcome.failed.pop(archive, None)
            release(self._work.tree, archive)
            log.info("archive.published", archive=str(archive), rows=accepted.rows)
            self._work.watcher.settled(Known(archive, Status.PRESENT))

    def _reject(self, items: Sequence[tuple[Input, str]], order: Order, status: Status) -> None:
        now = self._work.now()
        attempts = {known.archive: known.attempts + 1 for known in order.step.archives}
        rejected: list[Known] = []
        for item, reason in items:
            tried = attempts[item.archive]
            next_try_at = planning.next_try(status, tried, now)
            rejected.append(Known(item.archive, status, reason, item.identity, tried, next_try_at))
            if status is Status.QUARANTINED:
                quarantine(self._work.tree, item.archive, item.zipped, reason, now)
        if rejected:
            self._settle(rejected)

    def _settle(self, known: Sequence[Known]) -> None:
        """Record archives that did not come into the lake, and say so."""
        self._state.record_tried(known, self._work.now())
        self._is_dirty = True
        for one in known:
            if one.status in (Status.FAILED, Status.QUARANTINED):
                self._outcome.failed[one.archive] = one.reason
                log.warning(_EVENTS[one.status], archive=str(one.archive), reason=one.reason)
            else:
                log.info(_EVENTS[one.status], archive=str(one.archive), reason=one.reason)
            self._work.watcher.settled(one)

    def _age(self) -> timedelta:
        return self._work.now() - self._published_at

    def _publish(self) -> None:
        if not self._is_dirty:
            return
        _publish(self._work, self._state, self._outcome, self._generation)
        self._published_at, self._is_dirty = self._work.now(), False


def _publish(work: Work, state: State, outcome: Outcome, generation: int) -> None:
    catalogue.publish(state, work.tree, generation, work.now())
    outcome.generation = generation
    log.info("generation.published", generation=generation)
    work.watcher.published(generation)


def _task(step: Step, known: Known, staging: Path) -> _Task:
    name = vendor.archive_key(known.archive).replace("/", "+")
    return _Task(step, known, staging / name)


def _size_bytes(task: _Task) -> int:
    return task.known.identity.size_bytes if task.known.identity else 0


def _close(work: Work, state: State, number: int, outcome: Outcome, result: str) -> None:
    """Record how the pass ended; remove what its grace has ended for."""
    now = work.now()
    summary = PassSummary(
        result, outcome.archives, len(outcome.failed), outcome.downloaded_bytes, outcome.rows
    )
    state.end_pass(number, summary, now)
    freed = catalogue.retire(state, work.tree, now - timedelta(hours=work.config.lake.retain_hours))
    log.info(
        "pass.ended",
        outcome=result,
        archives=outcome.archives,
        failed=len(outcome.failed),
        rows=outcome.rows,
        downloaded_bytes=outcome.downloaded_bytes,
        freed_bytes=freed,
    )
