"""Which recorded archives were republished, published late or withdrawn. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from fullpool.attempts import due_again
from fullpool.model import Cadence, Identity, Known, Status
from fullpool.planning import Listing

_NOT_THERE: Final = (Status.ABSENT, Status.NOT_PUBLISHED)
_COMPARED: Final = (Status.PRESENT, Status.QUARANTINED)
_UNDONE: Final = (Status.LISTED, Status.FAILED, Status.QUARANTINED)


def compared(known: Iterable[Known], listing: Listing) -> Iterator[tuple[Known, Known]]:
    """Yield each archive whose record is to change, as it was and as it is now.

    One that has other bytes, or came after all, is `listed` and due. One that only has another
    time, for the same bytes were put there again, keeps its status. A day that went before the lake
    had it is `expected`: asked for once more, without the promise of a listing. (A month is not: in
    quarantine it falls to its days.)
    """
    for record in known:
        listed = listing.get(record.archive.period)
        revised = _withdrawn(record) if listed is None else _revised(record, listed)
        if revised is not None:
            yield record, revised


def _withdrawn(record: Known) -> Known | None:
    if not _is_promised(record) or record.archive.period.cadence is not Cadence.DAY:
        return None
    return due_again(record, Status.EXPECTED, "the vendor no longer lists it", None)


def _revised(record: Known, listed: Identity) -> Known | None:
    if record.status in _NOT_THERE:
        return due_again(record, Status.LISTED, "published late", listed)
    if record.status not in _COMPARED or record.identity is None:
        return None
    if _has_other_bytes(record.identity, listed):
        reason = f"republished: {_words(record.identity)} became {_words(listed)}"
        return due_again(record, Status.LISTED, reason, listed)
    if record.status is Status.PRESENT and _has_other_time(record.identity, listed):
        return replace(record, identity=listed)
    return None


def _is_promised(known: Known) -> bool:
    """Whether the lake has nothing of an archive that was listed."""
    return known.status in _UNDONE and known.identity is not None and not known.is_held


def withdrawn(known: Iterable[Known], listing: Listing) -> list[Known]:
    """Return what the lake has and the vendor does not list any more, by period: it stays."""
    gone = (
        record
        for record in known
        if record.status is Status.PRESENT and record.archive.period not in listing
    )
    return sorted(gone, key=lambda one: one.archive.period.span)


def _has_other_bytes(held: Identity, listed: Identity) -> bool:
    if held.etag and listed.etag:
        return (held.etag, held.size_bytes) != (listed.etag, listed.size_bytes)
    # A mirror without ETags: its size and time are all there is to go by.
    return held.size_bytes != listed.size_bytes or _has_other_time(held, listed)


def _has_other_time(held: Identity, listed: Identity) -> bool:
    if held.modified_at is None or listed.modified_at is None:
        return False
    # The header of a download has whole seconds.
    return abs((held.modified_at - listed.modified_at).total_seconds()) >= 1.0


def _words(identity: Identity) -> str:
    moment = f"{identity.modified_at:%Y-%m-%dT%H:%M:%SZ}" if identity.modified_at else "no time"
    return f"{identity.size_bytes} bytes of {moment} (ETag {identity.etag or 'none'})"
