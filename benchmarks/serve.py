"""The vendor of the benchmarks: nginx for the archives, the simulator for the listing.

Both on loopback, each in a process of its own; TLS or plain, with latency on demand.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from fullpool.simulator import Bucket

MODULES = Path("/usr/lib/nginx/modules")
_CONFIG = """\
{modules}
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 120s; keepalive_requests 100000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port}{tls};
    {certificate}
    {delay}
    location /data/ {{ root {root}; }}
    location /data.binance.vision/data/ {{ alias {root}/data/; }}
    location /data.binance.vision {{ proxy_pass {listing}; }}
  }}
}}
"""


_CERTIFICATE = "ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/cert.pem;"


@dataclass(frozen=True)
class Server:
    """Where the archives and the listing are, and the CA that vouches for them."""

    archive_url: str
    listing_url: str
    ca_file: Path | None


@contextmanager
def serving(root: Path, scratch: Path, *, tls: bool, delay_ms: int = 0) -> Iterator[Server]:
    """Serve the bucket in *root* until the block ends; CHECKSUM files are written into it."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        sys.exit("the benchmarks need nginx (Debian: nginx-light, libnginx-mod-http-lua)")
    _write_checksums(root)
    scratch.mkdir(parents=True, exist_ok=True)
    simulator = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "simulator", str(root), "--port", "0",
         "--delay-ms", str(delay_ms)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert simulator.stdout is not None
    simulator.stdout.readline()
    listing_url = simulator.stdout.readline().split('"')[1]
    port, ca_file = _free_port(), _certificate(scratch) if tls else None
    config = scratch / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            modules=_modules() if delay_ms else "",
            folder=scratch,
            port=port,
            tls=" ssl" if tls else "",
            certificate=_CERTIFICATE.format(folder=scratch) if tls else "",
            delay=f"access_by_lua_block {{ ngx.sleep({delay_ms / 1000}) }}" if delay_ms else "",
            root=root.absolute(),
            listing=listing_url.removesuffix("/data.binance.vision"),
        )
    )
    server = subprocess.Popen(
        [nginx, "-p", str(scratch), "-c", str(config.absolute()), "-g", "user root;"]
    )
    try:
        _wait_for(port)
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        yield Server(f"{scheme}://{host}:{port}", listing_url, ca_file)
    finally:
        for process in (server, simulator):
            process.terminate()
            process.wait()


def _modules() -> str:
    names = ("ndk_http_module.so", "ngx_http_lua_module.so")
    if not all((MODULES / name).exists() for name in names):
        sys.exit("latency needs nginx's lua module (Debian: libnginx-mod-http-lua)")
    return " ".join(f"load_module {MODULES / name};" for name in names)


def _write_checksums(root: Path) -> None:
    bucket = Bucket(root)
    for path in root.rglob("*.zip"):
        checksum = path.with_name(path.name + ".CHECKSUM")
        if not checksum.exists():
            entry = bucket.get(checksum.relative_to(root).as_posix())
            assert entry is not None
            checksum.write_bytes(entry.read())
            os.utime(checksum, (path.stat().st_mtime,) * 2)


def _certificate(scratch: Path) -> Path:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(scratch / "cert.pem")
    )
    authority.cert_pem.write_to_path(str(scratch / "ca.pem"))
    return scratch / "ca.pem"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("nginx did not start")
