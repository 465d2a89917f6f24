"""The pages in a real browser: what is drawn, by keyboard too, in both themes and three widths."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from fullpool.app.assembly import opened_state
from fullpool.store.tree import Tree
from fullpool.sync.publishing import publish_state
from running import Running
from served import Vendor, dataset, free_port, sync, wait
from site_client import Site, made_demo

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / ".venv" / "browser"))
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or ""
PAGES = {
    "coverage": "/coverage",
    "days": "/coverage?month={month}",
    "table": "/coverage?view=table",
    "series": "/series/um/klines/BTCUSDT/1h",
    "funding": "/series/um/fundingRate/BTCUSDT",
    "now": "/now",
    "generations": "/generations",
    "differences": "/differences?from={older}&to={newer}",
    "not-there": "/series/spot/klines/NOPE/1h",
}
WIDTHS = (360, 900, 1600)
SAID = "document.getElementById('map-said').textContent"
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(made_demo(tmp_path_factory.mktemp("demo"))) as shown:
        yield shown


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Watched:
    """A page, and what went wrong on it: errors of its scripts, requests to other hosts."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def _console(self, message: Any) -> None:
        # That a page is not there is told by its status, which Chromium calls an error.
        if message.type in {"error", "warning"} and "status of 404" not in message.text:
            self.wrong.append(message.text)

    def _request(self, request: Any) -> None:
        if not re.match(r"(https?://(127\.0\.0\.1|localhost):|data:|file:|blob:)", request.url):
            self.wrong.append(f"asks for {request.url}")


def address_of(site: Site, name: str) -> str:
    """Return the address of a page, with a month and generations that are there."""
    found = site.get("/coverage.json").json
    numbers = [one["number"] for one in site.get("/generations.json").json["generations"]]
    path = PAGES[name].format(month=found["now"][:7], older=numbers[1], newer=numbers[0])
    return f"{site.address.rstrip('/')}{path}"


def drawn(page: Any, name: str) -> None:
    """Wait until everything is drawn."""
    if name in {"coverage", "days"}:
        page.wait_for_selector("html[data-map-drawn]")
    if name in {"series", "funding"}:
        page.wait_for_selector("#chart[data-drawn]")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_whole_at_every_width(browser: Any, site: Site, name: str, theme: str) -> None:
    for width in WIDTHS:
        options = {"viewport": {"width": width, "height": 900}, "color_scheme": theme}
        with Watched(browser, **options) as watched:
            page = watched.page
            page.goto(address_of(site, name))
            drawn(page, name)
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), (name, width)
            assert watched.wrong == []
            dark = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
            assert (dark == "rgb(255, 255, 255)") == (theme == "light")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(browser: Any, site: Site, name: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # axe runs as a script of the page, which the page's policy rightly forbids.
    with Watched(browser, color_scheme=theme, bypass_csp=True) as watched:
        watched.page.goto(address_of(site, name))
        drawn(watched.page, name)
        found = axe.Axe().run(watched.page).response["violations"]

    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []


def test_cells_show_numbers_and_open_days(browser: Any, site: Site) -> None:
    with Watched(browser, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.goto(address_of(site, "coverage"))
        drawn(page, "coverage")
        row = page.locator("#map-labels a", has_text="ETHUSDT").bounding_box()
        page.mouse.move(250, row["y"] + 8)
        page.locator("#tip", has_text=re.compile(r"[0-9] rows archived")).wait_for()
        told = page.locator("#tip").text_content()
        assert told.startswith("spot/klines/ETHUSDT/1h, 20")
        page.mouse.click(350, row["y"] + 8)
        page.wait_for_url("**/coverage?*month=*")
        page.get_by_role("link", name="all months").click()
        page.wait_for_url("**/coverage")
        page.locator("#map-labels a", has_text="LUNAUSDT").click()
        page.wait_for_url("**/series/spot/klines/LUNAUSDT/1h")
        assert watched.wrong == []


def test_the_map_works_by_keyboard_alone(browser: Any, site: Site) -> None:
    with Watched(browser, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.goto(address_of(site, "coverage"))
        drawn(page, "coverage")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "map":
                break
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        numbers = re.compile(r"[0-9] rows (archived|not published)")
        page.locator("#map-said", has_text=numbers).wait_for()
        said = page.locator("#map-said").text_content()
        assert said.startswith("spot/klines/ETHUSDT/1h, ")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(
            "t => document.getElementById('map-said').textContent !== t", arg=said
        )
        page.keyboard.press("Enter")
        page.wait_for_url("**/coverage?month=*")
        drawn(page, "coverage")
        page.locator("#map").focus()
        for key in ("ArrowDown", "Home", "Enter"):
            page.keyboard.press(key)
        page.wait_for_url("**/series/spot/klines/BTCUSDT/1h?from=*-01&to=*-02")
        drawn(page, "series")
        page.goto(address_of(site, "coverage"))
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#main"


def test_filter_table_and_theme_work(browser: Any, site: Site) -> None:
    with Watched(browser) as watched:
        page = watched.page
        page.goto(address_of(site, "coverage"))
        page.get_by_label("Filter").fill("spot luna")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=spot+luna**")
        drawn(page, "coverage")
        assert page.locator("#map-labels a").all_text_contents() == ["LUNAUSDT"]
        page.get_by_role("link", name="as a table").click()
        assert page.locator("tbody tr").count() == 1
        page.get_by_label("Switch between light and dark").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.get_by_label("Filter").fill("nothing like it")
        page.keyboard.press("Enter")
        page.get_by_text("No series matches").wait_for()
        assert watched.wrong == []


def test_charts_show_other_spans_and_columns(browser: Any, site: Site) -> None:
    with Watched(browser, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.goto(address_of(site, "series"))
        drawn(page, "series")
        page.get_by_role("button", name="1 week").click()
        page.get_by_text("169 points of 1 h each").wait_for()
        page.get_by_role("button", name="all").click()
        page.get_by_text(re.compile(r"points of 1 d each, [0-9] gap")).wait_for()
        page.goto(address_of(site, "funding"))
        drawn(page, "funding")
        page.get_by_label("Column").select_option("funding_interval_hours")
        page.get_by_text("points of").wait_for()
        page.get_by_role("button", name="copy").first.click()
        assert watched.wrong == []


def test_now_is_live(browser: Any, vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish("spot/klines/AUSDT/1h", datetime(2024, 6, 1).date(), datetime(2024, 6, 2).date())  # noqa: DTZ001
    text = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-02")
    config = tmp_path / "fullpool.toml"
    config.write_text(vendor.config_text(tmp_path / "lake", text))
    sync(vendor.config(tmp_path / "lake", text))
    with Site(tmp_path / "lake") as shown, Watched(browser) as watched:
        page = watched.page
        page.goto(f"{shown.address}now")
        page.get_by_text("no daemon is running").wait_for()
        with Running(config, tmp_path / "lake") as daemon:
            page.get_by_text("daemon: ").wait_for()
            config.write_text(config.read_text() + '[[dataset]]\nmarket = "mars"\n')
            page.get_by_text("An edit of the configuration was refused").first.wait_for()
            assert daemon.process is not None
        page.get_by_text("no daemon is running").wait_for()
        assert watched.wrong == []
        shown.ended()
        page.get_by_text("The server of this page does not answer").wait_for()


def test_one_page_draws_five_thousand_series(browser: Any, site: Site, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(Path(site.get("/coverage.json").json["lake"]), lake, symlinks=True)
    many(Tree(lake), 5000)
    with Site(lake) as shown, Watched(browser) as watched:
        shown.get("/coverage.json")  # the first question opens the lake
        size = len(shown.get("/coverage").body)
        page = watched.page
        page.goto(f"{shown.address}coverage")
        drawn(page, "coverage")
        assert page.locator("#map-labels a").count() < 100
        page.evaluate("document.getElementById('map').scrollTop = 1e9")
        page.get_by_text("Z4999USDT").wait_for()
        assert watched.wrong == []

    assert size < 500_000


def many(tree: Tree, count: int) -> None:
    """Publish so many series more, without rows: each ended after eight years."""
    with opened_state(tree) as state:
        state.connection.execute(
            "INSERT INTO internal.expected (market, kind, symbol, interval, wanted_from, wanted_to,"
            " expected_from, expected_until, row_count) SELECT 'spot', 'klines',"
            " 'Z' || format('{:04d}', n) || 'USDT', '1h', '2018-06-01', '2200-01-01',"
            f" '2018-06-01', '2026-09-01', 72000 FROM range({count}) AS r(n)"
        )
        state.connection.execute(
            "INSERT INTO sync.gaps BY NAME SELECT market, kind, symbol, interval,"
            " expected_from + INTERVAL 30 DAY * (hash(symbol) % 90)::BIGINT AS gap_start,"
            " gap_start + INTERVAL 20 DAY AS gap_end, 0 AS first_place, 480 AS end_place,"
            " 480 AS row_count, if(hash(symbol) % 3 = 0, 'open', 'explained') AS status,"
            " 'delisted' AS explanation, '' AS reason, '' AS evidence, TIMESTAMP '2026-01-01'"
            " AS found_at, 0 AS attempts FROM internal.expected WHERE symbol LIKE 'Z%USDT'"
        )
        publish_state(state, tree, state.next_value("generation"), datetime.now(UTC))  # noqa: TID251


def test_a_report_opens_without_a_server(browser: Any, site: Site, tmp_path: Path) -> None:
    lake = site.get("/coverage.json").json["lake"]
    target = tmp_path / "lake.html"
    command = [sys.executable, "-m", "fullpool", "report", str(target), "--lake", lake]
    subprocess.run(command, check=True, capture_output=True)
    with Watched(browser, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.goto(target.as_uri())
        drawn(page, "coverage")
        row = page.locator("#map-labels span", has_text="LUNAUSDT").bounding_box()
        page.mouse.move(250, row["y"] + 8)
        page.locator("#tip", has_text="LUNAUSDT").wait_for()
        assert watched.wrong == []


NGINX = """
user root; daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location /lake/ {{ proxy_pass http://unix:{socket}:/; proxy_set_header Host $host; }}
  }}
}}
"""


def listening(port: int) -> None:
    """Wait until somebody listens there."""
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        wait(0.1)


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_pages_work_under_a_proxys_path(browser: Any, site: Site, tmp_path: Path) -> None:
    lake = Path(site.get("/coverage.json").json["lake"])
    path, port = tmp_path / "socket", free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port, socket=path))
    with Site(lake, "--socket", path, "--root-path", "/lake"):
        proxy = subprocess.Popen(["nginx", "-c", str(config)])
        try:
            listening(port)
            with Watched(browser) as watched:
                page = watched.page
                page.goto(f"http://localhost:{port}/lake/")
                drawn(page, "coverage")
                page.locator("#map-labels a", has_text="SOLUSDT").click()
                drawn(page, "series")
                assert page.url == f"http://localhost:{port}/lake/series/spot/klines/SOLUSDT/1h"
                page.get_by_role("link", name="Now").click()
                page.get_by_text("What needs attention").wait_for()
                assert watched.wrong == []
        finally:
            proxy.terminate()
            proxy.wait(10)
