"""Fetches one archive of a step, or looks at its CHECKSUM, on whatever machine does the step."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fullpool import vendor
from fullpool.config import Checks
from fullpool.errors import FullpoolError
from fullpool.model import Archive, Fault, Known, Status, Zipped
from fullpool.store.partitions.finish import sha256_of
from fullpool.store.partitions.messages import Edition, Input
from fullpool.store.quarantine import quarantined
from fullpool.store.tree import Tree
from fullpool.vision import Fetched, Fetcher, FetchResult, NoSum, NotModified, WrongSum


@dataclass(frozen=True, slots=True)
class CurrentChecksum:
    """The CHECKSUM of an archive that the lake has; None if there is none any more."""

    sha256: str | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """The edition in quarantine, which the vendor still has: perhaps we read it right by now."""

    sha256: str
    zipped: Zipped


Value = FetchResult | CurrentChecksum | Recalled


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What came of one archive of a step: a value or an error. With neither it was not begun."""

    known: Known
    value: Value | None = None
    error: FullpoolError | None = None


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """Where archives come from: the vendor, by the calling thread's *fetcher*, or quarantine.

    *checks* says what is accepted.
    """

    fetcher: Callable[[], Fetcher]
    tree: Tree
    checks: Checks


def fetch(source: ArchiveSource, known: Known, target: Path) -> Value:
    """Return what the vendor has of an archive; a large one lies at *target*.

    Raises as `Fetcher.fetch` does.
    """
    fetcher = source.fetcher()
    if is_look(known):
        return CurrentChecksum(fetcher.checksum(known.archive))
    copy = _copy_of(source, known)
    etag = _etag_of(known) if copy else None
    fetched = fetcher.fetch(known.archive, etag, target, held=_held(known))
    if isinstance(fetched, NoSum) and known.identity and source.checks.accept_missing_checksum:
        return fetcher.fetch_unsigned(known.archive, target)
    # One that was taken in without its CHECKSUM may not be what that names by now.
    if copy and isinstance(fetched, NotModified) and sha256_of(copy) == fetched.sha256:
        shutil.copyfile(copy, target)
        return Recalled(fetched.sha256, target)
    return fetched


def _etag_of(known: Known) -> str | None:
    return known.identity.etag or None if known.identity else None


def _copy_of(source: ArchiveSource, known: Known) -> Path | None:
    """Return the copy of an archive that is in quarantine; None if there is none."""
    if known.status is not Status.QUARANTINED:
        return None
    copy = quarantined(source.tree, known.archive)
    return copy if copy.exists() else None


def input_of(answer: ArchiveResult, checks: Checks) -> Input | None:
    """Return an archive as an input of its build; None if nothing came that may be built."""
    known = answer.known
    match answer.value:
        case Fetched() as fetched:
            return _input(known.archive, fetched)
        case Recalled(sha256, zipped) if known.identity is not None:
            return Input(Edition(known.archive, sha256, known.identity), zipped)
        case WrongSum(fetched, _) if checks.accept_wrong_checksum and is_lasting(known):
            return _input(known.archive, fetched)
        case _:
            return None


def _input(archive: Archive, fetched: Fetched) -> Input:
    edition = Edition(archive, fetched.sha256, fetched.identity, fetched.checksum)
    return Input(edition, fetched.zipped)


def drop(zipped: Zipped) -> None:
    """Throw a download away."""
    if isinstance(zipped, Path):
        zipped.unlink(missing_ok=True)


def staged_name(archive: Archive) -> str:
    """Return what the download of an archive is called in staging."""
    return vendor.archive_key(archive).replace("/", "+")


def is_look(known: Known) -> bool:
    """Whether only the CHECKSUM of an archive is asked for, which the lake has."""
    return known.status is Status.PRESENT and bool(known.sha256)


def is_lasting(known: Known) -> bool:
    """Whether a wrong CHECKSUM was so the last time as well, and is no matter of a moment."""
    return known.fault is Fault.WRONG_SUM


def _held(known: Known) -> str:
    """Return the hash that a CHECKSUM has if the archive is the one in the lake; "" if it cannot.

    One of another length has other bytes, whatever its CHECKSUM says: that may have stayed behind.
    """
    size_bytes = known.identity.size_bytes if known.identity else None
    is_as_long = size_bytes is None or size_bytes == known.held_bytes
    return known.sha256 if known.is_held and is_as_long else ""
