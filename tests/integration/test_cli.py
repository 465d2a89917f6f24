"""The command line as users meet it: a process, its output, its exit code."""

import json
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
import trustme

from damaging import mounted
from fullpool import __version__
from fullpool.app import clock
from fullpool.app.lock import writing
from fullpool.config import parse
from fullpool.errors import Exit
from fullpool.simulator import Bucket, Fault, Simulator
from fullpool.store.tree import Tree
from running import workers_of
from served import Vendor, dataset, kline, wait

DAY = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-01.zip"
EXAMPLE = Path(__file__).parents[2] / "config" / "fullpool.toml"
COUNT = "SELECT count(*) AS count FROM klines"
ROWS = "count\n1\n"
ONE = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-01")


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fullpool", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **env},
    )


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path) -> Path:
    vendor.put(DAY, kline(datetime(2024, 6, 1, tzinfo=UTC)))
    path = tmp_path / "fullpool.toml"
    path.write_text(vendor.config_text(tmp_path / "lake", ONE))
    return path


def refused(done: subprocess.CompletedProcess[str], code: Exit, *words: str) -> None:
    """Check a failure: its code, one message with a hint, no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr


def test_sync_plan_sql_and_export_work_together(config: Path, tmp_path: Path) -> None:
    planned = json.loads(run("plan", "-c", config, "--json").stdout)
    synced = json.loads(run("sync", "-c", config, "--json").stdout)
    status = json.loads(run("status", "-c", config, "--json").stdout)
    asked = json.loads(
        run("sql", "SELECT symbol, close FROM klines", "-c", config, "--json").stdout
    )
    kept = json.loads(run("generations", "-c", config, "--json").stdout)

    assert planned["archives"] == 1
    assert synced["rows"] == 1
    assert status["series"][0]["rows"] == 1
    assert asked == [{"symbol": "AUSDT", "close": 1.5}]
    assert [one["current"] for one in kept] == [True]
    assert "1 file, " in run("export", tmp_path / "out", "-c", config).stdout
    assert "nothing new" in run("sync", "-c", config).stdout
    assert json.loads(run("plan", "-c", config, "--json").stdout)["archives"] == 0


def test_commands_print_tables_lines_and_csv(config: Path, tmp_path: Path) -> None:
    synced = run("sync", "-c", config)

    assert "archives: 1 " in synced.stdout
    assert "fetching 1 archive," in synced.stderr
    assert "spot/klines/1m      1    1" in run("status", "-c", config).stdout
    assert run("sql", "SELECT 1 AS a, 'x,y' AS b", "-c", config, "--csv").stdout == 'a,b\n1,"x,y"\n'
    assert "2024-06-01" in run("plan", "--archives", "-c", _other(config, tmp_path)).stdout


@pytest.mark.parametrize(("columns", "shown"), [("200", "│   1 │"), ("32", "  one  1")])
def test_wide_rows_print_one_value_per_line(config: Path, columns: str, shown: str) -> None:
    run("sync", "-c", config)
    ours, terminal = pty.openpty()
    sql = "SELECT 1 AS one, 'a text of some length' AS two, 3 AS \"th[/r]ee\""
    with os.fdopen(ours, "rb", buffering=0) as seen, os.fdopen(terminal) as output:
        subprocess.run(
            [sys.executable, "-m", "fullpool", "sql", sql, "-c", str(config)],
            check=True, stdout=output, env={**os.environ, "COLUMNS": columns},
        )  # fmt: skip
        text = seen.read(10_000).decode()

    assert shown in text
    assert "a text of some" in text


def test_too_many_open_files_is_reported(config: Path) -> None:
    run("sync", "-c", config)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))"
    starter = f"{limit}; import runpy; runpy.run_module('fullpool', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", starter, "sync", "-c", str(config)],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == Exit.LAKE_UNWRITABLE, done.stderr
    assert "Too many open files" in done.stderr
    assert "LimitNOFILE" in done.stderr


def _other(config: Path, tmp_path: Path) -> Path:
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("/lake'", "/lake2'"))
    return other


def test_a_query_can_come_from_stdin(config: Path) -> None:
    run("sync", "-c", config)

    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "sql", "-", "-c", str(config), "--csv"],
        check=True, input="SELECT 42 AS a", capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout == "a\n42\n"


def test_check_names_every_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[lake]\npth = "x"\n[[dataset]]\nmarket = "spt"\n')

    done = run("check", path)

    refused(done, Exit.CONFIG, "bad.toml: 4 problems", "line 2, lake.pth", "did you mean spot?")


def test_check_looks_for_named_certificates(config: Path) -> None:
    nowhere = "[network]\nca_file = '/nowhere/ca.pem'\n"
    config.write_text(config.read_text().replace("[network]\n", nowhere))

    refused(run("check", config), Exit.CONFIG, "/nowhere/ca.pem", "network.ca_file", "PEM")


def test_check_shows_what_is_configured(config: Path) -> None:
    assert "AUSDT" in run("check", config).stdout


def test_a_missing_config_is_a_config_error(tmp_path: Path) -> None:
    refused(run("sync", "-c", tmp_path / "no.toml"), Exit.CONFIG, "cannot be read")
    refused(run("sync", FULLPOOL_CONFIG=str(tmp_path / "no.toml")), Exit.CONFIG, "no file found")


def test_forget_removes_series_no_longer_configured(config: Path) -> None:
    run("sync", "-c", config)
    asked = ("forget", "spot/klines/AUSDT", "-c", config)
    refused(run(*asked), Exit.USAGE, "spot/klines/AUSDT/1m: the configuration asks for it")
    config.write_text(config.read_text().replace('"AUSDT"', '"BUSDT"'))
    refused(run("forget", "spot/klines/C*", "-c", config), Exit.USAGE, "has no such series")
    refused(run(*asked), Exit.USAGE, "no terminal to confirm on")
    assert ROWS in run("sql", COUNT, "--csv", "-c", config).stdout

    done = run(*asked, "--yes")

    assert "1 series, 0.0 MB\nremoved; the files are deleted 24 hours from now\n" in done.stdout
    assert "count\n0\n" in run("sql", COUNT, "--csv", "-c", config).stdout
    assert run("verify", "-c", config).returncode == Exit.OK


def test_init_writes_a_valid_configuration(tmp_path: Path) -> None:
    file = tmp_path / "fullpool.toml"
    given = ("--lake", '/srv/ü "lake', "--market", "um", "--symbols", "*USDT,!*UPUSDT")
    assert run("init", file, *given, "--start", "2024-01-01", "--follow").returncode == Exit.OK

    config = parse(file.read_text(), "new")
    assert config.lake.path == '/srv/ü "lake'
    (dataset,) = config.dataset
    assert (dataset.market, dataset.symbols) == ("um", ("*USDT", "!*UPUSDT"))
    assert (dataset.intervals, dataset.follow) == (("1m", "1h"), True)
    assert file.read_text().count("# ") == EXAMPLE.read_text().count("# ")
    refused(run("init", file), Exit.USAGE, "it already exists")
    wrong = run("init", tmp_path / "other", "--intervals", "7m")
    refused(wrong, Exit.USAGE, "the answer for intervals: must be one of 1s, 1m, 3m")
    refused(run("init", tmp_path / "other", "--start", "soon"), Exit.USAGE, "'soon': it is no date")
    refused(run("init", tmp_path / "no" / "x"), Exit.LAKE_UNWRITABLE, "a folder that is there")
    assert not (tmp_path / "other").exists()


def test_init_asks_questions_on_a_terminal(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "init", tmp_path / "new.toml", "--kind", "aggTrades"],
        stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, text=True,
    )  # fmt: skip
    os.write(ours, b"/srv/lake\nbtc usdt\n\n")
    said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(terminal)

    assert "Where should the lake be? [~/fullpool-lake]: " in said
    assert "did you mean BTCUSDT?" in said  # and is asked again
    config = parse((tmp_path / "new.toml").read_text(), "new")
    assert config.lake.path == "/srv/lake"
    assert config.dataset[0].symbols == ("BTCUSDT", "ETHUSDT")  # no intervals were asked for


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("[[dataset]]", "[[datasets]]"),
        lambda text: text + "\nnonsense",
        lambda text: text.replace('market = "', "market = '"),
    ],
)
def test_reading_commands_find_lake_despite_invalid_config(
    config: Path, damage: Callable[[str], str]
) -> None:
    run("sync", "-c", config)
    config.write_text(damage(config.read_text()))

    doctor = run("doctor", "-c", config)
    assert doctor.returncode == Exit.UNHEALTHY
    assert f"- reading {config}: " in doctor.stdout
    for command in ("status", "gaps", "generations", "verify"):
        done = run(command, "-c", config)
        assert done.returncode == Exit.OK, done.stderr
        assert f"`fullpool check {config}` lists what. Only its lake.path is used: " in done.stderr
    assert run("sync", "-c", config).returncode == Exit.CONFIG
    assert run("verify", "--repair", "-c", config).returncode == Exit.CONFIG


def test_sync_reports_an_unreachable_host(config: Path, vendor: Vendor) -> None:
    config.write_text(config.read_text().replace(vendor.simulator.url, "http://127.0.0.1:9"))

    refused(run("sync", "-c", config), Exit.UNREACHABLE, "connecting to 127.0.0.1")


def test_an_untrusted_certificate_is_refused(config: Path, vendor: Vendor) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    with Simulator(Bucket(vendor.folder), tls=tls) as secure:
        config.write_text(config.read_text().replace(vendor.simulator.url, secure.url))
        refused(run("sync", "-c", config), Exit.UNTRUSTED, "certificate")

        authority.cert_pem.write_to_path(str(config.parent / "ca.pem"))
        trusted = f"[network]\nca_file = '{config.parent / 'ca.pem'}'\n"
        config.write_text(config.read_text().replace("[network]\n", trusted))
        assert run("check", config).returncode == 0
        assert run("sync", "-c", config).returncode == 0


def test_sync_reports_an_unavailable_archive(config: Path, vendor: Vendor) -> None:
    vendor.fail(Fault("*.zip", "status", 500))
    config.write_text(config.read_text().replace("builders = 1", "builders = 1\nrounds = 1"))

    refused(run("sync", "-c", config), Exit.INCOMPLETE, "AUSDT/1m/2024-06-01", "HTTP 500")


def test_sync_leaves_temporary_folder_empty(config: Path, vendor: Vendor) -> None:
    with TemporaryDirectory() as folder:
        assert run("sync", "-c", config, TMPDIR=folder).returncode == Exit.OK
        vendor.fail(Fault("*.zip", "status", 500))
        vendor.put(DAY.replace("06-01", "06-02"), kline(datetime(2024, 6, 2, tzinfo=UTC)))
        more = dataset("spot/klines/AUSDT/1m", start="2024-06-01", end="2024-06-02")
        config.write_text(config.read_text().replace(ONE, more).replace("builders", "rounds"))
        failed = run("sync", "-c", config, TMPDIR=folder)

        assert failed.returncode == Exit.INCOMPLETE, failed.stderr
        assert list(Path(folder).iterdir()) == []


def test_unwritable_output_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fullpool", "--help"],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    refused(done, Exit.DISK_FULL, "the output", "No space left on device")


def test_a_query_reader_may_stop_early(config: Path) -> None:
    assert run("sync", "-c", config).returncode == Exit.OK
    command = f"{sys.executable} -m fullpool sql -c {config} --csv 'FROM range(100000)'"
    piped = f"set -o pipefail; {command} | head -1; {command} | true"
    done = subprocess.run(["bash", "-c", piped], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (Exit.OK, "range\n", "")


@pytest.mark.parametrize("command", ["status", "gaps", "plan", "check"])
def test_a_table_reader_may_stop_early(config: Path, command: str) -> None:
    assert run("sync", "-c", config).returncode == Exit.OK
    option = "" if command == "check" else "-c"
    piped = f"set -o pipefail; {sys.executable} -m fullpool {command} {option} {config} | true"
    done = subprocess.run(["bash", "-c", piped], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (Exit.OK, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("lost", ["2>/dev/full", "2>&-", "2>&1 | true"])
def test_sync_goes_on_without_listeners(config: Path, lost: str) -> None:
    command = f"{sys.executable} -m fullpool sync --log-level debug -c {config} {lost}"
    subprocess.run(["bash", "-c", command], check=False, capture_output=True)

    found = run("sql", "-c", config, "--csv", "SELECT count(*) AS n FROM klines")
    assert found.stdout.split() == ["n", "1"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_is_no_error(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} -m fullpool --help {closed}"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (Exit.OK, "")


def test_sync_respects_reserved_disk_space(config: Path) -> None:
    config.write_text(config.read_text().replace("min_free_gb = 0.0", "min_free_gb = 1e9"))

    refused(run("sync", "-c", config), Exit.DISK_FULL, "reserved")


def test_opening_the_lake_reports_full_disk(config: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    with mounted(small, "-t", "tmpfs", "-o", "size=1m,nr_inodes=3", "none"):
        config.write_text(config.read_text().replace(f"{tmp_path}/lake", f"{small}/lake"))
        refused(run("sync", "-c", config), Exit.DISK_FULL, "opening the lake", "No space left")


def test_sync_reports_a_disk_filling_up(config: Path, vendor: Vendor, tmp_path: Path) -> None:
    small = tmp_path / "small"
    with mounted(small, "-t", "tmpfs", "-o", "size=4m", "none"):
        vendor.put(DAY, kline(datetime(2024, 6, 1, tzinfo=UTC)) * 100_000)
        config.write_text(config.read_text().replace(f"{tmp_path}/lake", f"{small}/lake"))
        refused(run("sync", "-c", config), Exit.DISK_FULL, "No space left")


def test_an_unwritable_lake_is_reported(config: Path, tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")

    done = run("sync", "-c", config)
    refused(done, Exit.LAKE_UNWRITABLE, "opening the lake")
    assert "name a folder instead" in done.stderr


def test_sync_refuses_a_newer_lake(config: Path, tmp_path: Path) -> None:
    run("sync", "-c", config)
    with duckdb.connect(str(tmp_path / "lake/.state/state.duckdb")) as connection:
        connection.execute("INSERT INTO sync.migrations VALUES ('9999_later', now())")

    refused(run("sync", "-c", config), Exit.LAKE_NEWER, "9999_later")
    assert run("status", "-c", config).returncode == 0


def test_a_busy_lake_names_its_writer(config: Path, tmp_path: Path) -> None:
    with writing(Tree(tmp_path / "lake"), "sync", datetime(2024, 1, 1, tzinfo=UTC)):
        refused(run("sync", "-c", config), Exit.LAKE_BUSY, "`fullpool sync`", str(os.getpid()))


def test_a_missing_lake_is_reported(tmp_path: Path) -> None:
    refused(run("status", "--lake", tmp_path), Exit.NO_LAKE, "nothing is published")
    refused(run("gaps", "--lake", tmp_path / "none"), Exit.NO_LAKE, "there is no such folder")
    refused(run("generations", "--lake", tmp_path), Exit.NO_LAKE)


def test_a_wrong_query_is_refused(config: Path) -> None:
    run("sync", "-c", config)

    refused(run("sql", "SELEC 1", "-c", config), Exit.QUERY, "syntax error")
    refused(run("sql", " ", "-c", config), Exit.QUERY, "0 statements")
    refused(run("sql", "-c", config), Exit.USAGE, "give it as the argument, or a file")
    refused(run("sql", "SELECT 1; SELECT 2", "-c", config), Exit.QUERY, "2 statements")


def test_tables_are_cut_but_csv_is_whole(config: Path) -> None:
    run("sync", "-c", config)

    table = run("sql", "FROM range(5000)", "-c", config)

    assert "the first 1,000 rows" in table.stderr
    assert len(run("sql", "FROM range(5000)", "-c", config, "--csv").stdout.splitlines()) == 5001
    refused(run("sql", "SELECT 1", "-c", config, "--csv", "--json"), Exit.USAGE, "--csv and --json")


def test_rows_print_in_the_requested_form(config: Path, tmp_path: Path) -> None:
    run("sync", "-c", config)
    query = tmp_path / "query.sql"
    query.write_text("SELECT i, i / 3 AS third FROM range(3) AS r(i) -- as text\n")
    expected = [{"i": n, "third": n / 3} for n in range(3)]

    assert json.loads(run("sql", "-f", query, "-c", config, "--json").stdout) == expected
    lines = run("sql", "-f", query, "-c", config, "--ndjson").stdout.splitlines()
    assert list(map(json.loads, lines)) == expected
    assert run("sql", "FROM range(0)", "-c", config, "--json").stdout == "[]\n"
    assert "0.3333333333333333" in run("sql", "-f", query, "-c", config).stdout
    target = tmp_path / "out.parquet"
    done = run("sql", "-f", query, "--parquet", target, "-c", config)
    assert done.stdout == f"3 rows written to {target}\n"
    assert duckdb.read_parquet(str(target)).fetchall() == [(n, n / 3) for n in range(3)]
    elsewhere = tmp_path / "none" / "out.parquet"
    assert run("sql", "-f", query, "--parquet", elsewhere, "-c", config).returncode != 0
    refused(run("sql", "FROM nope", "--parquet", target, "-c", config), Exit.QUERY, "nope")
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.parquet"]


def test_nothing_is_written_into_the_lake(config: Path, tmp_path: Path) -> None:
    run("sync", "-c", config)
    lake = tmp_path / "lake"
    before = (lake / "lake.duckdb").read_bytes()
    for command in (("sql", "SELECT 1 AS a", "--parquet"), ("report",)):
        for target in (lake / "lake.duckdb", lake / "klines" / "new.parquet"):
            done = run(*command, target, "-c", config)
            refused(done, Exit.USAGE, "inside the lake")
        for name in (".", "/", ""):
            refused(run(*command, name, "-c", config), Exit.USAGE, "that is no name")

    assert (lake / "lake.duckdb").read_bytes() == before
    assert not (lake / "klines" / "new.parquet").exists()


def test_only_regular_files_are_replaced(config: Path, tmp_path: Path) -> None:
    run("sync", "-c", config)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "old").write_text("")
    (tmp_path / "link").symlink_to("old")
    for command in (("sql", "SELECT 1 AS a", "--parquet"), ("report",)):
        done = run(*command, tmp_path / "pipe", "-c", config)
        refused(done, Exit.USAGE, "it exists and is not a regular file")
        done = run(*command, tmp_path / "none" / "new", "-c", config)
        refused(done, Exit.LAKE_UNWRITABLE, "there is no folder")
        assert run(*command, tmp_path / "link", "-c", config).returncode == Exit.OK

    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").stat().st_size > 0


def test_a_missing_file_of_sql_is_named(config: Path, tmp_path: Path) -> None:
    refused(run("sql", "-f", tmp_path / "no.sql", "-c", config), Exit.USAGE, "no.sql")


def test_a_long_answer_takes_no_memory(config: Path) -> None:
    run("sync", "-c", config)
    asked = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, check=True);"
    asked += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"

    def peak(count: int) -> int:
        sql = [sys.executable, "-m", "fullpool", "sql", f"FROM range({count})", "--ndjson"]
        done = subprocess.run(
            [sys.executable, "-c", asked, *sql, "-c", str(config)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return int(done.stdout)

    assert peak(400_000) - peak(1) < 50_000


def test_a_failed_sync_prints_json_too(config: Path, vendor: Vendor) -> None:
    vendor.fail(Fault("*.zip", "status", 500))
    config.write_text(config.read_text().replace("builders = 1", "builders = 1\nrounds = 1"))

    done = run("sync", "-c", config, "--json")

    assert done.returncode == Exit.INCOMPLETE
    assert json.loads(done.stdout)["missing"] == {"absent": 1, "failed": 1}


def test_workers_end_if_parent_is_killed(config: Path, vendor: Vendor) -> None:
    vendor.fail(Fault("*.zip", "slow", 5000))
    command = [sys.executable, "-m", "fullpool", "sync", "-c", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    pause = threading.Event()
    while len(children := _children(process.pid)) < 2 or not vendor.archive_requests():
        pause.wait(0.1)
    pause.wait(1.0)

    process.kill()
    process.wait()

    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in children):
            return
        pause.wait(0.1)
    pytest.fail(f"still there: {children}")


def _children(pid: int) -> list[str]:
    return [
        pid_
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for pid_ in task.read_text().split()
    ]


def test_wrong_arguments_are_usage_errors() -> None:
    assert run("sync", "--nonsense").returncode == Exit.USAGE
    for wrong in (
        ("--fault", "nonsense"), ("--fault", "*.zip=status:abc"), ("--port", "99999"),
        ("--series", "spot/klines/BTCUSDT/1x"), ("--days", "0"), ("--delay-ms", "-1"),
    ):  # fmt: skip
        assert run("simulator", "x", *wrong).returncode == Exit.USAGE, wrong


def test_an_interrupt_ends_sync_cleanly(config: Path, vendor: Vendor) -> None:
    vendor.fail(Fault("*.zip", "slow", 3000))
    process = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "sync", "-c", str(config)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    asked = threading.Event()
    while (
        not vendor.archive_requests()
        and process.poll() is None
        and not vendor.simulator.faults[0]._used
    ):
        asked.wait(0.05)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in errors
    vendor.fail()
    assert run("sync", "-c", config).returncode == 0


def test_ctrl_c_while_workers_start_ends_cleanly(config: Path, vendor: Vendor) -> None:
    """A terminal sends it to every process of the command, those that have just begun too."""
    vendor.fail(Fault("*", "slow", 300))
    process = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "sync", "-c", str(config)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not workers_of(process.pid) and process.poll() is None:
        wait(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("stopped")


@pytest.mark.parametrize("command", ["gaps", "status", "revisions"])
def test_an_unknown_symbol_is_an_error(config: Path, command: str) -> None:
    run("sync", "-c", config)
    done = run(command, "--symbol", "ausdt", "-c", config)
    refused(done, Exit.USAGE, "the lake knows no such symbol", "did you mean AUSDT?")


def test_a_watched_status_repeats_until_stopped(config: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fullpool", "status", "--watch", "-c", str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    output = process.stdout
    assert output is not None
    first = next(line for line in output if "the lake" in line)
    assert "there is no such folder" in first  # before the first sync
    run("sync", "-c", config)
    assert next(line for line in output if line.startswith("spot/klines/1m "))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (Exit.INTERRUPTED, "stopped\n")


def test_help_and_version_load_nothing_heavy() -> None:
    program = "import fullpool.cli, sys; print('duckdb' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )  # fmt: skip
    assert done.stdout == "False False\n"
    assert run("-V").stdout == run("--version").stdout == f"fullpool {__version__}\n"


def test_help_fits_eighty_columns_without_cuts() -> None:
    top = run("-h", COLUMNS="80").stdout
    assert "..." not in top.split("Commands:")[1]
    for name in ["", *_commands(top)]:
        lines = run(*filter(None, (name,)), "-h", COLUMNS="80").stdout.splitlines()
        assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [("fullpool gen", "1", "generations"), ("fullpool export --for n", "3", "nautilus")],
)
def test_a_shell_completes_commands_and_values(words: str, last: str, expected: str) -> None:
    asked = {"_FULLPOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last}
    # A shell runs what is installed: its name is part of what is asked.
    program = Path(sys.executable).with_name("fullpool")
    done = subprocess.run(
        [program], check=True, capture_output=True, text=True, env=os.environ | asked
    )
    assert done.stdout.split() == [expected]


def _commands(top: str) -> list[str]:
    """Return the commands that the help lists."""
    return [line.split()[0] for line in top.split("Commands:")[1].splitlines() if line.strip()]


def test_every_command_explains_itself() -> None:
    top = run("--help").stdout
    commands = _commands(top)

    assert {
        "sync",
        "plan",
        "status",
        "sql",
        "check",
        "demo",
        "simulator",
        "generations",
        "export",
    } <= set(commands)
    for command in commands:
        done = run(command, "--help")
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) > 5


def test_the_demo_runs_offline_from_nothing(tmp_path: Path) -> None:
    done = run("demo", tmp_path / 'a demo\'s "lake"')

    assert done.returncode == 0, done.stderr
    assert "0 archive requests" in done.stdout
    assert "BTCUSDT" in done.stdout
    assert "published generation" in done.stderr
    lines = done.stderr.splitlines()
    (failed,) = (line.split(": ")[1] for line in lines if line.startswith("failed: "))
    assert f"imported on retry: {failed}" in lines
    assert not [line for line in lines if line.startswith("6/6 archives")]


QUERY = """SELECT 1 AS a, 'x' AS a, 0.0 / 0 AS n, 0.00000001::DECIMAL(18,8) AS d, true AS b,
    [1, NULL] AS l, MAP {true: 1.5::DECIMAL(3,2)} AS m, 'ab'::BLOB AS bytes,
    TIMESTAMPTZ '2024-06-01 02:00:00+02' AS t"""


def test_values_print_in_json_csv_and_tables(config: Path) -> None:
    run("sync", "-c", config)
    (row,) = json.loads(run("sql", QUERY, "-c", config, "--json").stdout)
    csv_lines = run("sql", QUERY, "-c", config, "--csv").stdout.splitlines()
    table = run("sql", QUERY, "-c", config).stdout

    assert row == {
        "a": 1, "a_1": "x", "n": None, "d": "0.00000001", "b": True, "l": [1, None],
        "m": {"true": "1.50"}, "bytes": "6162", "t": "2024-06-01T00:00:00Z",
    }  # fmt: skip
    cells = '1,x,nan,0.00000001,true,"[1, null]","{""true"": ""1.50""}",6162,'
    assert csv_lines[1] == cells + "2024-06-01 00:00:00+00:00"
    assert "[1, null]" in table
    assert "2024-06-01 00:00:00" in table


def test_status_lists_kinds_and_what_needs_attention(tmp_path: Path) -> None:
    day = clock.now().date() - timedelta(days=2)
    names = [f"A{number:02d}USDT" for number in range(12)]
    with Vendor(tmp_path / "vendor") as vendor:
        for name in names:
            vendor.publish(f"spot/klines/{name}/1h", day, day)
        vendor.publish("um/premiumIndexKlines/BUSDT/15m", day, day)
        vendor.fail(Fault("*A0*.zip", "status", 503))
        path = tmp_path / "fullpool.toml"
        text = dataset("spot/klines/*/1h", start=str(day), end=str(day))
        text += dataset("um/premiumIndexKlines/BUSDT/15m", start=str(day), end=str(day))
        path.write_text(vendor.config_text(tmp_path / "lake", text, rounds=1))
        run("sync", "-c", path)
        shown = [line.rstrip() for line in run("status", "-c", path).stdout.splitlines()]

    lines = shown[: shown.index("missing archives")]
    assert [line.split()[:3] for line in lines[3:5]] == [
        ["spot/klines/1h", "12", "48"], ["um/premiumIndexKlines/15m", "1", "96"]
    ]  # fmt: skip
    assert lines[5:7] == [
        "needs attention:",
        "  spot/klines/A00USDT/1h: 1 archive failed, 24 rows missing",
    ]
    assert max(map(len, lines[2:])) <= 80
    told = json.loads(run("status", "-c", path, "--json").stdout)
    assert [one["symbol"] for one in told["series"]] == [*names, "BUSDT"]
    row = re.compile(r"\w+USDT +│")
    assert len(row.findall(run("status", "-c", path, "--series").stdout)) == 13
    assert len(row.findall(run("status", "-c", path, "--symbol", "A11USDT").stdout)) == 1
