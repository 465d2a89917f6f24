"""Decides what the vendor's answers mean for the archives of a step, and notes it."""

from collections.abc import Callable

from fullpool import attempts, logs
from fullpool.attempts import Tried
from fullpool.errors import FullpoolError
from fullpool.model import Checksum, Fault, Known, Status, Zipped
from fullpool.store.partitions.messages import Edition
from fullpool.store.quarantine import quarantine
from fullpool.sync.outcome import Outcome
from fullpool.sync.steps.fetch import ArchiveResult, CurrentChecksum, Value, drop, is_look
from fullpool.sync.steps.step import AWAY_AFTER, StepResult, ends_pass, is_away
from fullpool.sync.work import Work
from fullpool.vision import NO_SUM, Fetched, NoSum, NotModified, NotThere, Unchanged, WrongSum

log = logs.get_logger()


class Answers:
    """Takes what the vendor answered. *record* is told of each archive that brings nothing."""

    def __init__(self, work: Work, outcome: Outcome, record: Callable[[Known], None]) -> None:
        self._work = work
        self._outcome = outcome
        self._record = record
        self._unreachable = 0

    def take(self, result: StepResult) -> None:
        """Take the answers for one step. Raises what would be the same for every archive."""
        inputs = {item.edition.archive: item.edition for item in result.order.inputs}
        for answer in result.answers:
            if answer.value is None and answer.error is None:
                continue  # not begun
            self._note_reach(answer.error)
            if edition := inputs.get(answer.known.archive):
                self._note_taken(edition, answer.value)
            else:
                self._take_other(answer)

    def _note_taken(self, edition: Edition, value: Value | None) -> None:
        if not isinstance(value, Fetched | WrongSum):
            return  # it was here
        self._outcome.downloaded_bytes += edition.identity.size_bytes
        if edition.checksum is not Checksum.VERIFIED:
            told = log.bind(archive=str(edition.archive), checksum=str(edition.checksum))
            told.warning("archive.unverified")

    def _take_other(self, answer: ArchiveResult) -> None:
        """Record an archive of which nothing came that could be built."""
        known, value, error = answer.known, answer.value, answer.error
        if error is not None and ends_pass(error):
            raise error
        now = self._work.now()
        if isinstance(value, Unchanged | CurrentChecksum):
            is_same = not isinstance(value, CurrentChecksum) or value.sha256 in (known.sha256, None)
            after = attempts.unchanged(known, now) if is_same else attempts.republished(known)
        elif is_look(known):
            after = attempts.not_looked(known, now)
        else:
            after = attempts.verdict(known, _tried(known, value, error), now)
        if isinstance(value, WrongSum):
            self._keep_wrong_sum(after, value.fetched.zipped)
        self._record(after)

    def _keep_wrong_sum(self, known: Known, zipped: Zipped) -> None:
        if known.status is Status.QUARANTINED:
            now = self._work.now()
            quarantine(self._work.tree, known.archive, zipped, known.reason, now)
        drop(zipped)

    def _note_reach(self, error: FullpoolError | None) -> None:
        if error is None or not is_away(error):
            self._unreachable = 0
            return
        self._unreachable += 1
        self._outcome.hint = error.hint
        if self._unreachable >= AWAY_AFTER:
            raise error


def _tried(known: Known, value: Value | None, error: FullpoolError | None) -> Tried:
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
            return Tried(Fault.OTHER, "not modified, but the copy in quarantine is another edition")
        case _:
            return Tried(Fault.OTHER, str(error))
