"""`fullpool run` as a process: by the clock, through edits, crashes and stops."""

import grp
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import trustme

from fullpool.app import clock
from fullpool.errors import Exit
from fullpool.simulator import Api, Fault, generate, spec_from
from running import QUICK, Running
from served import Vendor, dataset, wait

A, B = "spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m"
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 5)


class Place:
    """A vendor with two series, a configuration file, and a daemon on it."""

    def __init__(self, vendor: Vendor, tmp_path: Path) -> None:
        self.vendor = vendor
        self.lake = tmp_path / "lake"
        self.config = tmp_path / "fullpool.toml"
        for series in (A, B):
            vendor.publish(series, FIRST, LAST)

    def write(self, *series: str, more: str = QUICK, **limits: Any) -> None:
        datasets = "".join(dataset(one, start=str(FIRST), end=str(LAST)) for one in series)
        text = self.vendor.config_text(self.lake, datasets, **limits)
        self.config.write_text(more + text)

    @contextmanager
    def running(self, **env: str) -> Iterator[Running]:
        with Running(self.config, self.lake, **env) as daemon:
            yield daemon

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.lake / "lake.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def symbols(self) -> list[str]:
        if not (self.lake / "lake.duckdb").exists():
            return []
        return [row[0] for row in self.ask("SELECT DISTINCT symbol FROM klines ORDER BY ALL")]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fullpool", *arguments],
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip


@pytest.fixture
def place(vendor: Vendor, tmp_path: Path) -> Place:
    one = Place(vendor, tmp_path)
    one.write(A)
    return one


def test_it_fills_the_lake_and_says_so(place: Place) -> None:
    with place.running() as daemon:
        said = daemon.until(lambda: one if "up to date" in (one := daemon.status()) else "")

        assert place.ask("SELECT count(*) FROM klines") == [(5 * 1440,)]
        assert said.startswith("1 series up to date; next check at ")

        def shown() -> dict[str, Any]:
            done = place.run("status", "-c", str(place.config), "--json")
            told: dict[str, Any] = json.loads(done.stdout)["daemon"]
            return told

        assert shown()["pid"] == daemon.number
        # Every second it looks for what is due, and says so then.
        assert daemon.until(lambda: "up to date" in shown()["status"])


def test_one_pass_catches_up_after_downtime(place: Place) -> None:
    today = clock.now().date()
    text = place.vendor.config_text(place.lake, dataset(A, start=str(today - timedelta(20))))
    place.config.write_text(QUICK + text)
    place.vendor.publish(A, today - timedelta(20), today - timedelta(9))
    with place.running() as daemon:
        daemon.until(lambda: "up to date" in daemon.status())
        daemon.stop()
        with duckdb.connect(str(place.lake / ".state" / "state.duckdb")) as state:
            state.execute("UPDATE internal.listings SET listed_at = listed_at - INTERVAL 8 DAY")
        place.vendor.publish(A, today - timedelta(8), today - timedelta(2))
        daemon.start()
        daemon.until(lambda: place.ask("SELECT count(*) FROM klines") == [(19 * 1440,)])

        passes = "SELECT command, archives FROM sync.passes WHERE archives > 0 ORDER BY id"
        assert place.ask(passes) == [("tick", 12), ("tick", 7)]


def test_edits_apply_without_a_restart(place: Place) -> None:
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        place.write(A, B)
        daemon.until(lambda: place.symbols() == ["AUSDT", "BUSDT"])
        place.write(B)
        daemon.until(lambda: place.ask("SELECT count(*) FROM sync.wanted") == [(1,)])

        kept = place.ask("SELECT symbol, is_wanted FROM sync.coverage ORDER BY symbol")
        assert kept == [("AUSDT", False), ("BUSDT", True)]
        assert place.symbols() == ["AUSDT", "BUSDT"]
        shown = place.run("status", "-c", str(place.config)).stdout
        assert "no longer configured" in shown
        edits = daemon.until(
            lambda: place.ask("SELECT outcome FROM sync.config_edits") == [("applied",)] * 2
        )
        assert edits


def test_plan_shows_what_an_edit_does(place: Place, tmp_path: Path) -> None:
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        edit = tmp_path / "edit.toml"
        edit.write_text(place.config.read_text().replace('"AUSDT"', '"BUSDT"'))
        planned = json.loads(place.run("plan", "--config", str(edit), "--json").stdout)

    assert planned["archives"] == 5
    assert (planned["new_series"], planned["series_left"]) == ([B], [A])


def test_a_refused_edit_is_told_everywhere(place: Place) -> None:
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        place.config.write_text(place.config.read_text().replace('"spot"', '"sopt"'))
        daemon.until(lambda: "refused (1 problem)" in daemon.status())

        (event,) = daemon.events("config.refused")
        assert "did you mean spot?" in event["problems"][0]
        asked = place.run("reload", "--lake", str(place.lake))
        assert asked.returncode == Exit.CONFIG
        assert "did you mean spot?" in asked.stderr
        problems = "SELECT problems FROM sync.config_edits WHERE outcome = 'refused'"
        (row,) = daemon.until(lambda: place.ask(problems))
        assert "did you mean spot?" in row[0]
        metrics = place.lake / "fullpool.prom"
        daemon.until(lambda: "fullpool_config_edit_refused 1.0" in metrics.read_text())
        daemon.until(lambda: "fullpool_config_edits_refused_total 1.0" in metrics.read_text())

        place.write(A)
        daemon.until(lambda: "refused" not in daemon.status())
        daemon.until(lambda: "fullpool_config_edit_refused 0.0" in metrics.read_text())
        assert place.run("reload", "-c", str(place.config)).returncode == Exit.OK


def test_edits_naming_missing_certificates_are_refused(place: Place) -> None:
    with place.running() as daemon:
        nowhere = "[network]\nca_file = '/nowhere/ca.pem'\n"
        place.config.write_text(place.config.read_text().replace("[network]\n", nowhere))

        (event,) = daemon.until(lambda: daemon.events("config.refused"))
        assert "/nowhere/ca.pem" in event["problems"][0]


def test_edits_are_taken_while_certificates_change(place: Place) -> None:
    pem = place.config.parent / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(pem))
    trusted = f"[network]\nca_file = '{pem}'\n"
    place.config.write_text(place.config.read_text().replace("[network]\n", trusted))
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        pem.rename(pem.with_suffix(".old"))
        with place.config.open("a") as file:
            file.write(dataset(B, start=str(FIRST), end=str(LAST)))
        daemon.until(lambda: daemon.events("config.applied"))
        daemon.until(lambda: "ca.pem" in daemon.status())
        pem.with_suffix(".old").rename(pem)

        daemon.until(lambda: place.symbols() == ["AUSDT", "BUSDT"])


def test_another_lake_needs_a_restart(place: Place) -> None:
    with place.running() as daemon:
        place.config.write_text(place.config.read_text().replace("/lake'", "/lake2'"))

        (event,) = daemon.until(lambda: daemon.events("config.refused"))
        assert "stop the daemon to change it" in event["problems"][0]


def test_sighup_reloads_and_tells_the_manager(place: Place) -> None:
    with place.running() as daemon:
        daemon.listen().clear()
        os.kill(daemon.number, signal.SIGHUP)
        daemon.until(lambda: "READY=1" in daemon.listen(), 5)

        told = [line for line in daemon.told if not line.startswith("STATUS=")]
        assert told[0] == "RELOADING=1"
        assert told[1].startswith("MONOTONIC_USEC=")
        assert told[2] == "READY=1"


def test_reload_asks_only_the_lake_s_daemon(place: Place) -> None:
    place.lake = place.lake / ("deep/" * 20) / "lake"  # longer than the name of a socket may be
    place.write(A)
    with place.running() as daemon, subprocess.Popen(["sleep", "60"]) as stranger:
        said = json.loads((place.lake / ".daemon.json").read_text())
        (place.lake / ".daemon.json").write_text(json.dumps(said | {"pid": stranger.pid}))
        place.write(B)
        done = place.run("reload", "-c", str(place.config))

        assert done.returncode == Exit.OK, done.stderr
        assert daemon.events("config.applied")
        assert stranger.poll() is None
        stranger.kill()
        socket_mode = (place.lake / ".control/socket").stat().st_mode
        assert stat.S_IMODE(socket_mode) == 0o600


def test_a_configured_group_may_reload(place: Place) -> None:
    place.config.write_text(
        place.config.read_text().replace("[lake]\n", "[lake]\ncontrol_group = 'daemon'\n")
    )
    with place.running():
        made = (place.lake / ".control/socket").stat()

        assert stat.S_IMODE(made.st_mode) == 0o660
        assert grp.getgrgid(made.st_gid).gr_name == "daemon"


def test_the_daemon_runs_without_a_socket(place: Place) -> None:
    place.lake.mkdir()
    (place.lake / ".control").write_text("in the way")
    with place.running() as daemon:
        assert daemon.events("control.unavailable")
        done = place.run("reload", "-c", str(place.config))

    assert done.returncode == Exit.NOT_RUNNING
    assert "edits are noticed without it" in done.stderr


def test_a_silent_caller_keeps_nobody_waiting(place: Place) -> None:
    with (
        place.running(),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent,
    ):
        silent.connect(str(place.lake / ".control/socket"))

        assert place.run("reload", "-c", str(place.config)).returncode == Exit.OK


def test_reload_without_a_daemon_says_so(place: Place) -> None:
    done = place.run("reload", "-c", str(place.config))

    assert done.returncode == Exit.NOT_RUNNING
    assert "hint: start it" in done.stderr


def test_a_second_writer_learns_who_has_the_lake(place: Place) -> None:
    with place.running() as daemon:
        for command in ("run", "sync"):
            done = place.run(command, "-c", str(place.config))

            assert done.returncode == Exit.LAKE_BUSY
            assert f"`fullpool run` (process {daemon.number}, since 20" in done.stderr


@pytest.mark.parametrize("delay_ms", [500, 300_000])
def test_it_stops_without_awaiting_the_vendor(place: Place, delay_ms: int) -> None:
    place.write(A, B)
    place.vendor.fail(Fault("*.zip", "slow", delay_ms))
    with place.running() as daemon:
        daemon.until(lambda: "archives left" in daemon.status())

        assert daemon.stop() == 0  # the vendor still has answers to give
        assert "STOPPING=1" in daemon.listen()
        place.vendor.fail()
        daemon.start()
        daemon.until(lambda: place.symbols() == ["AUSDT", "BUSDT"])
        daemon.until(lambda: place.ask("SELECT count(*) FROM klines") == [(10 * 1440,)])


def test_a_second_signal_ends_it_immediately(place: Place) -> None:
    place.vendor.publish("um/aggTrades/BTCUSDT", FIRST, FIRST, 200_000)
    place.write(A, "um/aggTrades/BTCUSDT", builders=1)
    with place.running() as daemon:
        (worker, *_) = daemon.until(daemon.workers)
        os.kill(worker, signal.SIGSTOP)  # it cannot end by itself, so that one signal takes seconds
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        wait(0.5)
        is_waiting = daemon.process.poll() is None
        code = daemon.stop()
        os.kill(worker, signal.SIGKILL)

        assert is_waiting
        assert code == Exit.TERMINATED  # what ends by itself ends with 0
        wait(1)  # for the process that clears away what was shared
        assert "resource_tracker" not in daemon.log.read_text()


def test_after_kill_9_it_goes_on(place: Place) -> None:
    place.write(A, B)
    with place.running() as daemon:
        daemon.until(lambda: daemon.events("archive.imported"))
        daemon.stop(signal.SIGKILL)
        (place.lake / ".staging" / "left").write_text("half")
        daemon.start()
        daemon.until(lambda: place.symbols() == ["AUSDT", "BUSDT"])

        assert not (place.lake / ".staging" / "left").exists()
        assert place.ask("SELECT count(*) FROM klines") == [(10 * 1440,)]


def halted(daemon: Running) -> int | None:
    """Stop a worker where it is; None if there is none just now: a pass may have ended."""
    for worker in daemon.workers():
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGSTOP)
            return int(worker)
    return None


def test_health_tells_healthy_stuck_and_absent_apart(place: Place) -> None:
    asked = ("health", "--lake", str(place.lake))
    with place.running() as daemon:
        # Between two ticks: during one it tells what it does.
        daemon.until(lambda: "1 series up to date" in place.run(*asked).stdout)
        healthy = place.run(*asked)
        told = place.lake / ".daemon.json"
        daemon.until(lambda: clock.now().timestamp() - told.stat().st_mtime < 20)
        os.kill(daemon.number, signal.SIGSTOP)
        os.utime(told, (0, clock.now().timestamp() - 200))
        stuck = place.run(*asked)
        os.kill(daemon.number, signal.SIGCONT)
        daemon.until(lambda: place.run(*asked).returncode == Exit.OK)
        daemon.stop()
        absent = place.run(*asked)

    assert healthy.returncode == Exit.OK
    assert stuck.returncode == Exit.UNHEALTHY
    assert "it has made no progress for 2" in stuck.stderr
    assert absent.returncode == Exit.NOT_RUNNING


def test_a_stuck_worker_starves_the_watchdog(place: Place) -> None:
    place.write(A, builders=1)
    place.vendor.publish("um/aggTrades/BTCUSDT", date(2024, 6, 1), date(2024, 6, 8), 60_000)
    with place.running(WATCHDOG_USEC="2000000") as daemon:
        daemon.until(lambda: "WATCHDOG=1" in daemon.listen())
        daemon.until(lambda: "up to date" in daemon.status() and not daemon.workers())
        with place.config.open("a") as file:
            file.write(dataset("um/aggTrades/BTCUSDT", start="2024-06-01", end="2024-06-08"))
        worker = daemon.until(lambda: halted(daemon))  # before it can have built everything
        daemon.until(lambda: "of 2 series" in daemon.status())
        wait(3)  # what was under way elsewhere has ended
        daemon.listen().clear()
        wait(4)
        fed = daemon.listen().count("WATCHDOG=1")
        os.kill(worker, signal.SIGCONT)
        daemon.until(lambda: "WATCHDOG=1" in daemon.listen())

        assert fed == 0


def test_the_audit_refetches_a_republished_archive(place: Place) -> None:
    place.write(A, more=QUICK.replace('audit = "1h"', 'audit = "2s"'))
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        before = len(place.vendor.archive_requests())
        key = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-03.zip"
        opened = int(datetime(2024, 6, 3, tzinfo=UTC).timestamp()) * 1000
        rest = "7.0,8.0,6.0,7.5,10.0,{},75.0,3,4.0,6.0,0\n"
        starts = [opened + 60_000 * minute for minute in range(1439)]
        lines = (f"{start}," + rest.format(start + 59_999) for start in starts)
        place.vendor.put(key, "".join(lines))
        (event,) = daemon.until(lambda: daemon.events("archive.republished"))
        daemon.until(
            lambda: place.ask("SELECT count(*) FROM klines WHERE close = 7.5") == [(1439,)]
        )

        assert event["series"] == A
        assert place.ask("SELECT count(*) FROM klines") == [(5 * 1440 - 1,)]
        asked = place.vendor.archive_requests()[before:]
        assert all("2024-06-03" in path for path in asked)


def test_metrics_are_written_and_served(place: Place) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        place.write(A, more=QUICK + f'[metrics]\nlisten = "{address}"\n')
        body = daemon.until(lambda: _metrics(address))

        assert 'fullpool_archives{status="present"} 5.0' in body
        assert "fullpool_config_edit_refused 0.0" in body
        assert 'fullpool_requests_total{host="127.0.0.1",status="200"} ' in body
        assert 'fullpool_pass_duration_seconds_count{command="tick"} ' in body
        text = (place.lake / "fullpool.prom").read_text()
        assert 'fullpool_archives{status="present"} 5.0' in text
        request = urllib.request.Request(f"http://{address}/metrics")
        request.add_header("Host", "evil.example")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=5)

        place.write(A, more=QUICK + f'[metrics]\nlisten = "{address}"\nanyone = true\n')
        daemon.until(lambda: "fullpool_archives" in _metrics(address, "evil.example"))


def _metrics(address: str, host: str = "") -> str:
    request = urllib.request.Request(f"http://{address}/metrics")
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            body: str = answer.read().decode()
            return body
    except OSError:
        return ""


def test_it_waits_for_an_absent_vendor(place: Place) -> None:
    place.vendor.fail(Fault("*", "status", 503))
    with place.running() as daemon:
        daemon.until(lambda: "HTTP 503" in daemon.status())

        place.vendor.fail()
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        assert daemon.events("job.failed")


def test_a_daemon_without_room_asks_nobody(place: Place) -> None:
    place.vendor.publish(A, FIRST, LAST)
    rest = {"enabled": "true"}
    days = dataset(A, start=str(FIRST), end=str(LAST))
    text = QUICK + place.vendor.config_text(place.lake, days, rest=rest)
    place.config.write_text(text.replace("min_free_gb = 0.0", "min_free_gb = 1e6"))
    with place.running() as daemon:
        daemon.until(lambda: len(daemon.events("job.failed")) >= 3)
        status, rows = daemon.status(), place.symbols()
        place.config.write_text(text)  # the edit that helps is taken, and recorded
        daemon.until(lambda: place.symbols() == ["AUSDT"])

        assert "reserved" in status
        assert rows == []
        assert place.ask("SELECT DISTINCT source FROM klines") == [("archive",)]


def test_a_failing_archive_blocks_no_job(place: Place) -> None:
    place.write(A, more=QUICK.replace('"1h"', '"2s"'), rounds=2)
    place.vendor.fail(Fault("*2024-06-03.zip", "status", 503))
    with place.running() as daemon:
        daemon.until(lambda: daemon.events("housekeeping.finished"), 90)
        ended = daemon.until(
            lambda: [one["command"] for one in daemon.events("pass.ended")].count("audit"), 90
        )

        assert ended


def test_what_failed_is_told_until_it_comes(place: Place) -> None:
    place.write(A, more=QUICK.replace("1s", "3s"), rounds=1)
    place.vendor.fail(Fault("*2024-06-03.zip", "status", 503))
    with place.running() as daemon:
        daemon.until(lambda: daemon.events("pass.ended"))
        daemon.until(lambda: "1 failed item: spot/klines/AUSDT/1m/2024-06-03" in daemon.status())
        wait(3)  # the patch job that ran meanwhile had no trouble, and says nothing of that
        seen = [line for line in daemon.listen() if "1 series up to date;" in line]
        place.vendor.fail()
        daemon.until(lambda: "1 series up to date" in daemon.status())

        assert seen == []


def test_leftovers_of_dead_workers_are_removed(place: Place) -> None:
    place.write(A, builders=1)
    place.vendor.publish("um/aggTrades/BTCUSDT", date(2024, 6, 1), date(2024, 6, 2), 150_000)
    with place.running() as daemon:
        daemon.until(lambda: "up to date" in daemon.status() and not daemon.workers())
        with place.config.open("a") as file:
            file.write(dataset("um/aggTrades/BTCUSDT", start="2024-06-01", end="2024-06-02"))
        folder = place.lake / ".staging"
        daemon.until(lambda: list(folder.glob("build-*/*")))
        for worker in daemon.workers():
            os.kill(worker, signal.SIGKILL)
        daemon.until(lambda: place.ask("SELECT count(*) FROM agg_trades") == [(300_000,)])
        daemon.until(lambda: "up to date" in daemon.status())

        assert not list(folder.glob("build-*"))


def test_a_killed_daemon_is_not_believed(place: Place) -> None:
    with place.running() as daemon:
        daemon.until(lambda: place.symbols() == ["AUSDT"])
        daemon.stop(signal.SIGKILL)

        assert (place.lake / ".daemon.json").exists()
        assert "no daemon is running" in place.run("status", "-c", str(place.config)).stdout
        assert place.run("reload", "-c", str(place.config)).returncode == Exit.NOT_RUNNING


def test_slow_listing_still_feeds_the_watchdog(place: Place) -> None:
    for number in range(24):
        place.vendor.publish(f"spot/klines/L{number:02d}USDT/1m", FIRST, FIRST)
    place.vendor.fail(Fault("data/*/", "slow", 400))
    names = ",".join(f"L{number:02d}USDT" for number in range(24))
    place.config.write_text(
        QUICK + place.vendor.config_text(place.lake, dataset(f"spot/klines/{names}/1m")).replace(
            "connections = 8", "connections = 1"
        )
    )  # fmt: skip
    with place.running(WATCHDOG_USEC="4000000") as daemon:
        daemon.until(lambda: "listing 24 series" in daemon.status())
        daemon.listen().clear()
        wait(5)
        fed, status = daemon.listen().count("WATCHDOG=1"), daemon.status()

        assert "filling" not in status
        assert fed >= 2


def test_a_plan_with_incomplete_listing_fails(place: Place) -> None:
    place.run("sync", "-c", str(place.config))
    place.write(A, B)
    place.vendor.fail(Fault("*", "status", 503))
    planned = place.run("plan", "-c", str(place.config))

    assert planned.returncode == Exit.INCOMPLETE
    assert B in planned.stderr


def test_plan_names_misspelled_symbols_beside_patterns(place: Place) -> None:
    place.write("spot/klines/A*,BUDST/1m")
    planned = place.run("plan", "-c", str(place.config))

    said = "spot/klines: the vendor has no symbol BUDST (did you mean BUSDT?)"
    assert said in planned.stdout


def test_following_continues_beside_passes_and_readers(place: Place, tmp_path: Path) -> None:
    """Bars of a second: each is there soon after it closed, once, and none before."""
    today = clock.now().date()
    series, yesterday = "spot/klines/AUSDT/1s", today - timedelta(1)
    place.vendor.publish(series, yesterday, yesterday)
    tuple(generate(tmp_path / "twin", spec_from(series, yesterday, today + timedelta(1), 500)))
    place.vendor.simulator.api = Api(tmp_path / "twin")
    more = QUICK.replace("[schedule]\n", '[schedule]\nfollow = "1s"\n')
    text = dataset(series, start=str(yesterday), follow="true")
    rest = {"enabled": "true"}
    place.config.write_text(more + place.vendor.config_text(place.lake, text, rest=rest))

    def last() -> datetime:
        ((found,),) = place.ask("SELECT max(open_time) FROM klines")
        told: datetime = found.replace(tzinfo=UTC)
        return told

    def is_later(seen: datetime) -> bool:
        return last() > seen

    with place.running() as daemon:
        daemon.until(lambda: place.lake.joinpath("lake.duckdb").exists())
        daemon.until(lambda: clock.now() - last() < timedelta(seconds=20), 60)
        for _ in range(20):
            before, seen = clock.now(), last()
            assert seen + timedelta(seconds=1) <= before
            daemon.until(partial(is_later, seen))
        ((count, times, seconds),) = place.ask(
            "SELECT count(*), count(DISTINCT open_time),"
            " date_diff('second', min(open_time), max(open_time)) FROM klines"
        )
        assert count == times == seconds + 1
        daemon.until(lambda: daemon.status().startswith("1 series up to date"))
        daemon.stop()
    assert not daemon.events("job.failed")
    assert not daemon.events("follow.failed")
