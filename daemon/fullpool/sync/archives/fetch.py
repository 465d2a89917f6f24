"""Downloads the archives of steps."""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fullpool import attempts, logs, vendor
from fullpool.attempts import Tried
from fullpool.errors import FullpoolError, RedirectedError, UnreachableError
from fullpool.model import Archive, Checksum, Fault, Known, Status, Step, Zipped
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.partitions.messages import Edition, Input
from fullpool.store.quarantine import quarantine, quarantined
from fullpool.sync.maps import Done
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import AWAY_AFTER, FATAL, Work
from fullpool.vision import (
    NO_SUM,
    Fetched,
    FetchResult,
    NoSum,
    NotModified,
    NotThere,
    Unchanged,
    WrongSum,
)

log = logs.get_logger()


@dataclass(frozen=True, slots=True)
class Task:
    """One archive of one step, to be fetched to *target*."""

    step: Step
    known: Known
    target: Path


@dataclass(frozen=True, slots=True)
class Looked:
    """The CHECKSUM of an archive that the lake has; None if there is none any more."""

    sha256: str | None


class Fetching:
    """Fetches what a round needs. *record* is told of each archive that brings nothing."""

    def __init__(self, work: Work, outcome: Outcome, record: Callable[[Known], None]) -> None:
        self._work = work
        self._outcome = outcome
        self._record = record
        self._unreachable = 0

    def inputs(self, steps: Sequence[Step]) -> Iterator[tuple[Step, list[Input]]]:
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

    def _fetch(self, task: Task) -> FetchResult | Looked:
        known = task.known
        if _is_look(known):
            return Looked(self._work.fetcher().checksum(known.archive))
        etag = None
        if known.status is Status.QUARANTINED and known.identity is not None:
            etag = known.identity.etag or None
        fetcher, accepted = self._work.fetcher(), self._work.config.checks
        fetched = fetcher.fetch(known.archive, etag, task.target, held=_held(known))
        if isinstance(fetched, NoSum) and known.identity and accepted.accept_missing_checksum:
            return fetcher.fetch_unsigned(known.archive, task.target)
        if isinstance(fetched, NotModified):
            held = quarantined(self._work.tree, known.archive)
            if held.exists():  # the same edition: perhaps we read it right by now
                shutil.copyfile(held, task.target)
        return fetched

    def _input(self, done: Done[Task, FetchResult | Looked]) -> Input | None:
        """Return what came of one download as an input; record it if nothing came."""
        task, value, error = done.item, done.value, done.error
        self._note_reach(error)
        if isinstance(error, FATAL) and not isinstance(error, RedirectedError):
            raise error
        known = task.known
        if isinstance(value, Fetched):
            return self._taken(known.archive, value)
        if isinstance(value, NotModified) and _is_copy(task.target, value) and known.identity:
            return Input(Edition(known.archive, value.sha256, known.identity), task.target)
        now = self._work.now()
        if isinstance(value, Unchanged | Looked):
            is_same = not isinstance(value, Looked) or value.sha256 in (known.sha256, None)
            after = attempts.unchanged(known, now) if is_same else attempts.republished(known)
            self._record(after)
            return None
        if _is_look(known):
            self._record(attempts.not_looked(known, now))
            return None
        tried = _tried(known, value, error)
        after = attempts.verdict(known, tried, now)
        if isinstance(value, WrongSum):
            is_lasting = after.status is Status.QUARANTINED
            if is_lasting and self._work.config.checks.accept_wrong_checksum:
                return self._taken(known.archive, value.fetched)
            self._keep_wrong_sum(after, value.fetched.zipped)
        self._record(after)
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
        drop(zipped)

    def _note_reach(self, error: FullpoolError | None) -> None:
        if not isinstance(error, UnreachableError | RedirectedError):
            self._unreachable = 0
            return
        self._unreachable += 1
        self._outcome.hint = error.hint
        if self._unreachable >= AWAY_AFTER:
            raise error


def drop(zipped: Zipped) -> None:
    """Throw a download away."""
    if isinstance(zipped, Path):
        zipped.unlink(missing_ok=True)


def _task(step: Step, known: Known, staging: Path) -> Task:
    name = vendor.archive_key(known.archive).replace("/", "+")
    return Task(step, known, staging / name)


def _is_copy(file: Path, of: NotModified) -> bool:
    """Whether a file is what the CHECKSUM names: one that was taken in without it is not."""
    return file.exists() and sha256_of(file) == of.sha256


def _is_look(known: Known) -> bool:
    """Whether only the CHECKSUM of an archive is asked for, which the lake has."""
    return known.status is Status.PRESENT and bool(known.sha256)


def _held(known: Known) -> str:
    """Return the hash that a CHECKSUM has if the archive is the one in the lake; "" if it cannot.

    One of another length has other bytes, whatever its CHECKSUM says: that may have stayed behind.
    """
    size_bytes = known.identity.size_bytes if known.identity else None
    is_as_long = size_bytes is None or size_bytes == known.held_bytes
    return known.sha256 if known.is_held and is_as_long else ""


def _size_bytes(task: Task) -> int:
    return task.known.identity.size_bytes if task.known.identity else 0


def _tried(known: Known, value: FetchResult | Looked | None, error: FullpoolError | None) -> Tried:
    match value:
        case NotThere():
            return Tried(Fault.NOT_THERE, "the vendor has no such archive (404)")
        case NoSum() if known.identity is None:
            return Tried(
                Fault.NOT_THERE, "the vendor has neither the archive nor its CHECKSUM (404)"
            )
        case NoSum():
            return Tried(Fault.NO_SUM, NO_SUM)
        case WrongSum():
            return Tried(Fault.WRONG_SUM, value.reason)
        case NotModified():
            return Tried(Fault.OTHER, "not modified, but no copy of it is in quarantine")
        case _:
            return Tried(Fault.OTHER, str(error))
