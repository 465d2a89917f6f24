"""Each claim speaks where it is true, and is silent where it is not: docs/claims.md lists them."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
import time_machine

from damaging import file_of, flip, run, verified
from fullpool import unknown
from fullpool.app import clock, remarks, syncing, verify
from fullpool.app.assembly import opened_state
from fullpool.app.doctor.checks_lake import symptoms
from fullpool.config import parse
from fullpool.config.spelling import nearest_interval, nearest_symbol
from fullpool.errors import ConfigError, Exit, FullpoolError
from fullpool.model import Ban, Interval, Market, Series
from fullpool.simulator import Fault
from lab import DAY, HOUR, Lab, at, bar, bars, days_of
from served import Seen, Vendor, dataset, tree_of

ROOT = Path(__file__).parents[2]
DAY_KEY = "data/spot/daily/klines/{0}/{1}/{0}-{1}-{2}.zip"
MONTH_KEY = "data/spot/monthly/klines/{0}/{1}/{0}-{1}-{2}.zip"


def told(lab: Lab, now: str) -> list[str]:
    """Return what the doctor says of a lake at that time."""
    return [one.what for one in symptoms(tree_of(lab.config), at(now))]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as made:
        yield made


def put_days(lab: Lab, *days: str) -> None:
    for day in days:
        lab.put(DAY_KEY.format("AUSDT", "1h", day), bars(at(day), at(day) + DAY, HOUR))


def test_a_fresh_lake_lags_without_syncs(lab: Lab) -> None:
    put_days(lab, "2024-03-01", "2024-03-02")
    lab.run("sync", "2024-03-03T08:00")

    assert told(lab, "2024-03-05T23:00") == []
    assert told(lab, "2024-03-06T01:00") == ["spot/klines/AUSDT/1h lags by 3 days, more than usual"]


@pytest.mark.parametrize(
    ("interval", "opens", "silent", "speaks"),
    [
        ("1mo", ["2024-01-01", "2024-02-01"], "2024-04-20", "2024-04-26"),
        ("1w", ["2024-02-19", "2024-02-26"], "2024-04-20", "2024-04-29"),
        ("3d", ["2024-02-26", "2024-02-29"], "2024-04-20", "2024-04-27"),
    ],
)
def test_what_is_published_monthly_lags_later(
    lab: Lab, interval: str, opens: list[str], silent: str, speaks: str
) -> None:
    lab.datasets = dataset(f"spot/klines/AUSDT/{interval}")
    length = {"1mo": 29 * DAY, "1w": 7 * DAY, "3d": 3 * DAY}[interval]
    lab.put(
        MONTH_KEY.format("AUSDT", interval, "2024-02"),
        "".join(bar(at(one), length) for one in opens if one >= "2024-02"),
    )
    lab.run("sync", "2024-03-16T08:00")

    assert told(lab, silent) == []
    (what,) = told(lab, speaks)
    assert what.startswith(f"spot/klines/AUSDT/{interval} lags by ")


def test_many_lagging_series_are_one_line(lab: Lab) -> None:
    names = [f"{letter}USDT" for letter in "ABCDEFG"]
    lab.datasets = dataset(f"spot/klines/{','.join(names)}/1h", start="2024-03-01")
    for name in names:
        rows = bars(at("2024-03-01"), at("2024-03-02"), HOUR)
        lab.put(DAY_KEY.format(name, "1h", "2024-03-01"), rows)
    lab.run("sync", "2024-03-02T08:00")

    (what,) = told(lab, "2024-03-08")
    assert what.endswith("and 6 more lags by 6 days, more than usual")


def test_gaps_are_reported_after_a_day(lab: Lab) -> None:
    put_days(lab, "2024-03-01", "2024-03-03")
    rows = bars(at("2024-03-02"), at("2024-03-02T12:00"), HOUR)
    lab.put(DAY_KEY.format("AUSDT", "1h", "2024-03-02"), rows)
    lab.run("sync", "2024-03-04T08:00")

    assert told(lab, "2024-03-05T07:00") == []
    assert told(lab, "2024-03-05T09:00") == ["gaps open for more than a day: 1, of 12 rows"]
    ((reason,),) = lab.ask("SELECT reason FROM sync.gaps")
    assert reason == "no archive has these rows, and the API is not asked (rest.enabled = false)"


def test_gaps_of_series_left_out_are_not_reported(lab: Lab) -> None:
    whole = bars(at("2024-03-01"), at("2024-03-02"), HOUR)
    lab.put(DAY_KEY.format("AUSDT", "1h", "2024-03-01"), whole[: len(whole) // 24 * 12])
    lab.put(
        DAY_KEY.format("AUSDT", "1h", "2024-03-02"), bars(at("2024-03-02"), at("2024-03-03"), HOUR)
    )
    lab.put(DAY_KEY.format("BUSDT", "1h", "2024-03-01"), whole)
    lab.run("sync", "2024-03-03T08:00")
    lab.datasets = dataset("spot/klines/BUSDT/1h", start="2024-03-01", end="2024-03-01")
    lab.run("sync", "2024-03-05T10:00")

    assert lab.ask("SELECT symbol, status FROM sync.gaps") == [("AUSDT", "open")]
    assert told(lab, "2024-03-05T11:00") == []


def test_following_without_the_api_is_reported(tmp_path: Path) -> None:
    with Vendor(tmp_path / "vendor") as vendor:
        day = at("2024-01-01").date()
        vendor.publish("spot/klines/BTCUSDT/1h", day, day)
        path = tmp_path / "one.toml"
        asked = dataset("spot/klines/BTCUSDT/1h", start="2024-01-01", follow="true")
        path.write_text(vendor.config_text(tmp_path / "lake", asked))
        assert run("sync", "-c", path).returncode == Exit.OK

        for command in (("doctor", "-c"), ("status", "-c"), ("plan", "-c"), ("check",)):
            said = run(*command, path).stdout
            assert "follow = true does nothing: rest.enabled = false" in said, command
    assert "newest archive" in said
    assert "spelling" not in run("doctor", "-c", path).stdout


def test_huge_gaps_are_reported_at_once(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT/1s", start="2024-03-01")
    second = timedelta(seconds=1)
    for day in ("2024-03-01", "2024-03-14"):
        rows = bars(at(day), at(day) + 60 * second, second)
        lab.put(DAY_KEY.format("AUSDT", "1s", day), rows)
    lab.run("sync", "2024-03-15T08:00")

    missing = 14 * 86_400 - 2 * 60
    assert any(what.startswith(f"{missing:,} rows") for what in told(lab, "2024-03-15T09:00"))


def test_a_stopped_pass_is_reported_until_success(lab: Lab) -> None:
    put_days(lab, "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    put_days(lab, "2024-03-02")
    lab.vendor.fail(Fault("*", "redirect"))
    with suppress(FullpoolError):
        lab.run("sync", "2024-03-03T08:00")
    said = told(lab, "2024-03-03T09:00")
    lab.vendor.fail()
    lab.run("sync", "2024-03-03T10:00")

    assert len(said) == 1
    assert said[0].startswith("the last pass, of 2024-03-03 08:00 UTC, stopped: ")
    assert told(lab, "2024-03-03T11:00") == []


def test_many_generations_are_reported(lab: Lab) -> None:
    put_days(lab, "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    tree = tree_of(lab.config)
    for number in range(1000, 1501):
        tree.catalogue(number).parent.mkdir()

    assert told(lab, "2024-03-02T09:00") == ["502 generations are kept"]


def test_an_expired_ban_is_not_reported(lab: Lab) -> None:
    put_days(lab, "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    with opened_state(tree_of(lab.config)) as state:
        state.gaps.record_bans(
            [Ban("api.example", 429, "quiet", at("2024-03-02"), at("2024-03-04"))]
        )
    put_days(lab, "2024-03-02")
    lab.run("sync", "2024-03-03T08:00")

    said = "the API's host api.example is blocked until 2024-03-04 00:00 UTC"
    assert told(lab, "2024-03-03T09:00") == [said]
    assert told(lab, "2024-03-04T00:01") == []


def test_lost_archives_no_longer_configured_are_reported(lab: Lab) -> None:
    lab.datasets += dataset("spot/klines/BUSDT/1h", start="2024-03-01")
    put_days(lab, "2024-03-01")
    lab.put(
        DAY_KEY.format("BUSDT", "1h", "2024-03-01"), bars(at("2024-03-01"), at("2024-03-02"), HOUR)
    )
    lab.run("sync", "2024-03-02T08:00")
    lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01")
    flip(file_of(lab.config, "BUSDT"))
    verify.repair(lab.config, verified(lab.config))
    lab.run("sync", "2024-03-02T09:00")

    (what,) = told(lab, "2024-03-02T10:00")
    assert what.startswith("1 archive of spot/klines/BUSDT/1h lost")


def test_the_hint_mends_outdated_archives(vendor: Vendor, tmp_path: Path) -> None:
    day, key = at("2024-01-01").date(), DAY_KEY.format("BTCUSDT", "1h", "2024-01-01")
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    path = tmp_path / "fullpool.toml"
    span = {"start": "2024-01-01", "end": "2024-01-01"}
    path.write_text(
        vendor.config_text(tmp_path / "lake", dataset("spot/klines/BTCUSDT/1h", **span))
    )
    assert run("sync", "-c", path).returncode == Exit.OK
    rows = bars(at("2024-01-01"), at("2024-01-02"), HOUR, volume=77)
    vendor.put(key, rows)
    outdated = run("verify", "--vendor", "-c", path)
    assert outdated.returncode == Exit.DAMAGED
    assert (
        "hint: `fullpool verify --vendor --repair` makes the next sync download them"
        in outdated.stderr
    )

    assert run("verify", "--vendor", "--repair", "-c", path).returncode == Exit.OK
    assert run("sync", "-c", path).returncode == Exit.OK
    found = run("sql", "-c", path, "--csv", "SELECT DISTINCT volume FROM klines")
    assert found.stdout.split() == ["volume", "77.0"]
    assert run("verify", "--vendor", "-c", path).returncode == Exit.OK


# Misspelled symbols and intervals


@pytest.fixture
def spelled(vendor: Vendor, tmp_path: Path) -> Path:
    """Return a configuration of two symbols that the vendor has and 298 that it has not."""
    day = at("2024-01-01").date()
    for name in ("BTCUSDT", "ETHUSDT"):
        vendor.publish(f"spot/klines/{name}/1h", day, day)
    names = ",".join(["BTCUSDT", "ETHUSDT", "ETHUSD", *(f"NO{n}USDT" for n in range(298))])
    path = tmp_path / "many.toml"
    end = {"start": "2024-01-01", "end": "2024-01-01"}
    path.write_text(
        vendor.config_text(tmp_path / "lake", dataset(f"spot/klines/{names}/1h", **end))
    )
    return path


def _lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if "the vendor has no" in line]


def test_unknown_symbols_are_always_one_line(spelled: Path) -> None:
    first, second = (_lines(run("sync", "-c", spelled)) for _ in range(2))

    assert first == second
    (line,) = first
    assert line.startswith("spot/klines: the vendor has no symbols ETHUSD (did you mean ETHUSDT?)")
    assert line.endswith(" and 289 more")
    assert _lines(run("check", spelled)) == first
    assert _lines(run("plan", "-c", spelled)) == first
    assert _lines(run("status", "-c", spelled)) == first
    assert _lines(run("doctor", "-c", spelled)) == [f"- {line}"]


def test_misspelled_symbols_beside_patterns_are_reported(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    path, end = tmp_path / "one.toml", {"start": "2024-01-01", "end": "2024-01-01"}
    for names in ("BTCUSDT", "BTCUSDT,BTCUSTD,*UDST"):
        asked = dataset(f"spot/klines/{names}/1h", **end)
        path.write_text(vendor.config_text(tmp_path / "lake", asked))
        assert run("sync", "-c", path).returncode == Exit.OK

    for command in (("doctor",), ("status",), ("check", str(path))):
        options = () if "check" in command else ("-c", path)
        said = run(*command, *options).stdout
        assert "the vendor has no symbol BTCUSTD (did you mean BTCUSDT?)" in said, command
        assert "no symbol of the vendor matches *UDST" in said
        assert "has not been looked up" not in said


def test_the_vendors_symbols_cause_no_remarks(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/BTCUSDT/1h", end="2024-01-01"))
    syncing.sync(config, Seen(), Event())

    assert remarks.remarks_on(config) == []


def test_a_sync_without_known_symbols_fails(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    path = tmp_path / "one.toml"
    for names, code in (
        ("BTCUSTD", Exit.CONFIG), ("XYZ*", Exit.CONFIG), ("BTC*,!BTCUSDT", Exit.CONFIG),
        ("BTCUSTD,BTCUSDT", Exit.OK),
    ):  # fmt: skip
        asked = dataset(f"spot/klines/{names}/1h", start="2024-01-01", end="2024-01-01")
        path.write_text(vendor.config_text(tmp_path / "lake", asked))
        done = run("sync", "-c", path)
        assert done.returncode == code, done.stderr
        assert ("the vendor has none of the configured symbols" in done.stderr) == bool(code)


def test_sync_succeeds_before_the_first_archive(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    path = tmp_path / "one.toml"
    asked = dataset("spot/klines/BTCUSDT/1h", start=str(clock.now().date()))
    path.write_text(vendor.config_text(tmp_path / "lake", asked))
    done = run("sync", "-c", path)

    assert done.returncode == Exit.OK, done.stderr
    assert done.stdout.startswith("no archive is due yet: spot/klines/BTCUSDT/1h")
    assert done.stdout.endswith("nothing was imported\n")
    assert "no archive" not in run("doctor", "-c", path).stdout


def test_an_old_listing_calls_no_symbol_misspelled(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT,NOSUCH/1h", start="2024-03-01")
    put_days(lab, "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    with time_machine.travel(at("2024-03-02T09:00")):
        assert len(remarks.remarks_on(lab.config)) == 1
    with time_machine.travel(at("2024-06-02T09:00")):
        assert remarks.remarks_on(lab.config) == []


def test_a_shared_pattern_is_reported_once(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    asked = "".join(dataset(f"spot/klines/BTC*,XYZ*/{i}", end="2024-01-01") for i in ("1h", "1d"))
    config = vendor.config(tmp_path / "lake", asked)
    syncing.sync(config, Seen(), Event())

    assert (
        remarks.remarks_on(config).count("spot/klines: no symbol of the vendor matches XYZ*") == 1
    )


def test_a_month_is_missing_until_days_complete_it(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-02-01")
    put_days(lab, *days_of("2024-02", 1, 14), *days_of("2024-02", 16, 29))
    lab.run("sync", "2024-03-08T08:00")  # a day is lost, so that the month is asked for

    ask = "SELECT period FROM sync.missing WHERE period LIKE '2024-02%'"
    assert lab.ask(ask) == [("2024-02",), ("2024-02-15",)]

    put_days(lab, "2024-02-15")
    lab.run("sync", "2024-03-10T08:00")
    assert lab.ask(ask) == []


def test_a_pattern_without_matches_is_reported(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    series = "spot/klines/BTC*,XYZ*,!*UPUSDT,!BTCUSTD/1h"
    config = vendor.config(tmp_path / "lake", dataset(series, end="2024-01-01"))
    outcome = syncing.sync(config, Seen(), Event())

    none = "spot/klines: no symbol of the vendor matches"
    told_of = [f"{none} XYZ*", f"{none} !BTCUSTD"]
    assert list(outcome.remarks) == remarks.remarks_on(config) == told_of


def test_a_missing_interval_is_no_unknown_symbol() -> None:
    series = Series(Market.UM, "klines", "BTCUSDT", Interval.H1)
    said = unknown.told([series], {(Market.UM, "klines"): ["BTCUSDT"]})

    assert said == ["no archive in the configured time: um/klines/BTCUSDT/1h"]


@pytest.mark.parametrize(
    ("symbol", "meant"),
    [
        ("SHIBUSDT", "1000SHIBUSDT"), ("XBTUSDT", "BTCUSDT"), ("BTCUSDTPERP", "BTCUSDT"),
        ("BTCUSD", "BTCUSD_PERP"), ("ETHUSDC_PERP", ""), ("QQQQ", ""),
    ],
)  # fmt: skip
def test_the_nearest_symbol_is_suggested(symbol: str, meant: str) -> None:
    names = ["1000SHIBUSDT", "BTCUSDT", "BTCUSD_PERP", "SHIBBUSD"]

    assert nearest_symbol(symbol, names) == (f" (did you mean {meant}?)" if meant else "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("60m", "1h"), ("24h", "1d"), ("7d", "1w"), ("1M", "1mo"), ("1mon", "1mo"), ("1H", "1h"),
        ("240m", "4h"), ("45m", ""), ("10m", ""), ("1y", ""), ("", ""), ("1min", "1m"),
    ],
)  # fmt: skip
def test_the_nearest_interval_is_suggested(text: str, meant: str) -> None:
    assert nearest_interval(text) == (f" (did you mean {meant}?)" if meant else "")


def test_an_empty_configuration_is_refused() -> None:
    for text in ("", "dataset = []\n"):
        with pytest.raises(ConfigError, match="dataset"):
            parse(text, "empty.toml")


def test_missing_archives_are_reported_until_imported(vendor: Vendor, tmp_path: Path) -> None:
    first, last = at("2024-01-01").date(), at("2024-01-03").date()
    vendor.publish("spot/klines/BTCUSDT/1h", first, last)
    path = tmp_path / "fullpool.toml"
    span = {"start": "2024-01-01", "end": "2024-01-03"}
    asked = dataset("spot/klines/BTCUSDT/1h", **span)
    path.write_text(vendor.config_text(tmp_path / "lake", asked, rounds=1))
    vendor.fail(Fault("*2024-01-02.zip", "status", 503))
    ended = [run("sync", "-c", path) for _ in range(2)]
    shown, told = run("status", "-c", path), run("doctor", "-c", path)

    assert [done.returncode for done in ended] == [Exit.INCOMPLETE] * 2
    assert "asked for again by the next pass" in told.stdout
    assert ended[0].stdout.startswith("archives: 2 ")
    assert ended[1].stdout.startswith("nothing was imported\n")
    for done in ended:
        assert "missing rows: 24 open (`fullpool gaps` shows why)" in done.stdout
        assert "1 failed (`fullpool status` shows why)" in done.stdout
    assert "HTTP 503" in shown.stdout
    assert "failed" in shown.stdout

    vendor.fail()
    ended = [run("sync", "-c", path) for _ in range(2)]
    shown = run("status", "-c", path)

    assert [done.returncode for done in ended] == [Exit.OK] * 2
    assert ended[1].stdout == "nothing new\n"
    assert "missing" not in ended[0].stdout
    assert "503" not in shown.stdout
    assert "failed" not in shown.stdout
    assert run("gaps", "-c", path).stdout == "no gaps\n"


def test_unanswered_gaps_are_retried_and_reported(lab: Lab) -> None:
    lab.has_api = True
    lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-03")
    put_days(lab, "2024-03-01", "2024-03-03")
    for day in ("2024-03-01", "2024-03-02", "2024-03-03"):
        rows = bars(at(day), at(day) + DAY, HOUR)
        lab.tell_api(DAY_KEY.format("AUSDT", "1h", day), rows)
    lab.vendor.fail(Fault("api/*", "status", 503))
    for moment in ("2024-03-10T08:00", "2024-03-10T08:01"):
        assert not lab.run("sync", moment).is_complete
        (what,) = told(lab, moment)
        assert what.startswith("the last question for 1 gaps got no answer: ")

    lab.vendor.fail()
    assert lab.run("sync", "2024-03-10T08:02").is_complete
    assert told(lab, "2024-03-10T08:03") == []


def test_series_never_looked_up_are_reported(vendor: Vendor, tmp_path: Path) -> None:
    day = at("2024-01-01").date()
    vendor.publish("spot/klines/BTCUSDT/1h", day, day)
    asked = dataset("spot/klines/BTCUSDT/1h", start="2024-01-01", end="2024-01-01")
    path = tmp_path / "fullpool.toml"
    path.write_text(vendor.config_text(tmp_path / "lake", asked))
    run("sync", "-c", path)
    assert "not been looked up" not in run("doctor", "-c", path).stdout

    path.write_text(vendor.config_text(tmp_path / "lake", asked.replace("1h", "1d")))
    done = run("doctor", "-c", path)
    assert "spot/klines/BTCUSDT/1d has not been looked up at the vendor yet" in done.stdout
    assert done.returncode == Exit.UNHEALTHY


def test_a_failed_audit_is_repeated(lab: Lab) -> None:
    put_days(lab, "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    lab.vendor.fail(Fault("data/spot/*/", "status", 503))
    assert not lab.run("sync", "2024-03-03T08:00").is_complete
    assert not lab.run("sync", "2024-03-03T08:01").is_complete

    lab.vendor.fail()
    assert lab.run("sync", "2024-03-03T08:02").is_complete


# The table


def test_each_claim_is_tested_both_ways() -> None:
    """Each row of docs/claims.md names a test of where it speaks, and one of where it is silent."""
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    table = (ROOT / "docs" / "claims.md").read_text()
    rows = [
        line
        for line in table.splitlines()
        if line.startswith("| ") and not line.startswith("| claim")
    ]
    metrics = re.findall(r"`(fullpool_\w+)", (ROOT / "docs" / "reference.md").read_text())
    assert [name for name in metrics if f"`{name}`" not in table] == []
    assert [code.name for code in Exit if code > Exit.BUG and f"`{code.name}`" not in table] == []
    for row in rows:
        _claim, speaks, silent = (cell.strip() for cell in row.strip("|").split(" | "))
        for cell in (speaks, silent):
            names = re.findall(r"`(test_\w+)`", cell)
            assert names, row
            assert set(names) <= defined, set(names) - defined
