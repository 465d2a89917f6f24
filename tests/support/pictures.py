"""Takes the pictures of the README from the demo's lake. Usage: pictures.py FOLDER."""

import shutil
import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from site_client import Site, made_demo

_WIDE: Final = {"width": 1280, "height": 800}
_LAKE: Final = Path("/tmp/demo-lake")  # noqa: S108 - its name is in the pictures
# What is taken: the address, the theme, what is waited for.
_PICTURES: Final = {
    "coverage": ("coverage", "light", "html[data-map-drawn]"),
    "series": ("series/um/klines/BTCUSDT/1h?from={year}-01-01", "dark", "#chart[data-drawn]"),
    "now": ("now", "light", "#problems-title"),
}


def take(browser: Any, site: Site, name: str, target: Path) -> None:
    address, theme, drawn = _PICTURES[name]
    year = site.get("/coverage.json").json["now"][:4]
    context = browser.new_context(viewport=_WIDE, color_scheme=theme, device_scale_factor=1)
    page = context.new_page()
    page.goto(f"{site.address}{address.format(year=year)}")
    page.wait_for_selector(drawn)
    page.wait_for_timeout(500)  # fonts and the chart's own animation
    page.screenshot(path=str(target / f"{name}.png"))
    context.close()


def main(target: Path) -> None:
    if _LAKE.exists():
        raise SystemExit(f"{_LAKE} is there already: move it away")
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        with Site(made_demo(_LAKE)) as site:
            for name in _PICTURES:
                take(browser, site, name, target)
        browser.close()
    shutil.rmtree(_LAKE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
