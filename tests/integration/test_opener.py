"""The opener against a server that misbehaves on the wire."""

import contextlib
import socket
import ssl
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from fullpool.errors import ArchiveError, RedirectedError, UnreachableError, UntrustedError
from fullpool.proxies import Route, proxy_in
from fullpool.simulator import Bucket, Fault, Simulator
from fullpool.vision import Access, Opener

PAUSE = threading.Event()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def access(context: ssl.SSLContext | None = None, **options: float) -> Access:
    return Access(
        context=context or ssl.create_default_context(),
        monotonic=time.monotonic,
        stop=threading.Event(),
        read_timeout_s=options.get("read_timeout_s", 5.0),
        deadline_s=options.get("deadline_s", 10.0),
    )


@contextmanager
def opened(**options: float) -> Iterator[Opener]:
    opener = Opener(access(None, **options))
    try:
        yield opener
    finally:
        opener.close()


@contextmanager
def server(*answers: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[int]]]:
    """Serve one connection an answer on a raw socket; yield the address and the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[int] = []

    def serve() -> None:
        for answer in answers:
            with contextlib.suppress(OSError):  # the client hangs up, or the test is over
                connection, _ = listener.accept()
                with connection:
                    seen.append(1)
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def request(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        got = connection.recv(4096)
        if not got:
            return data
        data += got
    return data


def once(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(answer)

    return serve


def drip(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n")
    for _ in range(100):
        PAUSE.wait(0.05)
        connection.sendall(b"x")


def drip_headers(connection: socket.socket) -> None:
    request(connection)
    for byte in OK * 10:
        PAUSE.wait(0.05)
        connection.sendall(bytes([byte]))


def get(opener: Opener, url: str) -> bytes:
    with opener.open(url) as response:
        return response.read()


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"hello")
    with Simulator(Bucket(tmp_path)) as vendor, opened() as opener:
        bodies = [get(opener, f"{vendor.url}/data/a") for _ in range(5)]

        assert bodies == [b"hello"] * 5
        assert vendor.connections == 1


def test_a_refusal_keeps_the_connection(tmp_path: Path) -> None:
    with (
        Simulator(Bucket(tmp_path), faults=[Fault("*b", "status", 503)]) as vendor,
        opened() as opener,
    ):
        for path in ("/a", "/b", "/a"):
            with pytest.raises(urllib.error.HTTPError):
                opener.open(vendor.url + path)

        assert vendor.connections == 1


def test_closed_idle_connections_are_reopened() -> None:
    with server(once(OK), once(OK)) as (url, seen), opened() as opener:
        assert get(opener, url) == b"ok"
        PAUSE.wait(0.05)

        assert get(opener, url) == b"ok"
        assert len(seen) == 2


def test_abandoned_answers_do_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1_000_000)
    with Simulator(Bucket(tmp_path)) as vendor, opened() as opener:
        with opener.open(f"{vendor.url}/a") as response:
            response.read(10)

        assert len(get(opener, f"{vendor.url}/a")) == 1_000_000


def test_broken_first_connections_are_not_retried() -> None:
    with server(lambda _: None, once(OK)) as (url, seen), opened() as opener:
        with pytest.raises(ArchiveError):
            get(opener, url)

        assert len(seen) == 1


@pytest.mark.parametrize("answer", [drip, drip_headers])
def test_the_deadline_cuts_off_dripping_servers(
    answer: Callable[[socket.socket], None],
) -> None:
    with server(answer) as (url, _), opened(deadline_s=0.4) as opener:
        with pytest.raises((ArchiveError, TimeoutError), match="deadline"):
            get(opener, url)


def test_a_slow_proxy_is_waited_for() -> None:
    """The limit for a connection is none for the tunnel, which the proxy has yet to make."""

    def slow_to_answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        PAUSE.wait(1.0)
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with server(slow_to_answer) as (url, _):
        route = Route(0.3, lambda _: proxy_in(url))
        access = Access(
            ssl.create_default_context(), time.monotonic, threading.Event(), read_timeout_s=20,
            route=route,
        )  # fmt: skip
        opener = Opener(access)
        with pytest.raises(UnreachableError, match="502"):
            opener.open("https://vendor.example/x")
        opener.close()


def test_a_stop_ends_transfers_between_chunks() -> None:
    stop = threading.Event()
    opener = Opener(Access(ssl.create_default_context(), time.monotonic, stop, read_timeout_s=5))
    with server(drip) as (url, _):
        response = opener.open(url)
        stop.set()

        with pytest.raises(InterruptedError):
            response.read()
        opener.close()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "http://example.com/x", "x"],
)
def test_only_https_and_loopback_are_opened(url: str) -> None:
    with opened() as opener, pytest.raises(UntrustedError, match="only https"):
        opener.open(url)


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://localhost:1/x", "https://127.0.0.1/x"],
)
def test_a_redirect_elsewhere_is_not_followed(target: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {target}\r\n\r\n".encode()

    with (
        server(once(answer)) as (url, seen),
        opened() as opener,
        pytest.raises((UntrustedError, urllib.error.HTTPError), match=r"redirect|not allowed"),
    ):
        opener.open(url)
    assert len(seen) == 1


def test_requests_work_after_a_redirect_elsewhere() -> None:
    redirect = (
        b"HTTP/1.1 302 Found\r\nContent-Length: 3\r\nLocation: http://localhost:1/x\r\n\r\nno!"
    )
    answers = [OK, redirect]

    def serve(connection: socket.socket) -> None:
        while answers and request(connection):
            connection.sendall(answers.pop())

    with server(serve, serve) as (url, _), opened() as opener:
        with pytest.raises(RedirectedError):
            opener.open(url)
        assert get(opener, url) == b"ok"


def test_redirects_within_the_host_are_followed() -> None:
    answer = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: /there\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        once(answer)(connection)
        assert b"GET /there " in request(connection)
        connection.sendall(OK)

    with server(serve) as (url, _), opened() as opener:
        assert get(opener, url) == b"ok"


def test_garbage_is_an_archive_error() -> None:
    with server(once(b"\x16\x03\x01 not http\r\n\r\n")) as (url, _), opened() as opener:
        with pytest.raises(ArchiveError):
            opener.open(url)


def test_a_missing_host_is_unreachable() -> None:
    with opened() as opener, pytest.raises(UnreachableError, match="connecting to"):
        opener.open("http://127.0.0.1:9")


def test_requests_name_us_and_ask_for_identity() -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heard.append(request(connection))
        connection.sendall(OK)

    with server(serve) as (url, _), opened() as opener:
        get(opener, url)

    assert b"accept-encoding: identity\r\n" in heard[0].lower()
    assert b"user-agent: fullpool/" in heard[0].lower()


def test_unknown_certificates_are_untrusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    with Simulator(Bucket(tmp_path), tls=tls) as vendor:
        with opened() as opener, pytest.raises(UntrustedError, match="certificate"):
            opener.open(f"{vendor.url}/x")
        opener = Opener(access(context=trusting))
        with pytest.raises(urllib.error.HTTPError):
            opener.open(f"{vendor.url}/x")
        opener.close()
