"""The simulator's HTTP server, and its record of requests."""

import re
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from fullpool.simulator.api import Api
from fullpool.simulator.bucket import PAGE_KEYS, Bucket, Entry
from fullpool.simulator.faults import Fault

_BUCKET_PATHS = ("", "/", "/data.binance.vision", "/data.binance.vision/")
_LOCATION = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint'
    b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/">ap-northeast-1</LocationConstraint>'
)

# How often it looks whether to stop: tests start a thousand of them.
_POLL_S = 0.02


def _listed(bucket: Bucket, asked: dict[str, str]) -> bytes:
    """Return one page. Raises ValueError for arguments that make no sense."""
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    limit = min(int(asked.get("max-keys", PAGE_KEYS)), PAGE_KEYS)
    if asked.get("list-type") == "2":
        after, token = asked.get("start-after", ""), asked.get("continuation-token", "")
        return bucket.page_v2(prefix, after, delimiter, limit, token)
    return bucket.page(prefix, asked.get("marker", ""), delimiter, limit)


def part_of(asked: str, length: int) -> range | None:
    """Return the bytes that a Range header asks for; None for all, an empty range for none.

    Of several ranges S3 serves none: it answers with the whole object.
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes
        return range(max(length - int(last), 0), length) if int(last) else range(0)
    end = min(int(last) + 1, length) if last else length
    return range(int(first), end) if int(first) < end else range(0)


class Simulator:
    """Serves a bucket on a loopback port until it is closed; a context manager."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        port: int = 0,
        delay_s: float = 0.0,
        faults: Sequence[Fault] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.bucket = bucket
        self.api = Api(bucket.folder)
        self.delay_s = delay_s
        self.faults = list(faults)
        self.requests: list[tuple[str, int]] = []
        self.connections = 0
        self._server = _Server(("127.0.0.1", port), _Handler, self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{'localhost' if tls else '127.0.0.1'}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def listing_url(self) -> str:
        return f"{self.url}/data.binance.vision"

    def archive_requests(self) -> list[str]:
        """Return the paths asked for so far that are no listings."""
        return [path for path, _ in self.requests if path.startswith("/data/")]

    def api_requests(self) -> list[str]:
        """Return what the API was asked for so far."""
        return [path for path, _ in self.requests if Api.serves(path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], owner: Simulator
    ) -> None:
        self.owner = owner
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up or distrust us are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the ACK of its headers
    wbufsize = 1 << 16
    timeout = 120
    server: _Server
    _has_answered = False

    def setup(self) -> None:
        super().setup()
        self.server.owner.connections += 1

    def version_string(self) -> str:
        return "AmazonS3"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep no log but the owner's record."""

    def do_GET(self) -> None:
        owner = self.server.owner
        parts = urlsplit(self.path)
        if owner.delay_s:
            time.sleep(owner.delay_s)
        query = parse_qs(parts.query, keep_blank_values=True)
        first = {name: values[0] for name, values in query.items()}
        key = self._key(parts.path, first)
        fault = next((fault for fault in owner.faults if fault.strikes(key)), None)
        if fault is not None and self._fail(fault):
            return
        if parts.path in _BUCKET_PATHS:
            self._list(first)
        elif Api.serves(parts.path):
            in_microseconds = self.headers.get("X-MBX-TIME-UNIT") == "MICROSECOND"
            reply = owner.api.answer(parts.path, first, in_microseconds=in_microseconds)
            self._answer(reply.status, reply.body, "application/json", dict(reply.headers))
        else:
            self._serve(owner.bucket.get(key), key, fault)

    def _key(self, path: str, query: Mapping[str, str]) -> str:
        """Return what faults are told by: an object's key, a listing's prefix, a request's path."""
        if path in _BUCKET_PATHS:
            return query.get("prefix", "")
        if Api.serves(path):
            return self.path.lstrip("/")
        return unquote(path).removeprefix("/data.binance.vision").lstrip("/")

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def _list(self, asked: dict[str, str]) -> None:
        if "location" in asked:  # some clients ask where a bucket is first
            self._answer(200, _LOCATION, "application/xml")
            return
        try:
            page = _listed(self.server.owner.bucket, asked)
        except ValueError:
            self._error(400, "InvalidArgument", "Argument is not valid.", self.path)
            return
        self._answer(200, page, "application/xml")

    def _serve(self, entry: Entry | None, key: str, fault: Fault | None) -> None:
        if entry is None:
            self._error(404, "NoSuchKey", "The specified key does not exist.", key)
            return
        etag = f'"{entry.etag}"'
        modified = format_datetime(entry.modified, usegmt=True)
        headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        if self._is_as_known(etag, entry):
            self._answer(304, b"", None, headers)
            return
        body = entry.read()
        if fault is not None and fault.kind in ("truncate", "reset"):
            self._break_off(body, fault, headers)
            return
        if fault is not None and fault.kind == "tamper":
            at = min(fault.value, len(body) - 1)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        content_type = "application/zip" if key.endswith(".zip") else "binary/octet-stream"
        part = part_of(self.headers.get("Range", ""), len(body))
        if part is None:
            self._answer(200, body, content_type, headers)
        elif not part:
            self._error(416, "InvalidRange", "The requested range is not satisfiable", key)
        else:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(body)}"
            self._answer(206, body[part.start : part.stop], content_type, headers)

    def _is_as_known(self, etag: str, entry: Entry) -> bool:
        """Whether a client has the object; of its two conditions the ETag counts."""
        if "If-None-Match" in self.headers:
            return etag in self.headers["If-None-Match"]
        try:
            since = parsedate_to_datetime(self.headers.get("If-Modified-Since", ""))
        except ValueError:
            return False
        return entry.modified <= since.astimezone(UTC)

    def _fail(self, fault: Fault) -> bool:
        """Do what needs no object; return whether that was the answer."""
        if fault.kind == "slow":
            time.sleep(fault.value / 1000)
            return False
        if fault.kind == "hangup":
            self.close_connection = self._has_answered
            return self._has_answered
        if fault.kind == "status":
            self._refuse(fault.value)
        elif fault.kind == "body":
            self._answer(200, fault.text.encode(), "application/json")
        elif fault.kind == "html":
            self._answer(200, b"<html><body>Access Denied</body></html>", "text/html")
        elif fault.kind == "redirect":
            self._answer(302, b"", None, {"Location": f"https://elsewhere.invalid{self.path}"})
        else:
            return False
        return True

    def _refuse(self, status: int) -> None:
        if not Api.serves(self.path):
            self._error(status, "SlowDown", "Please reduce your request rate.", self.path)
            return
        body = b'{"code":-1003,"msg":"as the test asked for"}'
        retry = {"Retry-After": "120"} if status in (418, 429) else {}
        self._answer(status, body, "application/json", retry)

    def _break_off(self, body: bytes, fault: Fault, headers: dict[str, str]) -> None:
        self._answer(200, body, "application/zip", headers, sent=body[: fault.value])
        self.wfile.flush()
        self.close_connection = True
        if fault.kind == "reset":
            time.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _error(self, status: int, code: str, message: str, key: str) -> None:
        request_id = uuid.uuid4().hex[:16].upper()
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{message}</Message><Key>{escape(key)}</Key>"
            f"<RequestId>{request_id}</RequestId><HostId>{uuid.uuid4().hex}</HostId></Error>"
        ).encode()
        self._answer(status, body, "application/xml")

    def _answer(
        self,
        status: int,
        body: bytes,
        content_type: str | None,
        headers: dict[str, str] | None = None,
        *,
        sent: bytes | None = None,
    ) -> None:
        self.server.owner.requests.append((self.path, status))
        self._has_answered = True
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if sent is None else sent)
