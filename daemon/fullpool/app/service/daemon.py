"""`fullpool run`: the daemon's main loop.

The main thread does all the work, one job after the other, and alone uses the state. Others only
leave it messages: the timetable when a job is due, the lookout when the configuration was edited.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from fullpool import __version__, logs
from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, working
from fullpool.app.configuration import require_certificates, tree_of
from fullpool.app.lock import Held, writing
from fullpool.app.service.control import Asked, ReloadReply, listening
from fullpool.app.service.follower import Follower
from fullpool.app.service.housekeeping import keep_house
from fullpool.app.service.reload_request import require_same_lake
from fullpool.app.service.remote_copy import RemoteCopy
from fullpool.app.service.reporting import Reporting
from fullpool.app.signals import Flag, be_patient
from fullpool.config import Config
from fullpool.errors import (
    ConfigError,
    FullpoolError,
    LakeNewerError,
    MetricsError,
    StateDamagedError,
)
from fullpool.jobs import Job, Timetable, check
from fullpool.reload import ConfigChange, Lookout
from fullpool.store import inventory
from fullpool.store.catalogue.figures import figures_of
from fullpool.store.duck import map_errors
from fullpool.store.state.passes import ConfigEdit
from fullpool.store.state.writer import State
from fullpool.store.tree import SPILL, empty
from fullpool.sync.damage import tell_gone
from fullpool.sync.follow import Followed
from fullpool.sync.outcome import Outcome
from fullpool.sync.passes import run_audit, run_patch, run_tick
from fullpool.sync.publishing import publish_state
from fullpool.sync.work import Work

log = logs.get_logger()

_PATIENCE_S: Final = 1.0
# Errors that the next try meets again: the process ends, and starts with a clean one.
_FATAL: Final = (StateDamagedError, LakeNewerError)
_PASSES: Final[dict[Job, Callable[[Work, State, str], Outcome]]] = {
    Job.TICK: run_tick,
    Job.PATCH: run_patch,
    Job.AUDIT: run_audit,
}

Message = Job | ConfigChange | BaseException


def run(path: Path, config: Config, stop: Flag, asked: Asked) -> None:
    """Keep the lake of *config*, which *path* holds, full until *stop* is set.

    *asked*: look at the configuration now. Raises LakeBusyError, and whatever keeps it from
    starting or from using its own state.
    """
    tree = tree_of(config)
    with (
        writing(tree, "run", clock.now()) as held,
        Reporting(path, config, stop) as reporting,
        opened_state(tree, held) as state,
        listening(tree.control, config.lake.control_group, asked),
        Follower(state, stop, reporting.liveness.moved, reporting.activity.requested) as follower,
        RemoteCopy(lambda: reporting.config),
    ):
        be_patient()
        held.watch_state()
        tell_gone(inventory.sweep(state, tree, clock.now()))
        Daemon(path, config, state, reporting, held, follower, stop).run(asked)


class Daemon:
    """The jobs of one lake, and the configuration they run by at any time."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a daemon is made of
        self, path: Path, config: Config, state: State, reporting: Reporting, held: Held,
        follower: Follower, stop: Flag,
    ) -> None:  # fmt: skip
        self._path = path
        self._config = config
        self._state = state
        self._tree = tree_of(config)
        self._reporting = reporting
        self._held = held
        self._stop = stop
        self._draining = Flag()
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._pending: dict[Job, None] = {}  # in the order of arrival
        self._follower = follower
        self._timetable = Timetable(follower.before(self._inbox.put), clock.now)

    def run(self, asked: Asked) -> None:
        """Do what is due, then what becomes due, until stopped."""
        self._timetable.apply(self._config.schedule)
        self._timetable.start()
        self._pending = dict.fromkeys((Job.TICK, Job.PATCH, Job.PUBLISH, *self._missed()))
        threading.Thread(target=self._look_out, args=(asked,), name="lookout", daemon=True).start()
        log.info("daemon.started", version=__version__, config=str(self._path))
        self._reporting.ready()
        try:
            while not self._stop.is_set():
                self._gather()
                self._held.require_in_place()
                self._do_next()
        except _FATAL:
            self._held.require_in_place()  # a lake that was moved away makes its state look damaged
            raise
        finally:
            self._timetable.stop()
        log.info("daemon.stopped", forced=False)

    def _missed(self, *, may_wait: bool = False) -> list[Job]:
        """Return what should have run while no daemon did, or the machine slept."""
        last = self._state.queries.last_audit(clock.now())
        return [Job.AUDIT] if self._timetable.was_missed(Job.AUDIT, last, may_wait=may_wait) else []

    def _gather(self) -> None:
        """Take the messages; wait for one if there is nothing else to do."""
        timeout = 0.0 if self._pending else _PATIENCE_S
        while True:
            self._reporting.liveness.moved()
            self._reporting.next_tick = self._timetable.next_run()
            try:
                message = self._inbox.get(timeout=timeout)
            except Empty:
                return
            timeout = 0.0
            self._receive(message)

    def _receive(self, message: Message) -> None:
        match message:
            case Job.FOLLOW:
                self.follow_if_due()
            case Job():
                self._pending.setdefault(message)
            case ConfigChange():
                self._pending |= dict.fromkeys((Job.TICK, Job.PUBLISH))
                with self._guarded("config"):
                    edit = ConfigEdit(
                        clock.now(), str(self._path), message.sha256, message.problems
                    )
                    self._state.passes.record_edit(edit)
            case _:
                raise message  # a thread of ours has ended that never should

    def _do_next(self) -> None:
        job = next(iter(self._pending), None)
        if job is None:
            return
        del self._pending[job]
        with logs.bound(job=str(job)), self._guarded(job):
            self._do(job)
        self._reporting.say()  # a pass may be shorter than the second between two reports
        with self._guarded("metrics"):
            self._reporting.measured(figures_of(self._state.connection))

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Report what cannot be done now, and go on: the next try may find it fixed."""
        try:
            with map_errors(f"doing what is due ({name})"):
                yield
            self._reporting.activity.cleared(name)
        except _FATAL:
            raise
        except FullpoolError as error:
            log.error("job.failed", reason=str(error), hint=error.hint)  # noqa: TRY400 - it is told
            self._reporting.activity.troubled(name, str(error))
            if name == Job.TICK:
                # What no archive was asked for yet is no gap to ask the API for.
                self._pending.pop(Job.PATCH, None)

    def _do(self, job: Job) -> None:
        activity = self._reporting.activity
        if job in _PASSES:
            activity.started("checking what is due")
            with self._reporting.timed(str(job)):
                outcome = self._pass(job)
            if outcome.lost:
                self._pending.setdefault(Job.TICK)
            if job is Job.TICK and (outcome.built or outcome.open_gaps):
                self._pending.setdefault(Job.PATCH)
            if self._draining.is_set():
                self._pending.setdefault(job)  # cut short by an edit: it begins again
            activity.ended(job, outcome.troubles)
        elif job is Job.PUBLISH:
            generation = self._state.next_value("generation")
            if publish_state(self._state, self._tree, generation, clock.now()):
                self._pending.setdefault(Job.TICK)  # what was gone is due again
        else:
            keep_house(self._state, self._tree, self._config.lake.grace, clock.now())
            self._pending |= dict.fromkeys(self._missed(may_wait=True))

    def follow_if_due(self) -> None:
        """Do what `follow_now` does, if it is time."""
        if self._follower.is_due():
            self.follow_now()

    def follow_now(self) -> None:
        """Ask for what was closed since the last time, between two results of a pass as well."""
        with logs.bound(job=str(Job.FOLLOW)), self._guarded(Job.FOLLOW):
            told = (followed := self._follower.run(self._config)) or Followed()
            self._reporting.activity.followed(told.behind, list(told.troubles.values()))
            if followed is not None:
                self._reporting.measured_if_old(lambda: figures_of(self._state.connection))

    def _pass(self, job: Job) -> Outcome:
        self._draining.clear()  # before the configuration is read: an edit from here on counts
        config, reporting = self._config, self._reporting
        builders = pools.processes(
            config.limits.builders, self._stop, reporting.liveness.worker_started
        )
        with (
            inventory.swept_if_cut_short(self._state, self._tree, self._stop, self._held.is_ours),
            self._follower.lent(config) as client,
            working(
                config,
                reporting.activity,
                self._stop,
                builders,
                bans=self._state.queries.bans(),
                draining=self._draining,
                sleep=clock.sleeper(self._stop, reporting.liveness.moved),
                following=self,
                client=client,
            ) as work,
        ):
            outcome = _PASSES[job](work, self._state, str(job))
            if work.rest is not None and work.rest.requests:
                reporting.weights = work.rest.weights()
        pools.give_back_memory()
        if not self._stop.is_set():
            empty(self._tree.staging, keep=SPILL)  # what a worker left that died
        return outcome

    def _look_out(self, asked: Asked) -> None:
        """Apply every valid edit of the configuration, refuse the others. Runs in its thread."""
        lookout = Lookout(
            self._path, self._config, self._accept,
            stop=self._stop, asked=asked, sleep=clock.sleeper(self._stop),
        )  # fmt: skip
        try:
            for look in lookout.looks():
                self._answer(look, asked)
        except Exception as error:  # noqa: BLE001 - the main thread ends with it
            self._draining.set()
            self._inbox.put(error)

    def _accept(self, config: Config) -> None:
        """Raise ConfigError for a configuration that cannot take the place of the present one."""
        _require_fit(self._config, config, str(self._path), self._reporting)

    def _answer(self, look: ConfigChange, asked: Asked) -> None:
        """Take over what a look found, and tell everybody."""
        if look.is_asked:
            self._reporting.manager.reloading()
        problems = look.problems if look.is_news else self._reporting.activity.refused
        if look.config is not None:
            changed = self._timetable.apply(look.config.schedule)
            self._config = self._reporting.config = look.config
            self._draining.set()  # the pass that runs finishes what it began; the next asks again
            jobs = [str(job) for job in changed]
            log.info("config.applied", path=str(self._path), sha256=look.sha256, jobs=jobs)
        elif look.error is not None:
            log.error("config.refused", path=str(self._path), problems=list(problems))
        self._reporting.looked(problems)
        if look.is_asked:
            self._reporting.manager.ready()
            asked.answer(ReloadReply(str(self._path), problems, self._reporting.text()))
        if look.config is not None or (look.is_news and look.is_new):
            self._inbox.put(look)


def _require_fit(before: Config, after: Config, path: str, reporting: Reporting) -> None:
    """Raise ConfigError if a configuration cannot take the place of another while we run."""
    require_same_lake(before, after)
    if after.network.ca_file != before.network.ca_file:
        require_certificates(after, path)
    try:
        check(after.schedule)
        reporting.apply(after.metrics)
    except (MetricsError, ValueError) as error:
        raise ConfigError(path, (str(error),)) from error
