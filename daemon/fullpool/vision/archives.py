"""Downloads one archive, hashing it, and checks it against its CHECKSUM.

Nothing is tried twice here: a failure is an outcome, which the state records and a later round or
pass takes up again.
"""

import hashlib
import http.client
import re
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from fullpool import vendor
from fullpool.decode import CHUNK_BYTES
from fullpool.errors import ArchiveError
from fullpool.model import Archive, Checksum, Identity, Zipped
from fullpool.vision.opener import Opener, explained

_CHECKSUM: Final = re.compile(rb"([0-9a-fA-F]{64})\s+\*?(\S+)\s*\Z")
NO_SUM: Final = "the vendor has no CHECKSUM for it (404)"
_MAGIC: Final = b"PK\x03\x04"
_SHOWN_BYTES: Final = 16
# Held in memory up to this size: a day of 1m klines has 55 to 80 kB.
SMALL_BYTES: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole archive, and what its CHECKSUM said of it."""

    zipped: Zipped
    sha256: str
    identity: Identity
    checksum: Checksum = Checksum.VERIFIED


@dataclass(frozen=True, slots=True)
class NotModified:
    """The vendor still has the edition we asked about (304); *sha256* is what its CHECKSUM says."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The CHECKSUM is that of the edition the lake has; the archive was not asked for."""


@dataclass(frozen=True, slots=True)
class NotThere:
    """The vendor has no such archive (404)."""


@dataclass(frozen=True, slots=True)
class NoSum:
    """The vendor has no CHECKSUM of the archive (404); the archive was not asked for."""


@dataclass(frozen=True, slots=True)
class WrongSum:
    """A whole archive whose sha256 is not the CHECKSUM's."""

    fetched: Fetched
    reason: str


FetchResult = Fetched | NotModified | Unchanged | NotThere | NoSum | WrongSum


@dataclass(frozen=True, slots=True)
class _Held:
    """What was received: the bytes or where they are, and what they hash to."""

    zipped: Zipped
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches archives over one worker's opener. *received* is told of bytes as they arrive."""

    opener: Opener
    base_url: str
    limit_bytes: int
    received: Callable[[int], None]

    def fetch(
        self, archive: Archive, etag: str | None, target: Path, *, held: str = ""
    ) -> FetchResult:
        """Return the archive, unless it is not there or still the edition *etag*, or *held*.

        A large one is written to *target*, a small one held in memory. The CHECKSUM is asked for
        first: without it the archive is unusable, and if it is *held* the lake has it. Raises
        ArchiveError if the archive could not be fetched whole, and the opener's errors; then no
        *target* is left.
        """
        expected = self.checksum(archive)
        if expected is None:
            return NoSum()
        if expected == held:
            return Unchanged()
        found = self._archive(archive, etag, target)
        if found is None:
            return NotModified(expected)
        if isinstance(found, Fetched) and found.sha256 != expected:
            reason = f"sha256 is {found.sha256}, its CHECKSUM says {expected}"
            return WrongSum(replace(found, checksum=Checksum.WRONG), reason)
        return found

    def fetch_unsigned(self, archive: Archive, target: Path) -> Fetched | NotThere:
        """Return an archive that has no CHECKSUM. Raises as `fetch` does."""
        found = self._archive(archive, None, target)
        assert found is not None  # nothing was asked that could be answered with 304
        return replace(found, checksum=Checksum.MISSING) if isinstance(found, Fetched) else found

    def _archive(
        self, archive: Archive, etag: str | None, target: Path
    ) -> Fetched | NotThere | None:
        """Return the archive; None if it is still the edition *etag*."""
        url = vendor.url(self.base_url, vendor.archive_key(archive))
        try:
            with self.opener.open(url, _condition(etag)) as response:
                length = _length(response, url, self.limit_bytes)
                if length is not None and length <= SMALL_BYTES:
                    held = self._hold(response, url, length)
                else:
                    held = self._save(response, url, target, length)
                return Fetched(held.zipped, held.sha256, _identity(response, held.size_bytes))
        except urllib.error.HTTPError as error:
            return _verdict(error, url, etag)
        except (OSError, http.client.HTTPException) as error:
            target.unlink(missing_ok=True)
            raise explained(error, url) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _hold(self, response: http.client.HTTPResponse, url: str, length: int) -> _Held:
        body = response.read()
        self.received(len(body))
        _check_start(body, url)
        if len(body) != length:
            raise ArchiveError(f"fetching {url}: truncated at {len(body)} of {length} bytes")
        return _Held(body, hashlib.sha256(body).hexdigest(), len(body))

    def _save(
        self, response: http.client.HTTPResponse, url: str, target: Path, length: int | None
    ) -> _Held:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(CHUNK_BYTES, length or CHUNK_BYTES)))
        size_bytes = 0
        with target.open("wb", buffering=0) as file:
            while count := response.readinto(buffer):
                if not size_bytes:
                    _check_start(bytes(buffer[:_SHOWN_BYTES]), url)
                size_bytes += count
                if size_bytes > self.limit_bytes:
                    raise ArchiveError(f"fetching {url}: more than {self.limit_bytes} bytes")
                digest.update(buffer[:count])
                file.write(buffer[:count])
                self.received(count)
        if length is not None and size_bytes != length:
            raise ArchiveError(f"fetching {url}: truncated at {size_bytes} of {length} bytes")
        return _Held(target, digest.hexdigest(), size_bytes)

    def checksum(self, archive: Archive) -> str | None:
        """Return the sha256 that the vendor published; None if there is none."""
        url = vendor.url(self.base_url, vendor.checksum_key(archive))
        try:
            with self.opener.open(url) as response:
                body = response.read(vendor.CHECKSUM_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            if error.code == http.client.NOT_FOUND:
                return None
            raise _refusal(error, url) from error
        except (OSError, http.client.HTTPException) as error:
            raise explained(error, url) from error
        return parse_checksum(body, vendor.archive_name(archive) + ".zip", url)


def parse_checksum(body: bytes, name: str, url: str) -> str:
    """Return the sha256 in a CHECKSUM of *name*, with or without a newline at its end."""
    found = _CHECKSUM.match(body)
    if found is None or found[2] != name.encode():
        raise ArchiveError(f"reading {url}: not a CHECKSUM of {name}: {body[:80]!r}")
    return found[1].decode().lower()


def _check_start(body: bytes, url: str) -> None:
    if not body.startswith(_MAGIC):
        start = body[:_SHOWN_BYTES]
        raise ArchiveError(f"fetching {url}: not a ZIP: it starts with {start!r}")


def _length(response: http.client.HTTPResponse, url: str, limit_bytes: int) -> int | None:
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not text.isdigit():
        raise ArchiveError(f"fetching {url}: Content-Length is {text[:40]!r}")
    if int(text) > limit_bytes:
        raise ArchiveError(f"fetching {url}: {text} bytes, over the limit of {limit_bytes}")
    return int(text)


def _identity(response: http.client.HTTPResponse, size_bytes: int) -> Identity:
    etag = response.headers.get("ETag", "").removeprefix("W/").strip('"')
    return Identity(etag, size_bytes, _modified_at(response.headers.get("Last-Modified")))


def _modified_at(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _condition(etag: str | None) -> dict[str, str]:
    return {"If-None-Match": f'"{etag}"'} if etag else {}


def _verdict(error: urllib.error.HTTPError, url: str, etag: str | None) -> NotThere | None:
    if error.code == http.client.NOT_MODIFIED and etag:
        return None
    if error.code == http.client.NOT_FOUND:
        return NotThere()
    raise _refusal(error, url) from error


def _refusal(error: urllib.error.HTTPError, url: str) -> ArchiveError:
    kind = "refused" if error.code == http.client.FORBIDDEN else "answered"
    return ArchiveError(f"fetching {url}: {kind} with HTTP {error.code} {error.reason}")
