"""Proxies: which one a host is reached by, and archives and the API through a real squid."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from fullpool.errors import Exit
from fullpool.proxies import proxies, proxy_in
from fullpool.simulator import Api, Bucket, Simulator
from lab import HOUR, bars
from served import Vendor, dataset, free_port, wait

ENVIRONMENT = {"https": "http://one:3128", "http": "two:80", "no": "localhost,.direct.example"}


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fullpool", *map(str, arguments)],
        check=False, capture_output=True, text=True, env={**os.environ, **env},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "url", "expected"),
    [
        ("env", "https://data.binance.vision/data", "http://one:3128"),
        ("env", "http://mirror.example/data", "http://two:80"),
        ("env", "https://api.direct.example", None),
        ("env", "https://localhost:8080", None),
        ("env", "http://127.0.0.1:8080", None),
        ("none", "https://data.binance.vision", None),
        ("http://three:8", "https://data.binance.vision", "http://three:8"),
        ("http://three:8", "https://api.direct.example", None),
        ("http://three:8", "http://127.0.0.1:8080", None),
    ],
)
def test_setting_and_address_choose_the_proxy(setting: str, url: str, expected: str | None) -> None:
    found = proxies(setting, ENVIRONMENT)(url)

    assert (found.shown if found else None) == expected


def test_all_proxy_is_only_a_fallback() -> None:
    proxy_of = proxies("env", {"all": "http://any:1", "http": "http://two:2"})

    assert proxy_of("https://x.example") == proxy_in("http://any:1")
    assert proxy_of("http://x.example") == proxy_in("http://two:2")


def test_an_unused_socks_proxy_is_accepted() -> None:
    """Desktops set all three, that for all to SOCKS."""
    proxy_of = proxies(
        "env", {"all": "socks://x:1", "http": "http://two:2", "https": "http://one:1"}
    )

    assert proxy_of("https://x.example") == proxy_in("http://one:1")


def test_credentials_go_to_the_proxy_only() -> None:
    found = proxy_in("https://quant:p%40ss@proxy.example")

    assert found.headers == {"Proxy-Authorization": "Basic cXVhbnQ6cEBzcw=="}
    assert (found.scheme, found.host, found.port) == ("https", "proxy.example", 443)
    assert found.shown == "https://proxy.example:443"


@pytest.mark.parametrize("wrong", ["socks5://proxy:1080", "http://", "ftp://x"])
def test_an_invalid_proxy_is_refused(vendor: Vendor, tmp_path: Path, wrong: str) -> None:
    text = vendor.config_text(tmp_path, dataset("spot/klines/AUSDT/1m"))
    path = tmp_path / "fullpool.toml"
    path.write_text(text.replace("[network]\n", f"[network]\nproxy = '{wrong}'\n"))
    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "check", str(path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == Exit.CONFIG
    assert "must be the address of a proxy like http://proxy.example:3128" in done.stderr


def test_an_invalid_environment_proxy_is_reported(vendor: Vendor, tmp_path: Path) -> None:
    path = tmp_path / "fullpool.toml"
    path.write_text(vendor.config_text(tmp_path / "lake", dataset("spot/klines/AUSDT/1m")))
    for command in ("sync", "plan", "doctor"):
        done = run(command, "-c", path, ALL_PROXY="socks5://quant:secret@proxy:1080")

        assert done.returncode == Exit.USAGE or command == "doctor"
        assert "ALL_PROXY must be the address of a proxy" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_no_message_shows_the_password(vendor: Vendor, tmp_path: Path) -> None:
    text = vendor.config_text(tmp_path, dataset("spot/klines/AUSDT/1m"))
    path = tmp_path / "fullpool.toml"
    for wrong in (
        "socks5://quant:secret@proxy:1080",
        "http://quant:secret@proxy:31x8",
        "http://quant:secret@p℀x",
    ):
        path.write_text(text.replace("[network]\n", f"[network]\nproxy = '{wrong}'\n"))
        done = run("check", path)

        assert done.returncode == Exit.CONFIG
        assert "secret" not in done.stdout + done.stderr
    assert "secret" not in repr(proxy_in("http://quant:secret@proxy.example:3128"))


# Through squid

SQUID = """
http_port 127.0.0.1:{plain}
https_port 127.0.0.1:{tls} tls-cert={folder}/proxy.pem
hosts_file {folder}/hosts
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
cache deny all
coredump_dir {folder}
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/passwords
auth_param basic children 2 startup=2 idle=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
shutdown_lifetime 0 seconds
"""


@dataclass
class Squid:
    """A running squid that knows the vendor's name, which nobody else does."""

    folder: Path
    plain: int
    tls: int

    def requests(self) -> str:
        return (self.folder / "access.log").read_text()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def squid(tmp_path: Path, authority: trustme.CA) -> Iterator[Squid]:
    if shutil.which("squid") is None or os.geteuid() != 0:
        pytest.skip("squid is not here (Debian's package squid-openssl)")
    folder = tmp_path / "squid"
    folder.mkdir()
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    folder.chmod(0o777)
    one = Squid(folder, free_port(), free_port())
    cert = authority.issue_cert("proxy.local", "127.0.0.1")
    cert.private_key_and_cert_chain_pem.write_to_path(str(folder / "proxy.pem"))
    (folder / "hosts").write_text("127.0.0.1 vendor.example\n")
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "p@ss"], check=True, capture_output=True, text=True
    ).stdout
    (folder / "passwords").write_text(f"quant:{hashed}")
    text = SQUID.format(plain=one.plain, tls=one.tls, folder=folder)
    (folder / "squid.conf").write_text(text)
    for path in folder.iterdir():
        path.chmod(0o644)
    process = subprocess.Popen(
        ["squid", "-N", "-n", f"squid{one.plain}", "-f", str(folder / "squid.conf")]
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", one.tls)) == 0:
                    break
            wait(0.1)
        yield one
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.faults
@pytest.mark.parametrize("is_tls_proxy", [False, True])
@pytest.mark.parametrize("is_tls_host", [False, True])
def test_archives_and_gaps_use_the_proxy(
    tmp_path: Path, authority: trustme.CA, squid: Squid, *, is_tls_proxy: bool, is_tls_host: bool
) -> None:
    """The vendor's name is known to the proxy alone, and the proxy asks for a password."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if is_tls_host else None
    if tls is not None:
        authority.issue_cert("vendor.example").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    start = datetime(2024, 6, 1, tzinfo=UTC)
    with Vendor(tmp_path / "vendor") as made, Vendor(tmp_path / "twin") as twin:
        key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-06-01.zip"
        rows = bars(start, start + timedelta(days=1), HOUR)
        lines = rows.splitlines(keepends=True)
        made.put(key, "".join(lines[:8] + lines[10:]))
        twin.put(key, rows)
        with Simulator(Bucket(made.folder), tls=tls) as served:
            served.api = Api(twin.folder)
            scheme, host = served.url.split("://")
            there = f"{scheme}://vendor.example:{host.rpartition(':')[2]}"
            by = f"https://quant:p%40ss@127.0.0.1:{squid.tls}"
            if not is_tls_proxy:
                by = f"http://quant:p%40ss@127.0.0.1:{squid.plain}"
            path = tmp_path / "fullpool.toml"
            span = {"start": "2024-06-01", "end": "2024-06-01"}
            text = made.config_text(
                tmp_path / "lake",
                dataset("spot/klines/AUSDT/1h", **span),
                rest={"enabled": "true"},
            ).replace(made.simulator.url, there)
            network = f"[network]\nallow_http = true\nca_file = '{tmp_path / 'ca.pem'}'\n"
            path.write_text(text.replace("[network]\n", network))
            alone = run("sync", "-c", path)
            first = run("sync", "-c", path, HTTPS_PROXY=by, HTTP_PROXY=by)
            named = path.read_text().replace("[network]\n", f"[network]\nproxy = '{by}'\n")
            path.write_text(named)
            second = run("sync", "--audit", "-c", path)
            path.write_text(named.replace("p%40ss@", "guessed@"))
            refused = run("sync", "--audit", "-c", path)

    assert alone.returncode == Exit.UNREACHABLE
    assert first.returncode == Exit.OK, first.stderr
    assert "patched: 2 rows from the API" in first.stdout
    assert second.returncode == Exit.OK, second.stderr
    assert refused.returncode != Exit.OK
    assert "407" in refused.stdout + refused.stderr
    assert "guessed" not in refused.stdout + refused.stderr
    assert "vendor.example" in squid.requests()
