"""Fetching one archive: streamed to staging while it is hashed, checked against its CHECKSUM.

Nothing is tried twice here: a failure is an outcome, which the state records and a later round or
pass takes up again.
"""

import hashlib
import http.client
import re
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from fullpool import vendor
from fullpool.decode import CHUNK_BYTES
from fullpool.errors import ArchiveError, MalformedError
from fullpool.model import Archive, Identity
from fullpool.vision.opener import Opener, explained

_CHECKSUM: Final = re.compile(rb"([0-9a-fA-F]{64})\s+\*?(\S+)\s*\Z")
_MAGIC: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole archive in staging, its sha256 equal to the CHECKSUM's."""

    path: Path
    sha256: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class NotModified:
    """The vendor still has the edition we asked about (304)."""


@dataclass(frozen=True, slots=True)
class NotThere:
    """The vendor has no such archive (404)."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches archives over one worker's opener. *received* is told of bytes as they arrive."""

    opener: Opener
    base_url: str
    limit_bytes: int
    received: Callable[[int], None]

    def fetch(
        self, archive: Archive, etag: str | None, target: Path
    ) -> Fetched | NotModified | NotThere:
        """Write the archive to *target*, unless it is gone or still the edition *etag*.

        Raises ArchiveError if it could not be had whole, MalformedError if what came is not the
        archive that its CHECKSUM names (*target* is then kept, for quarantine), and the opener's
        errors. No *target* is left behind by any other failure.
        """
        url = vendor.url(self.base_url, vendor.archive_key(archive))
        try:
            with self.opener.open(
                url, {"If-None-Match": f'"{etag}"'} if etag else None
            ) as response:
                sha256, identity = self._save(response, url, target)
        except urllib.error.HTTPError as error:
            with error:
                return _verdict(error, url)
        except (OSError, http.client.HTTPException) as error:
            target.unlink(missing_ok=True)
            raise explained(error, url) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        self._check(archive, sha256, target)
        return Fetched(target, sha256, identity)

    def _save(
        self, response: http.client.HTTPResponse, url: str, target: Path
    ) -> tuple[str, Identity]:
        length = _length(response, url, self.limit_bytes)
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(CHUNK_BYTES, length or CHUNK_BYTES)))
        size_bytes = 0
        with target.open("wb", buffering=0) as file:
            while count := response.readinto(buffer):
                size_bytes += count
                if size_bytes > self.limit_bytes:
                    raise ArchiveError(f"fetching {url}: more than {self.limit_bytes} bytes")
                digest.update(buffer[:count])
                file.write(buffer[:count])
                self.received(count)
        if length is not None and size_bytes != length:
            raise ArchiveError(f"fetching {url}: truncated at {size_bytes} of {length} bytes")
        return digest.hexdigest(), _identity(response, size_bytes)

    def _check(self, archive: Archive, sha256: str, target: Path) -> None:
        with target.open("rb") as file:
            magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            raise MalformedError(f"not a ZIP: it starts with {magic!r}")
        try:
            expected = self._checksum(archive)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        if expected != sha256:
            raise MalformedError(f"sha256 is {sha256}, its CHECKSUM says {expected}")

    def _checksum(self, archive: Archive) -> str:
        url = vendor.url(self.base_url, vendor.checksum_key(archive))
        try:
            with self.opener.open(url) as response:
                body = response.read(vendor.CHECKSUM_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise ArchiveError(f"fetching {url}: HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise explained(error, url) from error
        return parse_checksum(body, vendor.archive_name(archive) + ".zip", url)


def parse_checksum(body: bytes, name: str, url: str) -> str:
    """Return the sha256 in a CHECKSUM of *name*, with or without a newline at its end."""
    found = _CHECKSUM.match(body)
    if found is None or found[2] != name.encode():
        raise ArchiveError(f"reading {url}: not a CHECKSUM of {name}: {body[:80]!r}")
    return found[1].decode().lower()


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


def _verdict(error: urllib.error.HTTPError, url: str) -> NotModified | NotThere:
    if error.code == http.client.NOT_MODIFIED:
        return NotModified()
    if error.code == http.client.NOT_FOUND:
        return NotThere()
    kind = "refused" if error.code == http.client.FORBIDDEN else "answered"
    raise ArchiveError(f"fetching {url}: {kind} with HTTP {error.code} {error.reason}") from error
