"""Reads a response within its deadline, and until stopped."""

import http.client
import io
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPMessage, HTTPResponse
from typing import IO, Any, Final

from fullpool.vision.access import Access

_BUFFER_BYTES: Final = 1 << 16
_SHORTEST_WAIT_S: Final = 0.001
# The limits of http.client.
_MAX_LINE_BYTES: Final = 1 << 16
_MAX_HEADERS: Final = 100
_MAX_DIGITS: Final = 18
_WITHOUT_BODY: Final = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)


def responses(connection: HTTPConnection, access: Access) -> Callable[..., HTTPResponse]:
    """Return a maker of responses that end by the deadline, headers and body together."""
    deadline = access.monotonic() + access.deadline_s

    def response(sock: socket.socket, *args: Any, **options: Any) -> HTTPResponse:
        return Response(connection, _Socket(sock, access, deadline), *args, **options)

    return response


class Response(HTTPResponse):
    """A response that takes its connection down if it is left before its end."""

    def __init__(
        self, connection: HTTPConnection, sock: "_Socket", *args: Any, **options: Any
    ) -> None:
        super().__init__(sock, *args, **options)  # type: ignore[arg-type]
        self._connection = connection
        self._has_begun = False

    def begin(self) -> None:
        """Read status and headers.

        As http.client does, but for email's parser: that takes a fifth of the CPU time of fetching
        small archives.
        """
        if self._has_begun:
            return
        version, status, reason = self._read_status()  # type: ignore[attr-defined]
        while status == http.client.CONTINUE:
            _headers(self.fp)
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.reason = reason.strip()
        self.headers = self.msg = _headers(self.fp)
        self._has_begun = True
        self.chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(status, self.headers)
        is_endless = not self.chunked and self.length is None
        self.will_close = is_endless or self._check_close()  # type: ignore[attr-defined]

    def close(self) -> None:
        if not self.isclosed() and self.length != 0:
            self._connection.close()
        super().close()


def _headers(lines: IO[bytes]) -> HTTPMessage:
    """Read headers up to the empty line after them. One that is none, or folded, is an error."""
    headers = HTTPMessage()
    for _ in range(_MAX_HEADERS):
        line = lines.readline(_MAX_LINE_BYTES + 1)
        if len(line) > _MAX_LINE_BYTES:
            raise http.client.LineTooLong("header line")
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, colon, value = line.decode("iso-8859-1").partition(":")
        if not colon or not name or name != name.strip():
            raise http.client.HTTPException(f"not a header: {line[:80]!r}")
        headers[name] = value.strip()
    raise http.client.HTTPException(f"got more than {_MAX_HEADERS} headers")


def _length(status: int, headers: HTTPMessage) -> int | None:
    """Return how many bytes follow; None if they end with the connection."""
    if status in _WITHOUT_BODY or status < http.client.OK:
        return 0
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None


class _Socket:
    """What a response needs of a socket: a reader of it."""

    def __init__(self, sock: socket.socket, access: Access, deadline: float) -> None:
        self._raw = _Reader(sock, access, deadline)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(self._raw, _BUFFER_BYTES)


class _Reader(io.RawIOBase):
    """Reads a socket until the deadline, or until the work is stopped.

    Without it a server that sends a byte now and then holds a worker forever: the socket's own
    timeout starts again with every byte.
    """

    def __init__(self, sock: socket.socket, access: Access, deadline: float) -> None:
        self._sock = sock
        # It holds a reference: http.client closes the socket itself as soon as an answer that ends
        # the connection has begun.
        self._raw = sock.makefile("rb", buffering=0)
        self._access = access
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._access.stop.is_set():
            raise InterruptedError("stopped")
        left_s = self._deadline - self._access.monotonic()
        if left_s < self._access.read_timeout_s:
            self._sock.settimeout(max(left_s, _SHORTEST_WAIT_S))  # a system call: only when needed
        try:
            if left_s > 0:
                return self._raw.readinto(buffer) or 0
        except TimeoutError as error:
            if left_s >= self._access.read_timeout_s:
                waited_s = self._access.read_timeout_s
                raise TimeoutError(f"no data received for {waited_s:g} s") from error
        raise TimeoutError(f"not finished by the deadline of {self._access.deadline_s:g} s")

    def close(self) -> None:
        self._raw.close()
        super().close()
