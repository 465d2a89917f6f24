"""Each metric has its value where it is true, and another where it is not."""

import json
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fullpool import __version__
from fullpool.app import clock
from fullpool.app.assembly import opened_state
from fullpool.app.service.reporting import Reporting
from fullpool.app.signals import Flag
from fullpool.errors import Exit, MetricsError
from fullpool.gaps import Explanation
from fullpool.metrics import Gauges, Live, last_written
from fullpool.model import Ban, Status
from fullpool.simulator import Fault
from fullpool.store.catalogue.figures import figures_of
from lab import DAY, HOUR, Lab, at, bars, days_of
from served import Vendor, dataset, tree_of

KEY = "data/spot/daily/klines/{0}/1h/{0}-1h-{1}.zip"
SERIES = '{interval="1h",kind="klines",market="spot"}'
IDLE = Live(
    since=at("2024-03-01"), downloaded_bytes=7, weights={}, is_edit_refused=False, free_bytes=9
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01")) as made:
        yield made


def put(lab: Lab, symbol: str, *days: str) -> None:
    for day in days:
        lab.put(KEY.format(symbol, day), bars(at(day), at(day) + DAY, HOUR), at(day) + DAY)


def metrics(lab: Lab, now: str, live: Live = IDLE) -> dict[str, float]:
    """Return the values that a monitor reads at that time, by name and labels."""
    moment: datetime = at(now)
    gauges = Gauges(lambda: live, lambda: moment)
    with opened_state(tree_of(lab.config)) as state:
        gauges.figures = figures_of(state.connection)
    samples = [
        sample
        for family in text_string_to_metric_families(generate_latest(gauges.registry).decode())
        for sample in family.samples
    ]
    return {
        one.name.removeprefix("fullpool_")
        + ("{" + ",".join(f'{k}="{v}"' for k, v in sorted(one.labels.items())) + "}")
        * bool(one.labels): one.value
        for one in samples
    }


def test_figures_describe_a_full_lake(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01", "2024-03-02")
    done = lab.run("sync", "2024-03-03T08:00")
    found = metrics(lab, "2024-03-03T09:00")

    assert found[f"lag_seconds{SERIES}"] == 9 * 3600
    assert found[f"series{SERIES}"] == 1
    assert found[f"series_empty{SERIES}"] == 0
    assert found['archives{status="present"}'] == 2
    known = {name for name in found if name.startswith(("archives", "missing_rows"))}
    assert len(known) == len(Status) + 1 + len(Explanation)
    assert {name for name in known if found[name]} == {'archives{status="present"}'}
    assert found["open_gaps"] == 0
    assert found["rows"] == 48
    files, size_bytes = lab.ask("SELECT count(*), sum(size_bytes) FROM internal.partitions")[0]
    assert (found["files"], found["lake_bytes"]) == (files, size_bytes)
    assert found["generation"] == done.generation
    assert found['last_pass_complete{command="sync"}'] == 1
    assert found['last_pass_time_seconds{command="sync"}'] == at("2024-03-03T08:00").timestamp()
    assert found["config_edits_refused_total"] == 0
    assert found[f'build_info{{python="{platform.python_version()}",version="{__version__}"}}'] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_failed_archives_show_in_the_figures(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01", "2024-03-02", "2024-03-03")
    lab.vendor.fail(Fault("*2024-03-02.zip", "status", 500))
    lab.run("sync", "2024-03-04T08:00")
    found = metrics(lab, "2024-03-04T09:00")

    assert found['archives{status="failed"}'] == 1
    assert found["open_gaps"] == 1
    assert found['missing_rows{what="open"}'] == 24
    assert found['last_pass_complete{command="sync"}'] == 0
    assert found["rows"] == 48
    assert found[f"lag_seconds{SERIES}"] == 9 * 3600  # a hole is no lag

    lab.vendor.fail()
    lab.run("sync", "2024-03-05T08:00")
    found = metrics(lab, "2024-03-05T09:00")
    assert found['archives{status="failed"}'] == 0
    assert found['missing_rows{what="open"}'] == 0
    assert found["open_gaps"] == 0


def test_ended_series_never_lag_and_rowless_are_empty(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-03-01")
    put(lab, "AUSDT", "2024-03-01", "2024-03-02")
    put(lab, "BUSDT", *days_of("2024-03", 1, 29))
    lab.run("sync", "2024-03-30T08:00")
    found = metrics(lab, "2024-03-30T09:00")

    assert found[f"series{SERIES}"] == 1
    assert found[f"lag_seconds{SERIES}"] == 9 * 3600

    lab.datasets = dataset("spot/klines/BUSDT,CUSDT/1h", start="2024-03-01")
    lab.put(KEY.format("CUSDT", "2024-03-29"), "nothing that a bar could be\n", at("2024-03-30"))
    lab.run("sync", "2024-03-30T10:00")
    found = metrics(lab, "2024-03-30T11:00")
    assert found[f"series{SERIES}"] == 2
    assert found[f"series_empty{SERIES}"] == 1
    assert found['archives{status="quarantined"}'] + found['archives{status="failed"}'] == 1


def test_explained_rows_count_under_their_explanation(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01", end="2024-03-03")
    put(lab, "AUSDT", "2024-03-01", "2024-03-03")
    for day in ("2024-03-01", "2024-03-03"):  # what the API has: nothing between
        lab.tell_api(KEY.format("AUSDT", day), bars(at(day), at(day) + DAY, HOUR))
    lab.run("sync", "2024-03-04T08:00")
    lab.run("patch", "2024-03-20T08:00")
    found = metrics(lab, "2024-03-20T09:00")

    assert found['missing_rows{what="empty_at_source"}'] == 24
    assert found["open_gaps"] == 0


def test_figures_include_what_the_daemon_knows(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    found = metrics(lab, "2024-03-02T09:00")
    busy = Live(
        since=at("2024-03-01"), downloaded_bytes=8, weights={"spot": 1200}, is_edit_refused=True,
        free_bytes=0, requests={("api.binance.com", "429"): 2}, quarantines=3,
    )  # fmt: skip
    later = metrics(lab, "2024-03-02T10:00", busy)

    assert found["time_seconds"] == at("2024-03-02T09:00").timestamp()
    assert found["start_time_seconds"] == at("2024-03-01").timestamp()
    assert [one["config_edit_refused"] for one in (found, later)] == [0, 1]
    assert [one["downloaded_bytes_total"] for one in (found, later)] == [7, 8]
    assert [one["disk_free_bytes"] for one in (found, later)] == [9, 0]
    assert [one["quarantines_total"] for one in (found, later)] == [0, 3]
    assert not [name for name in found if name.startswith("requests_total")]
    assert later['requests_total{host="api.binance.com",status="429"}'] == 2
    assert found['rest_used_weight{market="spot"}'] == 0
    assert later['rest_used_weight{market="spot"}'] == 1200


def test_metrics_show_that_following_fails(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    reporting = Reporting(Path("fullpool.toml"), lab.config, Flag())
    file = tree_of(lab.config).root / lab.config.metrics.file
    seen = []
    for behind, troubles in ((0, []), (2, []), (0, ["AUSDT: HTTP 500"]), (0, [])):
        reporting.activity.followed(behind, troubles)
        with opened_state(tree_of(lab.config)) as state:
            reporting.measured(figures_of(state.connection))
        lines = dict(line.rsplit(" ", 1) for line in file.read_text().splitlines())
        seen.append([float(lines[f"fullpool_follow_{what}"]) for what in ("behind", "failed")])

    assert seen == [[0, 0], [2, 0], [0, 1], [0, 0]]


def test_an_edited_metrics_file_leaves_none_behind(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    root, metrics = tree_of(lab.config).root, lab.config.metrics
    reporting = Reporting(Path("fullpool.toml"), lab.config, Flag())
    for name in (metrics.file, "other.prom", ""):
        reporting.apply(replace(metrics, file=name))
        with opened_state(tree_of(lab.config)) as state:
            reporting.measured(figures_of(state.connection))

        assert [path.name for path in root.glob("*.prom")] == [name][: bool(name)]


def test_unusable_metrics_files_stop_nothing(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    root = tree_of(lab.config).root
    for name in ("x" * 300, "/proc/none/fullpool.prom", ".staging"):
        with Reporting(Path("fullpool.toml"), lab.config, Flag()) as reporting:
            reporting.apply(replace(lab.config.metrics, file=name))
            reporting.say()
            with opened_state(tree_of(lab.config)) as state:
                reporting.measured(figures_of(state.connection))
        with pytest.raises(MetricsError, match="writing the metrics to"):
            Gauges(lambda: IDLE, clock.now).write(root / name)

    assert (root / ".staging").is_dir()


def test_gaps_of_series_left_out_are_not_counted(lab: Lab) -> None:
    lab.datasets = dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-03-01")
    for symbol in ("AUSDT", "BUSDT"):
        put(lab, symbol, "2024-03-01")
        put(lab, symbol, "2024-03-03")
    lab.vendor.fail(Fault("api/*", "status", 500))
    lab.run("sync", "2024-03-04T08:00")
    with opened_state(tree_of(lab.config)) as state:
        before = figures_of(state.connection)
    lab.datasets = dataset("spot/klines/AUSDT/1h", start="2024-03-01")
    outcome = lab.run("sync", "2024-03-04T09:00")
    with opened_state(tree_of(lab.config)) as state:
        after = figures_of(state.connection)

    assert (before.open_gaps, after.open_gaps) == (2, 1)
    assert before.gap_rows == {"open": 48}
    assert after.gap_rows == outcome.gaps == {"open": 24}


def test_metrics_show_pass_durations_and_bans(lab: Lab) -> None:
    put(lab, "AUSDT", "2024-03-01")
    lab.run("sync", "2024-03-02T08:00")
    gauges = Gauges(lambda: IDLE, lambda: at("2024-03-02T09:00"))
    with opened_state(tree_of(lab.config)) as state:
        before = figures_of(state.connection)
        end = at("2024-03-02T10:00")
        state.gaps.record_bans([Ban("api.example", 418, "too much", at("2024-03-02T08:00"), end)])
        gauges.figures = figures_of(state.connection)
    gauges.took("tick", 0.3)
    gauges.took("tick", 70)
    text = generate_latest(gauges.registry).decode()

    assert before.bans == {}
    assert f'rest_ban_end_time_seconds{{host="api.example"}} {end.timestamp():g}'[:30] in text
    assert 'fullpool_pass_duration_seconds_bucket{command="tick",le="0.5"} 1.0' in text
    assert 'fullpool_pass_duration_seconds_count{command="tick"} 2.0' in text
    assert "_created" not in text


def test_weights_are_read_back_from_file(tmp_path: Path) -> None:
    live = replace(IDLE, weights={"spot": 1200})
    Gauges(lambda: live, lambda: at("2024-03-02")).write(tmp_path / "fullpool.prom")

    assert last_written(tmp_path / "fullpool.prom") == {"spot": 1200, "um": 0, "cm": 0}
    assert last_written(tmp_path / "none.prom") == {}


def test_a_taken_address_is_told(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", at("2024-03-01").date(), at("2024-03-01").date())
    path = tmp_path / "fullpool.toml"
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        asked = dataset("spot/klines/AUSDT/1h", start="2024-03-01")
        text = vendor.config_text(tmp_path / "lake", asked)
        path.write_text(f'{text}\n[metrics]\nlisten = "{address}"\n')
        done = subprocess.run(
            [sys.executable, "-m", "fullpool", "run", "-c", str(path)],
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    assert done.returncode == Exit.METRICS, done.stderr
    assert f"serving the metrics at {address}: " in done.stderr
    assert "hint: " in done.stderr


def test_followed_series_without_archive_lag_too(lab: Lab) -> None:
    """A contract is listed, followed, and has no archive yet; then its rows stop."""
    listed_at = round(at("2024-03-05T08:00").timestamp() * 1000)
    told = {
        "symbol": "NUSDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "onboardDate": listed_at,
    }
    body = json.dumps({"rateLimits": [], "symbols": [told]})
    lab.vendor.fail(Fault("fapi/v1/exchangeInfo*", "body", text=body))
    lab.datasets = dataset("um/klines/NUSDT/1h", start="2024-03-01", follow="true")
    key = "data/futures/um/daily/klines/NUSDT/1h/NUSDT-1h-2024-03-05.zip"
    lab.tell_api(key, bars(at("2024-03-05T08:00"), at("2024-03-06T04:00"), HOUR))
    for time in ("2024-03-06T01:00:20", "2024-03-06T09:00:20"):
        lab.run("sync", time)
    found = metrics(lab, "2024-03-06T10:00")
    name = '{interval="1h",kind="klines",market="um"}'

    assert found[f"series{name}"] == 1
    assert found["rows"] == 20
    ((lag,),) = lab.ask("SELECT lag_s FROM sync.coverage")
    assert found[f"lag_seconds{name}"] >= lag
