"""What is away is told once, by its name, with what to do: not once for each of its archives."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from damaging import run
from fullpool.errors import Exit
from fullpool.simulator import Fault
from lab import DAY, HOUR, Lab, at, bars, days_of
from served import Vendor, dataset

NAMES = [f"{letter}USDT" for letter in "ABCDEFGHIJ"]
NO_NAME = ("connecting to away.invalid", "hint: check this machine's DNS settings")
PAGE = ("got a web page instead of data", "hint: log in to this network")
KEY = "data/spot/daily/klines/{0}/1h/{0}-1h-{1}.zip"


def no_name(what: str) -> Callable[[Vendor, str], str]:
    """Return what has the host of one address be a name that nobody knows."""
    return lambda _, text: re.sub(rf'({what} = "http://)[^:/]+', r"\1away.invalid", text)


def wants_login(vendor: Vendor, text: str) -> str:
    """Have every answer be that of a network that wants to know who it is."""
    vendor.fail(Fault("*", "status", 511))
    return text


def portal(pattern: str) -> Callable[[Vendor, str], str]:
    """Return what has a page for people come in place of some files."""

    def answered(vendor: Vendor, text: str) -> str:
        vendor.fail(Fault(pattern, "html"))
        return text

    return answered


@pytest.mark.parametrize(
    ("outage", "told", "event"),
    [
        (no_name("archive_url"), NO_NAME, "archive.failed"),
        (no_name("listing_url"), NO_NAME, "series.listing_failed"),
        (portal("*"), PAGE, "series.listing_failed"),
        (portal("*.zip*"), PAGE, "archive.failed"),
        (wants_login, ("HTTP 511", PAGE[1]), "series.listing_failed"),
    ],
    ids=["DNS of archives", "DNS of listings", "a portal", "one before archives", "HTTP 511"],
)
def test_host_outage_is_one_event(
    vendor: Vendor,
    tmp_path: Path,
    outage: Callable[[Vendor, str], str],
    told: tuple[str, str],
    event: str,
) -> None:
    for name in NAMES:
        vendor.publish(f"spot/klines/{name}/1h", date(2024, 6, 1), date(2024, 6, 2))
    asked = dataset(f"spot/klines/{','.join(NAMES)}/1h", start="2024-06-01", end="2024-06-02")
    text = vendor.config_text(tmp_path / "lake", asked)
    path = tmp_path / "away.toml"
    path.write_text(outage(vendor, text.replace("[network]\n", "[network]\nallow_http = true\n")))
    done = run("sync", "-c", path, "--log-level", "warning")
    examined = run("doctor", "-c", path)

    reason, hint = told
    assert done.returncode == Exit.UNREACHABLE
    lines = [line for line in done.stderr.splitlines() if reason in line]
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert events == [event]
    assert len(lines) <= 3, lines  # the event, what people see of it, and the error in the end
    assert done.stderr.splitlines()[-1].startswith(hint)
    assert reason in examined.stdout
    assert hint.removeprefix("hint: ") in examined.stdout


def test_few_failures_get_the_host_hint(vendor: Vendor, tmp_path: Path) -> None:
    """The pass goes on: so few may be the archives' own trouble."""
    vendor.publish("spot/klines/AUSDT/1h", date(2024, 6, 1), date(2024, 6, 2))
    asked = dataset("spot/klines/AUSDT/1h", start="2024-06-01", end="2024-06-02")
    path = tmp_path / "few.toml"
    path.write_text(vendor.config_text(tmp_path / "lake", asked, rounds=1))
    portal("*.zip*")(vendor, "")
    done = run("sync", "-c", path)

    assert done.returncode == Exit.INCOMPLETE
    assert done.stderr.splitlines()[-1].startswith(PAGE[1])


@pytest.fixture
def lab() -> Iterator[Lab]:
    asked = dataset(f"spot/klines/{','.join(NAMES)}/1h", start="2024-03-01", end="2024-03-09")
    with Lab(asked) as made:
        for name in NAMES:
            for day in days_of("2024-03", 1, 9):
                rows = bars(at(day), at(day) + DAY, HOUR)
                made.tell_api(KEY.format(name, day), rows)
                if int(day[-1]) % 2:
                    made.put(KEY.format(name, day), rows)
        yield made


def test_portal_before_api_keeps_gaps_waiting(lab: Lab) -> None:
    lab.vendor.fail(Fault("api/*", "html"))
    outcome = lab.run("sync", "2024-03-20")

    gaps = lab.ask("SELECT status, count(*) FROM sync.gaps GROUP BY ALL")
    reasons = lab.ask("SELECT DISTINCT reason FROM sync.gaps WHERE reason LIKE '%web page%'")
    assert gaps == [("open", 40)]
    assert len(reasons) == 1
    assert not outcome.is_complete
    assert lab.requests() < 40  # the host counts as away, and is left alone

    lab.vendor.fail()
    assert lab.run("sync", "2024-03-21").is_complete
    assert lab.ask("SELECT count(*) FROM sync.gaps") == [(0,)]
