"""One round: downloads, builds and records every step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

from fullpool import attempts, logs
from fullpool.adjacent import Unit
from fullpool.attempts import Tried
from fullpool.errors import FATAL, DamagedError, FullpoolError, MalformedError
from fullpool.gaps import Patch
from fullpool.model import Archive, Fault, Known, Status, Step
from fullpool.store.partitions.messages import Built, Followed, Order
from fullpool.store.quarantine import is_empty, quarantine, release
from fullpool.store.state.writer import State
from fullpool.sync.archives.answers import Answers
from fullpool.sync.damage import give_up_damaged
from fullpool.sync.outcome import Outcome
from fullpool.sync.publishing import Publisher
from fullpool.sync.steps.fetch import drop
from fullpool.sync.steps.step import StepResult
from fullpool.sync.tails import taken_in
from fullpool.sync.work import Work

log = logs.get_logger()

# Results are recorded together this often: a transaction costs 10 ms, whatever is in it.
RECORD_EVERY_S: Final = 1.0
_MB: Final = 1_000_000
# More archives than that are not told one by one, but how far they are, this often.
MANY: Final = 1000
TELL_EVERY_S: Final = 30.0
# The others stand in sync.conflicts.
_SHOWN_CONFLICTS: Final = 10
_EVENTS: Final = {
    Status.PRESENT: "archive.imported",
    Status.FAILED: "archive.failed",
    Status.QUARANTINED: "archive.quarantined",
    Status.NOT_PUBLISHED: "archive.not_published",
    Status.ABSENT: "archive.absent",
}


Patches = Mapping[Unit, tuple[Patch, ...]]


class Round:
    """Runs steps once. Everything it decides by is in `planning`.

    *unbuilt* holds the steps without archives that failed or were not begun, and why.
    """

    def __init__(self, work: Work, state: State, outcome: Outcome) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._generation = state.next_value("generation")
        self._publisher = Publisher(work, state, outcome)
        self._recorded = work.monotonic()
        self._built: list[Built] = []
        self._tried: list[Known] = []
        self._patches: Patches = {}
        self._releases = not is_empty(work.tree)  # to look for each archive takes 0.1 ms
        self._has_tails = bool(state.tails.files())
        self._sound: set[str] = set()
        self._size_bytes = self._archives = self._before = 0
        self._told = work.monotonic()
        self.unbuilt: dict[Unit, str] = {}

    def run(self, steps: Sequence[Step], patches: Patches | None = None) -> None:
        """Fetch and build; what ends is recorded at once, and published from time to time.

        *patches* are rows of REST to be built in, by series and unit of the step.
        """
        self._patches = patches or {}
        self._size_bytes = sum(step.size_bytes for step in steps)
        self._archives = sum(len(step.archives) for step in steps)
        self._before = self._outcome.archives
        self.unbuilt = {
            (step.series, step.unit): "not begun" for step in steps if not step.archives
        }
        if any(step.archives for step in steps):
            self._work.watcher.planned(steps)
        answers = Answers(self._work, self._outcome, self._record_result)
        try:
            with closing(self._work.steps(map(self._order, self._begun(steps)))) as results:
                for result in results:
                    self._take(result)  # first: what was built has its name in the lake
                    answers.take(result)
                    self._publisher.prepare()  # as long as two builds take, while these go on
                    self._work.meanwhile()
                    if self._work.monotonic() - self._recorded >= RECORD_EVERY_S:
                        self._record()
                        self._publish_if_due()
                        self._tell_progress()
        finally:
            self._record()

    def _begun(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Yield the steps in turn. What the API gave is built even if the pass is ending."""
        yield from (step for step in steps if not step.archives)
        for step in steps:
            if self._work.is_ending:
                return
            if step.archives:
                yield step

    def _order(self, step: Step) -> Order:
        limits, threads = self._work.config.limits, self._threads(step)
        return Order(
            step=step,
            inputs=(),
            root=self._work.tree.root,
            staging=self._work.tree.staging,
            generation=self._generation,
            memory_mb=limits.builder_memory_mb * threads,
            inflated_bytes=limits.inflated_mb * _MB,
            patches=self._patches.get((step.series, step.unit), ()),
            followed=self._followed(step),
            threads=threads,
        )

    def _followed(self, step: Step) -> Followed | None:
        """Return the followed rows that the partitions take in if all archives come."""
        work = self._work
        if not (self._has_tails or work.config.follows(step.series, work.now())):
            return None  # or the state were asked for each of thousands of steps
        patches = self._patches.get((step.series, step.unit), ())
        spans = [
            *(known.archive.period.span for known in step.archives),
            *(p.span for p in patches),
        ]
        return taken_in(self._state, work.tree, step, spans, self._sound, work.now())

    def _threads(self, step: Step) -> int:
        """Return as many as the builders that the step's part of all bytes would keep busy.

        One for each of many steps; all, if nearly everything goes into one file.
        """
        share = step.size_bytes / max(1, self._size_bytes)
        return max(1, round(self._work.config.limits.builders * share))

    def _take(self, result: StepResult) -> None:
        """Record what a build did, or that it failed; throw its downloads away."""
        order, built = result.order, result.built
        if isinstance(result.error, FATAL):
            raise result.error
        if result.error is not None:
            self._blame(order, result.error)
        elif built is not None:
            self._built.append(built)
            self.unbuilt.pop((order.step.series, order.step.unit), None)
            for rejected in built.rejected:
                tried = Tried(rejected.fault, rejected.reason, rejected.edition.identity)
                self._reject(order, rejected.edition.archive, tried)
            _tell_conflicts(built)
            _tell_revisions(built)
            self._count(built)
        for item in order.inputs:
            drop(item.zipped)

    def _blame(self, order: Order, error: FullpoolError) -> None:
        """Record a build that came to nothing, for every archive that was to be in it."""
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
        (zipped,) = (item.zipped for item in order.inputs if item.edition.archive == archive)
        after = attempts.verdict(known, tried, self._work.now())
        if after.status is Status.QUARANTINED:
            quarantine(self._work.tree, archive, zipped, tried.reason, self._work.now())
        self._record_result(after)

    def _count(self, built: Built) -> None:
        self._outcome.built += len(built.files)
        for accepted in built.accepted:
            archive = accepted.edition.archive
            self._outcome.archives += 1
            self._outcome.rows += accepted.rows
            self._outcome.failed.pop(str(archive), None)
            if self._releases:
                release(self._work.tree, archive)
            tell = log.info if self._archives <= MANY else log.debug
            tell(
                _EVENTS[Status.PRESENT],
                archive=str(archive),
                series=str(archive.series),
                rows=accepted.rows,
            )
            self._work.watcher.recorded(Known(archive, Status.PRESENT))

    def _record_result(self, known: Known) -> None:
        """Record an archive that did not come into the lake, and say so."""
        self._tried.append(known)
        name = str(known.archive)
        told = log.bind(archive=name, series=str(known.archive.series), reason=known.reason)
        if known.status in (Status.FAILED, Status.QUARANTINED):
            self._outcome.failed[name] = known.reason
            is_news = known.reason not in self._outcome.told
            self._outcome.told.add(known.reason)
            (told.warning if is_news else told.debug)(_EVENTS[known.status])
        elif known.status in (Status.PRESENT, Status.LISTED):
            self._outcome.failed.pop(name, None)
            told.debug("archive.rechecked", status=str(known.status))
        else:
            self._outcome.failed.pop(name, None)
            told.info(_EVENTS[known.status])
        self._work.watcher.recorded(known)

    def _record(self) -> None:
        now = self._work.now()
        if self._tried:  # first, for what was built may have archives due that were looked at
            self._state.record_tried(self._tried, now)
        if self._built:
            self._state.record_built(self._built, self._work.tree.root, now)
        self._outcome.is_dirty = self._outcome.is_dirty or bool(self._built or self._tried)
        self._built, self._tried, self._recorded = [], [], self._work.monotonic()

    def _publish_if_due(self) -> None:
        if self._publisher.is_due():
            # Following may have published since the files of this round got their number.
            self._publisher.publish(self._state.next_value("generation"))
            self._generation = self._state.next_value("generation")

    def _tell_progress(self) -> None:
        """Tell how far a long round is, from time to time."""
        if self._archives > MANY and self._work.monotonic() - self._told >= TELL_EVERY_S:
            self._told = self._work.monotonic()
            done = self._outcome.archives - self._before
            log.info("pass.progressed", archives=done, of=self._archives, rows=self._outcome.rows)


def _tell_conflicts(built: Built) -> None:
    for conflict in built.conflicts[:_SHOWN_CONFLICTS]:
        log.warning(
            "row.conflicted",
            series=str(conflict.series),
            time=conflict.row_time.isoformat(),
            column=conflict.column_name,
            kept=conflict.kept_value,
            other=conflict.other_value,
            other_source=conflict.other_source,
        )


def _tell_revisions(built: Built) -> None:
    for revision in built.revisions:
        log.info(
            "archive.updated",
            archive=str(revision.edition.archive),
            series=str(revision.edition.archive.series),
            rows_added=revision.added,
            rows_removed=revision.removed,
            rows_changed=revision.changed,
        )
