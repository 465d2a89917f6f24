"""What readers are told is true of the lake they read: conflicts, order, and where it lies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fullpool
from fullpool.errors import UsageError
from lab import DAY, HEADER, HOUR, Lab, at, bar, bars, trade
from served import dataset

HOURS = "data/spot/{}/klines/AUSDT/1h/AUSDT-1h-{}.zip"
TRADES = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"
CONFLICTS_WHOLE = (
    "SELECT key, row_time, column_name, kept_source, kept_value, other_source, other_value,"
    " found_at FROM sync.conflicts"
)
CONFLICTS = "SELECT kept_source, kept_value, other_source, other_value FROM sync.conflicts"


@pytest.mark.parametrize("folder", ["lake?", "market=um/lake", "symbol=BTCUSDT/lake", "[a]/lake"])
def test_paths_that_duckdb_misreads_are_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UsageError, match="looking for the lake"):
        fullpool.open(tmp_path / folder)


ODD, NINTH = at("2024-03-09T10:00"), at("2024-03-09")


@contextmanager
def followed_with_an_odd_bar() -> Iterator[Lab]:
    """Make a lake that followed the ninth of March, of which the API has one volume of its own."""
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-08", follow="true")) as lab:
        lines = bars(at("2024-03-01"), at("2024-04-01"), HOUR).splitlines(keepends=True)
        lines[(ODD - at("2024-03-01")) // HOUR] = bar(ODD, HOUR, volume=55)
        lab.tell_api(HOURS.format("monthly", "2024-03"), "".join(lines))
        lab.put(HOURS.format("daily", "2024-03-08"), bars(NINTH - DAY, NINTH, HOUR))
        lab.run("sync", "2024-03-10T01:00:20")
        yield lab


def test_conflicts_are_of_values_in_the_lake() -> None:
    """An archive that differs from the API is published again, at last with the same value."""
    with followed_with_an_odd_bar() as lab:
        key = HOURS.format("daily", "2024-03-09")
        found = []
        for number, volume in enumerate((10, 77, 55, 10)):
            text = bars(NINTH, NINTH + DAY, HOUR).splitlines(keepends=True)
            text[10] = bar(ODD, HOUR, volume=volume)
            lab.put(key, "".join(text), NINTH + (number + 1) * DAY)
            lab.run("audit", NINTH + (number + 1) * DAY + 9 * HOUR)
            found.append(lab.ask(CONFLICTS))

        assert found == [[("archive", "10.00000000", "rest", "55.00000000")], [], [], []]


def test_a_conflict_found_again_is_listed_once() -> None:
    """A day that its month differs from is published again with the same value."""
    with followed_with_an_odd_bar() as lab:
        lab.put(HOURS.format("daily", "2024-03-09"), bars(NINTH, NINTH + DAY, HOUR), NINTH + DAY)
        lab.run("sync", "2024-03-10T09:00:20")
        once = lab.ask(f"SELECT * EXCLUDE (found_at) FROM ({CONFLICTS_WHOLE})")
        lab.put(HOURS.format("daily", "2024-03-10"), bars(NINTH + DAY, NINTH + 2 * DAY, HOUR))
        lab.put(HOURS.format("monthly", "2024-03"), bars(at("2024-03-01"), at("2024-04-01"), HOUR))
        lab.run("sync", "2024-04-05T09:00:20")

        assert [row[:2] for row in once] == [(1709978400000000, ODD.replace(tzinfo=None))]
        assert lab.ask(f"SELECT * EXCLUDE (found_at) FROM ({CONFLICTS_WHOLE})") == once


def test_trades_of_midnight_are_in_order_of_time() -> None:
    """An archive ends with a trade of the next day, later than the first one of that archive."""
    late, early = at("2024-03-01T00:00:00.005"), at("2024-02-29T23:59:59.998")
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-02-29", end="2024-03-01")) as lab:
        first = trade(1, at("2024-02-29T12:00")) + trade(2, late)
        lab.put(TRADES.format("2024-02-29"), HEADER + first)
        lab.put(TRADES.format("2024-03-01"), HEADER + trade(3, early) + trade(4, late + HOUR))
        lab.run("sync", "2024-03-05T09:00")
        with fullpool.open(lab.folder / "lake") as lake:
            ids = [row[2] for row in lake.agg_trades("AUSDT", market="um").fetchall()]

        assert ids == [1, 3, 2, 4]


def test_runs_of_followed_trades_end_with_their_rows() -> None:
    """The archive of a later day comes first, and takes the middle out of a run."""
    key = "data/futures/um/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"

    def trades(day: str, first_id: int, hours: range) -> str:
        return "".join(trade(first_id + n, at(day) + h * HOUR) for n, h in enumerate(hours))

    known = trades("2024-03-07", 100, range(24)) + trades("2024-03-08", 124, range(20))
    ninth = trades("2024-03-09", 144, range(5, 18))
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-07", follow="true")) as lab:
        lab.put(key.format("daily", "2024-03-07"), HEADER + trades("2024-03-07", 100, range(24)))
        tenth = trades("2024-03-10", 157, range(7, 9))
        lab.tell_api(key.format("monthly", "2024-03"), HEADER + known + ninth + tenth)
        lab.run("sync", "2024-03-09T18:30:20")
        lab.put(key.format("daily", "2024-03-09"), HEADER + ninth, at("2024-03-10T03:00"))
        lab.run("sync", "2024-03-10T09:31:00")

        runs = lab.ask("SELECT first_time, last_time FROM sync.followed ORDER BY ALL")
        ends = "SELECT min(transact_time), max(transact_time) FROM agg_trades WHERE {}"
        early, late = "source = 'rest' AND agg_trade_id < 144", "agg_trade_id > 156"
        assert runs == [*lab.ask(ends.format(early)), *lab.ask(ends.format(late))]
