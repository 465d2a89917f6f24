"""Whatever the vendor publishes, in any order: each row is held, patched or told to be missing.

A history is invented: archives come, lack rows, are published anew or withdrawn, the API knows some
rows, the configuration is edited, time passes, passes of every kind run. Then the lake is compared,
row by row, with what the archives on record and the API have. HISTORIES says how many are invented.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
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
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.simulator import Api
from fullpool.simulator.generate import zipped
from fullpool.store import duck, inventory
from fullpool.sync import Done
from vendor import Seen, Vendor, ask, dataset, tree_of

A = TypeVar("A")
B = TypeVar("B")
# Rows that an archive lacks: (first, number), the first in hours after HOLED.
Holes = list[tuple[int, int]]

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
FIRST, LAST = date(2024, 2, 25), date(2024, 4, 6)
DAYS: Final = [FIRST + n * DAY for n in range((LAST - FIRST).days + 1)]
MONTH: Final = "2024-03"
# What histories are about: a few days next to each other, and where the month begins and ends.
NAMES: Final = [
    MONTH, *(f"2024-03-{n:02d}" for n in range(4, 8)), "2024-02-29", "2024-03-01", "2024-03-31",
    "2024-04-01",
]  # fmt: skip
HOLED: Final = int(datetime(2024, 3, 4, tzinfo=UTC).timestamp()) // 3600
FROM_API: Final = 1_000_000
PASSES: Final = {
    "sync": sync.run_pass, "tick": sync.run_tick, "patch": sync.run_patch, "audit": sync.run_audit,
}  # fmt: skip
COVERED: Final = "SELECT present_rows, patched_rows FROM sync.coverage"
SETTLED: Final = {"present", "absent", "not_published"}

names = st.sampled_from(NAMES)
runs = st.sampled_from(["", *PASSES])
holes = st.lists(st.tuples(st.integers(0, 96), st.sampled_from([1, 2, 24, 30])), max_size=3)
starts = st.sampled_from([None, DAYS[0], DAYS[10], DAYS[20]])


@dataclass(frozen=True)
class Kind:
    """One row an hour, whose place is the hours since 1970; *line* is of a place and a volume."""

    series: str
    file: str
    rows: str
    line: Callable[[int, int], str]


def kline(place: int, volume: int) -> str:
    opened = place * 3_600_000
    return f"{opened},1,2,0.5,1.5,{volume},{opened + 3_599_999},15,3,4,6,0\n"


def trade(place: int, volume: int) -> str:
    return f"{place},1.5,{volume},{place},{place},{place * 3_600_000},True,True\n"


KLINES: Final = Kind(
    "spot/klines/AUSDT/1h",
    "data/spot/{}/klines/AUSDT/1h/AUSDT-1h-{}.zip",
    "SELECT epoch(open_time)::BIGINT // 3600, volume::INTEGER, source FROM klines",
    kline,
)
TRADES: Final = Kind(
    "spot/aggTrades/AUSDT",
    "data/spot/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip",
    "SELECT agg_trade_id, quantity::INTEGER, source FROM agg_trades",
    trade,
)


class Inline:
    """Builds in this process: processes are not what is tested."""

    def start(self) -> None: ...

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], _weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        for item in items:
            try:
                yield Done(item, function(item), None)
            except FullpoolError as error:
                yield Done(item, None, error)


def places_of(name: str) -> list[int]:
    """Return the places of a day or of the month, whole."""
    inside = [day for day in DAYS if str(day).startswith(name)]
    first = int(datetime(*inside[0].timetuple()[:3], tzinfo=UTC).timestamp()) // 3600
    return list(range(first, first + 24 * len(inside)))


def without(places: Iterable[int], lacking: Holes) -> list[int]:
    gone = {HOLED + n for first, number in lacking for n in range(first, first + number)}
    return [place for place in places if place not in gone]


def day_of(place: int) -> date:
    return datetime.fromtimestamp(place * 3600, UTC).date()


class History(RuleBasedStateMachine):
    """One vendor, one lake, one series. *archives* are those listed: their rows and volumes."""

    kind = KLINES

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
        self.edition = 0
        self.archives: dict[str, dict[int, int]] = {}
        self.withdrawn: set[str] = set()
        self.known_to_api: set[int] = set()

    def teardown(self) -> None:
        with self.stack:
            self.compare()

    @initialize(
        start=starts, is_late=st.booleans(), count=st.integers(1, len(DAYS)),
        month=st.one_of(st.none(), holes),
    )  # fmt: skip
    def begin(self, start: date | None, count: int, month: Holes | None, *, is_late: bool) -> None:
        self.start = start
        self.now = datetime(2024, 4, 8 if is_late else 1, 7, tzinfo=UTC)
        for day in DAYS[:count]:
            if day < self.now.date():
                self.put(str(day), [])
        if month is not None:
            self.put(MONTH, month)

    @rule(name=names, lacking=holes, then=runs)
    def publish(self, name: str, lacking: Holes, then: str) -> None:
        if name <= f"{self.now - DAY:%Y-%m-%d}":
            self.put(name, lacking)
            self.run(then)

    def put(self, name: str, lacking: Holes) -> None:
        self.edition += 1
        rows = dict.fromkeys(without(places_of(name), lacking), self.edition)
        if rows:
            self.archives[name] = rows
            at = self.now + self.edition * SECOND
            self.vendor.put_bytes(self.key(name), self.zipped(name, rows), at)

    def key(self, name: str) -> str:
        return self.kind.file.format("monthly" if name == MONTH else "daily", name)

    def zipped(self, name: str, rows: dict[int, int]) -> bytes:
        member = self.key(name).rpartition("/")[2].replace(".zip", ".csv")
        return zipped(member, "".join(self.kind.line(*row) for row in rows.items()).encode())

    @rule(name=names)
    def withdraw(self, name: str) -> None:
        if self.archives.pop(name, None):
            self.withdrawn.add(name)
            self.vendor.remove(self.key(name))

    @rule(name=names, lacking=holes)
    def api_learns(self, name: str, lacking: Holes) -> None:
        self.known_to_api.update(without(places_of(name), lacking))
        for day in {day_of(place) for place in self.known_to_api}:
            own = sorted(place for place in self.known_to_api if day_of(place) == day)
            path = self.twin / self.key(str(day))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.zipped(str(day), dict.fromkeys(own, FROM_API)))
        self.vendor.simulator.api.refresh()

    @rule(hours=st.sampled_from([1, 6, 30, 24 * 3, 24 * 10]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(start=starts)
    def edit(self, start: date | None) -> None:
        self.start = start

    @property
    def config(self) -> Config:
        text = dataset(self.kind.series, start=str(self.start or ""), end=str(LAST))
        return self.vendor.config(self.folder / "lake", text, rest={"enabled": "true"})

    @rule(name=runs)
    def run(self, name: str) -> None:
        if not name:
            return
        config, tree = self.config, tree_of(self.config)
        builders: Any = nullcontext(Inline())
        with (
            writing(tree, name, self.now),
            opened_state(tree) as state,
            working(config, Seen(), Event(), builders, sleep=lambda _: None) as work,
        ):
            inventory.sweep(state, tree, self.now)
            PASSES[name](replace(work, now=lambda: self.now), state, name)

    @rule()
    def compare(self) -> None:
        """Let everything come to rest, then hold the lake to the archives and the API."""
        for name in ("audit", "sync", "sync"):
            self.now += 2 * DAY
            self.run(name)
        if not tree_of(self.config).current.exists():
            return
        found = ask(self.config, self.kind.rows)
        held = {place: (volume, source) for place, volume, source in found}
        assert len(held) == len(found)
        lacking = self.lacking()
        assert not lacking & held.keys()
        self.require_expected(held, lacking)
        wanted = [p for d in DAYS if d >= (self.start or FIRST) for p in places_of(str(d))]
        present = self.present({str(day_of(place)) for place in wanted})
        for place in wanted:
            self.require_right(place, held.get(place), present)

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
        accounted = held.keys() | lacking
        for start, end, count in ask(self.config, sql):
            first, last = (m.replace(tzinfo=UTC).timestamp() / 3600 for m in (start, end))
            if self.kind is KLINES:
                accounted = {place for place in accounted if first <= place < last}
            assert len(accounted) == count, (start, end, count)
            if self.kind is KLINES:
                inside = [held[place][1] for place in accounted & held.keys()]
                counted = (inside.count("archive"), inside.count("rest"))
                assert [counted] == ask(self.config, COVERED)

    def present(self, days: set[str]) -> set[str]:
        """Return the archives that are in the lake; of what is wanted none is left undone."""
        record = ask(self.config, "SELECT period, status FROM sync.archives")
        asked = (days | {MONTH}) - (self.withdrawn - self.archives.keys())
        assert {status for name, status in record if name in asked} <= SETTLED, record
        return {name for name, status in record if status == "present"}

    def require_right(self, place: int, found: tuple[int, str] | None, present: set[str]) -> None:
        """The month's row, else the day's, else the API's: the newest edition of each."""
        for name in (MONTH, str(day_of(place))):
            if name in self.withdrawn and name not in self.archives:
                return  # which edition the lake has, if any, is a matter of when it was looked at
            if name in present and place in self.archives[name]:
                assert found == (self.archives[name][place], "archive"), (place, found, name)
                return
        if found is not None:
            assert found == (FROM_API, "rest"), (place, day_of(place), found)
            assert place in self.known_to_api


class Trades(History):
    kind = TRADES


settings.register_profile(
    "histories",
    max_examples=int(os.environ.get("HISTORIES", "6")),
    derandomize="HISTORIES" not in os.environ,
    stateful_step_count=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestKlines = History.TestCase
TestKlines.settings = settings.get_profile("histories")
TestTrades = Trades.TestCase
TestTrades.settings = TestKlines.settings
