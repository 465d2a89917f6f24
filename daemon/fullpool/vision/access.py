"""How the network may be used: TLS, proxy, timeouts."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from fullpool.counting import CountRequest, uncounted
from fullpool.model import Stop
from fullpool.proxies import DIRECT, Route


@dataclass(frozen=True, slots=True)
class Access:
    """How the network may be used. *context* is the one TLS context of the process."""

    context: ssl.SSLContext
    monotonic: Callable[[], float]
    stop: Stop
    allow_http: bool = False
    read_timeout_s: float = 30.0
    deadline_s: float = 1800.0
    route: Route = DIRECT
    count: CountRequest = uncounted
