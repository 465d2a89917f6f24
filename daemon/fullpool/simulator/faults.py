"""Faults on demand: which requests fail, how, and how often."""

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

KINDS = ("status", "truncate", "reset", "tamper", "html", "slow", "redirect", "body", "hangup")


@dataclass
class Fault:
    """One way to fail, for the first *times* requests whose key fits *pattern* (0: forever).

    status: answers with *value* as the HTTP status. truncate: ends after *value* bytes. reset: the
    same, with a TCP reset. tamper: flips a bit of byte *value*. html: 200 and a web page. slow:
    waits *value* milliseconds. redirect: to another host. body: 200 and *text*. hangup: closes a
    connection that was kept, without an answer.
    """

    pattern: str
    kind: str
    value: int = 0
    times: int = 0
    text: str = ""
    _used: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def strikes(self, key: str) -> bool:
        """Whether this request fails; counts it if so."""
        if not fnmatchcase(key, self.pattern):
            return False
        with self._lock:
            self._used += 1
            return not self.times or self._used <= self.times


def fault_from(text: str) -> Fault:
    """Read `PATTERN=KIND[:VALUE[:TIMES]]`, as in `*.zip=status:503:2`. Raises ValueError."""
    pattern, separator, rest = text.rpartition("=")
    kind, *numbers = rest.split(":")
    are_numbers = all(number.isdigit() for number in numbers)
    if not separator or kind not in KINDS or len(numbers) > 2 or not are_numbers:
        raise ValueError(f"a fault is PATTERN=KIND[:VALUE[:TIMES]], KIND one of {', '.join(KINDS)}")
    value, times = [*map(int, numbers), 0, 0][:2]
    return Fault(pattern, kind, value, times)
