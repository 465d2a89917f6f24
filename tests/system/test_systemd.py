"""The service under a real systemd, in a container: one story, told in order.

Needs root, systemd-nspawn, the folder made by tests/support/systemd_tree.sh, and ../shared/tools.
The container has no network but its own loopback, where the simulator stands in for the vendor.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fullpool.simulator import generate, spec_from
from served import dataset
from systemd_box import ROOT, Box, booted, told, write

pytestmark = [pytest.mark.systemd, pytest.mark.xdist_group("systemd")]

HIGHEST_EXPOSURE = 1.5

A, B, TRADES = "spot/klines/AUSDT/1m", "spot/klines/BUSDT/1m", "um/aggTrades/CUSDT"
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 20)
TRADE_DAYS = 8

READER = """\
import sys, time, duckdb
end, asked = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    with duckdb.connect("/srv/fullpool/lake.duckdb", read_only=True) as lake:
        count, distinct, broken = lake.execute(
            "SELECT count(*), count(DISTINCT (symbol, open_time)), count(*) FILTER (high < low)"
            " FROM klines"
        ).fetchone()
        assert count == distinct and not broken, (count, distinct, broken)
        lake.execute("SELECT count(*), max(transact_time) FROM agg_trades").fetchall()
        lake.execute("SELECT * FROM sync.coverage").fetchall()
    asked += 1
print(asked)
"""


KLINES_A = dataset(A, start=str(FIRST), end=str(LAST))
KLINES_B = dataset(B, start=str(FIRST), end=str(LAST))
AGG_TRADES = dataset(TRADES, start=str(FIRST), end=str(FIRST.replace(day=TRADE_DAYS)))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("systemd")
    for series, last in ((A, LAST), (B, LAST), (TRADES, FIRST.replace(day=TRADE_DAYS))):
        list(generate(folder / "vendor" / "bucket", spec_from(series, FIRST, last, 300_000)))
    (folder / "vendor" / "reader.py").write_text(READER)
    with booted(folder) as one:
        yield one


def test_it_installs_as_the_docs_say(box: Box) -> None:
    done = box.run(
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels sh /src/systemd/install.sh python3 /src/dist/*.whl"
    )

    assert "systemctl start fullpool" in done.stdout
    assert "systemd-analyze" not in done.stderr
    assert box.shown("UnitFileState") == "enabled"
    box.run("/opt/fullpool/bin/fullpool check /etc/fullpool/fullpool.toml")
    box.run("useradd -G fullpool-readers alice && useradd bob")


@pytest.mark.parametrize("unit", ["fullpool.service", "fullpool-web.service"])
def test_units_are_clean_and_hardly_exposed(box: Box, unit: str) -> None:
    verified = box.run(f"systemd-analyze verify {unit} srv-fullpool.mount")
    judged = box.out(f"systemd-analyze security {unit} --no-pager | tail -1")

    assert verified.stdout + verified.stderr == ""
    assert float(judged.split(":")[1].split()[0]) <= HIGHEST_EXPOSURE


def test_start_blocks_until_ready_then_fills(box: Box) -> None:
    box.run(
        "systemd-run --unit vendor /opt/fullpool/bin/fullpool simulator /vendor/bucket && sleep 2"
    )
    write(box, KLINES_A)
    box.run("systemctl start fullpool")

    assert box.shown("ActiveState") == "active"
    assert "READY" not in box.shown("StatusText")
    box.until(lambda: box.rows("klines") == 20 * 1440)
    box.until(lambda: "1 series up to date" in box.shown("StatusText"))
    assert box.out("stat -c %U:%G:%a /srv/fullpool").endswith(":fullpool-readers:750")


def test_an_edit_is_picked_up(box: Box) -> None:
    write(box, KLINES_A, KLINES_B)

    box.until(lambda: box.rows("klines") == 2 * 20 * 1440)


def test_systemctl_status_shows_a_refused_edit(box: Box) -> None:
    write(box, KLINES_A.replace("spot", "sopt"))
    box.until(lambda: "refused (1 problem)" in box.out("systemctl status fullpool --no-pager"))
    reloaded = box.run("systemctl reload fullpool", check=False)
    (event,) = box.events("PRIORITY=3")[:1]

    assert event["event"] == "config.refused"
    if has_notify_reload(box):
        assert box.shown("Type") == "notify-reload"
    else:
        assert reloaded.returncode != 0
    assert box.shown("ActiveState") == "active"


def has_notify_reload(box: Box) -> bool:
    return int(box.out("systemctl --version | awk 'NR == 1 { print int($2) }'")) >= 253


def test_reload_waits_until_the_edit_applies(box: Box) -> None:
    before = box.shown("MainPID")
    write(box, KLINES_A, KLINES_B)
    box.run("systemctl reload fullpool")

    assert "refused" not in box.shown("StatusText")
    assert box.shown("MainPID") == before
    assert "config.applied" in [event["event"] for event in box.events("PRIORITY=6")]


def test_after_kill_9_work_goes_on(box: Box) -> None:
    reader = box.reader(14)
    write(box, KLINES_A, KLINES_B, AGG_TRADES)
    box.until(lambda: box.rows("agg_trades") > 0)
    before = box.shown("MainPID")
    box.run("systemctl kill -s KILL fullpool")
    box.until(lambda: box.shown("ActiveState") == "active" and box.shown("MainPID") != before)
    box.until(lambda: box.rows("agg_trades") == TRADE_DAYS * 300_000)
    output, errors = reader.communicate(timeout=60)

    assert reader.returncode == 0, errors
    assert int(output) > 5
    assert box.rows("klines") == 2 * 20 * 1440


def test_watchdog_ends_wedged_workers_and_work_resumes(box: Box) -> None:
    box.run(
        "mkdir -p /etc/systemd/system/fullpool.service.d && printf '[Service]\\nWatchdogSec=6s\\n'"
        " > /etc/systemd/system/fullpool.service.d/test.conf && systemctl daemon-reload"
    )
    # The trades of a lake without them are to be built again, so that there is a worker to wedge.
    box.run("systemctl stop fullpool && rm -rf /var/lib/private/fullpool/lake/agg_trades")
    box.run("systemctl start fullpool")
    before = box.shown("MainPID")
    wedged = "pkill -STOP -P $(systemctl show fullpool -p MainPID --value) -f spawn_main"
    box.until(lambda: box.run(wedged, check=False).returncode == 0)
    box.until(lambda: box.shown("NRestarts") != "0" and box.shown("MainPID") not in (before, "0"))
    said = box.out("journalctl -u fullpool --no-pager | grep -i watchdog")

    assert "Watchdog timeout" in said
    box.until(lambda: box.rows("agg_trades") == TRADE_DAYS * 300_000)


def test_stop_under_load_is_clean(box: Box) -> None:
    box.run("systemctl stop fullpool && rm -rf /var/lib/private/fullpool/lake/agg_trades")
    box.run("systemctl start fullpool")
    box.until(lambda: "left" in box.shown("StatusText"))
    box.run("systemctl stop fullpool")

    assert box.shown("Result") == "success"  # neither `timeout` nor `signal`: it ended by itself
    assert box.run("pgrep -f spawn_main", check=False).returncode == 1
    box.run("systemctl start fullpool")
    box.until(lambda: box.rows("agg_trades") == TRADE_DAYS * 300_000)


def test_events_carry_their_fields_and_priorities(box: Box) -> None:
    events = box.events("PRIORITY=6")
    published = [event for event in events if event["event"] == "archive.imported"]

    assert {event["series"] for event in published} == {A, B, TRADES}
    assert all(event["run"] > 0 and event["job"] in ("tick", "audit") for event in published)


def test_readers_read_only_the_lake(box: Box) -> None:
    hidden = "ls /srv/fullpool/.state || ls /srv/fullpool/.quarantine || ls /srv/fullpool/.staging"

    assert box.run(f"runuser -u alice -- bash -c '{hidden}'", check=False).returncode != 0
    assert box.run("runuser -u alice -- touch /srv/fullpool/x", check=False).returncode != 0
    assert box.run("runuser -u bob -- ls /srv/fullpool", check=False).returncode != 0
    assert "up to date" in box.out(
        "runuser -u alice -- /opt/fullpool/bin/fullpool status --lake /srv/fullpool"
    )


ASK = (
    "import json, urllib.request as r;"
    " found = json.load(r.urlopen('http://127.0.0.1:8787/coverage.json'));"
    " print(found['totals']['series'], found['daemon'])"
)


def test_a_read_only_user_serves_the_page(box: Box) -> None:
    box.run("systemctl start fullpool-web")
    shown = box.until(lambda: box.run(f'python3 -c "{ASK}"', check=False).stdout)
    box.run("systemctl stop fullpool-web")

    assert shown.startswith("3 3 series up to date"), shown
    assert box.out("systemctl show fullpool-web -p Result --value") == "success"


SOCKET = "/run/fullpool-web/socket"
DROP_IN = "/etc/systemd/system/fullpool-web.service.d/override.conf"
ASK_SOCKET = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('" + SOCKET + "');"
    " s.sendall(b'GET /lake/live HTTP/1.0\\r\\nHost: data.example.com\\r\\n\\r\\n');"
    " print(s.recv(9999).decode().splitlines()[0])"
)


def test_a_proxy_reaches_the_documented_socket(box: Box) -> None:
    text = (ROOT / "docs" / "web.md").read_text()
    (drop_in,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    box.run(f"mkdir -p {Path(DROP_IN).parent} && cat > {DROP_IN} <<'END'\n{drop_in}END")
    box.run("systemctl daemon-reload && systemctl start fullpool-web")
    box.until(lambda: box.run(f"test -S {SOCKET}", check=False).returncode == 0)
    asked = box.until(
        lambda: box.run(f'runuser -u www-data -- python3 -c "{ASK_SOCKET}"', check=False).stdout
    )
    other = box.run(f'runuser -u bob -- python3 -c "{ASK_SOCKET}"', check=False)
    box.run(f"systemctl stop fullpool-web && rm -r {Path(DROP_IN).parent}")
    box.run("systemctl daemon-reload")

    assert "200" in asked
    assert other.returncode != 0


def test_a_stopped_daemon_leaves_lake_readable(box: Box) -> None:
    box.run("systemctl stop fullpool")

    assert box.rows("klines") == 2 * 20 * 1440
    box.run("systemctl start fullpool")


def test_upgrades_keep_the_configuration_and_restart(box: Box) -> None:
    before, text = box.shown("MainPID"), box.out("cat /etc/fullpool/fullpool.toml")
    box.run(
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels sh /src/systemd/install.sh python3 /src/dist/*.whl"
    )

    assert box.shown("MainPID") != before
    assert box.out("cat /etc/fullpool/fullpool.toml") == text
    assert box.shown("ActiveState") == "active"


def test_documented_rebuild_restores_state_without_fetching(box: Box) -> None:
    box.run("systemctl stop fullpool && rm -r /var/lib/private/fullpool/lake/.state")
    refused = box.run("systemctl start fullpool", check=False)
    before = len([one for one in box.events() if one["event"] == "archive.imported"])
    box.run(told("fullpool rebuild").replace("--pty", "--pipe --wait"))  # there is no terminal
    box.until(lambda: "3 series up to date" in box.shown("StatusText"))

    assert refused.returncode != 0
    assert len([one for one in box.events() if one["event"] == "archive.imported"]) == before
    assert box.rows("klines") == 2 * 20 * 1440
    assert box.rows("agg_trades") == TRADE_DAYS * 300_000


def test_lake_moves_as_the_docs_say(box: Box) -> None:
    box.run("mkdir -p /new/disk")
    box.run(told("/new/disk"))
    box.until(lambda: "3 series up to date" in box.shown("StatusText"))

    assert "/new/disk" in box.out("findmnt -n -o SOURCE /var/lib/private/fullpool")
    assert box.rows("klines") == 2 * 20 * 1440
    box.run("test -d /new/disk/fullpool/lake/.state && rm -r /var/lib/private/fullpool.old")
    assert box.rows("agg_trades") == TRADE_DAYS * 300_000


def test_it_uninstalls_as_the_docs_say(box: Box) -> None:
    box.run(told("systemctl disable --now"))

    assert box.run("systemctl cat fullpool", check=False).returncode != 0
    assert box.run("pgrep -f 'fullpool [r]un'", check=False).returncode == 1
    box.run("test -d /var/lib/private/fullpool/lake/klines && test -e /etc/fullpool/fullpool.toml")
