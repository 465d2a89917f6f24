"""Histories of the invented vendor that are told, not invented: each found a kind of fault once.

`test_history` invents its own, and a few of them meet no fault that takes several steps to show.
Here those steps are written down, and held to what the vendor still has as all others are.
"""

from collections.abc import Callable
from typing import Any

import pytest
from test_history import (  # type: ignore[import-not-found]
    FIRST,
    LAST,
    Days,
    FoldedYear,
    History,
    RawTrades,
    Trades,
)

from served import ask

Steps = Callable[[Any], None]
QUIET = (200, 1)  # an outage after all that a history is of
COMMON: dict[str, Any] = {
    "start": None, "count": LAST - FIRST, "month": None, "then": "", "outage": QUIET, "shift": 0,
    "is_late": False, "is_split": False, "ids_begin_anew": False, "is_by_cron": True, "late": 0,
    "spoiled": "",
}  # fmt: skip


def begin(one: History, **differs: Any) -> None:
    one.begin(**(COMMON | differs))


def an_archive_is_published_anew(one: History) -> None:
    begin(one, count=20, then="sync")
    one.publish_again(number=3, then="")
    one.time_passes(30)


def a_month_has_what_its_days_lack(one: History) -> None:
    begin(one, start=FIRST)
    one.withdraw("AUSDT", 5)
    one.run("sync")
    one.time_passes(24 * 3)
    one.publish("AUSDT", None, [], "")


def a_month_that_is_damaged_has_days(one: History) -> None:
    begin(one, month=[], spoiled="cut", then="sync")


def older_days_come_late(one: History) -> None:
    begin(one, late=12, count=30, then="sync")
    for day in (-1, 0, 3):
        one.publish("AUSDT", day, [], "")


def a_day_of_one_series_is_asked_for_though_another_has_it(one: History) -> None:
    begin(one, start=FIRST)
    one.publish("BUSDT", None, [(0, 24)], "sync")
    one.time_passes(6)


def a_pass_is_made_with_the_clock_ahead(one: History) -> None:
    begin(one, count=30, then="sync")
    one.run_at_another_time(days=40, name="sync")
    for day in (30, 31):
        one.time_passes(30)
        one.publish("AUSDT", day, [], "sync")


def an_outage_over_midnight_is_seen_day_by_day(one: History) -> None:
    """Each day tells of a part of it: together they are one gap, with rows on both sides."""
    begin(one, start=FIRST, count=36, outage=(29 * 24 + 22, 4))  # from the 33rd day on
    for day in range(31, 36):
        one.now = one.midnight(day + 1).replace(hour=9)
        one.publish("AUSDT", day, [], "")
        one.api_learns("AUSDT", day, [])
        one.run("sync")
    sql = "SELECT row_count, explanation FROM sync.gaps WHERE symbol = 'AUSDT' AND gap_end < ?"
    end = one.midnight(34).replace(tzinfo=None)
    assert ask(one.config, sql, [end]) == [(4, "empty_at_source")]


def a_symbol_trades_again(one: History) -> None:
    begin(one, count=12, outage=(120, 24 * 3))
    one.rarely("end", "AUSDT", None, is_so=True)
    one.run("sync")
    one.time_passes(24 * 30)
    one.run("sync")
    one.rarely("end", "AUSDT", None, is_so=False)
    for day in (30, 31, 32):
        one.publish("AUSDT", day, [], "")
        one.api_learns("AUSDT", day, [])
    one.time_passes(30)
    one.run("sync")
    sql = (
        "SELECT count(*) FROM sync.gaps AS g, sync.coverage AS c WHERE g.symbol = c.symbol"
        " AND explanation = 'delisted' AND gap_end <= c.last_time"
    )
    assert ask(one.config, sql) == [(0,)]


def bars_open_late(one: History) -> None:
    begin(one, outage=(40, 3), shift=3, then="sync")
    one.publish("AUSDT", 6, [(90, 2)], "audit")


def ids_begin_anew(one: History) -> None:
    begin(one, outage=(40, 3), ids_begin_anew=True, then="sync")
    one.publish("AUSDT", 6, [(90, 2)], "audit")


def rows_of_another_day_are_among_an_archive_s(one: History) -> None:
    begin(one, count=10)
    one.withdraw("AUSDT", 4)
    for day in (3, 4, 5):
        one.api_learns("AUSDT", day, [])
    one.run("sync")
    one.spoil("AUSDT", 6, "strays", "audit")


def a_correction_has_rows_of_another_day(one: History) -> None:
    """The row of another day fills no hole there: the whole archive is of no use."""
    begin(one, month=[(55, 30)], is_split=True, is_late=True, late=12, start=-5, then="sync")
    one.spoil("AUSDT", 4, "strays", "sync")


def a_part_of_a_month_loses_its_days(one: History) -> None:
    begin(one, start=5, month=[], then="tick", count=21, is_split=True, late=6, outage=(22, 4))
    one.publish("AUSDT", 30, [], "audit")


def a_month_wanted_in_parts_has_no_days(one: History) -> None:
    begin(
        one, late=12, ids_begin_anew=True, is_late=True, spoiled="cut", then="patch",
        is_by_cron=False, outage=(12, 816), is_split=True, start=FIRST, count=44,
    )  # fmt: skip
    one.run_at_another_time(days=-40, name="sync")
    one.publish("AUSDT", 6, [(91, 30), (34, 1)], "sync")


def a_clock_is_set_back_over_the_close_of_a_year(one: History) -> None:
    begin(one, start=5, count=50, then="sync", is_late=True, is_by_cron=False)
    one.publish("BUSDT", 6, [(44, 1), (63, 24)], "")
    one.run_at_another_time(days=-40, name="audit")
    for table in ("klines", "klines_exact"):
        sql = f"SELECT count(*) - count(DISTINCT (symbol, open_time)) FROM {table}"
        assert ask(one.config, sql) == [(0,)]


def a_damaged_file_is_met_while_an_archive_in_it_is_looked_at(one: History) -> None:
    """A day with a hole is looked at in the step that was to keep its rows."""
    begin(one, outage=(22, 4), then="sync")
    one.lose(number=0, is_damaged=True)
    one.time_passes(30)
    one.publish("AUSDT", 31, [], "tick")


def a_month_is_published_anew_at_the_last_look_at_its_days(one: History) -> None:
    lacking = [(2, 1), (26, 1), (50, 1)]
    begin(one, start=FIRST)
    for day in (None, 3, 4, 5):
        one.publish("AUSDT", day, lacking, "")
    one.run("sync")
    for _ in range(2):
        one.time_passes(6)
        one.run("tick")
    one.time_passes(30)
    one.publish("AUSDT", None, [(0, 72)], "audit")


def a_month_comes_again_with_the_same_bytes(one: History) -> None:
    begin(
        one, start=-5, count=38, then="sync", month=[(78, 24)], is_late=True, late=6,
        is_split=True, ids_begin_anew=True, outage=(118, 2),
    )  # fmt: skip
    one.spoil(how="unsigned", period=-1, then="audit", who="AUSDT")
    one.run(name="patch")
    one.lose(is_damaged=True, number=3)
    one.publish_again(number=27, then="tick")
    one.lose(is_damaged=False, number=0)
    one.publish_again(number=37, then="tick")
    one.publish_again(number=84, then="tick")
    one.withdraw(period=30, who="AUSDT")
    one.spoil(how="unsigned", period=61, then="sync", who="AUSDT")
    one.run(name="tick")
    one.lose(is_damaged=False, number=7)
    one.withdraw(period=4, who="BUSDT")
    one.publish_again(number=46, then="audit")


TOLD: list[tuple[type[History], Steps]] = [
    (History, an_archive_is_published_anew),
    (RawTrades, an_archive_is_published_anew),
    (History, a_month_has_what_its_days_lack),
    (RawTrades, a_month_has_what_its_days_lack),
    (RawTrades, a_month_that_is_damaged_has_days),
    (History, a_month_that_is_damaged_has_days),
    (RawTrades, older_days_come_late),
    (RawTrades, a_day_of_one_series_is_asked_for_though_another_has_it),
    (History, a_day_of_one_series_is_asked_for_though_another_has_it),
    (RawTrades, a_pass_is_made_with_the_clock_ahead),
    (History, an_outage_over_midnight_is_seen_day_by_day),
    (History, a_symbol_trades_again),
    (History, bars_open_late),
    (Trades, ids_begin_anew),
    (History, rows_of_another_day_are_among_an_archive_s),
    (Days, a_part_of_a_month_loses_its_days),
    (RawTrades, a_part_of_a_month_loses_its_days),
    (History, a_month_wanted_in_parts_has_no_days),
    (FoldedYear, a_clock_is_set_back_over_the_close_of_a_year),
    (History, a_damaged_file_is_met_while_an_archive_in_it_is_looked_at),
    (History, a_month_is_published_anew_at_the_last_look_at_its_days),
    (RawTrades, a_correction_has_rows_of_another_day),
    (Trades, a_correction_has_rows_of_another_day),
    (Trades, a_month_comes_again_with_the_same_bytes),
]


@pytest.mark.parametrize(
    ("machine", "steps"), TOLD, ids=[f"{m.__name__}-{s.__name__}" for m, s in TOLD]
)
def test_a_told_history_leaves_nothing_out(machine: type[History], steps: Steps) -> None:
    one = machine()
    try:
        steps(one)
    except BaseException:
        one.stack.close()
        raise
    one.teardown()
