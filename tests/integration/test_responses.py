"""Heads of answers are read as http.client reads them, which is the one to be trusted."""

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool.vision.responses import Response

HEADS = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: "ab"\r\n\r\n',
    b"HTTP/1.1 200 OK\r\ncontent-length:12\r\nConnection: Close\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 12\n\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: -7\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: twelve\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: caf\xe9\r\nX-Empty:\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
]
BROKEN = [
    b"",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
]
# What email's parser makes of these is a matter of taste; no server of the vendor's sends them.
REFUSED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nno header at all\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two: three\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 5\r\n\r\n",
]
LOOKED_AT = ("status", "reason", "version", "chunked", "length", "will_close")


class Wire:
    """A socket that has received all it will."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def both(content: bytes) -> tuple[http.client.HTTPResponse, http.client.HTTPResponse]:
    wire: Any = Wire(content)
    connection = http.client.HTTPConnection("localhost")
    return Response(connection, wire, method="GET"), http.client.HTTPResponse(wire, method="GET")


def told(response: http.client.HTTPResponse) -> dict[str, Any]:
    response.begin()
    headers = [(name, value.strip()) for name, value in response.headers.items()]
    return {name: getattr(response, name) for name in LOOKED_AT} | {"headers": headers}


@pytest.mark.parametrize("head", HEADS)
def test_http_client_reads_heads_the_same(head: bytes) -> None:
    ours, theirs = both(head + b"5\r\nhello\r\n0\r\n\r\n" + b"x" * 100)

    assert told(ours) == told(theirs)
    assert ours.read() == theirs.read()


@pytest.mark.parametrize("head", BROKEN)
def test_broken_heads_raise_the_same_error(head: bytes) -> None:
    ours, theirs = both(head)
    with pytest.raises(http.client.HTTPException) as expected:
        theirs.begin()
    with pytest.raises(type(expected.value)):
        ours.begin()


@pytest.mark.parametrize("head", REFUSED)
def test_lines_that_are_no_header_fail(head: bytes) -> None:
    ours, _ = both(head)
    with pytest.raises(http.client.HTTPException, match="not a header"):
        ours.begin()


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True),
        st.from_regex(r"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True),
        max_size=20,
    )
)
def test_headers_arrive_as_they_were_sent(headers: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    ours, theirs = both(b"HTTP/1.1 200 OK\r\n" + lines.encode() + b"\r\n")

    assert told(ours) == told(theirs)
