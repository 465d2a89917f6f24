"""The timetable of jobs, which only leave messages. Owns APScheduler.

Nothing is stored: what is due is in the state, so a job that was missed loses nothing.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from fullpool import logs
from fullpool.config import Schedule
from fullpool.timing import Every, Timing

log = logs.get_logger()

# The clock was set, or the machine slept, if it and the monotonic clock part by more than this.
_JUMP: Final = timedelta(seconds=2)
_LOOK_EVERY_S: Final = 1.0
# Just after bars closed, and installations do not ask all at once.
_SECOND: Final = random.randint(1, 5)  # noqa: S311 - no secret


class Job(StrEnum):
    """What the daemon does by the clock, the most urgent first."""

    FOLLOW = "follow"
    TICK = "tick"
    PATCH = "patch"
    AUDIT = "audit"
    HOUSEKEEPING = "housekeeping"
    PUBLISH = "publish"


class Timetable:
    """Calls *ask* with each job when its time has come; *ask* must return at once."""

    def __init__(self, ask: Callable[[Job], None], now: Callable[[], datetime]) -> None:
        self._ask = ask
        self._now = now
        self._applied: dict[Job, tuple[Timing, float, int]] = {}
        self._stopped = threading.Event()
        self._changing = threading.Lock()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            # A job that comes late runs once, however late it is and however often it was missed.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def apply(self, schedule: Schedule) -> list[Job]:
        """Make the timetable match; return the jobs that changed. The others keep their timers."""
        with self._changing:
            wanted = {job: (schedule.timing(job), *_spread(job, schedule)) for job in Job}
            changed = [job for job in Job if self._applied.get(job) != wanted[job]]
            for job in changed:
                trigger = _trigger(*wanted[job])
                self._scheduler.add_job(
                    self._ask, trigger, args=[job], id=job, replace_existing=True
                )
            self._applied = wanted
        return changed

    def start(self) -> None:
        self._scheduler.start()
        threading.Thread(target=self._watch_clock, name="clock", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def next_run(self) -> datetime | None:
        """Return when the next tick is due."""
        job = self._scheduler.get_job(Job.TICK)
        return job.next_run_time if job else None

    def was_missed(self, job: Job, last: datetime | None, *, may_wait: bool) -> bool:
        """Whether *job*, which ran at *last*, should have run since.

        *may_wait*: its timer was running when it was due, and may still wait for its jitter.
        """
        if last is None:
            return False
        timing, jitter_s, _ = self._applied[job]
        due = _trigger(timing, 0.0, 0).get_next_fire_time(last, last + timedelta(seconds=1))
        patience = timedelta(seconds=jitter_s if may_wait else 0)
        return due is not None and due + patience <= self._now()

    def _watch_clock(self) -> None:
        offset = self._offset()
        while not self._stopped.wait(_LOOK_EVERY_S):
            jump, offset = self._offset() - offset, self._offset()
            if abs(jump) > _JUMP:
                log.warning("clock.jumped", seconds=round(jump.total_seconds(), 1))
                self.clock_jumped(jump)

    def _offset(self) -> timedelta:
        return self._now() - datetime.fromtimestamp(time.monotonic(), UTC)

    def clock_jumped(self, jump: timedelta) -> None:
        """Keep the jobs going after the clock was set by *jump*.

        Set forward, what is overdue runs at once, and once. Set back, APScheduler would wait until
        the clock has come as far again: intervals go on as if nothing had happened, and times of
        the clock are computed again.
        """
        with self._changing:
            if jump < timedelta(0):
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=self._after_setback(job, jump))
            self._scheduler.wakeup()

    def _after_setback(self, job: Any, jump: timedelta) -> datetime:
        timing, *_ = self._applied[Job(job.id)]
        if isinstance(timing, Every):
            moved: datetime = job.next_run_time + jump
            return moved
        next_time: datetime = job.trigger.get_next_fire_time(None, self._now())
        return next_time


def check(schedule: Schedule) -> None:
    """Raise ValueError if APScheduler would not take one of the times."""
    for job in Job:
        _trigger(schedule.timing(job), *_spread(job, schedule))


def _spread(job: Job, schedule: Schedule) -> tuple[float, int]:
    """Return by how much a job is late at random, and the second of the minute at which it is due.

    What follows has a second of its own instead of being late.
    """
    return (0.0, _SECOND) if job is Job.FOLLOW else (schedule.jitter_s, 0)


def _trigger(timing: Timing, jitter_s: float, second: int) -> Any:
    if isinstance(timing, Every):
        # Installations start at different times, so that an interval needs no jitter.
        return IntervalTrigger(seconds=int(timing.interval.total_seconds()), timezone=UTC)
    return CronTrigger(
        second=second,
        minute=timing.minute,
        hour=timing.hour,
        day=timing.day,
        month=timing.month,
        day_of_week=timing.weekday,
        timezone=UTC,
        jitter=int(jitter_s) or None,
    )
