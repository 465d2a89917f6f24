"""Objects below a prefix of an S3 bucket. Owns obstore."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from fullpool.config.addresses import LOOPBACK
from fullpool.errors import RemoteError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

# S3 lists and deletes so many at once.
_AT_ONCE: Final = 1000
# A file that is longer is sent in parts of that length.
PART: Final = 5 * 1024 * 1024
_PARTS_AT_ONCE: Final = 2
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# The rest, such as the role of a machine, obstore finds by itself.
_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_ALLOW_HTTP", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
)  # fmt: skip
# Where a machine of Amazon's is told its role: asked for lack of other credentials.
_ROLES: Final = "http://169.254.169.254"
_VARIABLES_HINT: Final = "check AWS_ENDPOINT_URL, AWS_REGION and the keys in the environment"
_RETRIES: Final = 5
_CREDENTIALS: Final = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role; it needs GetObject,"
    " PutObject, DeleteObject and ListBucket on the prefix"
)


@dataclass(frozen=True, slots=True)
class Object:
    """What a bucket says of one object; *etag* is without quotes."""

    path: str
    size_bytes: int
    etag: str


class Bucket:
    """Reads and writes the objects below *to*, such as `s3://bucket/prefix`.

    Endpoint, region and credentials are those of the usual variables of the *environment*. Requests
    that fail are repeated a few times. Every method raises RemoteError.
    """

    def __init__(
        self, to: str, environment: Mapping[str, str], *, timeout_s: float = 600.0
    ) -> None:
        self.to = to
        _require_sound(to, environment)
        with self._mapped("opening"):
            self._store = _opened(to, environment, timeout_s)

    def url(self, path: str) -> str:
        """Return the whole name of an object."""
        return f"{self.to}/{path}"

    def put_file(self, path: str, file: Path) -> Object:
        """Send a file. Raises FileNotFoundError if it is gone."""
        size_bytes = file.stat().st_size
        try:
            with self._mapped(f"sending {path} to"):
                sent = obstore.put(
                    self._store, path, file, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE
                )
        except RemoteError:
            file.stat()  # it may be that which is gone
            raise
        return Object(path, size_bytes, _etag(sent))

    def put(self, path: str, content: bytes) -> Object:
        """Write an object, whatever is there."""
        with self._mapped(f"writing {path} in"):
            return Object(path, len(content), _etag(obstore.put(self._store, path, content)))

    def create(self, path: str, content: bytes) -> bool:
        """Write an object that nobody has written before; return whether it is there as given.

        If the answer to our own write was lost, it is there when the request is repeated.
        """
        with self._mapped(f"creating {path} in"):
            try:
                obstore.put(self._store, path, content, mode="create")
            except AlreadyExistsError:
                return self.get(path) == content
        return True

    def get(self, path: str) -> bytes | None:
        """Return what an object holds; None if there is none."""
        with self._mapped(f"reading {path} in"):
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def get_file(self, path: str, file: Path) -> bool:
        """Write what an object holds to a file; return whether there is one."""
        with self._mapped(f"reading {path} in"):
            try:
                content = obstore.get(self._store, path)
            except FileNotFoundError:
                return False
            with file.open("wb") as target:
                for chunk in content.stream():
                    target.write(chunk)
        return True

    def head(self, path: str) -> Object | None:
        """Return what is said of an object; None if there is none."""
        with self._mapped(f"looking at {path} in"):
            try:
                found = obstore.head(self._store, path)
            except FileNotFoundError:
                return None
        return Object(path, found["size"], _etag(found))

    def list(self, prefix: str) -> Iterator[Object]:
        """Yield the objects below a folder."""
        with self._mapped(f"listing {prefix} of"):
            for page in obstore.list(self._store, prefix, chunk_size=_AT_ONCE):
                for one in page:
                    yield Object(one["path"], one["size"], _etag(one))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for start in range(0, len(paths), _AT_ONCE):
            with self._mapped("deleting objects of"):
                obstore.delete(self._store, paths[start : start + _AT_ONCE])

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        """Raise what obstore says as RemoteError."""
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise RemoteError(f"{doing} {self.to}: {_said(error)}", hint=_CREDENTIALS) from error
        except (BaseError, FileNotFoundError) as error:
            hint = _CREDENTIALS if _ROLES in str(error) else None
            raise RemoteError(f"{doing} {self.to}: {_said(error)}", hint=hint) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # obstore's, for what is no address
                raise
            raise RemoteError(f"{doing} {self.to}: {_said(error)}", hint=_VARIABLES_HINT) from error


def _require_sound(to: str, environment: Mapping[str, str]) -> None:
    """Raise RemoteError for variables that cannot be meant."""
    for name in (*_ENDPOINTS, *_VARIABLES):
        value = environment.get(name, "")
        if not value.isprintable() or value != value.strip():
            raise RemoteError(
                f"opening {to}: {name} contains a space or a line break", hint=_VARIABLES_HINT
            )
    endpoint = endpoint_in(environment)
    if endpoint and not _is_address(endpoint):
        raise RemoteError(
            f"opening {to}: AWS_ENDPOINT_URL is {endpoint!r}, which is not an address",
            hint="write it as https://host:port",
        )
    allows_http = environment.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    if endpoint.startswith("http://") and not is_local(endpoint) and not allows_http:
        raise RemoteError(
            f"opening {to}: {endpoint} is not encrypted",
            hint="use https, or set AWS_ALLOW_HTTP=true",
        )


def _is_address(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def endpoint_in(environment: Mapping[str, str]) -> str:
    """Return the address of the server that is not Amazon's own; "" if none is named."""
    return next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")


def is_local(endpoint: str) -> bool:
    """Whether a server is on this machine, so that http will do."""
    return bool(endpoint) and urlsplit(endpoint).hostname in LOOPBACK


def _opened(to: str, environment: Mapping[str, str], timeout_s: float) -> S3Store:
    parts = urlsplit(to)
    endpoint = endpoint_in(environment)
    options: ClientConfig = {"timeout": timedelta(seconds=timeout_s)}
    if is_local(endpoint):
        options["allow_http"] = True  # beyond this machine AWS_ALLOW_HTTP=true says so
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=_given(environment) | ({"endpoint": endpoint} if endpoint else {}),
        client_options=options,
        retry_config={
            "max_retries": _RETRIES, "retry_timeout": timedelta(seconds=timeout_s),
        },
    )  # fmt: skip


def _given(environment: Mapping[str, str]) -> "S3Config":
    """Return the variables of the environment that say who asks, and where."""
    given = {name.lower(): environment[name] for name in _VARIABLES if environment.get(name)}
    return cast("S3Config", given)


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer["e_tag"] or "").strip('"')


def _said(error: BaseException) -> str:
    """Return the first line of what went wrong, without the structure behind it."""
    return str(error).split("\n", 1)[0][:500]
