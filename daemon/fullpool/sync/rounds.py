"""One round: every step's archives fetched, its partitions built, both recorded as they end."""

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from fullpool import logs, planning, vendor
from fullpool.errors import (
    DamagedError,
    DiskFullError,
    FullpoolError,
    LakeUnwritableError,
    MalformedError,
    UnreachableError,
    UntrustedError,
)
from fullpool.gaps import Patch
from fullpool.model import (
    Archive,
    Checksum,
    Known,
    PartitionFile,
    Period,
    Series,
    Status,
    Step,
    Zipped,
)
from fullpool.planning import Fault, Tried
from fullpool.store import catalogue
from fullpool.store.build import build
from fullpool.store.finish import sha256_of
from fullpool.store.orders import Built, Edition, Input, Order
from fullpool.store.quarantine import is_empty, quarantine, quarantined, release
from fullpool.store.state import State
from fullpool.store.tree import Tree
from fullpool.sync.damage import give_up_damaged, give_up_gone, note_lost
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import AWAY_AFTER, Done, Work
from fullpool.vision import NO_SUM, Answer, Fetched, NoSum, NotModified, NotThere, WrongSum

log = logs.get_logger()

# Errors that would be the same for every archive: the pass ends instead of failing each.
_FATAL: Final = (DiskFullError, LakeUnwritableError, UntrustedError)
# Results are recorded together this often: a transaction costs 10 ms, whatever is in it.
_RECORD_EVERY_S: Final = 0.25
_MB: Final = 1_000_000
# A fill of ten hours is published a hundred times, not a thousand.
_SHARE_BETWEEN: Final = 0.05
# The others stand in sync.differences.
_SHOWN_DIFFERENCES: Final = 10
_EVENTS: Final = {
    Status.PRESENT: "archive.published",
    Status.FAILED: "archive.failed",
    Status.QUARANTINED: "archive.quarantined",
    Status.NOT_PUBLISHED: "archive.not_published",
    Status.ABSENT: "archive.absent",
}


Patches = Mapping[tuple[Series, Period], tuple[Patch, ...]]


@dataclass(frozen=True, slots=True)
class Task:
    """One archive of one step, to be fetched to *target*."""

    step: Step
    known: Known
    target: Path


class Round:
    """Runs steps once. Everything it decides by is in `planning`.

    *unbuilt* holds the steps without archives that failed or were not begun, and why.
    """

    def __init__(self, work: Work, state: State, outcome: Outcome) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._generation = state.next_value("generation")
        self._began = self._published = self._recorded = work.monotonic()
        self._built: list[Built] = []
        self._tried: list[Known] = []
        self._unreachable = 0
        self._patches: Patches = {}
        self._releases = not is_empty(work.tree)  # to look for each archive takes 0.1 ms
        self._size_bytes = 0
        self.unbuilt: dict[tuple[Series, Period], str] = {}

    def run(self, steps: Sequence[Step], patches: Patches | None = None) -> None:
        """Fetch and build; what ends is recorded at once, and published from time to time.

        *patches* are rows of REST to be built in, by series and unit of the step.
        """
        self._patches = patches or {}
        self._size_bytes = sum(step.size_bytes for step in steps)
        self.unbuilt = {
            (step.series, step.unit): "not begun" for step in steps if not step.archives
        }
        if any(step.archives for step in steps):
            self._work.watcher.planned(steps)
        orders = (self._order(step, inputs) for step, inputs in self._fetched(steps))
        ready = (order for order in orders if order.inputs or not order.step.archives)
        try:
            for done in self._work.build_map(build, ready, lambda _: 1):
                self._take(done)
                if self._work.monotonic() - self._recorded >= _RECORD_EVERY_S:
                    self._record()
                    self._publish_if_time()
        finally:
            self._record()

    def _fetched(self, steps: Sequence[Step]) -> Iterator[tuple[Step, list[Input]]]:
        """Yield each step once all its archives have been tried, with those that came."""
        staging = self._work.tree.staging
        left = {id(step): len(step.archives) for step in steps}
        inputs: dict[int, list[Input]] = {id(step): [] for step in steps}
        tasks = (
            _task(step, known, staging)
            for step in itertools.takewhile(lambda _: not self._work.is_ending, steps)
            for known in step.archives
        )
        yield from ((step, []) for step in steps if not step.archives)
        for done in self._work.fetch_map(self._fetch, tasks, _size_bytes):
            if self._work.stop.is_set():
                return  # what was cut off counts as not tried
            step = done.item.step
            left[id(step)] -= 1
            if (item := self._input(done)) is not None:
                inputs[id(step)].append(item)
            if not left[id(step)]:
                yield step, inputs.pop(id(step))

    def _fetch(self, task: Task) -> Answer:
        known = task.known
        etag = None
        if known.status is Status.QUARANTINED and known.identity is not None:
            etag = known.identity.etag or None
        fetcher, accepted = self._work.fetcher(), self._work.config.checks
        fetched = fetcher.fetch(known.archive, etag, task.target)
        if isinstance(fetched, NoSum) and known.identity and accepted.accept_missing_checksum:
            return fetcher.fetch_unsigned(known.archive, task.target)
        if isinstance(fetched, NotModified):
            held = quarantined(self._work.tree, known.archive)
            if held.exists():  # the same edition: perhaps we read it right by now
                shutil.copyfile(held, task.target)
        return fetched

    def _input(self, done: Done[Task, Answer]) -> Input | None:
        """Return what came of one download as an input; record it if nothing came."""
        task, value, error = done.item, done.value, done.error
        if isinstance(error, _FATAL):
            raise error
        self._note_reach(error)
        known = task.known
        if isinstance(value, Fetched):
            return self._taken(known.archive, value)
        if isinstance(value, NotModified) and _is_copy(task.target, value) and known.identity:
            return Input(Edition(known.archive, value.sha256, known.identity), task.target)
        tried = _tried(value, error)
        after = planning.verdict(known, tried, self._work.now())
        if isinstance(value, WrongSum):
            is_lasting = after.status is Status.QUARANTINED
            if is_lasting and self._work.config.checks.accept_wrong_checksum:
                return self._taken(known.archive, value.fetched)
            self._keep_wrong_sum(after, value.fetched.zipped)
        self._settle(after)
        return None

    def _taken(self, archive: Archive, fetched: Fetched) -> Input:
        """Return a whole archive as an input of its build."""
        self._outcome.downloaded_bytes += fetched.identity.size_bytes
        if fetched.checksum is not Checksum.VERIFIED:
            log.warning("archive.unverified", archive=str(archive), checksum=str(fetched.checksum))
        edition = Edition(archive, fetched.sha256, fetched.identity, fetched.checksum)
        return Input(edition, fetched.zipped)

    def _keep_wrong_sum(self, known: Known, zipped: Zipped) -> None:
        if known.status is Status.QUARANTINED:
            now = self._work.now()
            quarantine(self._work.tree, known.archive, zipped, known.reason, now)
        _drop(zipped)

    def _note_reach(self, error: FullpoolError | None) -> None:
        self._unreachable = self._unreachable + 1 if isinstance(error, UnreachableError) else 0
        if self._unreachable >= AWAY_AFTER and error is not None:
            raise error

    def _order(self, step: Step, inputs: list[Input]) -> Order:
        limits, threads = self._work.config.limits, self._threads(step)
        return Order(
            step=step,
            inputs=tuple(sorted(inputs, key=lambda item: item.edition.archive.period.span)),
            root=self._work.tree.root,
            generation=self._generation,
            memory_mb=limits.builder_memory_mb * threads,
            inflated_bytes=limits.inflated_mb * _MB,
            patches=self._patches.get((step.series, step.unit), ()),
            threads=threads,
        )

    def _threads(self, step: Step) -> int:
        """Return as many as the builders that the step's part of all bytes would keep busy.

        One for each of many steps; all, if nearly everything goes into one file.
        """
        share = step.size_bytes / max(1, self._size_bytes)
        return max(1, round(self._work.config.limits.builders * share))

    def _take(self, done: Done[Order, Built]) -> None:
        """Take note of what a build did, or that it failed; throw its downloads away."""
        order, built = done.item, done.value
        if isinstance(done.error, _FATAL):
            raise done.error
        if built is None:
            self._blame(order, done.error)
        else:
            self._built.append(built)
            self.unbuilt.pop((order.step.series, order.step.unit), None)
            for one in built.rejected:
                tried = Tried(Fault.WRONG_ROWS, one.reason, one.edition.identity)
                self._reject(order, one.edition.archive, tried)
            _tell_differences(built)
            _tell_revisions(built)
            self._count(built)
        for item in order.inputs:
            _drop(item.zipped)

    def _blame(self, order: Order, error: FullpoolError | None) -> None:
        """Take note of a build that came to nothing, for every archive that was to be in it."""
        if isinstance(error, DamagedError):
            give_up_damaged(self._work, self._state, self._outcome, order.step)
            self.unbuilt[order.step.series, order.step.unit] = str(error)
            return
        is_malformed = isinstance(error, MalformedError)
        for item in order.inputs:
            fault = Fault.WRONG_ROWS if is_malformed else Fault.OTHER
            tried = Tried(fault, str(error), item.edition.identity)
            self._reject(order, item.edition.archive, tried)
        if not order.inputs:
            name = f"{order.step.series}/{order.step.unit}"
            log.error("partition.failed", partition=name, reason=str(error))
            self._outcome.failed[name] = str(error)
            self.unbuilt[order.step.series, order.step.unit] = str(error)

    def _reject(self, order: Order, archive: Archive, tried: Tried) -> None:
        (known,) = (one for one in order.step.archives if one.archive == archive)
        (zipped,) = (one.zipped for one in order.inputs if one.edition.archive == archive)
        after = planning.verdict(known, tried, self._work.now())
        if after.status is Status.QUARANTINED:
            quarantine(self._work.tree, archive, zipped, tried.reason, self._work.now())
        self._settle(after)

    def _count(self, built: Built) -> None:
        self._outcome.built += len(built.files)
        for accepted in built.accepted:
            archive = accepted.edition.archive
            self._outcome.archives += 1
            self._outcome.rows += accepted.rows
            self._outcome.failed.pop(str(archive), None)
            if self._releases:
                release(self._work.tree, archive)
            log.info(
                _EVENTS[Status.PRESENT],
                archive=str(archive),
                series=str(archive.series),
                rows=accepted.rows,
            )
            self._work.watcher.settled(Known(archive, Status.PRESENT))

    def _settle(self, known: Known) -> None:
        """Take note of an archive that did not come into the lake, and say so."""
        self._tried.append(known)
        name = str(known.archive)
        told = log.bind(archive=name, series=str(known.archive.series), reason=known.reason)
        if known.status in (Status.FAILED, Status.QUARANTINED):
            self._outcome.failed[name] = known.reason
            told.warning(_EVENTS[known.status])
        else:
            self._outcome.failed.pop(name, None)
            told.info(_EVENTS[known.status])
        self._work.watcher.settled(known)

    def _record(self) -> None:
        now = self._work.now()
        if self._built:
            self._state.record_built(self._built, now)
        if self._tried:
            self._state.record_tried(self._tried, now)
        self._outcome.is_dirty = self._outcome.is_dirty or bool(self._built or self._tried)
        self._built, self._tried, self._recorded = [], [], self._work.monotonic()

    def _publish_if_time(self) -> None:
        now = self._work.monotonic()
        if self._outcome.is_dirty and now >= self._published + self._spacing_s(now):
            publish(self._work, self._state, self._outcome, self._generation)
            self._published = now
            self._generation = self._state.next_value("generation")

    def _spacing_s(self, now: float) -> float:
        """Return the seconds between publications: more in a long fill, for each is kept."""
        every_s = self._work.config.limits.publish_every_s
        return max(every_s, (now - self._began) * _SHARE_BETWEEN)


def publish(work: Work, state: State, outcome: Outcome, generation: int) -> None:
    """Make what the state holds the newest generation, and tell."""
    gone = publish_state(state, work.tree, generation, work.now())
    note_lost(state, outcome, gone)
    outcome.generation, outcome.is_dirty = generation, False
    work.watcher.published(generation)


def publish_state(
    state: State, tree: Tree, generation: int, now: datetime
) -> dict[PartitionFile, str]:
    """Make what the state holds the newest generation; return what is left out for it is gone.

    What that held is due again. Raises LakeUnwritableError if the lake itself is gone.
    """
    gone = give_up_gone(state, tree, now)
    catalogue.publish(state, tree, generation, now)
    log.info("generation.published", generation=generation)
    return gone


def _task(step: Step, known: Known, staging: Path) -> Task:
    name = vendor.archive_key(known.archive).replace("/", "+")
    return Task(step, known, staging / name)


def _drop(zipped: Zipped) -> None:
    if isinstance(zipped, Path):
        zipped.unlink(missing_ok=True)


def _tell_differences(built: Built) -> None:
    for one in built.differences[:_SHOWN_DIFFERENCES]:
        log.warning(
            "row.differs",
            series=str(one.series),
            time=one.row_time.isoformat(),
            column=one.column_name,
            kept=one.kept_value,
            other=one.other_value,
            other_source=one.other_source,
        )


def _tell_revisions(built: Built) -> None:
    for one in built.revisions:
        log.info(
            "archive.replaced",
            archive=str(one.edition.archive),
            series=str(one.edition.archive.series),
            rows_added=one.added,
            rows_removed=one.removed,
            rows_changed=one.changed,
        )


def _is_copy(file: Path, of: NotModified) -> bool:
    """Whether a file is what the CHECKSUM names: one that was taken in without it is not."""
    return file.exists() and sha256_of(file) == of.sha256


def _size_bytes(task: Task) -> int:
    return task.known.identity.size_bytes if task.known.identity else 0


def _tried(value: Answer | None, error: FullpoolError | None) -> Tried:
    match value:
        case NotThere():
            return Tried(Fault.NOT_THERE, "the vendor has no such archive (404)")
        case NoSum():
            return Tried(Fault.NO_SUM, NO_SUM)
        case WrongSum():
            return Tried(Fault.WRONG_SUM, value.reason)
        case NotModified():
            return Tried(Fault.OTHER, "not modified, and no such copy is in quarantine")
        case _:
            return Tried(Fault.OTHER, str(error))
