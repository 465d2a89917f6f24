"""`fullpool web`: what the pages show is what the lake has; who may ask, and for how much."""

import hashlib
import html
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest

from damaging import run
from fullpool.app import syncing
from fullpool.app.assembly import opened_state
from fullpool.app.service.status_file import DaemonStatus, is_fine
from fullpool.cli import demo_vendor
from fullpool.errors import BusyError, Exit, QueryError, UsageError
from fullpool.gaps import Explanation
from fullpool.overview.states import MEANINGS, STATES, cells_in, shortened
from fullpool.simulator import Fault
from fullpool.store.catalogue.bounded import BoundedSession, Limits
from fullpool.store.catalogue.reader import reading
from fullpool.store.duck import quoted
from fullpool.store.tree import Tree
from fullpool.sync.publishing import publish_state
from fullpool.web.map_page import accounted
from fullpool.web.now_page import timeline, with_outcome
from fullpool.web.rendering import as_json, series_path
from lab import DAY, HEADER, HOUR, Lab, at, bars, days_of, hourly, trade
from served import Seen, Vendor, ask, audit, dataset, sync, tree_of, wait
from site_client import Site

PAGES = (
    "/coverage",
    "/coverage?view=table",
    "/now",
    "/generations",
    "/series/um/fundingRate/BTCUSDT",
)
DAY_OF_BARS = bars(at("2024-03-01"), at("2024-03-01") + DAY, HOUR)
HOUR_KEY = "data/spot/daily/klines/{0}/1h/{0}-1h-{1}.zip"


@pytest.fixture
def lake(demo_lake: Path) -> Path:
    return demo_lake


@pytest.fixture(scope="module")
def site(demo_lake: Path) -> Iterator[Site]:
    with Site(demo_lake) as shown:
        yield shown


def cells_of(site: Site, name: str, query: str = "") -> list[str]:
    """Return the cells of a series in the map."""
    *group, symbol = name.split("/")
    found = site.get(f"/coverage.json?{query}").json["map"]
    (own,) = [one for one in found["groups"] if one["name"] == "/".join(group)]
    (row,) = [row for row in own["series"] if row[0] == symbol]
    return cells_in(row[-1])


def test_map_shows_what_became_of_each_month(site: Site) -> None:
    eth = cells_of(site, "spot/klines/1h/ETHUSDT")
    assert eth.count("Ap") == 1  # two days that the API had
    assert eth[0] == "A"
    luna = cells_of(site, "spot/klines/1h/LUNAUSDT")
    assert luna[0] == "A"
    assert "".join(luna).rstrip(".")[-1] == "E"  # delisted; on the first of a month nothing is yet
    sol = cells_of(site, "spot/klines/1h/SOLUSDT")
    assert sol[0] == "L"  # listed later
    assert "A" in sol
    funding = cells_of(site, "um/fundingRate/BTCUSDT")
    assert funding[0] == "A"
    assert set("".join(funding[-2:])) <= set("APNp")  # from the API, or none yet
    assert set(cells_of(site, "spot/klines/1m/BTCUSDT")[:10]) == {"."}


def test_a_gap_shows_on_its_day(site: Site, lake: Path) -> None:
    with reading(Tree(lake)) as reader:
        ((start,),) = reader.query(
            "SELECT gap_start FROM sync.gaps WHERE symbol = 'ETHUSDT'"
            " AND explanation = 'empty_at_source'"
        ).rows
    days = cells_of(site, "spot/klines/1h/ETHUSDT", f"month={start:%Y-%m}")

    assert days[start.day - 1] == "Ae"
    assert [n for n, code in enumerate(days, 1) if code.endswith("e")] == [start.day]


def test_cell_numbers_match_the_lake(site: Site, lake: Path) -> None:
    cells = site.get("/cells/spot/klines/ETHUSDT/1h").json["cells"]
    with reading(Tree(lake)) as reader:
        counted: dict[str, int] = dict(
            reader.query(
                "SELECT strftime(open_time, '%Y-%m-01T00:00:00Z'), count(*) FROM klines_1h"
                " WHERE symbol = 'ETHUSDT' GROUP BY 1"
            ).rows
        )
    sums = {c["opens"]: c["rows"].get("archived", 0) + c["rows"].get("patched", 0) for c in cells}
    shown = {opens: rows for opens, rows in sums.items() if rows}

    assert shown == counted


def test_a_followed_day_shows_as_followed(site: Site, lake: Path) -> None:
    with reading(Tree(lake)) as reader:
        rows = reader.query("SELECT first_time FROM sync.followed").rows
    if not rows:
        pytest.skip("it is midnight: no minute of today has closed")
    ((opens,),) = rows

    days = cells_of(site, "spot/klines/1m/BTCUSDT", f"month={opens:%Y-%m}")
    assert days[opens.day - 1][0] == "F"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_json_too(site: Site, path: str) -> None:
    page, _, query = path.partition("?")
    as_page = site.get(path)
    by_name = site.get(f"{page}.json?{query}")
    by_header = site.get(path, Accept="application/json")

    assert as_page.headers["content-type"].startswith("text/html")
    assert as_page.headers["vary"].startswith("Accept")
    assert (
        by_name.headers["content-type"] == by_header.headers["content-type"] == "application/json"
    )
    assert by_name.json.keys() == by_header.json.keys()
    assert by_name.json["lake"] == by_header.json["lake"]


def test_series_lists_gaps_archives_and_revisions(site: Site) -> None:
    found = site.get("/series/um/klines/BTCUSDT/1h.json").json

    explained = [gap for gap in found["gaps"] if gap["explanation"] == "empty_at_source"]
    assert len(explained) == 1
    assert explained[0]["evidence"]
    assert explained[0]["meaning"]
    assert found["revisions"][0]["rows_changed"] == 6
    assert found["counts"]["archives"] == len(found["archives"])
    present = [archive for archive in found["archives"] if archive["status"] == "present"]
    assert {archive["checksum"] for archive in present} == {"verified"}
    assert all(archive["etag"] for archive in present)


@pytest.mark.parametrize("is_past", [False, True])
def test_lines_to_copy_read_the_rows(site: Site, *, is_past: bool) -> None:
    older = site.get("/generations.json").json["generations"][-1]["number"]
    query = f"?as_of={older}" if is_past else ""
    found = site.get(f"/series/um/klines/BTCUSDT/1h.json{query}").json
    lines = found["lines"]
    count = lines["Python"].rpartition("\n")[0] + "\nprint(rows.count())"
    python, whole = (
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
        for text in (lines["Python"], count)
    )
    shell = lines["Command line"].replace("fullpool", f"{sys.executable} -m fullpool", 1)
    command = subprocess.run(
        ["sh", "-c", f"{shell} --csv"], check=True, capture_output=True, text=True
    )

    assert python.stdout.count("BTCUSDT") == 5
    assert int(whole.stdout) == found["coverage"]["row_count"]
    assert len(command.stdout.splitlines()) == 11


def test_chart_points_fit_a_screen(site: Site, lake: Path) -> None:
    whole = site.get("/chart/spot/klines/BTCUSDT/1h?from=first").json
    day = site.get(f"/chart/spot/klines/BTCUSDT/1h?from={whole['start']}&to={whole['end']}").json
    with reading(Tree(lake)) as reader:
        ((low, high, volume),) = reader.query(
            "SELECT min(low), max(high), sum(volume) FROM klines_of('BTCUSDT', interval_ := '1h')"
        ).rows

    assert whole["names"] == ["time", "open", "high", "low", "close", "volume", "is_patched"]
    assert 100 < len(whole["points"]) <= 1000
    assert min(point[3] for point in whole["points"]) == low
    assert max(point[2] for point in whole["points"]) == high
    assert sum(point[5] for point in whole["points"]) == pytest.approx(volume)
    assert len(day["points"]) == len(whole["points"])
    assert [gap["explanation"] for gap in whole["gaps"]] == ["empty_at_source"]


@pytest.mark.parametrize(
    ("series", "column"),
    [("um/fundingRate/BTCUSDT", "last_funding_rate"), ("um/metrics/BTCUSDT", "sum_open_interest")],
)
def test_series_without_bars_are_lines(site: Site, series: str, column: str) -> None:
    found = site.get(f"/chart/{series}").json
    other = site.get(f"/chart/{series}?column=no_such")

    assert found["column"] == column
    assert found["points"]
    assert not found["is_candles"]
    assert (other.status, "no_such" in other.json["error"]) == (400, True)


def test_trades_are_bars_of_their_prices(site: Site) -> None:
    found = site.get("/chart/um/aggTrades/BTCUSDT").json

    assert found["is_candles"]
    assert found["length_s"] == 300
    assert len(found["points"]) == 288


def test_past_generations_show_as_they_were(site: Site, lake: Path) -> None:
    kept = [one["number"] for one in site.get("/generations.json").json["generations"]]
    with reading(Tree(lake)) as reader:
        ((revised,),) = reader.query("SELECT generation FROM sync.revisions").rows
    older, newer = max(n for n in kept if n < revised), min(n for n in kept if n >= revised)
    found = site.get(f"/differences.json?from={older}&to={newer}").json
    past = site.get(f"/coverage.json?as_of={older}").json
    (changed,) = [row for row in found["series"] if row["rows_changed"]]

    assert [row["rows_changed"] for row in found["archives"]] == [6]
    assert found["files"]["added"] >= 1
    assert (changed["market"], changed["symbol"], changed["rows_more"]) == ("um", "BTCUSDT", 0)
    assert past["generation"] == older
    assert past["published_at"] < site.get("/coverage.json").json["published_at"]
    assert site.get("/coverage?as_of=99999").status == 404
    assert site.get(f"/differences?from={newer}&to={older}").status == 400
    series = site.get(f"/series/um/klines/BTCUSDT/1h?as_of={older}")
    assert "as of generation" in series.body
    data = site.get(f"/series/um/klines/BTCUSDT/1h.json?as_of={older}").json
    published = datetime.fromisoformat(data["published_at"])
    last = datetime.fromisoformat(data["coverage"]["last_time"])
    behind_s = (published - last - HOUR).total_seconds()
    assert data["coverage"]["lag_now_s"] == pytest.approx(behind_s, abs=2)


def test_now_shows_passes_lag_and_room(site: Site) -> None:
    found = site.get("/now.json").json

    assert [one["command"] for one in found["passes"]][:1] == ["sync"]
    assert {row["series_group"] for row in found["lag"]} >= {"spot/klines/1m", "um/fundingRate"}
    assert found["disk"]["free_bytes"] > 0
    assert found["disk"]["bytes_a_day"] > 0
    assert found["daemon"] is None
    assert "no daemon is running" in site.get("/now?part=live").body
    assert "<html" not in site.get("/now?part=passes").body


NOT_THERE = (
    "/series/spot/klines/NOPE/1h", "/series/spot/nokind/BTCUSDT", "/series/spot", "/nowhere",
    "/static/../site.py", "/static/%2e%2e/site.py", "/cells/spot/klines/BTCUSDT/xx",
    "/cells/um/metrics/NOPE", "/series/spot/klines/BTCUSDT/1h/extra", "/coverage/",
    "/series/um/metrics/BTCUSDT/1h", "/series/spot/klines/BTCUSDT", "/coverage?as_of=99999",
)  # fmt: skip
WRONG = (
    "/coverage?sort=colour", "/coverage?month=2024-13", f"/coverage?q={'x' * 600}",
    "/chart/spot/klines/BTCUSDT/1h?from=later", "/differences", "/now?part=zzz",
    "/chart/spot/klines/BTCUSDT/1h?from=2026-01-01&to=2025-01-01", "/coverage?month=9999-12",
    "/coverage?month=0000-01", "/coverage?as_of=%C2%B2", f"/coverage?as_of={'9' * 400}",
    "/coverage?as_of=0001-01-01T00:00%2B12:00", "/coverage?as_of=9999-12-31T23:59-12:00",
    "/differences?from=%C2%B2&to=9", f"/differences?from=1&to={'9' * 400}",
    "/chart/spot/klines/BTCUSDT/1h?to=0001-01-01", "/chart/um/metrics/BTCUSDT?column=no_such",
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status"), [*((path, 404) for path in NOT_THERE), *((path, 400) for path in WRONG)]
)
def test_errors_are_told_in_words(site: Site, path: str, status: int) -> None:
    answer = site.get(path)

    assert answer.status == status
    assert "Traceback" not in answer.body
    assert "this is a bug" not in answer.body
    assert "content-security-policy" in answer.headers


def test_times_resolve_anew_on_every_request(tmp_path: Path, vendor: Vendor) -> None:
    vendor.publish("spot/klines/AUSDT/1h", at("2024-06-01").date(), at("2024-06-01").date())
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h", start="2024-06-01"))
    sync(config)
    with Site(tmp_path / "lake") as shown:
        future = "/coverage.json?as_of=2099-01-01T00:00:00%2B00:00"
        before = shown.get(future).json["generation"]
        vendor.publish("spot/klines/AUSDT/1h", at("2024-06-02").date(), at("2024-06-02").date())
        audit(config)
        after = shown.get(future).json["generation"]
        table = shown.get(future.replace(".json", "") + "&view=table").body
        old = tree_of(config).catalogue(before)
        shown.get(f"/coverage?as_of={before}")
        shutil.rmtree(old.parent)
        gone = shown.get(f"/coverage?as_of={before}")
        shown.get("/coverage")
        held = open_files(shown.process.pid)

    assert before < after
    assert gone.status == 404
    assert "?as_of=2099-01-01T00%3A00%3A00%2B00%3A00" in table
    assert held
    assert [path for path in held if path.is_relative_to(old.parent)] == []


def open_files(process: int) -> list[Path]:
    found = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(path.readlink())
    return found


def test_senseless_hosts_and_paths_are_refused(lake: Path) -> None:
    for options in (("--host", ""), ("--allow-host", ""), ("--allow-host", "a.example:443"),
                    ("--root-path", "lake"), ("--root-path", "/a b")):  # fmt: skip
        done = run("web", "--lake", lake, "--port", "0", *options)
        assert (done.returncode, "hint: " in done.stderr) == (Exit.USAGE, True), options


def test_listening_everywhere_answers_addresses_not_names(lake: Path) -> None:
    with Site(lake, "--host", "0.0.0.0") as shown:  # noqa: S104 - that is what is tested
        assert shown.get("/live", Host="192.0.2.7:8787").status == 200
        assert shown.get("/live", Host="evil.example").status == 403
        assert shown.get("/live", Host="").status == 403


def test_simultaneous_requests_are_answered_or_put_off(site: Site) -> None:
    statuses: list[int] = []
    paths = ["/chart/spot/klines/BTCUSDT/1m?from=first", "/now", "/coverage?view=table", "/live"]

    def ask_for(path: str) -> None:
        statuses.append(site.get(path).status)

    threads = [threading.Thread(target=ask_for, args=(path,)) for path in paths * 30]
    for thread in threads:
        thread.start()
    tasks = len(list(Path(f"/proc/{site.process.pid}/task").iterdir()))
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 100
    assert tasks < 50  # the unit allows 128


def test_only_this_machines_names_are_answered(site: Site) -> None:
    assert site.get("/coverage", Host="evil.example").status == 403
    assert site.get("/coverage", Host="evil.example:8787").status == 403
    assert site.get("/static/style.css", Host="evil.example").status == 403
    assert site.get("/live", Host="LOCALHOST:1").body == "ok\n"
    assert site.get("/live", Host="[::1]:1").status == 200
    assert site.get("/live", Host="127.0.0.1.evil.example").status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    answer = site.get("/coverage", method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_pages_load_only_from_here(site: Site) -> None:
    for path in (*PAGES, "/static/map.js", "/chart/um/metrics/BTCUSDT"):
        headers = site.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert headers["x-content-type-options"] == "nosniff"
    for path in PAGES:
        body = site.get(path).body
        assert not re.search(r"\son\w+=|style=|javascript:", body)
        assert set(re.findall(r'(?:src|href)="(https?://[^"]+)', body)) <= {
            "https://www.tradingview.com/"
        }


def test_vendored_files_match_the_list() -> None:
    folder = Path(__file__).parents[2] / "daemon" / "fullpool" / "web" / "static" / "vendor"
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]

    assert {name for _, name in lines} == {p.name for p in folder.iterdir()} - {
        "SHA256SUMS",
        "README",
    }
    for digest, name in lines:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


HOSTILE = "<img src=x onerror=alert(1)>'\"&"


def test_lake_values_are_shown_as_text(tmp_path: Path) -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        lab.put(HOUR_KEY.format("AUSDT", "2024-03-01"), DAY_OF_BARS)
        lab.run("sync", "2024-03-02T08:00")
        tree = tree_of(lab.config)
        with opened_state(tree) as state:
            values = {"market": "spot", "kind": "klines", "symbol": HOSTILE, "interval": "1h"}
            insert_hostile(state.connection, values)
            publish_state(state, tree, state.next_value("generation"), at("2024-03-03"))
        with Site(tree.root) as shown:
            address = series_path("spot", "klines", HOSTILE, "1h")
            pages = ["/coverage", "/coverage?view=table", "/now", f"/coverage?q={quote(HOSTILE)}",
                     address, f"{address}?as_of={quote(HOSTILE)}"]  # fmt: skip
            bodies = [shown.get(path).body for path in pages]
            chart = shown.get(address.replace("/series/", "/chart/"))
            cells = shown.get(address.replace("/series/", "/cells/"))
        done = run("report", tmp_path / "lake.html", "--lake", tree.root)
        assert done.returncode == 0, done.stderr
        bodies.append((tmp_path / "lake.html").read_text())

    assert [body for body in bodies if "<img" in body] == []
    assert all("onerror" in body for body in bodies)
    assert (chart.json["points"], cells.json["cells"][0]["code"]) == ([], "E")


def insert_hostile(connection: Any, values: dict[str, str]) -> None:
    """Have a series of that name, without rows, and hostile reasons."""
    names, texts = ", ".join(values), ", ".join(map(quoted, values.values()))
    connection.execute(
        f"INSERT INTO internal.expected ({names}, wanted_from, wanted_to, expected_from,"
        f" expected_until, row_count) VALUES ({texts}, '2024-03-01', '2024-03-02', '2024-03-01',"
        " '2024-03-02', 24)"
    )
    connection.execute(
        f"INSERT INTO sync.gaps BY NAME SELECT * REPLACE ({quoted(HOSTILE)} AS symbol,"
        f" {quoted(HOSTILE)} AS reason, 'explained' AS status, {quoted(HOSTILE)} AS evidence)"
        f" FROM (SELECT {', '.join(f'{quoted(v)} AS {k}' for k, v in values.items())},"
        " TIMESTAMP '2024-03-01' AS gap_start, TIMESTAMP '2024-03-02' AS gap_end,"
        " 0 AS first_place, 24 AS end_place, 24 AS row_count, '' AS status,"
        " '' AS reason, '' AS evidence, TIMESTAMP '2024-03-02' AS found_at, 0 AS attempts)"
    )
    connection.execute(f"UPDATE sync.passes SET reason = {quoted(HOSTILE)}")


def test_links_stay_below_the_proxy_path(lake: Path) -> None:
    with Site(lake, "--root-path", "/lake", "--allow-host", "data.example.com") as shown:
        page = shown.get("/coverage", Host="data.example.com")
        moved = shown.get("/", Host="data.example.com")

        unstripped = shown.get("/lake/coverage", Host="data.example.com")

    assert (page.status, unstripped.status) == (200, 200)
    links = re.findall(r'(?:src|href|action)="(/[^"]*)', page.body)
    assert links
    assert [link for link in links if not link.startswith("/lake/")] == []
    assert moved.headers["location"] == "/lake/coverage"
    assert 'data-root="/lake"' in page.body


def test_unix_socket_admits_owner_and_group(lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:  # by a process that was killed
        left.bind(str(path))
    with Site(lake, "--socket", path) as shown:
        assert shown.address == f"unix:{path}"
        assert shown.get("/live", Host="localhost").body == "ok\n"
        assert path.stat().st_mode & 0o777 == 0o660
        other = run("web", "--lake", lake, "--socket", path)
        assert shown.ended() == (Exit.TERMINATED, "stopped\n")

    assert other.returncode == Exit.WEB
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_despite_a_browser(lake: Path, number: signal.Signals) -> None:
    with Site(lake) as shown, socket.create_connection(("127.0.0.1", shown.port)):
        assert shown.ended(number) == (128 + number, "stopped\n")


def test_a_taken_address_is_a_page_error(lake: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("web", "--lake", lake, "--port", str(taken.getsockname()[1]))

    assert done.returncode == Exit.WEB
    assert "Address already in use" in done.stderr
    assert "hint: choose another --port" in done.stderr


def test_a_missing_extra_says_what_to_install(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('starlette', 'uvicorn'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "fullpool", "web", "--lake", str(lake)],
        check=False, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == Exit.WEB
    assert "pip install 'fullpool[web]'" in done.stderr


def test_a_missing_lake_is_told_until_filled(vendor: Vendor, tmp_path: Path) -> None:
    with Site(tmp_path / "lake") as shown:
        before, filtered = shown.get("/coverage"), shown.get("/coverage?q=btc")
        live = shown.get("/now?part=live")
        vendor.publish("spot/klines/AUSDT/1h", at("2024-06-01").date(), at("2024-06-02").date())
        text = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-02")
        sync(vendor.config(tmp_path / "lake", text))
        after = shown.get("/coverage.json")

    assert (before.status, filtered.status, live.status) == (503, 503, 503)
    assert "there is no such folder" in before.body
    assert after.json["totals"]["series"] == 1


def test_new_publications_are_seen_at_once(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", at("2024-06-01").date(), at("2024-06-01").date())
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h", start="2024-06-01"))
    sync(config)
    with Site(tmp_path / "lake") as shown:
        before = shown.get("/coverage.json").json["totals"]["rows"]
        vendor.publish("spot/klines/AUSDT/1h", at("2024-06-02").date(), at("2024-06-02").date())
        run_audit = run("sync", "--audit", "-c", _written(tmp_path, vendor))
        after = shown.get("/coverage.json").json["totals"]["rows"]

    assert run_audit.returncode in {Exit.OK, Exit.INCOMPLETE}
    assert (before, after) == (24, 48)


def _written(folder: Path, vendor: Vendor) -> Path:
    path = folder / "fullpool.toml"
    text = dataset("spot/klines/AUSDT/1h", start="2024-06-01")
    path.write_text(vendor.config_text(folder / "lake", text))
    return path


def test_a_missing_file_costs_only_its_chart(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lake"
    shutil.copytree(lake, copy, symlinks=True)
    for path in copy.glob("klines/market=spot/interval=1h/symbol=ETHUSDT/*.parquet"):
        path.unlink()
    with Site(copy) as shown:
        chart = shown.get("/chart/spot/klines/ETHUSDT/1h")
        others = [shown.get(path).status for path in PAGES]

    assert chart.status == 500
    assert "No files found" in chart.json["error"]
    assert others == [200] * len(PAGES)


ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = 1"


def run_endless(session: BoundedSession) -> None:
    with suppress(QueryError):
        session.query(ENDLESS)


def test_queries_have_time_row_and_number_limits(lake: Path) -> None:
    session = BoundedSession(Tree(lake), Limits(seconds=0.3, rows=10, at_once=1, wait_s=0.2))
    with pytest.raises(QueryError, match=r"it took longer than 0\.3 s"):
        session.query(ENDLESS)
    with pytest.raises(QueryError, match="more than 10 rows"):
        session.query("FROM range(11)")
    assert len(session.query("FROM range(10)").rows) == 10
    slow = BoundedSession(Tree(lake), Limits(seconds=5, at_once=1, wait_s=0.2))
    running = threading.Thread(target=run_endless, args=(slow,))
    running.start()
    while running.is_alive() and slow._turns._value:
        wait(0.05)
    with pytest.raises(BusyError):
        slow.query("SELECT 1")
    running.join()
    assert slow.query("SELECT 1").rows == [(1,)]
    assert session.query("SELECT 1").rows == [(1,)]
    with pytest.raises(UsageError):
        session.compare("yesterday?", "SELECT 1")


def test_cell_runs_are_written_and_read() -> None:
    cells = [".", ".", "A", "A", "A", "Ae", "O", "Fp"]

    assert shortened(cells) == "2.3AAeOFp"
    assert cells_in(shortened(cells)) == cells
    assert shortened([]) == ""


def test_every_explanation_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Explanation)
    assert len({state.letter for state in STATES}) == len(STATES)


def test_a_report_is_one_file(lake: Path, tmp_path: Path) -> None:
    done = run("report", tmp_path / "lake.html", "--lake", lake)
    text = (tmp_path / "lake.html").read_text()

    assert done.returncode == 0
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "LUNAUSDT" in text
    assert "script-src 'sha256-" in html.unescape(text)
    assert not re.search(r'(?:src|href)="', text)
    nowhere = run("report", tmp_path / "no" / "lake.html", "--lake", lake)
    assert nowhere.returncode == Exit.LAKE_UNWRITABLE
    assert list(tmp_path.glob(".*.part")) == []


def test_terminal_map_fits_eighty_columns(lake: Path) -> None:
    done = run("status", "--map", "--lake", lake)
    lines = done.stdout.splitlines()

    assert done.returncode == 0
    assert max(len(line) for line in lines if str(lake) not in line) <= 80
    assert any(re.match(r"  LUNAUSDT +A+E+\.*$", line) for line in lines)
    assert any(re.match(r"  SOLUSDT +L+A+", line) for line in lines)
    only = run("status", "--map", "--symbol", "LUNAUSDT", "--lake", lake)
    assert "SOLUSDT" not in only.stdout


def test_map_shows_unexplained_gaps_as_open() -> None:
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        for day in ("2024-03-01", "2024-03-03"):
            lab.put(HOUR_KEY.format("AUSDT", day), bars(at(day), at(day) + DAY, HOUR))
        lab.run("sync", "2024-03-04T08:00")
        gaps = ask(lab.config, "SELECT status FROM sync.gaps")
        with Site(Path(lab.config.lake.path)) as shown:
            days = cells_of(shown, "spot/klines/1h/AUSDT", "month=2024-03")
            table = shown.get("/coverage?view=table").body

    assert gaps == [("open",)]
    assert days[:3] == ["A", "O", "A"]
    assert ">24<" in table
    assert quote("AUSDT") in table


def test_map_shows_missing_archives_as_open(vendor: Vendor, tmp_path: Path) -> None:
    first, last = at("2024-06-01").date(), at("2024-06-20").date()
    for symbol in ("AUSDT", "BUSDT"):
        vendor.publish(f"spot/klines/{symbol}/1h", first, last)
    vendor.fail(*(Fault(f"*{day}.zip", "status", 500) for day in days_of("2024-06", 4, 20)),
                Fault("*BUSDT-1h-2024*", "status", 500))  # fmt: skip
    asked = dataset("spot/klines/AUSDT,BUSDT/1h", start="2024-06-01", end="2024-06-20")
    config = vendor.config(tmp_path / "lake", asked)
    syncing.sync(config, Seen(), Event())
    with opened_state(tree_of(config)) as state:  # as before the look for gaps
        state.connection.execute("DELETE FROM sync.gaps")
        publish_state(state, tree_of(config), state.next_value("generation"), at("2024-06-21"))
    with Site(tmp_path / "lake") as shown:
        months = cells_of(shown, "spot/klines/1h/AUSDT")
        days = cells_of(shown, "spot/klines/1h/AUSDT", "month=2024-06")
        other = cells_of(shown, "spot/klines/1h/BUSDT")
        page = shown.get("/series/spot/klines/BUSDT/1h")
        totals = shown.get("/coverage.json").json["totals"]

    assert months == ["O"]
    assert days[:20] == ["A"] * 3 + ["O"] * 17
    assert other == ["O"]
    assert page.status == 200
    assert (totals["series"], totals["empty_series"]) == (2, 1)


def test_a_single_api_row_is_marked() -> None:
    key = "data/futures/um/daily/aggTrades/CUSDT/CUSDT-aggTrades-{0}.zip"
    day = "2024-03-02"
    with Lab(dataset("um/aggTrades/CUSDT", start="2024-03-01")) as lab:
        for one in ("2024-03-01", day):
            lab.tell_api(key.format(one), HEADER + hourly(one))
            rows = hourly(one).splitlines(keepends=True)
            lab.put(key.format(one), HEADER + "".join(rows[:7] + rows[8:] if one == day else rows))
        lab.run("sync", "2024-03-03T08:00")
        runs = lab.ask("SELECT row_count FROM sync.patched")
        with Site(Path(lab.config.lake.path)) as shown:
            cells = shown.get("/cells/um/aggTrades/CUSDT?month=2024-03").json["cells"]

    assert runs == [(1,)]
    assert [cell["code"] for cell in cells[:2]] == ["A", "Ap"]
    assert cells[1]["rows"] == {"archived": 23, "patched": 1}


@pytest.mark.parametrize(
    ("interval", "length_s", "opens"),
    [("1mo", 30 * 86_400, ["2024-01-01", "2024-02-01", "2024-03-01"]),
     ("1w", 7 * 86_400, ["2024-01-01", "2024-01-08", "2024-01-15"])],
)  # fmt: skip
def test_charts_begin_with_the_first_long_bar(
    vendor: Vendor, tmp_path: Path, interval: str, length_s: int, opens: list[str]
) -> None:
    series = f"spot/klines/AUSDT/{interval}"
    vendor.publish(series, at("2024-01-01").date(), at("2024-06-30").date())
    sync(vendor.config(tmp_path / "lake", dataset(series, start="2024-01-01", end="2024-06-30")))
    with Site(tmp_path / "lake") as shown:
        found = shown.get(f"/chart/{series}").json

    assert found["length_s"] == length_s
    assert [point[0] for point in found["points"][:3]] == [at(day).timestamp() for day in opens]


def test_last_id_closes_trades_of_one_time() -> None:
    key = "data/futures/um/daily/aggTrades/CUSDT/CUSDT-aggTrades-2024-03-01.zip"
    moment = at("2024-03-01T10:00")
    rows = "".join(
        trade(number, moment).replace(",1.5,", f",{price},")
        for number, price in enumerate((7, 5, 9, 8), 100)
    )
    with Lab(dataset("um/aggTrades/CUSDT", start="2024-03-01"), has_api=False) as lab:
        lab.put(key, HEADER + rows)
        lab.run("sync", "2024-03-02T08:00")
        with Site(Path(lab.config.lake.path)) as shown:
            (point,) = shown.get("/chart/um/aggTrades/CUSDT").json["points"]

    assert point[1:5] == [7, 9, 5, 8]


def test_unchecked_series_are_not_called_whole(vendor: Vendor, tmp_path: Path) -> None:
    first, last = at("2024-06-01").date(), at("2024-06-05").date()
    vendor.publish("spot/klines/AUSDT/1h", first, last)
    asked = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-05")
    config = vendor.config(tmp_path / "lake", asked)
    sync(config)
    with Site(tmp_path / "lake") as shown:
        checked = shown.get("/coverage.json").json
        checked_page = shown.get("/series/spot/klines/AUSDT/1h").body
        with opened_state(tree_of(config)) as state:
            state.connection.execute("DELETE FROM internal.expected")
            publish_state(state, tree_of(config), state.next_value("generation"), at("2024-06-06"))
        unchecked = shown.get("/coverage.json").json
        unchecked_page = shown.get("/series/spot/klines/AUSDT/1h").body

    assert checked["totals"]["accounted"] == "100 %"
    assert checked["totals"]["unchecked_series"] == 0
    assert "None: every expected row is there" in checked_page
    assert (unchecked["totals"]["accounted"], unchecked["totals"]["unchecked_series"]) == ("", 1)
    assert unchecked["map"]["groups"][0]["series"][0][-2] is False
    assert "Not looked for yet" in unchecked_page
    assert "every expected row is there" not in unchecked_page


def test_full_accounting_means_no_open_rows() -> None:
    assert accounted(0, 0) == ""
    assert accounted(1000, 0) == "100 %"
    assert accounted(10_000_000, 1) == "99.9 %"
    assert accounted(1000, 250) == "75.0 %"


def test_damaged_or_unfinished_generations_are_no_bug(tmp_path: Path, lake: Path) -> None:
    copy = tmp_path / "lake"
    shutil.copytree(lake, copy, symlinks=True)
    numbers = Tree(copy).generations()
    damaged, unfinished = Tree(copy).catalogue(numbers[0]), Tree(copy).catalogue(99)
    damaged.chmod(0o644)
    damaged.write_bytes(b"no database")
    damaged.chmod(0o444)
    unfinished.parent.mkdir()
    shutil.copy(Tree(copy).current, unfinished)
    unfinished.chmod(0o644)
    with Site(copy) as shown:
        compared = shown.get(f"/differences?from={numbers[0]}&to={numbers[-1]}")
        early = shown.get("/coverage?as_of=99")
        listed = shown.get("/generations.json").json["generations"]
    by_command = run("sql", "--lake", copy, "--as-of", "99", "SELECT 1")

    assert (compared.status, early.status) == (404, 404)
    assert by_command.returncode == Exit.NO_LAKE
    assert {one["number"] for one in listed}.isdisjoint({numbers[0], 99})


def test_older_unended_passes_were_interrupted() -> None:
    now = at("2024-03-02T12:00").replace(tzinfo=None)
    hour = timedelta(hours=1)
    passes = [
        {"command": "tick", "started_at": now - hour, "ended_at": None, "outcome": None},
        {"command": "tick", "started_at": now - 2 * hour, "ended_at": None, "outcome": None},
        {"command": "audit", "started_at": now - 6 * hour, "ended_at": now - 3 * hour,
         "outcome": "complete"},
    ]  # fmt: skip
    running = with_outcome(passes, is_running=True)
    drawn = timeline(running, now)

    assert [one["outcome"] for one in running] == ["running", "interrupted", "complete"]
    assert with_outcome(passes, is_running=False)[0]["outcome"] == "interrupted"
    assert drawn["lanes"] == ["audit", "tick"]
    assert [(one["lane"], one["x"], one["width"]) for one in drawn["passes"]] == [
        (1, 958.33, pytest.approx(41.67)), (1, 916.67, 2.0), (0, 750.0, pytest.approx(125)),
    ]  # fmt: skip
    assert [label for _, label in drawn["ticks"]] == [
        "16:00",
        "20:00",
        "00:00",
        "04:00",
        "08:00",
        "12:00",
    ]


def test_nan_is_null_in_json() -> None:
    assert as_json({"a": [float("nan"), 1.5]}) == '{"a":[null,1.5]}'


@pytest.mark.parametrize("first", ["2026-11-29", "2028-01-01"])
def test_demo_shows_the_same_every_day(first: str) -> None:
    for number in range(400):
        today = date.fromisoformat(first) + timedelta(days=number)
        (start, end), outage = (
            demo_vendor._lost(today),
            demo_vendor._span(today, *demo_vendor._OUTAGE),
        )
        corrected = demo_vendor._span(today, *demo_vendor._CORRECTED)
        followed = today - timedelta(days=45)
        assert start.month == end.month
        assert end.date() < corrected[0].date().replace(day=1) or start > corrected[1]
        assert corrected[0].month == corrected[1].month
        assert corrected[0].date() + timedelta(days=31) < today.replace(day=1)
        assert followed < outage[0].date() < today
        for invented in demo_vendor._INVENTED:
            begins, ends = invented.days(today)
            assert begins < ends < today
            assert not invented.has_lost_days or begins < start.date() < end.date() < ends


def test_a_killed_daemon_is_told(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", at("2024-06-01").date(), at("2024-06-01").date())
    asked = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-01")
    config = vendor.config(tmp_path / "lake", asked)
    sync(config)
    with Site(tmp_path / "lake") as shown:
        before = shown.get("/now.json").json["problems"]
        status = DaemonStatus(7, "2024-06-02T00:00:00Z", "1 series up to date", "x.toml")
        status.write(tree_of(config))
        after = shown.get("/now.json").json["problems"]

    assert before == []
    assert [one["what"] for one in after] == ["the daemon ended unexpectedly"]


@pytest.mark.parametrize(
    ("line", "fine"),
    [("8 series up to date; next check at 10:00:00 UTC", True), ("filling 3 of 4 series", True),
     ("8 series up to date except 1 failed item: refused", False), ("waiting: no room", False),
     ("filling; the last attempt failed: x", False),
     ("8 series up to date; the last edit of the configuration was refused (1 problem)", False)],
)  # fmt: skip
def test_daemon_lines_of_trouble_are_not_fine(line: str, *, fine: bool) -> None:
    assert is_fine(line) is fine
