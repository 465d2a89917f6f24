"""A folder of archives, listed and served as a public S3 bucket.

The folder mirrors the bucket's keys. A CHECKSUM that is not in the folder is made, spelled as the
vendor spells it: without a newline for spot, with one for futures.
Sources: AWS S3 API reference, ListObjects; the bucket's own pages and answers.
"""

import base64
import hashlib
import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

PAGE_KEYS = 1000
_CHECKSUM = ".CHECKSUM"


@dataclass(frozen=True)
class Entry:
    """One object: where its bytes are, and what the bucket says of it."""

    key: str
    size: int
    etag: str
    modified: datetime
    path: Path | None
    body: bytes | None

    def read(self) -> bytes:
        if self.body is not None:
            return self.body
        assert self.path is not None
        return self.path.read_bytes()


class Bucket:
    """All objects below a folder. `refresh` sees what was added or changed since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._encoded: list[bytes] = []
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again; only files whose size or time changed are read."""
        found: dict[str, Entry] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                entry = self._entry(path)
                found[entry.key] = entry
        for entry in list(found.values()):
            name = entry.key + _CHECKSUM
            if entry.key.endswith(".zip") and name not in found:
                found[name] = _checksum(entry)
        with self._lock:
            self._entries = found
            # S3 sorts by the bytes of the UTF-8 key.
            self._keys = sorted(found, key=str.encode)
            self._encoded = [key.encode() for key in self._keys]

    def get(self, key: str) -> Entry | None:
        with self._lock:
            return self._entries.get(key)

    def page(self, prefix: str, marker: str, delimiter: str, limit: int = PAGE_KEYS) -> bytes:
        """Return one page of the listing as XML, as ListObjects version 1 answers."""
        page = self._page(prefix, marker, delimiter, limit)
        parts = ["<Marker>", escape(marker), "</Marker>"]
        if page.last and delimiter:  # S3 leaves it out where no delimiter was given
            parts += ["<NextMarker>", escape(page.last), "</NextMarker>"]
        return _page_xml(page, (prefix, delimiter), limit, "".join(parts))

    def page_v2(
        self, prefix: str, after: str, delimiter: str, limit: int = PAGE_KEYS, token: str = ""
    ) -> bytes:
        """Return one page as ListObjects version 2 answers: a *token* goes on where it was."""
        page = self._page(prefix, _after(token) if token else after, delimiter, limit)
        parts = [f"<KeyCount>{len(page.entries) + len(page.folders)}</KeyCount>"]
        parts += [f"<StartAfter>{escape(after)}</StartAfter>"] if after else []
        parts += [f"<ContinuationToken>{token}</ContinuationToken>"] if token else []
        if page.last:
            following = f"<NextContinuationToken>{_token(page.last)}</NextContinuationToken>"
            parts.append(following)
        return _page_xml(page, (prefix, delimiter), limit, "".join(parts))

    def _page(self, prefix: str, marker: str, delimiter: str, limit: int) -> "_Page":
        with self._lock:
            keys, encoded, entries = self._keys, self._encoded, self._entries
        found: list[str] = []
        folders: list[str] = []
        last = ""
        at = max(bisect_right(encoded, marker.encode()), bisect_left(encoded, prefix.encode()))
        for key in keys[at:]:
            if not key.startswith(prefix):
                break
            folder = _folder_of(key, prefix, delimiter)
            if folder and (folder == last or marker.startswith(folder)):
                continue
            if len(found) + len(folders) == limit:
                return _Page([entries[key] for key in found], folders, last)
            last = folder or key
            (folders if folder else found).append(last)
        return _Page([entries[key] for key in found], folders, "")

    def _entry(self, path: Path) -> Entry:
        key = path.relative_to(self.folder).as_posix()
        stat = path.stat()
        # Files that were invented may have times ahead; a bucket has none.
        modified = datetime.fromtimestamp(int(min(stat.st_mtime, time.time())), UTC)
        old = self._entries.get(key)
        if (
            old is not None
            and old.path == path
            and (old.size, old.modified) == (stat.st_size, modified)
        ):
            return old
        etag = hashlib.md5(path.read_bytes()).hexdigest()
        return Entry(key, stat.st_size, etag, modified, path, None)


def _checksum(entry: Entry) -> Entry:
    newline = "" if entry.key.startswith("data/spot/") else "\n"
    sha256 = hashlib.sha256(entry.read()).hexdigest()
    body = f"{sha256}  {entry.key.rpartition('/')[2]}{newline}".encode()
    etag = hashlib.md5(body).hexdigest()
    return Entry(entry.key + _CHECKSUM, len(body), etag, entry.modified, None, body)


@dataclass(frozen=True)
class _Page:
    """A part of the listing, and the last name in it if more follow."""

    entries: list[Entry]
    folders: list[str]
    last: str


def _folder_of(key: str, prefix: str, delimiter: str) -> str:
    """Return the folder that stands for a key below *prefix*; "" for one that is shown itself."""
    cut = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: cut + 1]


def _token(key: str) -> str:
    """Return what stands for a place in the listing; to clients it means nothing."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def _after(token: str) -> str:
    return base64.urlsafe_b64decode(token).decode()


def _page_xml(page: _Page, asked: tuple[str, str], limit: int, of_version: str) -> bytes:
    prefix, delimiter = map(escape, asked)
    parts = [
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>data.binance.vision</Name><Prefix>{prefix}</Prefix>{of_version}"
            f"<MaxKeys>{limit}</MaxKeys>"
        )
    ]
    if delimiter:
        parts.append(f"<Delimiter>{delimiter}</Delimiter>")
    parts.append(f"<IsTruncated>{'true' if page.last else 'false'}</IsTruncated>")
    parts += [
        f"<Contents><Key>{escape(entry.key)}</Key>"
        f"<LastModified>{entry.modified:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for entry in page.entries
    ]
    parts += [
        f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in page.folders
    ]
    return "".join([*parts, "</ListBucketResult>"]).encode()
