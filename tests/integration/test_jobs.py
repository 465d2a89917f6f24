"""The timetable: real schedulers and real waiting, over clocks that jump."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock

import pytest
import time_machine

from fullpool.app import clock
from fullpool.config import Schedule
from fullpool.jobs import Job, Timetable
from served import wait

NEVER = dict.fromkeys(map(str, Job), "30d")


def schedule(**times: str) -> Schedule:
    return Schedule(**(NEVER | times), jitter_s=0.0)


class Asked:
    """A timetable, and how often it asked for what."""

    def __init__(self) -> None:
        self.counts: Counter[Job] = Counter()
        self._lock = Lock()
        self.timetable = Timetable(self._ask, clock.now)

    def _ask(self, job: Job) -> None:
        with self._lock:
            self.counts[job] += 1


@pytest.fixture
def asked() -> Iterator[Asked]:
    one = Asked()
    yield one
    one.timetable.stop()


def test_jobs_run_again_and_again(asked: Asked) -> None:
    asked.timetable.apply(schedule(tick="1s", patch="2s"))
    asked.timetable.start()
    wait(5.5)

    assert 4 <= asked.counts[Job.TICK] <= 6
    assert 2 <= asked.counts[Job.PATCH] <= 3
    assert asked.counts[Job.AUDIT] == 0


def test_unchanged_job_keeps_its_timer(asked: Asked) -> None:
    asked.timetable.apply(schedule(tick="3s", patch="20d"))
    asked.timetable.start()
    wait(2)
    changed = asked.timetable.apply(schedule(tick="3s", patch="1s"))
    wait(1.7)

    assert changed == [Job.PATCH]
    assert asked.counts == {Job.TICK: 1, Job.PATCH: 1}


@pytest.mark.parametrize("hours", [-5, 5])
def test_setting_clock_neither_stops_nor_doubles_jobs(asked: Asked, hours: int) -> None:
    with time_machine.travel(datetime.now(UTC), tick=True) as machine:  # noqa: TID251 - its start
        asked.timetable.apply(schedule(tick="2s", audit="17 4 * * *"))
        asked.timetable.start()
        wait(3)
        before = asked.counts[Job.TICK]
        machine.shift(timedelta(hours=hours))
        wait(8)

    ran = asked.counts[Job.TICK] - before
    assert 3 <= ran <= 5  # every 2 s of 8, and once more if what was overdue ran at once
    assert asked.counts[Job.AUDIT] <= 1


def test_daily_job_runs_after_clock_was_ahead(asked: Asked) -> None:
    with time_machine.travel(datetime(2027, 3, 1, 4, 0, tzinfo=UTC), tick=True) as machine:
        asked.timetable.apply(schedule(audit="17 4 * * *"))
        asked.timetable.start()
        wait(1.5)
        machine.move_to(datetime(2026, 3, 1, 4, 16, 56, tzinfo=UTC))
        wait(7)

    assert asked.counts[Job.AUDIT] == 1


def test_what_should_have_run_was_missed(asked: Asked) -> None:
    asked.timetable.apply(schedule(audit="17 4 * * *"))
    now = clock.now()

    missed = partial(asked.timetable.was_missed, Job.AUDIT, may_wait=False)
    assert missed(now - timedelta(days=1, minutes=1))
    assert not missed(now - timedelta(seconds=1))


def test_a_job_within_its_jitter_is_not_missed() -> None:
    now = [datetime(2024, 3, 2, 4, 40, tzinfo=UTC)]
    timetable = Timetable(lambda _: None, lambda: now[0])
    timetable.apply(Schedule(**(NEVER | {"audit": "17 4 * * *"}), jitter_s=1800.0))
    missed = partial(timetable.was_missed, Job.AUDIT, datetime(2024, 3, 1, 4, 31, tzinfo=UTC))

    assert missed(may_wait=False)  # its timer began after it was due
    assert not missed(may_wait=True)
    now[0] += timedelta(minutes=10)
    assert missed(may_wait=True)


def test_the_next_tick_is_told(asked: Asked) -> None:
    asked.timetable.apply(schedule(tick="1h"))
    asked.timetable.start()

    found = asked.timetable.next_run()

    assert found is not None
    assert timedelta(minutes=59) < found - clock.now() <= timedelta(hours=1)
