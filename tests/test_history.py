"""Whatever the vendor publishes, in any order: each row is held, patched or told to be missing.

A history is invented: archives come, lack rows, are of no use, are published anew or withdrawn, the
API knows some rows, the configuration is edited, files of the lake are lost, time passes, passes of
every kind run, meet a vendor in trouble or are killed. Then the lake is compared, row by row, with
what the archives on record and the API have. HISTORIES says how many are invented.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fullpool import sync
from fullpool.app.assembly import opened_state, working
from fullpool.app.lock import writing
from fullpool.app.verifying import foreign_files, recorded_files
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.model import EPOCH
from fullpool.simulator import Api, Fault
from fullpool.simulator.generate import zipped
from fullpool.store import duck, inventory
from fullpool.store.reader import reading
from fullpool.store.verifying import Inspection, inspect
from fullpool.sync import Done
from vendor import Seen, Vendor, ask, dataset, tree_of

A = TypeVar("A")
B = TypeVar("B")
# Rows that an archive lacks: (first, number) in hours, the first after the fourth day began.
Holes = Sequence[tuple[int, int]]

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
# The days of a history, counted from the first of its month.
FIRST, LAST = -5, 36
FROM_API: Final = 1_000_000
PASSES: Final = {
    "sync": sync.run_pass, "tick": sync.run_tick, "patch": sync.run_patch, "audit": sync.run_audit,
}  # fmt: skip
COVERED: Final = "SELECT present_rows, patched_rows FROM sync.coverage"
SETTLED: Final = {"present", "absent", "not_published"}

# The month (None), a few days next to each other, and where the month begins and ends.
periods = st.sampled_from([None, 3, 4, 5, 6, -1, 0, 30, 31])
runs = st.sampled_from(["", *PASSES])
holes = st.lists(st.tuples(st.integers(0, 96), st.sampled_from([1, 2, 24, 30])), max_size=3)
starts = st.sampled_from([None, FIRST, 5, 15])
troubles = st.builds(
    Fault, st.sampled_from(["*.zip", "*.CHECKSUM", "*"]),
    st.sampled_from(["status", "truncate", "html"]), st.just(503), st.integers(1, 20),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A row each *every*, whose place is its number since 1970; *month* has 31 days.

    *line* is of a place, the milliseconds where it begins and ends, and a volume.
    """

    series: str
    file: str
    rows: str
    every: timedelta
    month: date
    line: Callable[[int, int, int, int], str]


def kline(_place: int, opens: int, ends: int, volume: int) -> str:
    return f"{opens},1,2,0.5,1.5,{volume},{ends - 1},15,3,4,6,0\n"


def trade(place: int, at: int, _ends: int, volume: int) -> str:
    return f"{place},1.5,{volume},{place},{place},{at},True,True\n"


def klines(interval: str, every: timedelta, month: date) -> Kind:
    return Kind(
        f"spot/klines/AUSDT/{interval}",
        f"data/spot/{{}}/klines/AUSDT/{interval}/AUSDT-{interval}-{{}}.zip",
        f"SELECT epoch(open_time)::BIGINT // {every // SECOND}, volume::INTEGER, source"
        " FROM klines",
        every,
        month,
        kline,
    )


TRADES: Final = Kind(
    "spot/aggTrades/AUSDT",
    "data/spot/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip",
    "SELECT agg_trade_id, quantity::INTEGER, source FROM agg_trades",
    HOUR,
    date(2024, 3, 1),
    trade,
)


class Killed(BaseException):
    """The end of a process."""


class Inline:
    """Builds in this process: processes are not what is tested. *done* is told of each build."""

    def __init__(self, done: Callable[[], object]) -> None:
        self._done = done

    def start(self) -> None: ...

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], _weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        for item in items:
            try:
                built = function(item)
                self._done()
                yield Done(item, built, None)
            except FullpoolError as error:
                yield Done(item, None, error)


class History(RuleBasedStateMachine):
    """One vendor, one lake, one series.

    *archives* are those listed, by their names: places and volumes, which tell the edition. Of
    those in *spoiled* the listed edition is of no use; here is the one before.
    """

    kind = klines("1h", HOUR, date(2024, 3, 1))

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="history-"))
        self.stack.callback(shutil.rmtree, self.folder)
        self.stack.callback(duck.of_worker.cache_clear)
        self.vendor = self.stack.enter_context(Vendor(self.folder / "vendor"))
        self.twin = self.folder / "twin"
        self.twin.mkdir()
        self.vendor.simulator.api = Api(self.twin)
        self.days = [self.kind.month + n * DAY for n in range(FIRST, LAST + 1)]
        self.month = self.kind.month.isoformat()[:7]
        self.edition = 0
        self.archives: dict[str, dict[int, int]] = {}
        self.editions: dict[int, tuple[str, set[int]]] = {}
        self.spoiled: set[str] = set()
        self.unsigned: set[str] = set()
        self.withdrawn: set[str] = set()
        self.known_to_api: set[int] = set()
        self.moments_left = 0

    def teardown(self) -> None:
        with self.stack:
            self.compare()

    @initialize(
        start=starts, is_late=st.booleans(), count=st.integers(1, LAST - FIRST + 1),
        month=st.one_of(st.none(), holes), then=runs,
    )  # fmt: skip
    def begin(
        self, start: int | None, count: int, month: Holes | None, then: str, *, is_late: bool
    ) -> None:
        self.start = start
        self.now = self.midnight(38 if is_late else 31) + 7 * HOUR
        for day in self.days[:count]:
            if day < self.now.date():
                self.put(str(day), [])
        if month is not None:
            self.put(self.month, month)
        self.run(then)

    def midnight(self, day: int) -> datetime:
        return datetime(*self.kind.month.timetuple()[:3], tzinfo=UTC) + day * DAY

    def name_of(self, period: int | None) -> str:
        return self.month if period is None else f"{self.midnight(period):%Y-%m-%d}"

    def is_over(self, name: str) -> bool:
        return name <= f"{self.now - DAY:%Y-%m-%d}"

    def place_at(self, moment: datetime) -> int:
        """Return the first place that begins there or after."""
        return -((EPOCH - moment) // self.kind.every)

    def places_of(self, name: str, lacking: Holes = ()) -> list[int]:
        """Return the places of a day or of the month, but for those that are lacking."""
        inside = [day for day in self.days if str(day).startswith(name)]
        first, end = ((day - self.kind.month) // DAY for day in (inside[0], inside[-1] + DAY))
        gone: set[int] = set()
        for hour, hours in lacking:
            at = self.midnight(3) + hour * HOUR
            gone.update(range(self.place_at(at), self.place_at(at + hours * HOUR)))
        whole = range(self.place_at(self.midnight(first)), self.place_at(self.midnight(end)))
        return [place for place in whole if place not in gone]

    def begins(self, place: int) -> datetime:
        return EPOCH + place * self.kind.every

    def day_of(self, place: int) -> str:
        return f"{self.begins(place):%Y-%m-%d}"

    @rule(period=periods, lacking=holes, then=runs)
    def publish(self, period: int | None, lacking: Holes, then: str) -> None:
        if self.is_over(self.name_of(period)):
            self.put(self.name_of(period), lacking)
            self.run(then)

    def put(self, name: str, lacking: Holes) -> None:
        rows = self.new_rows(name, lacking)
        if rows:
            self.archives[name] = rows
            self.editions[self.edition] = name, set(rows)
            self.show(name, self.zipped(name, rows))

    def new_rows(self, name: str, lacking: Holes) -> dict[int, int]:
        self.edition += 1
        return dict.fromkeys(self.places_of(name, lacking), self.edition)

    def show(self, name: str, content: bytes) -> None:
        """Have the vendor list an archive with a right CHECKSUM."""
        self.forgive(name)
        self.vendor.put_bytes(self.key(name), content, self.now + self.edition * SECOND)

    def forgive(self, name: str) -> None:
        self.spoiled.discard(name)
        self.unsigned.discard(name)
        self.meet()
        (self.vendor.folder / f"{self.key(name)}.CHECKSUM").unlink(missing_ok=True)

    def meet(self, *troubles: Fault) -> None:
        """Have the vendor be in those troubles, and have no CHECKSUM of what is unsigned."""
        absent = [Fault(f"{self.key(name)}.CHECKSUM", "status", 404) for name in self.unsigned]
        self.vendor.fail(*absent, *troubles)

    def key(self, name: str) -> str:
        return self.kind.file.format("monthly" if name == self.month else "daily", name)

    def zipped(self, name: str, rows: dict[int, int]) -> bytes:
        member = self.key(name).rpartition("/")[2].replace(".zip", ".csv")
        return zipped(member, "".join(self.line(*row) for row in rows.items()).encode())

    def line(self, place: int, volume: int) -> str:
        opens, ends = (int(self.begins(n).timestamp() * 1000) for n in (place, place + 1))
        return self.kind.line(place, opens, ends, volume)

    @rule(period=periods, how=st.sampled_from(["cut", "unsigned", "wrong sum"]), then=runs)
    def spoil(self, period: int | None, how: str, then: str) -> None:
        """Publish an edition that is of no use."""
        name = self.name_of(period)
        if not self.is_over(name):
            return
        content = self.zipped(name, self.new_rows(name, []))
        self.show(name, content[:-30] if how == "cut" else content)
        self.spoiled.add(name)
        if how == "unsigned":
            self.unsigned.add(name)
            self.meet()
        if how == "wrong sum":
            key = self.key(name)
            text = f"{'0' * 64}  {key.rpartition('/')[2]}\n"
            self.vendor.put_bytes(f"{key}.CHECKSUM", text.encode())
        self.run(then)

    @rule(period=periods)
    def withdraw(self, period: int | None) -> None:
        name = self.name_of(period)
        if (self.vendor.folder / self.key(name)).exists():
            self.archives.pop(name, None)
            self.withdrawn.add(name)
            self.forgive(name)
            self.vendor.remove(self.key(name))

    @rule(period=periods, lacking=holes)
    def api_learns(self, period: int | None, lacking: Holes) -> None:
        self.known_to_api.update(self.places_of(self.name_of(period), lacking))
        by_day: dict[str, list[int]] = {}
        for place in sorted(self.known_to_api):
            by_day.setdefault(self.day_of(place), []).append(place)
        for day, own in by_day.items():
            path = self.twin / self.key(day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.zipped(day, dict.fromkeys(own, FROM_API)))
        self.vendor.simulator.api.refresh()

    @rule(hours=st.sampled_from([1, 6, 30, 24 * 3, 24 * 10, 24 * 30]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(start=starts)
    def edit(self, start: int | None) -> None:
        self.start = start

    @rule(number=st.integers(0, 9))
    def lose(self, number: int) -> None:
        """Lose a file of the lake."""
        tree = tree_of(self.config)
        if files := [path for path, _ in inventory.partition_files(tree)]:
            (tree.root / files[number % len(files)]).unlink()

    @property
    def config(self) -> Config:
        start = "" if self.start is None else f"{self.midnight(self.start):%Y-%m-%d}"
        text = dataset(self.kind.series, start=start, end=str(self.days[-1]))
        return self.vendor.config(self.folder / "lake", text, rest={"enabled": "true"})

    @rule(name=runs)
    def run(self, name: str) -> None:
        if not name:
            return
        config, tree = self.config, tree_of(self.config)
        builders: Any = nullcontext(Inline(self.moment))
        with (
            writing(tree, name, self.now),
            opened_state(tree) as state,
            working(config, Seen(), Event(), builders, sleep=lambda _: None) as work,
        ):
            inventory.sweep(state, tree, self.now)
            PASSES[name](replace(work, now=self.moment), state, name)

    @rule(name=runs, trouble=troubles)
    def run_in_trouble(self, name: str, trouble: Fault) -> None:
        self.meet(trouble)
        with suppress(FullpoolError):
            self.run(name)
        self.meet()

    @rule(name=runs, moments=st.integers(1, 30))
    def kill(self, name: str, moments: int) -> None:
        """Run a pass that does not end: the lake stays as it was at one moment of it."""
        self.moments_left = moments
        with suppress(Killed):
            self.run(name)
        self.moments_left = 0
        if self.remains.exists():
            shutil.rmtree(self.folder / "lake")
            self.remains.rename(self.folder / "lake")

    @property
    def remains(self) -> Path:
        return self.folder / "remains"

    def moment(self) -> datetime:
        """Return the time; where the pass is to be killed, keep the lake as it is."""
        self.moments_left -= 1
        if not self.moments_left:
            shutil.copytree(self.folder / "lake", self.remains, symlinks=True)
            raise Killed
        return self.now

    @rule()
    def compare(self) -> None:
        """Let everything come to rest, then hold the lake to the archives and the API."""
        for name in ("audit", "sync", "sync"):
            self.now += 2 * DAY
            self.run(name)
        if not tree_of(self.config).current.exists():
            return
        self.require_whole()
        found = ask(self.config, self.kind.rows)
        held = {place: (volume, source) for place, volume, source in found}
        assert len(held) == len(found)
        lacking = self.lacking()
        assert not lacking & held.keys()
        self.require_expected(held, lacking)
        first = FIRST if self.start is None else self.start
        wanted = [self.name_of(day) for day in range(first, LAST + 1)]
        present = self.present(set(wanted))
        for day in wanted:
            for place in self.places_of(day):
                self.require_right(place, held.get(place), present)

    def require_whole(self) -> None:
        """Every file is what is recorded of it, and there is no other."""
        tree = tree_of(self.config)
        with reading(tree) as reader:
            for file in recorded_files(reader.memory):
                inspected = inspect(Inspection(file, tree.root, 512))
                assert not inspected.problems, inspected
            assert not foreign_files(tree, reader.memory)

    def lacking(self) -> set[int]:
        """Return the places of all gaps, none of which stands in two."""
        gaps = ask(self.config, "SELECT first_place, end_place, row_count FROM sync.gaps")
        assert all(end - first == count for first, end, count in gaps)
        places = [place for first, end, _ in gaps for place in range(first, end)]
        assert len(places) == len(set(places))
        return set(places)

    def require_expected(self, held: dict[int, tuple[int, str]], lacking: set[int]) -> None:
        """Each row that should be there is held or in a gap; of trades, from the first one on."""
        sql = "SELECT expected_from, expected_until, row_count FROM sync.expected"
        accounted, is_kline = held.keys() | lacking, self.kind is not TRADES
        for start, end, count in ask(self.config, sql):
            first, last = (self.place_at(moment.replace(tzinfo=UTC)) for moment in (start, end))
            if is_kline:
                accounted = {place for place in accounted if first <= place < last}
            assert len(accounted) == count, (start, end, count)
            if is_kline:
                inside = [held[place][1] for place in accounted & held.keys()]
                counted = (inside.count("archive"), inside.count("rest"))
                assert [counted] == ask(self.config, COVERED)

    def present(self, days: set[str]) -> set[str]:
        """Return the archives that are in the lake; of what is wanted none is left undone."""
        record = ask(self.config, "SELECT period, status FROM sync.archives")
        asked = (days | {self.month}) - (self.withdrawn - self.archives.keys()) - self.spoiled
        assert {status for name, status in record if name in asked} <= SETTLED, record
        return {name for name, status in record if status == "present"}

    def require_right(self, place: int, found: tuple[int, str] | None, present: set[str]) -> None:
        """The month's row, else the day's, else the API's: the newest edition of each."""
        names = (self.month, self.day_of(place))
        if found is not None:
            self.require_published(place, found, names)
        for name in names:
            if name in self.spoiled or (name in self.withdrawn and name not in self.archives):
                return  # which edition the lake has, if any, is a matter of when it was looked at
            if name in present and place in self.archives[name]:
                assert found == (self.archives[name][place], "archive"), (place, found, name)
                return
        assert found is None or found == (FROM_API, "rest"), (place, self.day_of(place), found)

    def require_published(self, place: int, found: tuple[int, str], names: tuple[str, str]) -> None:
        volume, source = found
        if source == "rest":
            assert volume == FROM_API
            assert place in self.known_to_api
        else:
            name, places = self.editions[volume]
            assert name in names
            assert place in places


class FoldedYear(History):
    """Files of a month, which become one once their year is closed."""

    kind = klines("5m", timedelta(minutes=5), date(2023, 12, 1))


class Days(History):
    kind = klines("1d", DAY, date(2024, 3, 1))


class Trades(History):
    kind = TRADES


settings.register_profile(
    "histories",
    max_examples=int(os.environ.get("HISTORIES", "6")),
    derandomize="HISTORIES" not in os.environ,
    stateful_step_count=16,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestKlines = History.TestCase
TestFoldedYear = FoldedYear.TestCase
TestDays = Days.TestCase
TestTrades = Trades.TestCase
TestKlines.settings = settings.get_profile("histories")
TestFoldedYear.settings = TestDays.settings = TestTrades.settings = TestKlines.settings
