"""The API's client: its pool, its pace, its manners."""

import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from fullpool.app.clock import now
from fullpool.config import Rest
from fullpool.errors import (
    NoSymbolError,
    RestBannedError,
    RestError,
    RestRefusedError,
    RestSilentError,
)
from fullpool.grid import Grid, Places, bars
from fullpool.model import Ban, Interval, Market, Series
from fullpool.proxies import Route
from fullpool.rest import Client, Window, ask, windows
from fullpool.rest.budget import Budget
from fullpool.rest.pool import Pool
from fullpool.simulator import Bucket, Fault, Simulator, generate, spec_from


class Clock:
    """A time that passes only when somebody sleeps."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Simulator]:
    day = datetime(2024, 3, 5, tzinfo=UTC).date()
    for text in ("spot/klines/BTCUSDT/1m", "um/klines/BTCUSDT/1m"):
        for _ in generate(tmp_path, spec_from(text, day, day)):
            pass
    with Simulator(Bucket(tmp_path)) as served:
        yield served


@contextmanager
def client_of(vendor: Simulator, clock: Clock | None = None, *bans: Ban) -> Iterator[Client]:
    given = Rest(spot_url=vendor.url, um_url=vendor.url, cm_url=vendor.url)
    clock = clock or Clock(now())
    with Client(
        given, ssl.create_default_context(), bans=bans, now=clock.now, sleep=clock.sleep,
        monotonic=time.monotonic,
        stop=threading.Event(),
    ) as client:  # fmt: skip
        yield client


def get(client: Client, market: Market = Market.SPOT, symbol: str = "BTCUSDT") -> list[object]:
    query: dict[str, str | int] = {"symbol": symbol, "interval": "1m", "limit": 2}
    found: list[object] = client.get(market, "klines", query, 2)
    return found


def test_twenty_connections_serve_hundreds_of_calls(vendor: Simulator) -> None:
    vendor.delay_s = 0.005
    with client_of(vendor) as client, ThreadPoolExecutor(20) as threads:
        assert all(threads.map(lambda _: get(client), range(300)))

    assert vendor.connections <= 20


def test_the_configuration_has_default_pool_limits() -> None:
    settings = Rest()
    assert (settings.max_keepalive_connections, settings.max_connections) == (20, 30)
    assert settings.keepalive_expiry == 30.0


def test_weight_used_by_others_counts(vendor: Simulator) -> None:
    clock = Clock(datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC))
    vendor.api.answer("/api/v3/exchangeInfo", {}, in_microseconds=False)
    budget = Budget(100, clock.now, clock.sleep)
    budget.acquire(10, lambda: False)
    budget.observe(95)
    budget.acquire(10, lambda: False)

    assert clock.slept == [30.0]
    assert budget.used == 10


def test_reserved_weight_is_left_for_others() -> None:
    clock = Clock(datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC))
    budget = Budget(100, clock.now, clock.sleep)
    budget.reserved = 60
    budget.acquire(30, lambda: False)
    budget.acquire(40, lambda: False, is_ahead=True)
    budget.acquire(10, lambda: False)
    assert clock.slept == []
    budget.acquire(10, lambda: False)

    assert clock.slept == [60.0]


def test_requests_ahead_use_the_reserved_weight(vendor: Simulator) -> None:
    clock = Clock(now().replace(second=0, microsecond=0))
    with client_of(vendor, clock) as client:
        client.reserve(Market.SPOT, 10_000)
        with client.ahead():
            for _ in range(135):
                client.get(Market.SPOT, "time", {}, 20)
        assert clock.slept == []
        client.get(Market.SPOT, "time", {}, 250)
        assert clock.slept == []
        client.get(Market.SPOT, "time", {}, 250)

    assert clock.slept == [60.0]


def test_no_minute_exceeds_its_weight() -> None:
    clock = Clock(datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC))
    budget = Budget(100, clock.now, clock.sleep)
    used: dict[int, int] = {}
    for _ in range(120):
        budget.acquire(7, lambda: False)
        used[clock.now().minute] = used.get(clock.now().minute, 0) + 7

    assert max(used.values()) <= 100
    assert len(used) == 9


def test_stopping_ends_the_wait_for_weight() -> None:
    clock = Clock(datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC))
    budget = Budget(10, clock.now, clock.sleep)
    budget.acquire(10, lambda: True)
    with pytest.raises(RestError, match="stopped"):
        budget.acquire(10, lambda: True)


def test_the_budget_follows_the_apis_limit(vendor: Simulator) -> None:
    vendor.api.weights["spot"] = 1000
    clock = Clock(now().replace(second=0))
    with client_of(vendor, clock) as client:
        for _ in range(400):  # 20 + 400 * 2, and 500 a minute are ours
            get(client)
    assert clock.slept
    assert not [status for _, status in vendor.requests if status == 429]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, RestBannedError),
        (418, RestBannedError),
        (403, RestRefusedError),
        (451, RestRefusedError),
    ],
)
def test_refusing_hosts_are_not_asked_again(
    vendor: Simulator, status: int, error: type[RestError]
) -> None:
    vendor.faults = [Fault("api/v3/klines*", "status", status)]
    with client_of(vendor) as client:
        for _ in range(3):
            with pytest.raises(error):
                get(client)
        asked = [path for path in vendor.api_requests() if "v3/klines" in path]
        assert len(asked) == 1
        assert [ban.status for ban in client.bans] == [status]


def test_a_recorded_ban_holds_and_ends(vendor: Simulator) -> None:
    clock = Clock(datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC))
    ban = Ban(vendor.url, 418, "banned", clock.now(), clock.now() + timedelta(minutes=3))
    with client_of(vendor, clock, ban) as client:
        with pytest.raises(RestBannedError, match="10:03:00"):
            get(client)
        clock.sleep(181)
        assert len(get(client)) == 2


def test_unknown_symbols_have_their_own_error(vendor: Simulator) -> None:
    with client_of(vendor) as client, pytest.raises(NoSymbolError, match="Invalid symbol"):
        get(client, symbol="NOSUCHUSDT")


def test_an_endless_answer_is_cut_off(vendor: Simulator) -> None:
    vendor.faults = [Fault("api/v3/klines*", "body", text="[" + "1," * 3_000_000 + "1]")]
    with client_of(vendor) as client, pytest.raises(RestError, match="more than"):
        get(client)


def test_a_silent_host_gets_few_tries(vendor: Simulator) -> None:
    vendor.url = "http://127.0.0.1:1"
    with client_of(vendor) as client:
        for _ in range(8):
            with pytest.raises(RestError):
                get(client)
        with pytest.raises(RestBannedError, match="must not be asked"):
            get(client)


def test_the_open_bar_is_never_taken(vendor: Simulator) -> None:
    series, grid = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1), bars(Interval.M1)
    now = datetime(2024, 3, 5, 10, 30, 40, tzinfo=UTC)
    place = grid.at(now)
    with client_of(vendor, Clock(now)) as client:
        answer = ask(client, grid, Window(series, Places(place - 3, place + 2)))

    assert answer.places == (place - 3, place - 2, place - 1)


class HangingUp(socketserver.StreamRequestHandler):
    """Promises to keep the connection, and closes it after so many answers; 0: before the first."""

    answers: ClassVar[int]
    seen: ClassVar[list[str]]

    def handle(self) -> None:
        for _ in range(self.answers):
            line = self.rfile.readline()
            if not line:
                return
            while self.rfile.readline().strip():
                pass
            self.seen.append(line.decode())
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        if not self.answers:
            self.seen.append(self.rfile.readline().decode())


@contextmanager
def hanging_up(answers: int) -> Iterator[tuple[Pool, str, list[str]]]:
    class Handler(HangingUp):
        pass

    Handler.answers, Handler.seen = answers, []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context, stop = ssl.create_default_context(), threading.Event()
        pool = Pool(Rest(), context, Route(), monotonic=time.monotonic, stop=stop)
        try:
            yield pool, f"http://127.0.0.1:{server.server_address[1]}/", Handler.seen
        finally:
            pool.close()
            server.shutdown()


@pytest.mark.parametrize("answers", [1, 3])
def test_closed_kept_connections_cost_no_request(answers: int) -> None:
    with hanging_up(answers) as (pool, url, seen), ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: pool.get(url, {}, {}, 100), range(100)))

        assert [reply.body for reply in replies] == [b"[]"] * 100
        assert len(seen) == 100


def test_closed_new_connections_are_not_retried() -> None:
    with hanging_up(0) as (pool, url, seen), pytest.raises(RestSilentError):
        pool.get(url, {}, {}, 100)

    assert len(seen) == 1


def test_windows_keep_within_api_limits() -> None:
    minutes, days = bars(Interval.M1), bars(Interval.D1)

    def sizes(market: Market, grid: Grid, first: int, end: int) -> list[int]:
        series = Series(market, "klines", "X", Interval.M1 if grid is minutes else Interval.D1)
        return [len(one.places) for one in windows(series, grid, Places(first, end))]

    assert sizes(Market.SPOT, minutes, 0, 2500) == [1000, 1000, 500]
    assert sizes(Market.UM, minutes, 0, 1000) == [499, 499, 2]
    assert sizes(Market.CM, days, 0, 400) == [199, 199, 2]
    turn = minutes.at(datetime(2025, 1, 1, tzinfo=UTC))
    assert sizes(Market.SPOT, minutes, turn - 30, turn + 40) == [30, 40]


def test_forgotten_symbols_are_asked_for_again(vendor: Simulator) -> None:
    with client_of(vendor) as client:
        assert client.status_of(Market.UM, "BTCUSDT") == "TRADING"
        vendor.api.ended = frozenset(["BTCUSDT"])
        assert client.status_of(Market.UM, "BTCUSDT") == "TRADING"
        client.forget_info()
        assert client.status_of(Market.UM, "BTCUSDT") != "TRADING"
