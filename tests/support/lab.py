"""A lake whose time is given: real sockets, files and DuckDB, and passes in this process."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock
from typing import Any, Self, TypeVar

from fullpool.app.assembly import opened_state, working
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import FullpoolError
from fullpool.simulator import Api
from fullpool.simulator.generate import zipped
from fullpool.store import duck, inventory
from fullpool.sync import passes
from fullpool.sync.maps import Done
from fullpool.sync.outcome import Outcome
from served import Seen, Vendor, ask, tree_of

A = TypeVar("A")
B = TypeVar("B")

PASSES = {
    "sync": passes.run_pass, "tick": passes.run_tick,
    "patch": passes.run_patch, "audit": passes.run_audit,
}  # fmt: skip
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"

TICK_HEADER = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
    "event_time\n"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,"
    "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,count_long_short_ratio,"
    "sum_taker_long_short_vol_ratio\n"
)
HOURS = "data/spot/{}/klines/AUSDT/1h/AUSDT-1h-{}.zip"
SPOT_TRADES = "data/spot/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"


@contextmanager
def uncounted(_total: int) -> Iterator[Callable[[int], object]]:
    """Count the steps of an export for nobody."""
    yield lambda _: None


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar(opens: datetime, step: timedelta, volume: int = 10) -> str:
    begins = round(opens.timestamp() * 1000)
    return f"{begins},1,2,0.5,1.5,{volume},{begins + step // MINUTE * 60_000 - 1},15,3,4,6,0\n"


def bars(start: datetime, end: datetime, step: timedelta, volume: int = 10) -> str:
    count = (end - start) // step
    return "".join(bar(start + number * step, step, volume) for number in range(count))


def trade(number: int, moment: datetime) -> str:
    """Return a trade as the archives of futures have it."""
    return f"{number},1.5,1.0,{number},{number},{round(moment.timestamp() * 1000)},true\n"


def hourly(day: str, first: int | None = None) -> str:
    """Return 24 trades of a day, with ids that go on from day to day unless *first* is given."""
    begins = at(day)
    number = int(begins.timestamp()) // 3600 if first is None else first
    return "".join(trade(number + n, begins + n * HOUR) for n in range(24))


def whole_day(day: str) -> str:
    """Return the hourly bars of a day."""
    return bars(at(day), at(day) + DAY, HOUR)


def ticks(day: str, size: int = 1) -> str:
    """Return a tick each minute of the first hour and the last one of a day."""
    moments = [at(day) + hour * HOUR + minute * MINUTE for hour in (0, 23) for minute in range(60)]
    stamps = [round(moment.timestamp() * 1000) for moment in moments]
    return "".join(f"{stamp // 60_000},1,{size},2,1,{stamp},{stamp}\n" for stamp in stamps)


def metrics_key(day: str, symbol: str = "X", market: str = "um") -> str:
    return f"data/futures/{market}/daily/metrics/{symbol}/{symbol}-metrics-{day}.zip"


def metrics(
    first: str, count: int = 288, *, value: str = "1.5", symbol: str = "X", late: str = "00"
) -> str:
    """Return rows from a time on, the last of them some seconds late."""
    moments = [at(first) + n * 5 * MINUTE for n in range(count)]
    seconds = ["00"] * (count - 1) + [late]
    return METRICS_HEADER + "".join(
        f"{moment:%Y-%m-%d %H:%M}:{second},{symbol},{value},2,,,,\n"
        for moment, second in zip(moments, seconds, strict=True)
    )


def days_of(month: str, first: int, last: int) -> list[str]:
    return [f"{month}-{day:02d}" for day in range(first, last + 1)]


class Inline:
    """Builds in this process: processes are not what is tested. *done* is told of each build."""

    def __init__(self, done: Callable[[], object] = lambda: None) -> None:
        self._done = done
        self._alone = Lock()

    def start(self) -> None: ...

    def __call__(
        self, function: Callable[[A], B], items: Iterable[A], _weight: Callable[[A], int]
    ) -> Iterator[Done[A, B]]:
        for item in items:
            try:
                with self._alone:  # steps call it from threads of their own
                    built = function(item)
                    self._done()
                yield Done(item, built, None)
            except FullpoolError as error:
                yield Done(item, None, error)


class Lab:
    """A vendor, what its API knows, and a lake of *datasets*."""

    def __init__(
        self, datasets: str = "", *, has_api: bool = True, rest: dict[str, Any] | None = None
    ) -> None:
        self.datasets = datasets
        self.has_api = has_api
        self.rest = rest or {}
        self.folder = Path(tempfile.mkdtemp(prefix="lab-"))
        self.vendor = Vendor(self.folder / "vendor")
        self.twin = self.folder / "twin"
        self.twin.mkdir()
        self.vendor.simulator.api = Api(self.twin)

    def __enter__(self) -> Self:
        self.vendor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.vendor.__exit__()
        duck.of_worker.cache_clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def config(self) -> Config:
        rest = {"enabled": "true" if self.has_api else "false"} | self.rest
        return self.vendor.config(self.folder / "lake", self.datasets, rest=rest)

    def run(self, name: str, now: datetime | str) -> Outcome:
        """Run a pass as if it were *now*."""
        moment = at(now) if isinstance(now, str) else now
        config, tree = self.config, tree_of(self.config)
        builders: Any = nullcontext(Inline())
        with (
            writing(tree, name, moment),
            opened_state(tree) as state,
            working(config, Seen(), Event(), builders, sleep=lambda _: None) as work,
        ):
            inventory.sweep(state, tree, moment)
            return PASSES[name](replace(work, now=lambda: moment), state, name)

    def put(self, key: str, text: str, published: datetime | None = None) -> None:
        """Publish an archive, long ago unless told otherwise."""
        content = zipped(_member(key), text.encode())
        self.vendor.put_bytes(key, content, published or at("2018-03-02"))

    def tell_api(self, key: str, text: str) -> None:
        """Have the API know rows."""
        path = self.twin / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zipped(_member(key), text.encode()))
        self.vendor.simulator.api.refresh()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return ask(self.config, sql)

    def fetched(self) -> list[str]:
        """Return the names of all ZIPs that were asked for so far."""
        paths = (path.rpartition("/")[2] for path in self.vendor.archive_requests())
        return [name for name in paths if name.endswith(".zip")]

    def requests(self) -> int:
        """Return how many requests for rows the API has had so far."""
        asked = self.vendor.simulator.api_requests()
        return len([path for path in asked if "exchangeInfo" not in path])


def _member(key: str) -> str:
    return key.rpartition("/")[2].replace(".zip", ".csv")
