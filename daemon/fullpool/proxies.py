"""Which proxy a host is reached by."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

ENVIRONMENT, NONE = "env", "none"
SCHEMES: Final = ("http", "https")
# A proxy would look for these on its own machine.
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PORTS: Final = {"http": 80, "https": 443}

# The proxy that an address is reached by; None if it is reached directly.
ProxyOf = Callable[[str], "Proxy | None"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, with what it is to be told of who asks; *shown* has no password."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)

    @property
    def netloc(self) -> str:
        """Host and port; an address of IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def proxy_in(text: str) -> Proxy:
    """Return the proxy that a URL names, without a scheme by http. Raises ValueError."""
    url = text if "://" in text else f"http://{text}"
    wrong = ValueError("must be the address of a proxy like http://proxy.example:3128")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None  # its text would show the password
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise wrong
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return Proxy(url, parts.scheme, parts.hostname, port or _PORTS[parts.scheme], headers)


def proxies(setting: str, environment: Mapping[str, str]) -> ProxyOf:
    """Return which proxy each address is reached by.

    *setting* is `env`, `none` or a URL; *environment* has proxies by scheme, and under `no` the
    hosts that are reached directly, as urllib reads it. Raises ValueError naming what is no proxy.
    """
    known = _known(setting, environment)
    # What has a proxy of its own has no need of the one for all, which may be none that we know.
    used = [name if known.get(name) else "all" for name in SCHEMES]
    by_scheme = {name: _named(name, known[name]) for name in used if known.get(name)}

    def proxy_of(url: str) -> Proxy | None:
        parts = urlsplit(url)
        found = by_scheme.get(parts.scheme) or by_scheme.get("all")
        if not found or parts.hostname in _LOOPBACK:
            return None
        is_direct = proxy_bypass_environment(parts.netloc.rpartition("@")[2], known)
        return None if is_direct else found

    return proxy_of


def _known(setting: str, environment: Mapping[str, str]) -> dict[str, str]:
    if setting == NONE:
        return {}
    if setting == ENVIRONMENT:
        return dict(environment)
    return {"all": setting, "no": environment.get("no", "")}


def _named(name: str, text: str) -> Proxy:
    try:
        return proxy_in(text)
    except ValueError as error:
        raise ValueError(f"{name.upper()}_PROXY {error}") from error


def direct(_url: str) -> Proxy | None:
    """Reach everything without a proxy."""
    return None


@dataclass(frozen=True, slots=True)
class Route:
    """How hosts are reached: by which proxy, and how long a connection may take to come about."""

    connect_timeout_s: float = 5.0
    proxy_of: ProxyOf = direct


DIRECT: Final = Route()
