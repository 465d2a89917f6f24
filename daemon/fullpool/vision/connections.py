"""Connections for http.client, direct or by proxy."""

import http.client
import socket
import ssl

from fullpool.dialing import dial
from fullpool.errors import UntrustedError
from fullpool.proxies import Proxy
from fullpool.vision.access import Access
from fullpool.vision.tunnel import behind


def connection_to(scheme: str, host: str, access: Access) -> http.client.HTTPConnection:
    """Return a connection that is not open yet; TLS to the host goes through a proxy's tunnel."""
    proxy = access.route.proxy_of(f"{scheme}://{host}")
    where = proxy.netloc if proxy else host
    timeout_s = access.read_timeout_s
    made: http.client.HTTPConnection
    if scheme == "https":
        made = http.client.HTTPSConnection(where, timeout=timeout_s, context=access.context)
        if proxy is not None:
            made.set_tunnel(host, headers=dict(proxy.headers))
    else:
        made = http.client.HTTPConnection(where, timeout=timeout_s)

    def connect(address: tuple[str, int], _timeout: object, _source: object) -> socket.socket:
        """Connect, in place of http.client, which tries one address after the other."""
        return _connected(address, proxy, access, is_tls=scheme == "https")

    made._create_connection = connect  # type: ignore[attr-defined] # noqa: SLF001
    return made


def _connected(
    address: tuple[str, int], proxy: Proxy | None, access: Access, *, is_tls: bool
) -> socket.socket:
    plain = dial(*address, access.route.connect_timeout_s, access.stop, access.monotonic)
    plain.settimeout(access.read_timeout_s)  # of TLS, of a tunnel, and of what is asked
    if proxy is None or proxy.scheme == "http":
        return plain
    try:
        outer = access.context.wrap_socket(plain, server_hostname=proxy.host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise UntrustedError(
            f"connecting to the proxy {proxy.shown}: {error.verify_message}"
        ) from error
    return behind(outer) if is_tls else outer
