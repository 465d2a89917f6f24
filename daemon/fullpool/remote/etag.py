"""The hash by which S3 knows an object."""

import hashlib
from pathlib import Path

from fullpool.remote.bucket import PART


def etag_of(file: Path) -> str:
    """Return the ETag that S3 gives a file: its MD5, or that of its parts' and their number."""
    parts: list[bytes] = []
    with file.open("rb") as content:
        while part := content.read(PART):
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
    if len(parts) > 1:
        whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        return f"{whole}-{len(parts)}"
    return parts[0].hex() if parts else hashlib.md5(b"", usedforsecurity=False).hexdigest()
