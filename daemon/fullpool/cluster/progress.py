"""What a worker has asked and received, told to the coordinator from time to time."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

_EVERY_S: Final = 0.5

Tell = Callable[[dict[str, Any]], object]


class Progress:
    """Counts requests and bytes of all threads; *tell* gets what was not told yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int | None]] = Counter()
        self._received_bytes = 0
        self._told = time.monotonic()
        self.tell: Tell = lambda _: None

    def requested(self, host: str, status: int | None) -> None:
        with self._lock:
            self._requests[host, status] += 1
        self._tell_if_due()

    def received(self, size_bytes: int) -> None:
        with self._lock:
            self._received_bytes += size_bytes
        self._tell_if_due()

    def _tell_if_due(self) -> None:
        if time.monotonic() - self._told >= _EVERY_S:
            self.tell_now()

    def tell_now(self) -> None:
        """Tell what was not told yet, if anything."""
        with self._lock:
            requests, self._requests = self._requests, Counter()
            received, self._received_bytes = self._received_bytes, 0
            self._told = time.monotonic()
        if requests or received:
            told = [[host, status, count] for (host, status), count in requests.items()]
            self.tell({"requests": told, "received_bytes": received})
