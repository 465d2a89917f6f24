"""What is followed: rows of days that have no archive yet, from the API."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from fullpool.app import clock, rebuild, syncing, verify
from fullpool.app.assembly import opened_state, working
from fullpool.app.doctor.checks_lake import symptoms
from fullpool.app.remarks import behind
from fullpool.cli import pass_report
from fullpool.config import parse
from fullpool.errors import ConfigError, UntrustedError
from fullpool.export.choice import parts
from fullpool.export.exporting import export
from fullpool.export.order import Choice, Order
from fullpool.export.source import ExportSource
from fullpool.model import Market
from fullpool.simulator import Fault
from fullpool.store.catalogue import publication
from fullpool.store.catalogue.publication import Manner
from fullpool.store.catalogue.reader import reading
from fullpool.sync.follow import Follow, Wire
from lab import DAY, HEADER, HOUR, MINUTE, Inline, Lab, at, bar, bars, hourly, trade, uncounted
from served import Seen, dataset, tree_of

DAILY = "data/spot/daily/klines/{s}/1m/{s}-1m-{day}.zip"
TWIN = "data/spot/monthly/klines/{s}/1m/{s}-1m-2024-03.zip"
ROWS = "SELECT symbol, count(*), min(open_time), max(open_time) FROM {} GROUP BY ALL ORDER BY ALL"


def bar_of(opens: str) -> str:
    """Return one bar as the API has it."""
    begins = round(at(opens).timestamp() * 1000)
    numbers = '"1","2","0.5","1.5","10"'
    return f'[{begins},{numbers},{begins + 59_999},"15",3,"4","6","0"]'


def put_day(lab: Lab, day: str, symbol: str = "AUSDT", volume: int = 10) -> None:
    key, begins = DAILY.format(s=symbol, day=day), at(day)
    lab.put(key, bars(begins, begins + DAY, MINUTE, volume), begins + DAY + 4 * HOUR)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two symbols with archives up to 9 March, whose API knows all of March."""
    text = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08", follow="true")
    with Lab(text) as made:
        for symbol in ("AUSDT", "BUSDT"):
            for day in ("2024-03-08", "2024-03-09"):
                put_day(made, day, symbol)
            made.tell_api(TWIN.format(s=symbol), bars(at("2024-03-01"), at("2024-04-01"), MINUTE))
        yield made


def naive(text: str) -> datetime:
    return at(text).replace(tzinfo=None)


def rows(lab: Lab, until: str, source: str = "klines") -> None:
    """Check that both symbols have every minute up to *until*, once."""
    last = naive(until) - MINUTE
    count = (last - naive("2024-03-08")) // MINUTE + 1
    expected = [(s, count, naive("2024-03-08"), last) for s in ("AUSDT", "BUSDT")]
    assert lab.ask(ROWS.format(source)) == expected


@pytest.mark.parametrize(
    "source", ["klines", "klines_1m", "klines_exact", "klines_between('2000-01-01', '2100-01-01')"]
)
def test_rows_reach_the_last_closed_bar(lab: Lab, source: str) -> None:
    lab.run("sync", "2024-03-10T09:30:20")

    rows(lab, "2024-03-10T09:30", source)
    assert lab.ask("SELECT DISTINCT source FROM klines WHERE open_time >= '2024-03-10'") == [
        ("rest",)
    ]
    assert lab.ask("SELECT count(*), count(DISTINCT open_time) FROM klines_of('BUSDT')") == [
        (3450, 3450)
    ]
    latest = "SELECT symbol, open_time, source FROM klines_latest() ORDER BY ALL"
    assert lab.ask(latest) == [
        (symbol, naive("2024-03-10T09:29"), "rest") for symbol in ("AUSDT", "BUSDT")
    ]


def test_an_ended_dataset_follows_nothing(lab: Lab) -> None:
    """Another dataset wants the series for longer, and only its archives."""
    name, start = "spot/klines/AUSDT,BUSDT/1m", "2024-03-08"
    followed = dataset(name, start=start, end="2024-03-09", follow="true")
    lab.datasets = followed + dataset(name, start=start)
    lab.run("sync", "2024-03-10T09:30:20")

    rows(lab, "2024-03-10T00:00")
    assert lab.ask("FROM sync.followed") == []


def test_following_continues_where_it_left_off(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run("sync", "2024-03-10T09:59:20")
    before = lab.requests()
    done = lab.run("sync", "2024-03-10T10:01:20")

    rows(lab, "2024-03-10T10:01")
    assert lab.requests() == before + 2
    pass_report.outcome(done, is_json=False)
    assert capsys.readouterr().out.startswith("followed: 4 rows from the API, generation: ")
    lab.run("sync", "2024-03-10T10:01:40")
    assert lab.requests() == before + 2


def test_a_followed_series_behind_is_reported(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:59:20")

    with reading(tree_of(lab.config)) as reader:
        assert behind(reader, lab.config, at("2024-03-10T10:09")) == []
        (line,) = behind(reader, lab.config, at("2024-03-10T10:12"))
        lab.datasets = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08")
        assert behind(reader, lab.config, at("2024-03-12T10:12")) == []

    assert line.startswith("spot/klines/BUSDT/1m (and 1 more) is followed, but its newest bar")
    assert "closed 13 minutes ago" in line


def test_doctor_reports_a_lost_file_of_followed_rows(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:59:20")
    tree = tree_of(lab.config)
    before = [found.what for found in symptoms(tree, at("2024-03-10T09:59:40"))]
    next((tree.root / "tail").rglob("*.parquet")).unlink()

    after = [found.what for found in symptoms(tree, at("2024-03-10T09:59:40"))]
    (news,) = [what for what in after if what not in before]
    assert news.startswith("1 files of the lake are missing or have the wrong size")


def test_readers_learn_of_a_stopped_pass_once(lab: Lab) -> None:
    """Nothing else changed that would be published."""
    lab.run("sync", "2024-03-10T09:59:20")
    lab.vendor.fail(Fault("*", "redirect"))
    found = []
    for now in ("2024-03-10T09:59:30", "2024-03-10T09:59:40"):
        with pytest.raises(UntrustedError):
            lab.run("audit", now)
        found.append(lab.ask("SELECT max(generation) FROM sync.generations"))

    passes = "SELECT outcome FROM sync.passes ORDER BY id"
    assert lab.ask(passes) == [("complete",), ("stopped",)]
    assert found[0] == found[1]


def test_readers_learn_of_a_ban(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:59:20")
    lab.vendor.fail(Fault("api/v3/klines*", "status", 418))
    lab.run("sync", "2024-03-10T10:02:20")

    passes = "SELECT outcome FROM sync.passes ORDER BY id"
    assert lab.ask(passes) == [("complete",), ("incomplete",)]
    assert lab.ask("SELECT status FROM sync.rest_bans") == [(418,)]


def test_an_export_includes_followed_rows(lab: Lab, tmp_path: Path) -> None:
    lab.run("sync", "2024-03-10T09:59:20")

    export(tree_of(lab.config), tmp_path / "out", Order(), uncounted)

    files = f"read_parquet('{tmp_path}/out/**/*.parquet', hive_partitioning = true)"
    rows(lab, "2024-03-10T09:59", files)
    ordered = f"SELECT open_time FROM '{tmp_path}/out/**/symbol=AUSDT/*.parquet'"
    assert lab.ask(ordered) == lab.ask(f"{ordered} ORDER BY open_time")


def test_exports_keep_followed_files_removed_meanwhile(lab: Lab, tmp_path: Path) -> None:
    lab.run("sync", "2024-03-10T09:59:20")
    tree = tree_of(lab.config)

    with reading(tree) as reader:
        source = ExportSource(tree, reader)
        source.keep_tails(tmp_path)
        for file in (tree.root / "tail").rglob("*.parquet"):
            file.unlink()
        series = source.held()[0]
        (part,) = parts(Choice(), series)
        assert reader.query(f"SELECT count(*) FROM ({source.select(part, 'double')})").rows == [
            (2 * 1440 + 599,)
        ]


def test_an_archive_replaces_followed_rows(lab: Lab) -> None:
    lab.run("sync", "2024-03-11T05:00:10")
    put_day(lab, "2024-03-10", volume=11)
    lab.run("sync", "2024-03-11T06:00:10")

    rows(lab, "2024-03-11T06:00")
    own = "SELECT source, count(*) FROM klines_of('{}') GROUP BY ALL ORDER BY ALL"
    assert lab.ask(own.format("AUSDT")) == [("archive", 3 * 1440), ("rest", 360)]
    assert lab.ask(own.format("BUSDT")) == [("archive", 2 * 1440), ("rest", 1440 + 360)]
    told = "SELECT DISTINCT symbol, column_name, kept_source, other_source FROM sync.conflicts"
    assert lab.ask(told) == [("AUSDT", "volume", "archive", "rest")]


def test_followed_rows_missing_from_archive_stay(lab: Lab) -> None:
    lab.run("sync", "2024-03-11T05:00:10")
    begins, key = at("2024-03-10"), DAILY.format(s="AUSDT", day="2024-03-10")
    text = bars(begins, begins + 5 * HOUR, MINUTE) + bars(
        begins + 6 * HOUR, begins + 23 * HOUR, MINUTE
    )
    lab.put(key, text, begins + DAY + 4 * HOUR)
    before = lab.requests()
    lab.run("tick", "2024-03-11T06:00:10")

    found = "SELECT source, count(*) FROM klines_of('AUSDT') WHERE open_time BETWEEN '2024-03-10'"
    found += " AND '2024-03-10 23:59' GROUP BY ALL ORDER BY ALL"
    assert lab.ask(found) == [("archive", 22 * 60), ("rest", 120)]
    assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
    assert lab.requests() == before + 2  # for the newest rows alone
    rows(lab, "2024-03-11T06:00")


def test_a_followed_day_counts_as_covered(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T23:59:10")
    lab.run("sync", "2024-03-11T00:10:10")

    assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
    told = (
        "SELECT symbol, archived_until, followed_until, expected_rows, present_rows, patched_rows,"
        " row_count FROM sync.coverage ORDER BY ALL"
    )
    assert lab.ask(told) == [
        (
            symbol,
            naive("2024-03-10"),
            naive("2024-03-11T00:10"),
            3 * 1440,
            2 * 1440,
            1440,
            3 * 1440 + 10,
        )
        for symbol in ("AUSDT", "BUSDT")
    ]


def test_holes_in_followed_rows_become_gaps(lab: Lab) -> None:
    begins = at("2024-03-10")
    text = bars(at("2024-03-01"), begins + 5 * HOUR, MINUTE)
    lab.tell_api(TWIN.format(s="AUSDT"), text + bars(begins + 6 * HOUR, at("2024-04-01"), MINUTE))
    lab.run("sync", "2024-03-10T23:00:10")
    lab.run("sync", "2024-03-11T00:10:10")

    told = "SELECT symbol, gap_start, gap_end, row_count, explanation FROM sync.gaps"
    hole = ("AUSDT", naive("2024-03-10T05:00"), naive("2024-03-10T06:00"), 60)
    assert lab.ask(told) == [(*hole, "empty_at_source")]


def test_following_catches_up_after_a_night(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    lab.run("sync", "2024-03-11T18:30:20")

    rows(lab, "2024-03-11T18:30")


def test_a_failing_api_costs_no_row(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    lab.vendor.fail(Fault("api/v3/klines*", "status", 503))
    outcome = lab.run("sync", "2024-03-10T10:30:20")
    assert not outcome.is_complete
    lab.vendor.fail()
    assert lab.run("sync", "2024-03-10T10:31:20").is_complete

    rows(lab, "2024-03-10T10:31")


def test_lost_followed_files_are_fetched_again(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    for path in (tree_of(lab.config).root / "tail").rglob("2024-03-10T0[5-9].*"):
        path.unlink()
    lab.run("sync", "2024-03-10T09:40:20")
    lab.run("sync", "2024-03-11T00:10:10")

    rows(lab, "2024-03-11T00:10")


def test_leftovers_of_killed_processes_are_removed(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    folder = tree_of(lab.config).root / "tail/klines/market=spot/interval=1m"
    left = folder / "2024-03-10T09.g000999.parquet"
    left.write_bytes(b"half")
    lab.run("sync", "2024-03-10T09:31:20")

    assert not left.exists()
    rows(lab, "2024-03-10T09:31")


def test_tail_generations_are_kept_for_minutes(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    tree = tree_of(lab.config)
    with opened_state(tree) as state:
        for minute in range(40):
            now = at("2024-03-10T09:31") + minute * MINUTE
            number = state.next_value("generation")
            publication.publish(state, tree, number, now, Manner(is_tail=True))
        publication.retire_tails(state, tree, at("2024-03-10T10:10") - timedelta(minutes=30))
        kept = state.generations.numbers()

    assert 30 <= len(kept) <= 33
    assert len(tree.generations()) == len(kept)


def test_files_of_no_generation_are_removed(lab: Lab) -> None:
    for minute in range(3):
        lab.run("sync", at("2024-03-10T09:30:20") + minute * MINUTE)
    tree = tree_of(lab.config)
    with opened_state(tree) as state:
        for generation in state.generations.numbers()[:-1]:
            state.generations.forget([generation])
        publication.retire_tails(state, tree, at("2024-03-10T09:00"))
        named = {file.path for file in state.tails.files().values()}

    there = {str(path.relative_to(tree.root)) for path in (tree.root / "tail").rglob("*.parquet")}
    assert there == named
    rows(lab, "2024-03-10T09:32")


def test_a_rebuilt_lake_follows_again(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    tree = tree_of(lab.config)
    with opened_state(tree) as state:
        state.connection.execute("DELETE FROM sync.followed")
        state.connection.execute("DELETE FROM internal.tail_files")
    lab.run("sync", "2024-03-10T09:40:20")

    rows(lab, "2024-03-10T09:40")


def test_kinds_unavailable_by_time_cannot_be_followed() -> None:
    with pytest.raises(ConfigError, match="newest trades"):
        parse("[lake]\npath = '/x'\n" + dataset("spot/trades/AUSDT", follow="true"), "x.toml")


def test_funding_rates_and_longer_bars_are_followed() -> None:
    text = dataset("um/klines/AUSDT/1h", start="2024-03-08", follow="true")
    text += dataset("um/fundingRate/AUSDT", start="2024-02-01", follow="true")
    with Lab(text) as lab:
        hourly = "data/futures/um/{}/klines/AUSDT/1h/AUSDT-1h-{}.zip"
        for day in ("2024-03-08", "2024-03-09"):
            lab.put(hourly.format("daily", day), bars(at(day), at(day) + DAY, HOUR))
        march = bars(at("2024-03-01"), at("2024-04-01"), HOUR)
        lab.tell_api(hourly.format("monthly", "2024-03"), march)
        rates = "data/futures/um/monthly/fundingRate/AUSDT/AUSDT-fundingRate-2024-{}.zip"
        lab.put(rates.format("02"), funding(at("2024-02-01"), at("2024-03-01")))
        lab.tell_api(rates.format("03"), funding(at("2024-03-01"), at("2024-04-01")))
        lab.run("sync", "2024-03-10T08:00:20")

        last = "SELECT max(open_time), count(*) FROM klines_of('AUSDT', 'um', '1h')"
        assert lab.ask(last) == [(naive("2024-03-10T07:00"), 56)]
        last = "SELECT max(calc_time), count(*) FROM funding_rate"
        assert lab.ask(last) == [(naive("2024-03-10T08:00"), 29 * 3 + 9 * 3 + 2)]


def funding(
    start: datetime, end: datetime, late: timedelta = timedelta(), *, hours: int = 8
) -> str:
    times = [start + n * hours * HOUR + late for n in range((end - start) // (hours * HOUR))]
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    return header + "".join(f"{round(t.timestamp() * 1000)},{hours},0.0001\n" for t in times)


def funding_at(times: list[datetime]) -> str:
    """Return rates of such times, as far apart as they are."""
    hours = [(after - before) // HOUR for before, after in pairwise(times)]
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    stamps = [round(time.timestamp() * 1000) for time in times]
    return header + "".join(
        f"{stamp},{own},0.0001\n" for stamp, own in zip(stamps, [*hours, hours[-1]], strict=True)
    )


def test_a_clock_ahead_takes_no_open_bar(lab: Lab) -> None:
    """A clock that is ahead would take it for a closed one, while the vendor still changes it."""
    now = clock.now()
    begins = now.replace(hour=0, minute=0, second=0, microsecond=0)
    text = "".join(bar(begins + n * MINUTE, MINUTE) for n in range(1500))
    lab.tell_api(f"data/spot/daily/klines/AUSDT/1m/AUSDT-1m-{begins:%Y-%m-%d}.zip", text)
    yesterday = f"{begins - DAY:%Y-%m-%d}"
    lab.datasets = dataset("spot/klines/AUSDT/1m", start=yesterday, follow="true")
    put_day(lab, yesterday)
    lab.run("sync", now + 5 * MINUTE)

    ((last,),) = lab.ask("SELECT max(open_time) FROM klines")
    assert last.replace(tzinfo=UTC) + MINUTE <= clock.now()


def test_check_reports_what_cannot_keep_up(tmp_path: Path) -> None:
    names = ",".join(f"A{number}USDT" for number in range(2000))
    text = "[lake]\npath = 'lake'\n" + dataset(f"spot/klines/{names}/1m,1h", follow="true")
    text = text.replace('"1m,1h"', '"1m", "1h"')
    path = tmp_path / "fullpool.toml"
    path.write_text(text.replace("'lake'", f"'{tmp_path / 'lake'}'"))

    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "check", str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    said = " ".join((done.stdout + done.stderr).split())
    assert "following 4,000 series of spot takes a weight of 4,067 a minute" in said
    path.write_text(text.replace("'lake'", f"'{tmp_path / 'lake'}'").replace('"1m", "1h"', '"1h"'))
    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "check", str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "following" not in done.stdout + done.stderr


@pytest.mark.parametrize("seed", range(2))
def test_every_closed_bar_appears_once_whatever_comes(seed: int) -> None:
    """Archives late, out of order, short or with other values; passes of all kinds; an API away."""
    random = Random(seed)  # noqa: S311 - chance of a test
    text = dataset("spot/klines/AUSDT,BUSDT/5m", start="2024-03-01", follow="true")
    step = 5 * MINUTE
    daily = "data/spot/daily/klines/{s}/5m/{s}-5m-{day}.zip"
    with Lab(text) as lab:
        for symbol in ("AUSDT", "BUSDT"):
            march = bars(at("2024-02-20"), at("2024-04-01"), step)
            lab.tell_api(f"data/spot/monthly/klines/{symbol}/5m/{symbol}-5m-2024-03.zip", march)
            first = bars(at("2024-03-01"), at("2024-03-02"), step)
            lab.put(daily.format(s=symbol, day="2024-03-01"), first)
        now = at("2024-03-02T00:01")
        left: list[tuple[str, datetime]] = []
        values: dict[tuple[str, datetime], int] = {}
        lab.run("sync", now)
        for _ in range(14):
            before, now = now, now + random.choice((5 * MINUTE, HOUR, 7 * HOUR, 26 * HOUR))
            left += [
                (symbol, before.replace(hour=0, minute=0) + n * DAY)
                for n in range((now.date() - before.date()).days)
                for symbol in ("AUSDT", "BUSDT")
            ]
            random.shuffle(left)
            for symbol, day in [left.pop() for _ in range(random.randint(0, len(left)))]:
                volume = random.choice((10, 11))
                whole = bars(day, day + DAY, step, volume).splitlines(keepends=True)
                lacks = random.choice((0, 0, 30))
                text = "".join(whole[:100] + whole[100 + lacks :])
                lab.put(daily.format(s=symbol, day=f"{day:%Y-%m-%d}"), text, now - HOUR)
                lacking = {day + n * step for n in range(100, 100 + lacks)}
                moments = {day + n * step for n in range(288)} - lacking
                values |= {(symbol, moment): volume for moment in moments}
            is_away = random.random() < 0.25
            lab.vendor.fail(*([Fault("api/*", "status", 503)] if is_away else []))
            lab.run(random.choice(("sync", "tick", "patch", "audit")), now)
            check_once(lab)
            lab.vendor.fail()
        lab.run("audit", now)
        lab.run("sync", now)
        closed = (now - at("2024-03-01")) // step
        found = lab.ask("SELECT symbol, open_time, volume FROM klines ORDER BY ALL")
        expected = [
            (symbol, opens.replace(tzinfo=None), float(values.get((symbol, opens), 10)))
            for symbol in ("AUSDT", "BUSDT")
            for opens in (at("2024-03-01") + n * step for n in range(closed))
        ]
        assert found == expected
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]


def check_once(lab: Lab) -> None:
    """No row stands twice, in the views as in the macros."""
    for source in ("klines", "klines_of('AUSDT', interval_ := '5m')"):
        twice = f"SELECT symbol, open_time FROM {source} GROUP BY ALL HAVING count(*) > 1"
        assert lab.ask(twice) == []


def test_a_hole_ending_an_answer_is_filled(lab: Lab) -> None:
    lab.tell_api(TWIN.format(s="AUSDT"), bars(at("2024-03-01"), at("2024-03-10T09:27"), MINUTE))
    lab.run("sync", "2024-03-10T09:30:20")
    assert lab.ask("SELECT max(open_time) FROM klines_of('AUSDT')") == [
        (naive("2024-03-10T09:26"),)
    ]
    lab.tell_api(TWIN.format(s="AUSDT"), bars(at("2024-03-01"), at("2024-04-01"), MINUTE))
    lab.run("sync", "2024-03-10T09:31:20")

    rows(lab, "2024-03-10T09:31")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("api/v3/klines*", "status", 429), "429"),
        (Fault("api/v3/klines*", "status", 418), "418"),
        (Fault("api/v3/klines*", "body", text="[[1710066660000,1,2]]"), "12 values"),
        (Fault("api/v3/klines*", "body", text="{}"), "not a list"),
        (Fault("api/v3/klines*", "body", text="[" + bar_of("2024-03-11T00:00") + "]"), "time"),
        (Fault("api/v3/klines*", "body", text="[" + bar_of("2024-03-10T09:30:07") + "]"), "grid"),
        (Fault("api/v3/klines*", "html"), "web page"),
    ],
)
def test_bad_answers_are_reported_not_stored(lab: Lab, fault: Fault, reason: str) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    lab.vendor.fail(fault)
    outcome = lab.run("sync", "2024-03-10T09:35:20")

    assert any(reason in trouble for trouble in outcome.troubles), outcome.troubles
    rows(lab, "2024-03-10T09:30")
    lab.vendor.fail()
    with opened_state(tree_of(lab.config)) as state:
        state.connection.execute("DELETE FROM sync.rest_bans")  # its time is over
    lab.run("sync", "2024-03-10T09:36:20")
    rows(lab, "2024-03-10T09:36")


def test_damaged_followed_files_are_refetched_immediately(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    root = tree_of(lab.config).root
    (path,) = (root / "tail").rglob("2024-03-10T03.*")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-100])
    put_day(lab, "2024-03-10")
    lab.run("sync", "2024-03-10T09:35:20")

    rows(lab, "2024-03-10T09:35")
    assert (root / ".quarantine" / "damaged" / path.relative_to(root)).exists()
    lab.run("sync", "2024-03-11T06:10:20")
    rows(lab, "2024-03-11T06:10")


@pytest.mark.parametrize(
    ("hour", "then"), [("03", "archive"), ("03", "repair"), ("09", "archive"), ("09", "row")]
)
def test_flipped_bytes_in_followed_files_are_found(lab: Lab, hour: str, then: str) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    root = tree_of(lab.config).root
    (path,) = (root / "tail").rglob(f"2024-03-10T{hour}.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    found = verify.verify(lab.config, Event(), lambda _: None)
    assert (found.is_whole, found.followed) == (False, (str(path.relative_to(root)),))
    if then == "repair":
        verify.repair(lab.config, found)
        assert verify.verify(lab.config, Event(), lambda _: None).is_whole
    if then == "archive":
        for day in ("2024-03-10", "2024-03-11"):
            put_day(lab, day)
            put_day(lab, day, "BUSDT")
    now = "2024-03-12T08:00" if then == "archive" else "2024-03-10T09:35"
    lab.run("sync", f"{now}:20")
    lab.run("sync", f"{now}:50")

    rows(lab, now)
    assert lab.ask("SELECT DISTINCT open, volume FROM klines") == [(1.0, 10.0)]


def test_nothing_is_added_to_a_damaged_hour() -> None:
    """B lags behind A, then goes on in an hour whose file has changed meanwhile."""
    asked = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08", follow="true")
    with Lab(asked) as lab:
        for symbol, end in (("AUSDT", "2024-04-01"), ("BUSDT", "2024-03-10T09:30")):
            for day in ("2024-03-08", "2024-03-09"):
                put_day(lab, day, symbol)
            lab.tell_api(TWIN.format(s=symbol), bars(at("2024-03-01"), at(end), MINUTE))
        lab.run("sync", "2024-03-10T09:50:20")
        lab.run("sync", "2024-03-10T10:05:20")
        path = max((tree_of(lab.config).root / "tail").rglob("2024-03-10T09.*"))
        content = bytearray(path.read_bytes())
        content[180] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
        lab.tell_api(TWIN.format(s="BUSDT"), bars(at("2024-03-01"), at("2024-04-01"), MINUTE))
        tree = tree_of(lab.config)
        builders: AbstractContextManager[Any] = nullcontext(Inline())
        with opened_state(tree) as state, working(lab.config, Seen(), Event(), builders) as work:
            assert work.rest is not None
            wire = Wire(work.rest, work.rest_map, lambda: at("2024-03-10T10:07:20"))
            Follow(lab.config, state, tree).run(wire)
        lab.run("sync", "2024-03-10T10:09:20")

        assert verify.verify(lab.config, Event(), lambda _: None).is_whole
        assert lab.ask("SELECT DISTINCT open, volume FROM klines") == [(1.0, 10.0)]
        held = "SELECT symbol, count(*) FROM klines GROUP BY 1 ORDER BY 1"
        assert lab.ask(held) == [(name, 2 * 1440 + 609) for name in ("AUSDT", "BUSDT")]


def test_what_is_set_aside_is_in_no_new_generation(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    (path,) = (tree_of(lab.config).root / "tail").rglob("2024-03-10T03.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    lab.datasets = dataset("spot/klines/CUSDT/1m", start="2024-03-08")
    lab.run("tick", "2024-03-10T09:35:20")

    assert lab.ask("SELECT count(*) FROM klines WHERE source = 'rest'") == [(2 * (570 - 60),)]


@pytest.mark.parametrize("then", ["sync", "rebuild"])
def test_a_broken_footer_of_an_old_hour_stops_nothing(lab: Lab, then: str) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    (path,) = (tree_of(lab.config).root / "tail").rglob("2024-03-10T03.*")
    content = bytearray(path.read_bytes())
    content[-8 - int.from_bytes(content[-8:-4], "little")] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(content)
    if then == "rebuild":
        rebuild.rebuild(lab.config, Event())
    lab.run("sync", "2024-03-10T09:35:20")
    lab.run("sync", "2024-03-10T09:35:50")

    rows(lab, "2024-03-10T09:35")


def test_rebuild_keeps_rows_the_api_has_forgotten() -> None:
    march = [f"2024-03-{day:02d}" for day in range(8, 18)]
    twin = "data/futures/um/monthly/aggTrades/AUSDT/AUSDT-aggTrades-2024-03.zip"
    with Lab(dataset("um/aggTrades/AUSDT", start="2024-03-08", follow="true")) as lab:
        daily = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-2024-03-08.zip"
        lab.put(daily, HEADER + hourly(march[0]), at("2024-03-09T08:00"))
        lab.tell_api(twin, HEADER + "".join(map(hourly, march)))
        for day in march[1:6]:
            lab.run("sync", f"{day}T12:30")
        before = lab.ask("SELECT count(*) FROM agg_trades")
        lab.tell_api(twin, HEADER + "".join(map(hourly, march[5:])))
        rebuild.rebuild(lab.config, Event())

        assert lab.ask("SELECT count(*) FROM agg_trades") == before == [(5 * 24 + 13,)]
        lab.run("sync", "2024-03-13T12:50")
        lab.run("sync", "2024-03-16T12:50")
        assert lab.ask("SELECT count(*), count(DISTINCT agg_trade_id) FROM agg_trades") == [
            (8 * 24 + 13, 8 * 24 + 13)
        ]


def test_half_written_rows_are_never_shown_twice(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T02:30:20")
    tree, now = tree_of(lab.config), partial(at, "2024-03-10T09:30:20")
    folder = tree.root / "tail/klines/market=spot/interval=1m"
    before = set(folder.iterdir())
    in_the_way = {folder / f"2024-03-10T05.g{number:06d}.parquet" for number in range(40)}
    builders: AbstractContextManager[Any] = nullcontext(Inline())
    with opened_state(tree) as state, working(lab.config, Seen(), Event(), builders) as work:
        assert work.rest is not None
        for path in in_the_way:
            path.write_bytes(b"another file")
        with pytest.raises(FileExistsError):
            Follow(lab.config, state, tree).run(Wire(work.rest, work.rest_map, now))
    assert set(folder.iterdir()) == before | in_the_way
    for day in ("2024-03-10", "2024-03-11"):
        put_day(lab, day)
        put_day(lab, day, "BUSDT")
    lab.datasets = dataset("spot/klines/AUSDT,BUSDT/1m", start="2024-03-08")
    lab.run("sync", "2024-03-12T08:00:20")

    assert lab.ask("SELECT count(*), count(DISTINCT (symbol, open_time)) FROM klines") == [
        (2 * 4 * 1440, 2 * 4 * 1440)
    ]


def test_oversized_values_cost_only_their_series(lab: Lab) -> None:
    march = bars(at("2024-03-01"), at("2024-04-01"), MINUTE)
    lab.tell_api(TWIN.format(s="BUSDT"), march.replace(",1,2,", ",1,12000000000,"))
    outcome = lab.run("sync", "2024-03-10T09:30:20")

    assert [trouble.split(":")[0] for trouble in outcome.troubles] == [
        "gap the newest rows of spot/klines/BUSDT/1m"
    ]
    assert lab.ask("SELECT max(open_time) FROM klines_of('AUSDT')") == [
        (naive("2024-03-10T09:29"),)
    ]


RATES = "data/futures/um/monthly/fundingRate/AUSDT/AUSDT-fundingRate-2024-{}.zip"


def test_rates_differing_by_milliseconds_appear_once() -> None:
    with Lab(dataset("um/fundingRate/AUSDT", start="2024-01-01", follow="true")) as lab:
        lab.put(RATES.format("01"), funding(at("2024-01-01"), at("2024-02-01")))
        late = timedelta(milliseconds=3)
        for month, end in (("02", "2024-03-01"), ("03", "2024-04-01")):
            text = funding(at(f"2024-{month}-01"), at(end), late)
            lab.tell_api(RATES.format(month), text)
        lab.run("sync", "2024-03-03T00:01:20")
        lab.put(RATES.format("02"), funding(at("2024-02-01"), at("2024-03-01")))
        for day in (6, 7):
            lab.run("audit", f"2024-03-0{day}T00:01:20")

        ((count, minutes),) = lab.ask(
            "SELECT count(*), count(DISTINCT date_trunc('minute', calc_time)) FROM funding_rate"
        )
        assert count == minutes == (31 + 29 + 6) * 3 + 1


def test_rates_that_come_hourly_are_followed() -> None:
    with Lab(dataset("um/fundingRate/AUSDT", start="2024-02-01", follow="true")) as lab:
        lab.put(RATES.format("02"), funding(at("2024-02-01"), at("2024-03-01")))
        every = funding(at("2024-03-01"), at("2024-04-01"), hours=1)
        lab.tell_api(RATES.format("03"), every)
        for hour in range(4):
            lab.run("tick", f"2024-03-02T0{hour}:00:20")

        found = "SELECT count(*), max(calc_time) FROM funding_rate WHERE calc_time >= '2024-03-01'"
        assert lab.ask(found) == [(28, naive("2024-03-02T03:00"))]


def test_a_symbol_that_trades_again_is_followed(lab: Lab) -> None:
    """Its archives are found by the audit, before it is listed again for having stopped."""
    lab.run("sync", "2024-03-10T09:30:20")
    for number in range(10, 25):
        put_day(lab, f"2024-03-{number}")
    lab.run("audit", "2024-03-25T09:30:20")
    trades = "SELECT is_trading FROM sync.coverage WHERE symbol = 'BUSDT'"
    before = lab.ask(trades)
    for day in ("2024-03-24", "2024-03-25"):
        put_day(lab, day, "BUSDT")
    for day in ("2024-03-26", "2024-03-27"):
        lab.run("audit", f"{day}T09:30:20")

    assert (before, lab.ask(trades)) == ([(False,)], [(True,)])
    last = "SELECT max(open_time) FROM klines WHERE symbol = 'BUSDT'"
    assert lab.ask(last) == [(naive("2024-03-27T09:29"),)]


LISTED_MS = 1_600_000_000_000  # in 2020


def list_symbol(lab: Lab, listed_ms: int) -> None:
    """Have the API of um list AUSDT, which trades since then."""
    info = {"symbol": "AUSDT", "status": "TRADING", "onboardDate": listed_ms}
    body = json.dumps({"rateLimits": [], "symbols": [info]})
    lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "body", text=body))


@pytest.mark.parametrize("symbols", ["AUSDT", "*USDT", "ZUSDT,A*"])
def test_a_new_symbol_is_followed_before_its_archives(symbols: str) -> None:
    listed_ms = round(at("2024-03-05T08:00").timestamp() * 1000)
    text = dataset(f"um/fundingRate/{symbols}", start="2024-02-01", follow="true")
    with Lab(text) as lab:
        old = RATES.replace("AUSDT", "ZUSDT").format("02")
        lab.put(old, funding(at("2024-02-01"), at("2024-03-01")))
        list_symbol(lab, listed_ms)
        whole = funding(at("2024-03-05T16:00"), at("2024-04-01"))
        lab.tell_api(RATES.format("03"), whole)
        lab.run("sync", "2024-03-06T08:59:20")  # by which the API has told its symbols
        found = lab.run("sync", "2024-03-06T09:00:20")

        assert found.has_series
        assert [one for one in found.remarks if "no symbol" in one] == []
        rates = "SELECT count(*), count(DISTINCT calc_time), min(calc_time), any_value(source)"
        rates += " FROM funding_rate WHERE symbol = 'AUSDT'"
        first = naive("2024-03-05T16:00")
        assert lab.ask(rates) == [(3, 3, first, "rest")]
        counts = "SELECT is_trading, open_rows FROM sync.coverage WHERE symbol = 'AUSDT'"
        assert lab.ask(counts) == [(True, 0)]
        lab.put(RATES.format("03"), whole)
        lab.run("audit", "2024-04-02T12:00:20")
        assert lab.ask(rates) == [(79, 79, first, "archive")]


ONE_HOUR = "klines/AUSDT/1h/AUSDT-1h-2024-01.zip"
ONE_WEEK = "klines/AUSDT/1w/AUSDT-1w-2024-01.zip"


@pytest.mark.parametrize(
    ("key", "start", "text", "rows"),
    [
        (ONE_HOUR, "2024-03-10", bars(at("2024-01-01"), at("2024-03-25"), HOUR), 9),
        (ONE_WEEK, "2024-02-19", bars(at("2024-01-01"), at("2024-03-25"), 7 * DAY), 2),
        (RATES.partition("monthly/")[2].format("01"), "2024-03-02", None, 26),
    ],
)
def test_a_young_start_is_followed(key: str, start: str, text: str | None, rows: int) -> None:
    """No archive of that time can be there yet, though the symbol is old."""
    kind, symbol, *interval = key.split("/")[:-1]
    table, time = ("klines", "open_time") if interval else ("funding_rate", "calc_time")
    series = "/".join(["um", kind, symbol, *interval])
    with Lab(dataset(series, start=start, follow="true")) as lab:
        told = text or funding(at("2024-01-01"), at("2024-03-25"))
        for tell in (lab.tell_api, lab.put):
            tell(f"data/futures/um/monthly/{key}", told)
        list_symbol(lab, LISTED_MS)
        for now in ("2024-03-10T09:00:20", "2024-03-10T09:10:20"):
            found = lab.run("sync", now)

        assert (found.remarks, found.unknown, found.has_series) == ((), (), True)
        counts = f"SELECT min({time}), count(*) FROM {table}"
        assert lab.ask(counts) == [(naive(start), rows)]
        trading = "SELECT is_trading, open_rows FROM sync.coverage"
        assert lab.ask(trading) == [(True, 0)]


def test_a_young_start_moved_earlier_brings_its_rows() -> None:
    with Lab() as lab:
        lab.tell_api(RATES.format("03"), funding(at("2024-03-01"), at("2024-04-01")))
        list_symbol(lab, LISTED_MS)
        for start, now in (("09", "10T09"), ("02", "11T09"), ("02", "11T10")):
            lab.datasets = dataset("um/fundingRate/AUSDT", start=f"2024-03-{start}", follow="true")
            lab.run("sync", f"2024-03-{now}:00:20")

        rates = "SELECT min(calc_time), count(*), count(DISTINCT calc_time) FROM funding_rate"
        assert lab.ask(rates) == [(naive("2024-03-02"), 29, 29)]
        assert lab.ask("SELECT open_rows, explained_rows FROM sync.coverage") == [(0, 0)]


def test_plan_takes_new_symbols_for_what_they_are() -> None:
    """Before the first pass: nothing is on record."""
    with Lab(dataset("um/fundingRate/AUSDT,BUSDT", start="2024-02-01")) as lab:
        old = RATES.replace("AUSDT", "ZUSDT").format("02")
        lab.put(old, funding(at("2024-02-01"), at("2024-03-01")))
        list_symbol(lab, LISTED_MS)
        planned = syncing.plan(lab.config, Seen(), Event())

    kind = "um/fundingRate"
    assert [line.partition(" (")[0] for line in planned.remarks] == [
        f"{kind}: the vendor has no symbol BUSDT",
        f"no archive in the configured time: {kind}/AUSDT",
    ]


def test_a_series_left_out_trades_no_more(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:30:20")
    lab.datasets = dataset("spot/klines/AUSDT/1m", start="2024-03-08", follow="true")
    lab.run("sync", "2024-03-10T10:30:20")

    trading = "SELECT symbol, is_trading, followed_until IS NULL FROM sync.coverage ORDER BY ALL"
    assert lab.ask(trading) == [("AUSDT", True, False), ("BUSDT", False, False)]


def test_other_funding_hours_are_counted_as_they_are() -> None:
    """From every 8 hours to every 4, within a followed month."""
    change, end = at("2024-03-12T16:00"), at("2024-04-01")
    eights = funding(at("2024-03-01"), change + 8 * HOUR)
    march = eights + funding(change + 4 * HOUR, end, hours=4).partition("\n")[2]
    with Lab(dataset("um/fundingRate/AUSDT", start="2024-02-01", follow="true")) as lab:
        lab.put(RATES.format("02"), funding(at("2024-02-01"), at("2024-03-01")))
        lab.tell_api(RATES.format("03"), march)
        for now, followed in (("2024-03-13T00:10", 37), ("2024-03-14T00:10", 43)):
            lab.run("tick", now)
            lab.run("patch", now)
            count = "SELECT expected_rows, present_rows, patched_rows, open_rows FROM sync.coverage"
            assert lab.ask(count) == [(29 * 3 + followed, 29 * 3, followed, 0)]
            assert lab.ask("FROM sync.gaps") == []


HOURS_CHANGE = {
    "8>1": [("2024-03-01", 8), ("2024-03-21T16:00", 1)],
    "8>1>4>8": [
        ("2024-03-01", 8), ("2024-03-07T08:00", 1), ("2024-03-18T12:00", 4), ("2024-03-22T08:00", 8)
    ],
}  # fmt: skip


@pytest.mark.parametrize("changes", HOURS_CHANGE.values(), ids=HOURS_CHANGE)
def test_changing_hours_make_no_false_gap_also_once_archived(
    changes: list[tuple[str, int]],
) -> None:
    due = [at("2024-02-01") + n * 8 * HOUR for n in range(29 * 3)]
    ends = [at(start) for start, _ in changes[1:]] + [at("2024-05-01")]
    for (start, hours), end in zip(changes, ends, strict=True):
        due += [at(start) + n * hours * HOUR for n in range((end - at(start)) // (hours * HOUR))]
    texts = {
        month: funding_at([one for one in due if f"{one:%m}" == month])
        for month in ["02", "03", "04"]
    }
    with Lab(dataset("um/fundingRate/AUSDT", start="2024-02-01", follow="true")) as lab:
        lab.put(RATES.format("02"), texts["02"])
        for month in ("03", "04"):
            lab.tell_api(RATES.format(month), texts[month])
        for day in ("03-12T20:07", "03-19T05:00", "03-24T05:00", "04-02T10:00", "04-03T10:00"):
            if day == "04-02T10:00":
                lab.put(RATES.format("03"), texts["03"])
            for name in ("tick", "patch"):
                lab.run(name, f"2024-{day}:00")
            ((until, *counts),) = lab.ask(
                "SELECT expected_until, expected_rows, present_rows + patched_rows, open_rows"
                " FROM sync.coverage"
            )
            count = sum(one.replace(tzinfo=None) < until for one in due)
            assert (counts, lab.ask("FROM sync.gaps")) == ([count, count, 0], []), day


def test_following_continues_after_a_long_outage() -> None:
    step, second = timedelta(seconds=1), "1s"
    with Lab(dataset("spot/klines/AUSDT/1s", start="2024-03-09", follow="true")) as lab:
        key = "data/spot/{}/klines/AUSDT/1s/AUSDT-1s-{}.zip"
        begins = at("2024-03-09")

        def texts(first: datetime, last: datetime) -> str:
            count = (last - first) // step
            return "".join(bar(first + n * step, step) for n in range(count))

        lab.put(key.format("daily", "2024-03-09"), texts(begins, begins + DAY))
        known = texts(begins + DAY, begins + DAY + HOUR)
        known += texts(begins + DAY + 2 * HOUR, begins + DAY + 3 * HOUR)
        lab.tell_api(key.format("daily", "2024-03-10"), known)
        for minute in range(4):
            lab.run("tick", at("2024-03-10T02:30:00") + minute * MINUTE)

        assert lab.ask(
            f"SELECT max(open_time) FROM klines_of('AUSDT', interval_ := '{second}')"
        ) == [(naive("2024-03-10T02:32:59"),)]


TRADES = "data/spot/{}/aggTrades/AUSDT/AUSDT-aggTrades-{}.zip"
ALL_TRADES = "SELECT count(*), count(DISTINCT agg_trade_id), max(agg_trade_id) FROM {}"


def trades(start: datetime, end: datetime, first: int) -> str:
    """Return a trade every ten seconds, with ids from *first* on."""
    count = (end - start) // timedelta(seconds=10)
    return "".join(trade(first + n, start + n * timedelta(seconds=10)) for n in range(count))


def trading(follow: str = "true") -> Lab:
    """Trades with an archive of 9 March, whose API knows those of 9 to 12 March."""
    lab = Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-09", follow=follow))
    lab.put(TRADES.format("daily", "2024-03-09"), trades(at("2024-03-09"), at("2024-03-10"), 1000))
    known = trades(at("2024-03-09"), at("2024-03-13"), 1000)
    lab.tell_api(TRADES.format("monthly", "2024-03"), known)
    return lab


@pytest.mark.parametrize(
    "source",
    ["agg_trades", "agg_trades_of('AUSDT')", "agg_trades_between('2000-01-01', '2100-01-01')"],
)
def test_trades_are_followed_by_their_ids(source: str) -> None:
    with trading() as lab:
        lab.run("sync", "2024-03-10T09:30:05")
        held = 8640 + (9 * 60 + 30) * 6 + 1
        assert lab.ask(ALL_TRADES.format(source)) == [(held, held, 1000 + held - 1)]
        before = lab.requests()
        lab.run("sync", "2024-03-10T09:31:05")

        assert lab.requests() == before + 1
        assert lab.ask(ALL_TRADES.format(source)) == [(held + 6, held + 6, 1000 + held + 5)]
        latest = "SELECT agg_trade_id, source FROM agg_trades_latest()"
        assert lab.ask(latest) == [(1000 + held + 5, "rest")]
        told = "SELECT archived_until, followed_until FROM sync.coverage"
        assert lab.ask(told) == [(naive("2024-03-10"), naive("2024-03-10T09:31:00"))]


def test_archives_replace_followed_trades_by_id() -> None:
    """Also where its last trade is of the next day, or one is out of order in time."""
    with trading() as lab:
        lab.run("sync", "2024-03-11T05:00:05")
        own = trades(at("2024-03-10"), at("2024-03-11"), 9640).splitlines(keepends=True)
        del own[100:110]
        own.append(trade(9640 + 8640, at("2024-03-11")))
        lab.put(TRADES.format("daily", "2024-03-10"), "".join(own))
        lab.run("sync", "2024-03-11T06:00:05")

        held = 2 * 8640 + 6 * 360 + 1
        assert lab.ask(ALL_TRADES.format("agg_trades")) == [(held, held, 1000 + held - 1)]
        count = "SELECT source, count(*) FROM agg_trades GROUP BY ALL ORDER BY ALL"
        assert lab.ask(count) == [("archive", 2 * 8640 - 10 + 1), ("rest", 10 + 6 * 360)]
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
        runs = "SELECT first_id, last_id, row_count FROM sync.followed"
        assert lab.ask(runs) == [(9640 + 8641, 1000 + held - 1, 6 * 360)]


def test_following_covers_trades_without_archives() -> None:
    with trading() as lab:
        lab.run("sync", "2024-03-12T12:00:05")
        held = 3 * 8640 + 12 * 360 + 1
        assert lab.ask(ALL_TRADES.format("agg_trades")) == [(held, held, 1000 + held - 1)]
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]


def test_lost_followed_trades_are_fetched_again() -> None:
    with trading() as lab:
        lab.run("sync", "2024-03-10T09:30:05")
        for path in (tree_of(lab.config).root / "tail").rglob("2024-03-10T0[57].*"):
            path.unlink()
        lab.run("sync", "2024-03-10T09:40:05")
        lab.run("sync", "2024-03-10T09:50:05")

        held = 8640 + (9 * 60 + 50) * 6 + 1
        assert lab.ask(ALL_TRADES.format("agg_trades")) == [(held, held, 1000 + held - 1)]
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]


def test_todays_hole_is_already_a_gap(lab: Lab) -> None:
    text = bars(at("2024-03-01"), at("2024-04-01"), MINUTE)
    hole = [bar(at("2024-03-10T05:00") + n * MINUTE, MINUTE) for n in range(7)]
    lab.tell_api(TWIN.format(s="AUSDT"), text.replace("".join(hole), ""))
    lab.run("sync", "2024-03-10T09:30:20")

    gaps = "SELECT symbol, gap_start, row_count, explanation FROM sync.gaps"
    assert lab.ask(gaps) == [("AUSDT", naive("2024-03-10T05:00"), 7, "empty_at_source")]
    lab.run("tick", "2024-03-10T09:31:20")  # which has nothing to look at again
    assert lab.ask(gaps) == [("AUSDT", naive("2024-03-10T05:00"), 7, "empty_at_source")]
    put_day(lab, "2024-03-10")
    lab.run("sync", "2024-03-11T06:00:20")

    assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
    rows(lab, "2024-03-11T06:00")


def test_a_shorter_listing_removes_no_row(lab: Lab) -> None:
    lab.run("sync", "2024-03-11T00:30:20")
    put_day(lab, "2024-03-10")
    lab.run("sync", "2024-03-11T06:00:20")
    for symbol, day in (("AUSDT", "2024-03-10"), ("AUSDT", "2024-03-09"), ("BUSDT", "2024-03-09")):
        lab.vendor.remove(DAILY.format(s=symbol, day=day))
    lab.run("audit", "2024-03-11T07:00:20")
    lab.run("sync", "2024-03-11T08:00:20")

    rows(lab, "2024-03-11T08:00")
    assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]


def test_following_goes_on_after_clock_jumped_ahead(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:19:20")
    tree = tree_of(lab.config)
    builders: AbstractContextManager[Any] = nullcontext(Inline())
    with opened_state(tree) as state, working(lab.config, Seen(), Event(), builders) as work:
        assert work.rest is not None
        follow, client = Follow(lab.config, state, tree), work.rest
        for time in ("2024-06-10T09:20:20", "2024-03-10T09:20:20"):
            found = follow.run(Wire(client, work.rest_map, partial(at, time), rounds=9))

    assert found.rows == 2
    rows(lab, "2024-03-10T09:20")


def test_dropped_kept_connections_cost_no_row(lab: Lab) -> None:
    lab.run("sync", "2024-03-10T09:19:20")
    lab.vendor.fail(Fault("*", "hangup"))
    before, tree = lab.requests(), tree_of(lab.config)
    builders: AbstractContextManager[Any] = nullcontext(Inline())
    with opened_state(tree) as state, working(lab.config, Seen(), Event(), builders) as work:
        assert work.rest is not None
        follow = Follow(lab.config, state, tree)
        for minute in range(20, 24):
            now = at(f"2024-03-10T09:{minute}:20")
            found = follow.run(Wire(work.rest, work.rest_map, partial(at, now.isoformat()[:19])))
            assert (found.rows, found.troubles, found.behind) == (2, {}, 0)

    rows(lab, "2024-03-10T09:23")
    assert lab.requests() == before + 4 * 2


def test_a_failed_answer_delays_later_trades() -> None:
    with trading() as lab:
        lab.vendor.fail(Fault("api/v3/aggTrades*fromId=11640*", "status", 500))
        before = lab.requests()
        lab.run("tick", "2024-03-10T09:30:05")

        assert lab.requests() == before + 4
        assert lab.ask("SELECT row_count, first_id, last_id FROM sync.followed") == [
            (2000, 9640, 11639)
        ]
        lab.vendor.fail()
        lab.run("tick", "2024-03-10T09:31:05")
        held = 8640 + (9 * 60 + 31) * 6 + 1
        assert lab.ask(ALL_TRADES.format("agg_trades")) == [(held, held, 1000 + held - 1)]
        assert lab.ask("SELECT row_count FROM sync.followed") == [(held - 8640,)]


def test_slightly_unordered_trades_are_no_gap() -> None:
    with trading() as lab:
        known = trades(at("2024-03-09"), at("2024-03-13"), 1000).splitlines(keepends=True)
        for at_end in (8640 + 500, 8640 + 5 * 360 - 1):
            one, other = known[at_end].split(","), known[at_end + 1].split(",")
            one[5], other[5] = other[5], one[5]
            known[at_end : at_end + 2] = ",".join(one), ",".join(other)
        lab.tell_api(TRADES.format("monthly", "2024-03"), "".join(known))
        lab.run("sync", "2024-03-10T05:00:01")
        lab.run("sync", "2024-03-10T05:01:01")

        held = 8640 + (5 * 60 + 1) * 6 + 1
        assert lab.ask(ALL_TRADES.format("agg_trades")) == [(held, held, 1000 + held - 1)]
        assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
        assert lab.ask("SELECT row_count FROM sync.followed") == [(held - 8640,)]


def test_reused_symbols_are_followed_from_first_trade() -> None:
    """Its ids start again, below those of its first life; the API has the new ones alone."""
    with Lab(dataset("spot/aggTrades/AUSDT", start="2024-03-08", follow="true")) as lab:
        old = trades(at("2024-03-08"), at("2024-03-08") + HOUR, 0)
        lab.put(TRADES.format("daily", "2024-03-08"), old)
        new = trades(at("2024-03-10T06:00"), at("2024-03-11"), 0)
        lab.tell_api(TRADES.format("monthly", "2024-03"), new)
        lab.run("sync", "2024-03-10T05:00:05")
        lab.run("sync", "2024-03-10T09:00:05")

        counted = "SELECT count(*), min(agg_trade_id) FROM agg_trades WHERE source = 'rest'"
        assert lab.ask(counted) == [(3 * 360 + 1, 0)]
        assert lab.ask("SELECT count(*) FROM agg_trades") == [(360 + 3 * 360 + 1,)]


def test_an_earlier_hole_today_is_found(lab: Lab) -> None:
    text = bars(at("2024-03-01"), at("2024-04-01"), MINUTE)
    hole = [bar(at("2024-03-10T05:00") + n * MINUTE, MINUTE) for n in range(7)]
    lab.tell_api(TWIN.format(s="AUSDT"), text.replace("".join(hole), ""))
    lab.run("sync", "2024-03-10T09:30:20")
    for path in (tree_of(lab.config).root / "tail").rglob("2024-03-10T03.*"):
        path.unlink()
    lab.run("sync", "2024-03-10T09:35:20")

    begins = "open_time BETWEEN '2024-03-10 03:00' AND '2024-03-10 03:59'"
    assert lab.ask(f"SELECT count(*) FROM klines WHERE {begins}") == [(120,)]


def test_following_gives_back_its_reservation() -> None:
    """By a pass that follows once; and where nothing is to be asked for this minute."""
    text = dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-03-08", follow="true")
    with Lab(text) as hourly:
        key = "data/spot/daily/klines/{s}/1h/{s}-1h-2024-03-08.zip"
        for symbol in ("AUSDT", "BUSDT"):
            begins = at("2024-03-08")
            hourly.put(key.format(s=symbol), bars(begins, begins + DAY, HOUR))
            known = bars(begins, begins + 9 * DAY, HOUR)
            hourly.tell_api(key.format(s=symbol), known)
        hourly.run("sync", "2024-03-09T08:00:20")
        tree, builders = tree_of(hourly.config), nullcontext(Inline())
        given: AbstractContextManager[Any] = builders
        with opened_state(tree) as state, working(hourly.config, Seen(), Event(), given) as work:
            assert work.rest is not None
            follow, reserved = Follow(hourly.config, state, tree), []
            for time in ("09:00:20", "09:01:20"):
                now = partial(at, f"2024-03-09T{time}")
                follow.run(Wire(work.rest, work.rest_map, now))
                reserved.append(work.rest._reserved[Market.SPOT])
    assert reserved == [4, 0]
