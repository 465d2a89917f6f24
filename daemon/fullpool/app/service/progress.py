"""What the daemon is doing, as text for the status line."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from fullpool.app.service.liveness import Liveness
from fullpool.model import Known, Status, Step

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_LONGEST_REASON: Final = 200
# What stands for the status of a request that got no answer.
NO_ANSWER: Final = "none"


class Activity:
    """Watches the passes and keeps the words for what they do. Used by several threads."""

    def __init__(self, liveness: Liveness) -> None:
        self.downloaded_bytes = self.open_gaps = 0
        self.follow_behind = self.follow_failed = 0
        self.refused: tuple[str, ...] = ()
        self._liveness = liveness
        self._lock = threading.Lock()
        self._wanted = 0
        self._doing = "starting"
        self._archives_left = self._bytes_left = self._filling = 0
        self._began = (0.0, 0, 0)
        self._troubles: dict[str, str] = {}
        self._missing: dict[str, tuple[int, str]] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        self.quarantines = 0

    def text(self, next_tick: datetime | None) -> str:
        """Return one line: what is going on, or how full the lake is; then what is wrong."""
        doing = self._progress() if self._doing == "filling" else self._doing
        trouble = next(iter(self._troubles.values()), "")
        if not doing:
            doing = self._idle(trouble, next_tick)
        elif trouble:
            doing += f"; the last attempt failed: {trouble}"
        if self.refused:
            count = counted(len(self.refused), "problem")
            doing += f"; the last edit of the configuration was refused ({count})"
        return doing

    def _idle(self, trouble: str, next_tick: datetime | None) -> str:
        then = f"; next check at {next_tick:%H:%M:%S} UTC" if next_tick else ""
        if trouble:
            return f"waiting: {trouble}{then}"
        series = counted(self._wanted, "series")
        missing = sum(count for count, _ in self._missing.values())
        if missing:
            failed = counted(missing, "failed item")
            example = next(text for _, text in self._missing.values() if text)
            return f"{series} up to date except {failed}: {example}{then}"
        if self.open_gaps:
            gaps = counted(self.open_gaps, "open gap")
            return f"{series} up to date except {gaps} (`fullpool gaps --open`){then}"
        return f"{series} up to date{then}"

    def _progress(self) -> str:
        began, archives, size_bytes = self._began
        spent = time.monotonic() - began
        done = size_bytes - self._bytes_left
        by_bytes = self._bytes_left / done if done > 0 else 0.0
        finished = archives - self._archives_left
        by_count = self._archives_left / finished if finished else 0.0
        left = f", {rough(spent * max(by_bytes, by_count))}" if finished else ""
        return (
            f"filling {self._filling:,} of {self._wanted:,} series,"
            f" {counted(self._archives_left, 'archive')} left{left}"
        )

    def started(self, what: str) -> None:
        self._doing = what
        self._liveness.moved()

    def ended(self, job: str, troubles: Sequence[str]) -> None:
        """Record that a job came to its end, and what it could not have."""
        self._doing = ""
        self._missing.pop(job, None)
        if troubles:
            self._missing[job] = (len(troubles), _short(troubles[0]))

    def followed(self, behind: int, troubles: Sequence[str]) -> None:
        """Record how following went: how many series the weight did not suffice for, and errors."""
        self._liveness.moved()
        self._missing.pop("follow", None)
        self.follow_behind, self.follow_failed = behind, len(troubles)
        if troubles:
            self._missing["follow"] = (len(troubles), _short(troubles[0]))
        elif behind:
            reason = f"{counted(behind, 'series')} wait for the API's weight of the next minute"
            self._missing["follow"] = (behind, reason)

    def cleared(self, job: str) -> None:
        """Record that nothing keeps a job from its work any more."""
        self._troubles.pop(job, None)

    def troubled(self, job: str, reason: str) -> None:
        """Record what keeps a job from its work."""
        self._doing = ""
        self._troubles[job] = _short(reason)

    def listing(self, series: int) -> None:
        self._liveness.moved()
        if series:
            self._doing = f"listing {counted(series, 'series')} at the vendor"

    def listed(self) -> None:
        self._liveness.moved()

    def discovered(self, series: int) -> None:
        self._wanted = series
        self._liveness.moved()

    def planned(self, steps: Sequence[Step]) -> None:
        with self._lock:
            self._archives_left = sum(len(step.archives) for step in steps)
            self._bytes_left = sum(step.size_bytes for step in steps)
            self._filling = len({step.series for step in steps})
            self._began = (time.monotonic(), self._archives_left, self._bytes_left)
            self._doing = "filling"

    def requested(self, host: str, status: int | None) -> None:
        """Count a request by what came of it."""
        with self._lock:
            self.requests[host, NO_ANSWER if status is None else str(status)] += 1

    def received(self, size_bytes: int) -> None:
        self._liveness.moved()
        with self._lock:
            self.downloaded_bytes += size_bytes
            self._bytes_left = max(self._bytes_left - size_bytes, 0)

    def recorded(self, known: Known) -> None:
        self._liveness.moved()
        self.quarantines += known.status is Status.QUARANTINED
        self._archives_left = max(self._archives_left - 1, 0)

    def published(self, generation: int) -> None:
        del generation
        self._liveness.moved()

    def asking(self, gaps: int, requests: int) -> None:
        self._liveness.moved()
        asked = counted(requests, "request")
        self._doing = f"asking the API for {counted(gaps, 'gap')} in {asked}"

    def answered(self) -> None:
        self._liveness.moved()


def _short(reason: str) -> str:
    return reason.splitlines()[0][:_LONGEST_REASON]


def counted(number: int, what: str) -> str:
    """Return `1 archive`, `2,000 archives`, `3 series`."""
    is_plural = number != 1 and not what.endswith("s")
    return f"{number:,} {what}{'s' if is_plural else ''}"


def rough(seconds: float) -> str:
    """Return a time in the unit a person would use."""
    whole = timedelta(seconds=seconds).total_seconds()
    if whole < _MINUTE_S:
        return f"{whole:.0f} s"
    if whole < 2 * _HOUR_S:
        return f"{whole / _MINUTE_S:.0f} min"
    return f"{whole / _HOUR_S:.0f} h"
