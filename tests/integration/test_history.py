"""Whatever the vendor publishes, in any order: each row is held, patched or told to be missing.

A vendor is invented, as bad as the real one, and a history of it: archives of days and months come
late, lack rows, are of no use, are published again or withdrawn; the exchange is down over midnight
or for weeks; bars open off the grid, trades are void, stand in two archives, or begin anew with
their ids; the API knows some rows. Two series share the days, one may be asked for in two spans.
Meanwhile time passes, the clock is wrong, the configuration is edited, files of the lake are lost
or damaged, its state is rebuilt, and passes of every kind run, meet a vendor in trouble or are
killed. Then, at rest, the lake is compared row by row with what the archives and the API have.
HISTORIES says how many are invented.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Final

import hypothesis.strategies as st
import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fullpool.app import rebuild, verify
from fullpool.app.assembly import opened_state, working
from fullpool.app.lock import writing
from fullpool.app.verify import recorded_files, unknown_files
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.model import EPOCH
from fullpool.simulator import Api, Fault
from fullpool.simulator.generate import zipped
from fullpool.store import duck, inventory
from fullpool.store.catalogue.reader import reading
from fullpool.store.partitions.verify import Inspection, inspect
from lab import DAY, HOUR, PASSES, Inline
from served import Seen, Vendor, ask, dataset, tree_of

# Rows that an archive lacks: (first, number) in hours, the first after the fourth day began.
Holes = Sequence[tuple[int, int]]

SECOND = timedelta(seconds=1)
# The days of a history, counted from the first of its month. The next month has an archive too.
FIRST, LATE, LAST = -5, 15, 66
FROM_API: Final = 1_000_000

# Both months (None and "next"), a few days next to each other, and where the months meet.
periods = st.sampled_from([None, "next", 3, 4, 5, 6, -1, 0, 30, 31, 32, 61])
symbols = st.sampled_from(["AUSDT", "BUSDT"])
runs = st.sampled_from(["", *PASSES])
holes = st.lists(st.tuples(st.integers(0, 96), st.sampled_from([1, 2, 24, 30])), max_size=3)
starts = st.sampled_from([None, FIRST, 5, LATE])
troubles = st.builds(
    Fault, st.sampled_from(["*.zip", "*.CHECKSUM", "*-20??-??.zip", "*"]),
    st.sampled_from(["status", "truncate", "html"]), st.sampled_from([403, 503]),
    st.integers(1, 20),
)  # fmt: skip
# What is wrong with the exchange itself: hours after the fourth day began, and how many.
outages = st.sampled_from([(22, 4), (40, 3), (118, 2), (12, 24 * 34), (600, 24 * 12)])


@dataclass(frozen=True)
class Kind:
    """A row each *every*, in the slot of its number since 1970; *month* has 31 days.

    *line* is of a key, the milliseconds where it begins and ends, and a volume. *rows* selects key,
    instant, volume and source. *is_by_day*: a day is expected to have rows, however many.
    """

    series: str
    file: str
    rows: str
    every: timedelta
    month: date
    line: Callable[[int, int, int, int], str]
    is_kline: bool = True
    has_api: bool = True
    has_months: bool = True
    is_by_day: bool = False


def kline(_key: int, opens: int, ends: int, volume: int) -> str:
    return f"{opens},1,2,0.5,1.5,{volume},{ends - 1},15,3,4,6,0\n"


def trade(key: int, at: int, _ends: int, volume: int) -> str:
    if key % 7 == 3:
        return f"{key},0.0,{volume},-1,-1,{at},True,True\n"
    return f"{key},1.5,{volume},{key},{key},{at},True,True\n"


def klines(interval: str, every: timedelta, month: date) -> Kind:
    return Kind(
        f"spot/klines/{{}}/{interval}",
        f"data/spot/{{}}/klines/{{}}/{interval}/{{}}-{interval}-{{}}.zip",
        "SELECT epoch_us(open_time), open_time, volume::INTEGER, source FROM klines"
        " WHERE symbol = ?",
        every,
        month,
        kline,
    )


def raw_trade(key: int, at: int, _ends: int, volume: int) -> str:
    return f"{key},1.5,{volume},{volume},{at},True,True\n"


def depth(_key: int, at: int, _ends: int, volume: int) -> str:
    moment = EPOCH + timedelta(milliseconds=at)
    return f"{moment:%Y-%m-%d %H:%M:%S},-5.00,{volume},1.5\n"


RAW_TRADES: Final = Kind(
    "spot/trades/{}",
    "data/spot/{}/trades/{}/{}-trades-{}.zip",
    "SELECT trade_id, trade_time, quantity::INTEGER, source FROM trades WHERE symbol = ?",
    HOUR,
    date(2024, 3, 1),
    raw_trade,
    is_kline=False,
    has_api=False,
)
DEPTH: Final = Kind(
    "um/bookDepth/{}",
    "data/futures/um/{}/bookDepth/{}/{}-bookDepth-{}.zip",
    "SELECT epoch_us(snapshot_time) // 3600000000, snapshot_time, depth::INTEGER, source"
    " FROM book_depth WHERE symbol = ?",
    HOUR,
    date(2024, 3, 1),
    depth,
    is_kline=False,
    has_api=False,
    has_months=False,
    is_by_day=True,
)
TRADES: Final = Kind(
    "spot/aggTrades/{}",
    "data/spot/{}/aggTrades/{}/{}-aggTrades-{}.zip",
    "SELECT agg_trade_id, transact_time, quantity::INTEGER, source FROM agg_trades"
    " WHERE symbol = ?",
    HOUR,
    date(2024, 3, 1),
    trade,
    is_kline=False,
)


class Killed(BaseException):
    """The end of a process."""


@dataclass
class Symbol:
    """What the vendor has of one symbol.

    *archives* are those listed, by their names: slots and volumes, which tell the edition; of those
    *spoiled* the listed edition is of no use, here is the one before. *repeated* has the slots and
    volumes of rows that the archive of the day before ended with. *api* has the slots that the API
    knows.
    """

    name: str
    archives: dict[str, dict[int, int]] = field(default_factory=dict)
    editions: dict[int, tuple[str, set[int]]] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)
    unsigned: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    repeated: set[tuple[int, int]] = field(default_factory=set)
    api: set[int] = field(default_factory=set)

    def has(self, name: str, slot: int) -> bool:
        """Whether a listed archive that is of use has a row."""
        return name not in self.spoiled and slot in self.archives.get(name, ())


class History(RuleBasedStateMachine):
    """One vendor, one lake, two series."""

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
        self.month = f"{self.kind.month:%Y-%m}"
        self.next_month = f"{self.kind.month + 31 * DAY:%Y-%m}"
        self.edition = 0
        self.symbols = {name: Symbol(name) for name in ("AUSDT", "BUSDT")}
        self.moments_left = 0
        self.clock_is_off = timedelta()
        # Slots of which the API's answer is not believed: its bars are off the grid, and none of
        # them is the lake's row beside the gap, which would show that it is of this time zone.
        self.doubted: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        with self.stack:
            self.compare()

    @initialize(
        start=starts, is_late=st.booleans(), count=st.integers(1, LAST - FIRST + 1),
        month=st.one_of(st.none(), holes), then=runs, outage=outages, is_split=st.booleans(),
        shift=st.sampled_from([0, 0, 3, 28 * 60]), ids_begin_anew=st.booleans(),
        is_by_cron=st.booleans(), late=st.sampled_from([0, 0, 6, 12]),
        spoiled=st.sampled_from(["", "", "cut", "unsigned"]),
    )  # fmt: skip
    def begin(
        self, *, start: int | None, count: int, month: Holes | None, then: str,
        outage: tuple[int, int], shift: int, is_late: bool, is_split: bool, ids_begin_anew: bool,
        is_by_cron: bool, late: int, spoiled: str,
    ) -> None:  # fmt: skip
        """Publish what there is at first; some series have their oldest days filled in later."""
        self.start, self.is_split, self.is_by_cron = start, is_split, is_by_cron
        at = self.midnight(3) + outage[0] * HOUR
        self.down = range(self.slot_at(at), self.slot_at(at + outage[1] * HOUR))
        self.shift = shift * SECOND if self.kind.every == HOUR and self.kind.is_kline else 0 * DAY
        self.shifted = range(self.down.stop, self.down.stop + 43)
        self.ids_begin_anew = ids_begin_anew and not self.kind.is_by_day
        self.now = self.midnight(68 if is_late else 31) + 7 * HOUR
        for day in self.days[min(late, count - 1) : count]:
            if day < self.now.date():
                self.put("AUSDT", str(day), [])
                self.put("BUSDT", str(day), [])
        if month is not None:
            self.put("AUSDT", self.month, month)
            self.put("BUSDT", self.month, [])
        if spoiled:
            self.spoil_one("AUSDT", self.month, spoiled)
        self.run(then)

    def midnight(self, day: int) -> datetime:
        return datetime(*self.kind.month.timetuple()[:3], tzinfo=UTC) + day * DAY

    def name_of(self, period: int | str | None) -> str:
        if isinstance(period, int):
            return f"{self.midnight(period):%Y-%m-%d}"
        return self.month if period is None else self.next_month

    def is_over(self, name: str) -> bool:
        return name <= f"{self.now - DAY:%Y-%m-%d}"

    def slot_at(self, moment: datetime) -> int:
        """Return the first slot that begins there or after."""
        return -((EPOCH - moment) // self.kind.every)

    def slots_of(self, name: str, missing: Holes = ()) -> list[int]:
        """Return the slots of a day or a month that have rows, but for those that are lacking."""
        inside = [day for day in self.days if str(day).startswith(name)]
        first, end = ((day - self.kind.month) // DAY for day in (inside[0], inside[-1] + DAY))
        gone = set(self.down)
        for hour, hours in missing:
            at = self.midnight(3) + hour * HOUR
            gone.update(range(self.slot_at(at), self.slot_at(at + hours * HOUR)))
        whole = range(self.slot_at(self.midnight(first)), self.slot_at(self.midnight(end)))
        return [slot for slot in whole if slot not in gone]

    def begins(self, slot: int) -> datetime:
        """Return when the row of a slot is; some bars open late."""
        moment = EPOCH + slot * self.kind.every
        return moment + self.shift if slot in self.shifted else moment

    def slot_of(self, moment: datetime) -> int:
        return (moment - EPOCH) // self.kind.every

    def key_of(self, slot: int) -> int:
        """Return the id of a trade: a symbol that was suspended may begin anew."""
        if self.ids_begin_anew and slot >= self.down.stop:
            return slot - self.down.stop + 1
        return slot

    def day_of(self, slot: int) -> str:
        return f"{EPOCH + slot * self.kind.every:%Y-%m-%d}"

    @rule(who=symbols, period=periods, missing=holes, then=runs)
    def publish(self, who: str, period: int | str | None, missing: Holes, then: str) -> None:
        if self.is_over(self.name_of(period)):
            self.put(who, self.name_of(period), missing)
            self.run(then)

    def put(self, who: str, name: str, missing: Holes) -> None:
        rows = self.new_rows(name, missing)
        if rows and self.exists(name):
            symbol = self.symbols[who]
            symbol.archives[name] = rows
            symbol.editions[self.edition] = name, set(rows)
            self.show(who, name, self.zipped(who, name, rows))

    def exists(self, name: str) -> bool:
        """Whether the vendor has archives of that length."""
        return self.kind.has_months or len(name) > len(self.month)

    def new_rows(self, name: str, missing: Holes) -> dict[int, int]:
        self.edition += 1
        return dict.fromkeys(self.slots_of(name, missing), self.edition)

    def show(self, who: str, name: str, content: bytes) -> None:
        """Have the vendor list an archive with a right CHECKSUM."""
        self.forgive(who, name)
        key = self.key(who, name)
        self.vendor.put_bytes(key, content, self.now + self.edition * SECOND - 2 * HOUR)

    def forgive(self, who: str, name: str) -> None:
        self.symbols[who].spoiled.discard(name)
        self.symbols[who].unsigned.discard(name)
        self.meet()
        (self.vendor.folder / f"{self.key(who, name)}.CHECKSUM").unlink(missing_ok=True)

    def meet(self, *troubles: Fault) -> None:
        """Have the vendor be in those troubles, and have no CHECKSUM of what is unsigned."""
        absent = [
            Fault(f"{self.key(symbol.name, name)}.CHECKSUM", "status", 404)
            for symbol in self.symbols.values()
            for name in symbol.unsigned
        ]
        self.vendor.fail(*absent, *troubles)

    def key(self, who: str, name: str) -> str:
        cadence = "monthly" if len(name) == len(self.month) else "daily"
        return self.kind.file.format(cadence, who, who, name)

    def zipped(self, who: str, name: str, rows: dict[int, int]) -> bytes:
        member = self.key(who, name).rpartition("/")[2].replace(".zip", ".csv")
        lines = [self.line(*row) for row in rows.items()]
        if not self.kind.is_kline and len(name) > len(self.month):
            lines += self.repeated(who, rows)
        return zipped(member, "".join(lines).encode())

    def repeated(self, who: str, rows: dict[int, int]) -> list[str]:
        """Return the first trade of the next day, which a day's archive may end with as well."""
        after = max(rows) + 1
        archives = self.symbols[who].archives
        volume = archives.get(self.day_of(after), {}).get(after)
        is_midnight = self.begins(after).hour == 0 and self.day_of(after) != self.day_of(after - 1)
        if not (volume and is_midnight):
            return []
        self.symbols[who].repeated.add((after, volume))
        return [self.line(after, volume)]

    def line(self, slot: int, volume: int) -> str:
        opens, ends = (int(self.begins(n).timestamp() * 1000) for n in (slot, slot + 1))
        return self.kind.line(self.key_of(slot), opens, ends, volume)

    @rule(
        who=symbols, period=periods, then=runs,
        how=st.sampled_from(["cut", "unsigned", "wrong sum", "strays"]),
    )  # fmt: skip
    def spoil(self, who: str, period: int | str | None, how: str, then: str) -> None:
        """Publish an edition that is of no use."""
        if self.is_over(self.name_of(period)):
            self.spoil_one(who, self.name_of(period), how)
            self.run(then)

    def spoil_one(self, who: str, name: str, how: str) -> None:
        rows = self.new_rows(name, [])
        if not rows or not self.exists(name):
            return
        content = self.zipped(who, name, rows)
        if how == "strays":  # a row of days ago between the others
            lines = [self.line(*row) for row in rows.items()]
            day = datetime.fromisoformat(f"{name}-01"[:10]).replace(tzinfo=UTC)
            lines.insert(1, self.line(self.slot_at(day - 3 * DAY), self.edition))
            member = self.key(who, name).rpartition("/")[2].replace(".zip", ".csv")
            content = zipped(member, "".join(lines).encode())
            how = "cut" if len(rows) < 2 else how
        self.show(who, name, content[:-30] if how == "cut" else content)
        symbol = self.symbols[who]
        symbol.spoiled.add(name)
        if how == "unsigned":
            symbol.unsigned.add(name)
            self.meet()
        if how == "wrong sum":
            key = self.key(who, name)
            text = f"{'0' * 64}  {key.rpartition('/')[2]}\n"
            self.vendor.put_bytes(f"{key}.CHECKSUM", text.encode())

    @rule(who=symbols, period=periods)
    def withdraw(self, who: str, period: int | str | None) -> None:
        name = self.name_of(period)
        if (self.vendor.folder / self.key(who, name)).exists():
            self.symbols[who].archives.pop(name, None)
            self.symbols[who].withdrawn.add(name)
            self.forgive(who, name)
            self.vendor.remove(self.key(who, name))

    @rule(who=symbols, period=periods, missing=holes)
    def api_learns(self, who: str, period: int | str | None, missing: Holes) -> None:
        if not self.kind.has_api:
            return
        api = self.symbols[who].api
        api.update(slot for slot in self.slots_of(self.name_of(period), missing))
        if self.ids_begin_anew and not self.kind.is_kline:  # it has the ids of one life alone
            api -= set(range(self.down.stop))
        by_day: dict[str, list[int]] = {}
        for slot in sorted(api):
            by_day.setdefault(self.day_of(slot), []).append(slot)
        for day, own in by_day.items():
            path = self.twin / self.key(who, day)
            path.parent.mkdir(parents=True, exist_ok=True)
            member = path.name.replace(".zip", ".csv")
            text = "".join(self.line(slot, FROM_API) for slot in own)
            path.write_bytes(zipped(member, text.encode()))
        self.vendor.simulator.api.refresh()

    @rule(number=st.integers(0, 99), then=runs)
    def publish_again(self, number: int, then: str) -> None:
        """Publish a whole edition of what the vendor has already."""
        listed = [(one.name, name) for one in self.symbols.values() for name in one.archives]
        if listed:
            self.put(*sorted(listed)[number % len(listed)], [])
            self.run(then)

    @rule(hours=st.sampled_from([1, 6, 30, 24 * 3, 24 * 10, 24 * 30]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(number=st.integers(0, 9), is_damaged=st.booleans())
    def lose(self, number: int, *, is_damaged: bool) -> None:
        """Lose a file of the lake, or flip a bit of it."""
        tree = tree_of(self.config)
        if files := [tree.root / path for path, _ in inventory.partition_files(tree)]:
            path = files[number % len(files)]
            content = path.read_bytes()
            path.unlink()
            if is_damaged:
                path.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    @rule(
        what=st.sampled_from(["end", "edit", "rebuild", "repair"]), who=symbols, start=starts,
        is_so=st.booleans(),
    )  # fmt: skip
    def rarely(self, what: str, who: str, start: int | None, *, is_so: bool) -> None:
        """Do what happens less often than the rest, and would undo most of it."""
        if what == "end":  # the symbol trades no more, or again
            api = self.vendor.simulator.api
            api.ended = api.ended | {who} if is_so else api.ended - {who}
        elif what == "edit":
            self.start, self.is_split = start, is_so
        elif what == "rebuild":
            self.rebuild()
        else:
            self.repair()

    def rebuild(self) -> None:
        with suppress(FullpoolError), time_machine.travel(self.now, tick=True):
            rebuild.rebuild(self.config, Event())

    def repair(self) -> None:
        config = self.config
        with suppress(FullpoolError), time_machine.travel(self.now, tick=True):
            verify.repair(config, verify.verify(config, Event(), lambda _: None))

    @property
    def has_two_spans(self) -> bool:
        """Whether AUSDT is asked for in two spans; none of them begins after it ends."""
        return self.is_split and self.start != LATE

    @property
    def config(self) -> Config:
        text = self.dataset("AUSDT", self.start, 12 if self.has_two_spans else LAST)
        text += self.dataset("AUSDT", 20, LAST) if self.has_two_spans else ""
        text += self.dataset("BUSDT", self.start, LAST)
        return self.vendor.config(self.folder / "lake", text, rest={"enabled": "true"})

    def dataset(self, who: str, start: int | None, end: int) -> str:
        first = "" if start is None else f"{self.midnight(start):%Y-%m-%d}"
        return dataset(self.kind.series.format(who), start=first, end=self.name_of(end))

    def is_wanted(self, who: str, slot: int) -> bool:
        day = (EPOCH + slot * self.kind.every - self.midnight(0)) // DAY
        is_between = who == "AUSDT" and self.has_two_spans and 12 < day < 20
        return day >= (FIRST if self.start is None else self.start) and not is_between

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

    @rule(name=runs, days=st.sampled_from([-40, -2, 2, 40]))
    def run_at_another_time(self, name: str, days: int) -> None:
        """Run a pass while the clock is wrong."""
        self.clock_is_off = days * DAY
        self.run(name)
        self.clock_is_off = timedelta()

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
        return self.now + self.clock_is_off

    def compare(self) -> None:
        """Let everything come to rest, then hold the lake to the archives and the API."""
        self.run("tick")  # publishes what a killed pass had recorded: only that is verified
        self.repair()  # nothing else reads a file that nobody writes to
        self.rest(2, 2, 2)
        if tree_of(self.config).current.exists():
            for symbol in self.symbols.values():
                self.require_archives_of(symbol)
        self.rest(400, 400)  # then what was believed for a year is looked into again
        if not tree_of(self.config).current.exists():
            return
        self.require_quiet()
        self.require_whole()
        for symbol in self.symbols.values():
            self.require_all_of(symbol)

    def rest(self, *spans: int) -> None:
        """Let so many days pass, again and again, each followed by what runs once a day."""
        for days in spans:
            self.now += days * DAY
            for name in ("sync",) if self.is_by_cron else ("audit", "tick", "patch"):
                self.run(name)

    def require_archives_of(self, symbol: Symbol) -> None:
        """What good archives have is there within days: no wait of weeks hides that it was lost."""
        held = {
            self.slot_of(moment.replace(tzinfo=UTC))
            for _, moment, _, _ in ask(self.config, self.kind.rows, [symbol.name])
        }
        for name, rows in symbol.archives.items():
            if name in symbol.spoiled:
                continue
            wanted = {slot for slot in rows if self.is_wanted(symbol.name, slot)}
            lost = {slot for slot in wanted - held if not self.is_untold(symbol, slot, held)}
            assert not lost, (symbol.name, name, len(lost))

    def is_untold(self, symbol: Symbol, slot: int, held: Iterable[int]) -> bool:
        """Whether nothing tells that a row is lacking that an archive has.

        Trades are told by the ids on both sides, and those have neither head nor tail: of a life,
        or of a span that is asked for. The other archive of the day lacks it, and is believed.
        """
        if self.kind.is_kline or self.kind.is_by_day:
            return False
        day = self.day_of(slot)
        others = [symbol.archives.get(name) for name in (day[: len(self.month)], day)]
        if not any(rows is not None and slot not in rows for rows in others):
            return False
        own = [one for one in held if self.stretch_of(symbol, one) == self.stretch_of(symbol, slot)]
        return not own or not min(own) < slot < max(own)

    def stretch_of(self, symbol: Symbol, slot: int) -> tuple[bool, bool]:
        """Return the life that a trade is of, and which part of the span asked for."""
        is_later = self.has_two_spans and slot >= self.slot_at(self.midnight(20))
        return (
            self.ids_begin_anew and slot >= self.down.stop,
            is_later and symbol.name == "AUSDT",
        )

    def require_quiet(self) -> None:
        """A further pass asks for nothing, but again for what got no answer that is believed."""
        sql = (
            "SELECT symbol, first_place, end_place FROM sync.gaps"
            " WHERE status = 'open' AND reason LIKE '%has a bar that is not on the grid%'"
        )
        for name, first, end in ask(self.config, sql):
            self.doubted |= {(name, slot) for slot in range(first, end)}
        assert self.shift or not self.doubted
        before = len(self.vendor.simulator.requests)
        self.run("sync")
        paths = [path for path, _ in self.vendor.simulator.requests[before:]]
        assert not [path for path in paths if not (self.doubted and path.startswith("/api/"))]

    def require_whole(self) -> None:
        """Every file is what is recorded of it, and there is no other."""
        tree = tree_of(self.config)
        with reading(tree) as reader:
            for file in recorded_files(reader.queries):
                inspected = inspect(Inspection(file, tree.root, 512))
                assert not inspected.problems, inspected
            assert not unknown_files(tree, reader.queries)

    def require_all_of(self, symbol: Symbol) -> None:
        found = ask(self.config, self.kind.rows, [symbol.name])
        held: dict[int, tuple[int, str]] = {}
        for key, moment, volume, source in found:
            slot = self.slot_of(moment.replace(tzinfo=UTC))
            assert slot not in held, (slot, moment)
            assert moment.replace(tzinfo=UTC) == self.begins(slot)
            assert self.kind.is_kline or key == self.key_of(slot)
            held[slot] = volume, source
        record = self.record(symbol)
        first = min(held, default=0)
        for day in self.days:
            for slot in self.slots_of(str(day)):
                is_untold = slot not in held and self.is_untold(symbol, slot, held)
                if self.is_wanted(symbol.name, slot) and not is_untold:
                    is_head = self.start is None and slot < first
                    self.require_right(symbol, slot, held.get(slot), record, is_head=is_head)
        self.require_expected(symbol, held)
        self.require_true(symbol, held)

    def record(self, symbol: Symbol) -> dict[str, str]:
        """Return where the archives stand; what is there and of use is not left undone."""
        sql = "SELECT period, status FROM sync.archives WHERE symbol = ?"
        record: dict[str, str] = dict(ask(self.config, sql, [symbol.name]))
        for name, status in record.items():
            is_good = name in symbol.archives and name not in symbol.spoiled
            is_asked = any(self.is_wanted(symbol.name, slot) for slot in self.slots_of(name))
            if is_good and is_asked:
                assert status == "present", (symbol.name, name, status)
        return record

    def require_right(
        self, symbol: Symbol, slot: int, found: tuple[int, str] | None, record: dict[str, str],
        *, is_head: bool,
    ) -> None:  # fmt: skip
        """The archive's row that was published last, of its month or its day; else the API's."""
        day = self.day_of(slot)
        names = (day[: len(self.month)], day)
        if found is not None:
            self.require_published(symbol, slot, found, names)
        unsure = symbol.spoiled | (symbol.withdrawn - symbol.archives.keys())
        having = [name for name in names if symbol.has(name, slot)]
        present = [name for name in having if record.get(name) == "present"]
        if having and not unsure & set(names):
            assert found is not None, (symbol.name, slot, day, having)
            values = {symbol.archives[name][slot] for name in having}
            if present:
                values = {max(symbol.archives[name][slot] for name in present)}
            assert found[0] in values, (symbol.name, slot, day, found, values)
        elif having:
            assert found is not None, (symbol.name, slot, day, having)
        elif record and slot in symbol.api and not is_head and self.is_asked_for(symbol, slot):
            assert found is not None, (symbol.name, slot, day)
        elif not unsure & set(names) and not self.is_at_edge(slot):
            is_of_day_before = found is not None and (slot, found[0]) in symbol.repeated
            is_right = found in (None, (FROM_API, "rest")) or is_of_day_before
            assert is_right, (symbol.name, slot, day, found)

    def is_at_edge(self, slot: int) -> bool:
        """Whether a trade may be the last one of the archive before, which was not rewritten."""
        is_first = self.day_of(slot - 1) != self.day_of(slot)
        return is_first and not (self.kind.is_kline or self.kind.is_by_day)

    def is_asked_for(self, symbol: Symbol, slot: int) -> bool:
        """Whether the API is asked for a row that no archive has: of trades between known ids."""
        if not self.kind.has_api:
            return False
        if self.kind.is_kline:
            is_read = (symbol.name, slot) not in self.doubted
            return is_read and symbol.name not in self.vendor.simulator.api.ended
        rows = [s for rows in symbol.archives.values() for s in rows if s not in self.down]
        lives = [s for s in rows if (s >= self.down.stop) == (slot >= self.down.stop)]
        lives = lives if self.ids_begin_anew else rows
        wanted = [s for s in lives if self.is_wanted(symbol.name, s)]
        return False if not wanted else min(wanted) < slot < max(wanted) and not symbol.spoiled

    def require_published(
        self, symbol: Symbol, slot: int, found: tuple[int, str], names: tuple[str, str]
    ) -> None:
        volume, source = found
        if source == "rest":
            assert volume == FROM_API
            assert slot in symbol.api
        else:
            name, slots = symbol.editions[volume]
            assert name in names
            assert slot in slots

    def require_expected(self, symbol: Symbol, held: dict[int, tuple[int, str]]) -> None:
        """Each row that should be there is held or in a gap, and counted so."""
        sql = (
            "SELECT expected_rows, present_rows, patched_rows, explained_rows, open_rows, row_count"
            " FROM sync.coverage WHERE symbol = ?"
        )
        missing = "SELECT status, sum(row_count)::BIGINT FROM sync.gaps WHERE symbol = ? GROUP BY 1"
        gaps: dict[str, int] = dict(ask(self.config, missing, [symbol.name]))
        inside = [source for slot, (_, source) in held.items() if self.is_wanted(symbol.name, slot)]
        for expected, present, patched, explained, still_open, rows in ask(
            self.config, sql, [symbol.name]
        ):
            assert expected == present + patched + explained + still_open
            assert (present, patched) == (inside.count("archive"), inside.count("rest"))
            assert explained == gaps.get("explained", 0)
            assert still_open == gaps.get("open", 0)
            assert rows == len(held)

    def require_true(self, symbol: Symbol, held: dict[int, tuple[int, str]]) -> None:
        """No gap is where rows are held, none stands in two, and what explains one is true."""
        sql = (
            "SELECT first_place, end_place, row_count, gap_start, gap_end, explanation"
            " FROM sync.gaps WHERE symbol = ? ORDER BY ALL"
        )
        seen: dict[int, str] = {}
        for first, end, count, start, until, explanation in ask(self.config, sql, [symbol.name]):
            assert end - first == count
            slots = self.slots_between(first, end, start.replace(tzinfo=UTC))
            assert not seen.keys() & slots
            seen.update(dict.fromkeys(slots, explanation))
            if self.shift < HOUR / 4:
                assert not held.keys() & slots, (symbol.name, start, until, explanation)
            assert explanation or not self.is_to_be_explained(symbol, slots), (start, until)
            if explanation == "empty_at_source":
                assert not symbol.api & slots - held.keys(), (symbol.name, start, until)
            if explanation == "delisted":
                assert symbol.name in self.vendor.simulator.api.ended or not symbol.api
                assert max(symbol.api, default=0) < min(slots)
            if explanation == "not_listed":
                assert not [slot for slot in symbol.api if slot < max(slots)]
        if self.kind.is_kline and held:
            wanted = {s for d in self.days for s in self.slots_of(str(d))} | set(self.down)
            wanted = {s for s in wanted if self.is_wanted(symbol.name, s)}
            if self.start is None:
                wanted = {slot for slot in wanted if slot > min(held)}
            assert wanted <= held.keys() | seen.keys(), (symbol.name, len(wanted))

    def is_to_be_explained(self, symbol: Symbol, slots: set[int]) -> bool:
        """Whether the API has bars on both sides of a gap, so that nothing is left to be asked.

        An archive that is of no use may have the rows: nobody knows that they are not.
        """
        days = {self.day_of(slot) for slot in slots}
        if any(day.startswith(name) for day in days for name in symbol.spoiled):
            return False
        api, is_ended = symbol.api, symbol.name in self.vendor.simulator.api.ended
        is_beside = bool(api) and min(api) < min(slots) and max(api) > max(slots)
        return self.kind.is_kline and is_beside and not is_ended and not self.shift

    def slots_between(self, first: int, end: int, start: datetime) -> set[int]:
        if self.kind.is_kline:
            return set(range(first, end))
        if self.kind.is_by_day:
            return set(range(24 * first, 24 * end))
        if self.ids_begin_anew and self.slot_of(start) >= self.down.stop:
            first, end = (key + self.down.stop - 1 for key in (first, end))
        return set(range(first, end))


class FoldedYear(History):
    """Files of a month, which become one once their year is closed."""

    kind = klines("5m", timedelta(minutes=5), date(2023, 12, 1))


class Days(History):
    kind = klines("1d", DAY, date(2024, 3, 1))


class Trades(History):
    kind = TRADES


class RawTrades(History):
    """Trades that the API does not have: what no archive has is explained by that."""

    kind = RAW_TRADES


class Depth(History):
    """A kind of days alone, without an API, of which rows of a day may be any number."""

    kind = DEPTH


settings.register_profile(
    "histories",
    max_examples=int(os.environ.get("HISTORIES", "3")),
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
TestRawTrades = RawTrades.TestCase
TestDepth = Depth.TestCase
TestKlines.settings = settings.get_profile("histories")
TestFoldedYear.settings = TestDays.settings = TestTrades.settings = TestKlines.settings
TestRawTrades.settings = TestDepth.settings = TestKlines.settings
