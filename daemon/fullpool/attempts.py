"""What the result of a download means for an archive, and when it is retried. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.model import TRIES, Checksum, Fault, Identity, Known, Status

FIRST_WAIT: Final = timedelta(minutes=30)
_LONGEST_WAIT: Final = timedelta(days=1)
_WAIT_QUARANTINED: Final = timedelta(hours=6)
# A CHECKSUM may be a minute ahead of its archive, or behind it: so it is asked again soon.
_WAIT_WRONG_SUM: Final = timedelta(minutes=10)
# An archive with a hole is looked at again so often, from so much later on; then audits do.
LOOKS: Final = 3
_FIRST_LOOK: Final = timedelta(minutes=30)
_LONGEST_WAIT_QUARANTINED: Final = timedelta(days=7)
# By then an archive and its CHECKSUM are of the same edition: they are written seconds apart.
_SETTLED: Final = timedelta(hours=1)
_WAIT_ABSENT: Final = timedelta(days=7)
_LONGEST_WAIT_ABSENT: Final = timedelta(days=90)
_WAIT_FAILED: Final = timedelta(seconds=1)


def next_try(
    status: Status, attempts: int, now: datetime, fault: Fault | None = None
) -> datetime | None:
    """Return when an archive that ended in *status* after *attempts* is worth another try.

    Waits double from one attempt to the next, up to a limit; a quarantined one waits longer, for
    the vendor has to publish it again, unless its CHECKSUM may just be late. None: not by itself.
    """
    doubled: int = 2 ** min(attempts, 20)
    match status:
        case Status.FAILED:
            return now + min(_WAIT_FAILED * doubled, _LONGEST_WAIT)
        case Status.NOT_PUBLISHED:
            return now + min(FIRST_WAIT * doubled, _LONGEST_WAIT)
        case Status.QUARANTINED if fault is Fault.WRONG_SUM:
            quadrupled: int = 4 ** max(min(attempts, 20) - TRIES, 0)
            return now + min(_WAIT_WRONG_SUM * quadrupled, _LONGEST_WAIT_QUARANTINED)
        case Status.QUARANTINED:
            return now + min(_WAIT_QUARANTINED * doubled, _LONGEST_WAIT_QUARANTINED)
        case Status.ABSENT:
            return now + min(_WAIT_ABSENT * doubled, _LONGEST_WAIT_ABSENT)
        case _:
            return None


HELD: Final = "; the lake keeps its older edition"


# What the CHECKSUM said where that is the fault.
_SAID: Final = {Fault.NO_SUM: Checksum.MISSING, Fault.WRONG_SUM: Checksum.WRONG}


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try ended. *identity* is set if the bytes were those of the CHECKSUM."""

    fault: Fault
    reason: str
    identity: Identity | None = None


def verdict(known: Known, result: Tried, now: datetime) -> Known:
    """Return what is known of an archive after a try that brought nothing into the lake.

    An archive that the vendor lists and does not give has failed. One whose sum is wrong or not
    there has failed too, for a moment, perhaps; it is quarantined when the same comes a second
    time. An edition whose sum was wrong loses its identity, so that no other is taken for it.
    """
    attempts, reason, identity = known.attempts + 1, result.reason, result.identity
    if known.is_held:
        reason += HELD
    match result.fault:
        case Fault.NOT_THERE | Fault.NO_SUM if known.identity is None:
            overdue = vendor.is_overdue(known.archive.period, now)
            status = Status.ABSENT if overdue else Status.NOT_PUBLISHED
        case Fault.WRONG_SUM if known.fault is result.fault:
            status = Status.QUARANTINED
        case Fault.NO_SUM if known.fault is result.fault:
            status, identity = Status.QUARANTINED, known.identity
        case Fault.WRONG_ROWS | Fault.NO_ROWS:
            status, identity = Status.QUARANTINED, _as_listed(known.identity, identity)
        case _:
            status, identity = Status.FAILED, known.identity
    return replace(
        known,
        status=status,
        reason=reason,
        identity=identity,
        attempts=attempts,
        next_try_at=next_try(status, attempts, now, result.fault),
        checksum=_SAID.get(result.fault),
        fault=result.fault,
    )


def _as_listed(listed: Identity | None, fetched: Identity | None) -> Identity | None:
    """Return the edition by the listing's names, which later listings are compared with.

    A mirror may give another ETag with the archive itself.
    """
    if listed is not None and fetched is not None and listed.size_bytes == fetched.size_bytes:
        return listed
    return fetched


def unchanged(known: Known, now: datetime) -> Known:
    """Return what is known of an archive whose CHECKSUM is that of what the lake has.

    So a listing that names it otherwise is believed from now on, unless it was written a moment
    ago, when a new archive may still be next to the CHECKSUM of the old one.
    """
    looks = known.attempts + 1 if known.status is Status.PRESENT else LOOKS
    modified = known.identity.modified_at if known.identity else None
    if modified is not None and now - _SETTLED < modified <= now:
        looks = 0
    return replace(
        known,
        status=Status.PRESENT,
        reason="",
        attempts=looks,
        next_try_at=next_look(looks, now),
        fault=None,
    )


def not_looked(known: Known, now: datetime) -> Known:
    """Return what is known of an archive of the lake that could not be looked at."""
    return replace(known, next_try_at=next_look(known.attempts, now))


def republished(known: Known) -> Known:
    """Return an archive of the lake whose CHECKSUM is another by now: it is due."""
    return due_again(known, Status.LISTED, "its CHECKSUM has changed", None)


def due_again(known: Known, status: Status, reason: str, listed: Identity | None) -> Known:
    """Return an archive that is to be fetched at once, as for the first time."""
    return replace(
        known,
        status=status,
        reason=reason,
        identity=listed,
        attempts=0,
        next_try_at=None,
        checksum=None,
        fault=None,
    )


def next_look(looks: int, now: datetime) -> datetime | None:
    """Return when an archive that has a hole is worth a look after so many; None: not any more."""
    return now + _FIRST_LOOK * 4**looks if looks < LOOKS else None


def look_again(known: Known, now: datetime) -> Known:
    """Return what is known of an archive of the lake once a hole was found in it."""
    return replace(known, attempts=0, next_try_at=next_look(0, now))
