"""What a worker has asked and received, reported to the coordinator from time to time."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

_EVERY_S: Final = 0.5

Report = Callable[[dict[str, Any]], object]


class Progress:
    """Counts requests and bytes of all threads; *report* gets what it was not given yet."""

    def __init__(self, report: Report) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int | None]] = Counter()
        self._received_bytes = 0
        self._reported_at = time.monotonic()
        self._report = report

    def requested(self, host: str, status: int | None) -> None:
        with self._lock:
            self._requests[host, status] += 1
        self._report_if_due()

    def received(self, size_bytes: int) -> None:
        with self._lock:
            self._received_bytes += size_bytes
        self._report_if_due()

    def _report_if_due(self) -> None:
        if time.monotonic() - self._reported_at >= _EVERY_S:
            self.report_now()

    def report_now(self) -> None:
        """Report what was not reported yet, if anything."""
        with self._lock:
            requests, self._requests = self._requests, Counter()
            received, self._received_bytes = self._received_bytes, 0
            self._reported_at = time.monotonic()
        if requests or received:
            counts = [[host, status, count] for (host, status), count in requests.items()]
            self._report({"requests": counts, "received_bytes": received})
