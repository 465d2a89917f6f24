"""Which lake is published to a bucket, and how many times it was: an object that says so."""

import json
from dataclasses import dataclass
from typing import Any, Final

from fullpool.errors import RemoteError
from fullpool.remote.bucket import Bucket

OWNER: Final = "_fullpool.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The lake that is published, and the number of its last publication that came to its end."""

    lake: str
    publication: int

    def content(self) -> bytes:
        return json.dumps({"lake": self.lake, "publication": self.publication}).encode()


def owner_of(bucket: Bucket, lake: str, *, takes_over: bool) -> Owner:
    """Return who publishes there, claiming the prefix for *lake* if nobody does.

    Raises RemoteError if it is another one, unless the lake *takes_over*.
    """
    mine = Owner(lake, 0)
    content = bucket.get(OWNER)
    if content is None and bucket.create(OWNER, mine.content()):
        return mine
    found = _read(bucket, content or bucket.get(OWNER) or b"")
    if found.lake == lake:
        return found
    if not takes_over:
        raise RemoteError(
            f"publishing to {bucket.to}: another lake is published there",
            hint="use another prefix in publish.to; if this is the same lake, set up again, run"
            " `fullpool publish --take-over` once",
        )
    taken = Owner(lake, found.publication + 1)
    bucket.put(OWNER, taken.content())
    return taken


def _read(bucket: Bucket, content: bytes) -> Owner:
    try:
        found: Any = json.loads(content)
        return Owner(str(found["lake"]), int(found["publication"]))
    except (ValueError, TypeError, KeyError) as error:
        raise RemoteError(
            f"reading {bucket.url(OWNER)}: {error}",
            hint="it is not what fullpool writes there: is a proxy, or a login page, in between?",
        ) from error
