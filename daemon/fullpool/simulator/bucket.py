"""A folder of archives as a public S3 bucket lists and serves it.

The folder mirrors the bucket's keys. A CHECKSUM that is not in the folder is made, spelled as the
vendor spells it: without a newline for spot, with one for futures.
Sources: AWS S3 API reference, ListObjects; the bucket's own pages and answers.
"""

import hashlib
import threading
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
        """Look at the folder anew; only files whose size or time changed are read."""
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

    def page(self, prefix: str, marker: str, delimiter: str) -> bytes:
        """Return one page of the listing as XML, as ListObjects version 1 answers."""
        with self._lock:
            keys, encoded, entries = self._keys, self._encoded, self._entries
        found: list[str] = []
        folders: list[str] = []
        last = ""
        at = max(bisect_right(encoded, marker.encode()), bisect_left(encoded, prefix.encode()))
        is_truncated = False
        for key in keys[at:]:
            if not key.startswith(prefix):
                break
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            folder = key[: cut + 1] if cut >= 0 else ""
            if folder and (folder == last or marker.startswith(folder)):
                continue
            if len(found) + len(folders) == PAGE_KEYS:
                is_truncated = True
                break
            last = folder or key
            (folders if folder else found).append(last)
        return _page_xml(
            (prefix, marker, delimiter),
            [entries[key] for key in found],
            folders,
            last * is_truncated,
        )

    def _entry(self, path: Path) -> Entry:
        key = path.relative_to(self.folder).as_posix()
        stat = path.stat()
        modified = datetime.fromtimestamp(int(stat.st_mtime), UTC)
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


def _page_xml(
    asked: tuple[str, str, str], entries: list[Entry], folders: list[str], next_marker: str
) -> bytes:
    prefix, marker, delimiter = map(escape, asked)
    parts = [
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>data.binance.vision</Name><Prefix>{prefix}</Prefix><Marker>{marker}</Marker>"
        )
    ]
    if next_marker and delimiter:  # S3 leaves it out where no delimiter was given
        parts.append(f"<NextMarker>{escape(next_marker)}</NextMarker>")
    parts.append(f"<MaxKeys>{PAGE_KEYS}</MaxKeys>")
    if delimiter:
        parts.append(f"<Delimiter>{delimiter}</Delimiter>")
    parts.append(f"<IsTruncated>{'true' if next_marker else 'false'}</IsTruncated>")
    parts += [
        f"<Contents><Key>{escape(entry.key)}</Key>"
        f"<LastModified>{entry.modified:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for entry in entries
    ]
    parts += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
    return "".join([*parts, "</ListBucketResult>"]).encode()
