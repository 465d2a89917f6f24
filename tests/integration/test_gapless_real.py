"""Gaps in real files, and real answers of the API."""

import csv
import io
import json
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fullpool.app import clock
from fullpool.config import Rest, parse
from fullpool.errors import RestError
from fullpool.grid import Grid, Places, bars
from fullpool.model import Interval, Market, Series
from fullpool.rest import Client, Window, ask
from fullpool.simulator import Bucket, Fault, Simulator
from served import ask as query
from served import sync

# When spot stood still in 2020: the first hour that is missing, and the next that is there. DOTUSDT
# was listed in August and has the last three.
OUTAGES = (
    ("02-09T02", "02-09T03"), ("02-19T12", "02-19T17"), ("03-04T10", "03-04T11"),
    ("04-25T02", "04-25T04"), ("06-28T02", "06-28T05"), ("11-30T06", "11-30T07"),
    ("12-21T15", "12-21T18"), ("12-25T02", "12-25T03"),
)  # fmt: skip


def test_exactly_the_outages_of_2020_are_explained(real: Path, tmp_path: Path) -> None:
    with Simulator(Bucket(real / "archives")) as vendor:
        config = parse(
            f"[lake]\npath = '{tmp_path / 'lake'}'\nmin_free_gb = 0.0\n"
            f"[network]\narchive_url = '{vendor.url}'\nlisting_url = '{vendor.listing_url}'\n"
            f"[rest]\nspot_url = '{vendor.url}'\n"
            "[[dataset]]\nmarket = 'spot'\nkind = 'klines'\nintervals = ['1h']\n"
            "symbols = ['BTCUSDT', 'ADABTC', 'BNBBTC', 'BNBUSDT', 'ETHBTC', 'LINKUSDT',"
            " 'DOTUSDT']\n"
            "start = 2020-01-01\nend = 2020-12-31\n",
            "real.toml",
        )
        sync(config)
        asked = vendor.api_requests()

    found = query(
        config,
        "SELECT DISTINCT strftime(gap_start, '%m-%dT%H'), strftime(gap_end, '%m-%dT%H')"
        " FROM sync.gaps WHERE explanation <> 'not_listed' ORDER BY ALL",
    )
    assert tuple(found) == OUTAGES
    counts = "SELECT explanation, status, count(*) FROM sync.gaps GROUP BY ALL ORDER BY ALL"
    assert query(config, counts) == [
        ("empty_at_source", "explained", 6 * len(OUTAGES) + 3),
        ("not_listed", "explained", 1),
    ]
    assert len([path for path in asked if "/klines" in path]) == 3 * len(OUTAGES) + 1


@contextmanager
def client_of(vendor: Simulator, now: datetime) -> Iterator[Client]:
    settings = Rest(spot_url=vendor.url, um_url=vendor.url, cm_url=vendor.url)
    with Client(
        settings,
        ssl.create_default_context(),
        bans=(),
        now=lambda: now,
        monotonic=time.monotonic,
        sleep=lambda _: None,
        stop=threading.Event(),
    ) as client:
        yield client


def genuine(real: Path, endpoint: str) -> list[Path]:
    """Return the recorded answers whose bounds were not rewritten by those who recorded them."""
    with (real / "PROVENANCE.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        real / row["local_path"]
        for row in rows
        if f"/{endpoint}__" in row["local_path"].replace("_v1_", "/").replace("_v3_", "/")
        and row["status"].startswith("genuine")
        and "MISMATCH" not in row["notes"]
        and "ERROR" not in row["notes"]
        and row["local_path"].endswith(".json")
        and (real / row["local_path"]).exists()
    ]


def _series(path: Path) -> Series:
    market = {"api": Market.SPOT, "fapi": Market.UM, "dapi": Market.CM}[path.name.split("_")[0]]
    query_text = path.stem.partition("__")[2]
    values = dict(part.split("=", 1) for part in query_text.split(",") if "=" in part)
    interval = Interval("1mo" if values.get("interval") == "1M" else values["interval"])
    return Series(market, "klines", values["symbol"], interval)


def served(tmp_path: Path, body: str, series: Series, grid: Grid, places: Places) -> list[str]:
    """Return the lines that come of a recorded answer, served over a socket."""
    (tmp_path / "empty").mkdir(exist_ok=True)
    with Simulator(
        Bucket(tmp_path / "empty"), faults=[Fault("*klines*", "body", text=body)]
    ) as api:
        late = datetime(2030, 1, 1, tzinfo=UTC)
        with client_of(api, late) as client:
            return list(ask(client, grid, Window(series, places)).lines)


def test_genuine_klines_answers_match_the_archives(real: Path, tmp_path: Path) -> None:
    archived = _archived_hours(real)
    compared = 0
    files = genuine(real, "klines")
    assert len(files) >= 10
    for path in files:
        series, rows = _series(path), json.loads(path.read_text())
        assert series.interval is not None
        grid = bars(series.interval)
        opens = [datetime.fromtimestamp(row[0] / 1000, UTC) for row in rows]
        places = Places(grid.at(opens[0]), grid.at(opens[-1]) + 1)
        lines = served(tmp_path, path.read_text(), series, grid, places)
        assert len(lines) == len(rows), path
        if (series.symbol, series.interval, series.market) == ("BTCUSDT", "1h", "spot"):
            for line in lines:
                same = archived.get(line.split(",", 1)[0])
                if same is not None:
                    assert line.split(",") == same.split(",")
                    compared += 1
    assert compared > 1000


def _archived_hours(real: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (real / "archives/data/spot/monthly/klines/BTCUSDT/1h").glob("*.zip"):
        with zipfile.ZipFile(path) as opened:
            for line in opened.read(opened.namelist()[0]).decode().splitlines():
                found[line.split(",", 1)[0]] = line
    return found


def test_a_real_error_keeps_its_own_words(real: Path, tmp_path: Path) -> None:
    (path,) = [p for p in (real / "rest").rglob("dapi_v1_klines*.json") if "-4088" in p.read_text()]
    series = Series(Market.CM, "klines", "BTCUSD_PERP", Interval.D1)
    with pytest.raises(RestError, match="Maximum time interval is 200 days"):
        served(tmp_path, path.read_text(), series, bars(Interval.D1), Places(18000, 18100))


def test_real_trades_are_read(real: Path, tmp_path: Path) -> None:
    read = 0
    for path in genuine(real, "aggTrades"):
        market = {"api": Market.SPOT, "fapi": Market.UM, "dapi": Market.CM}[path.name.split("_")[0]]
        body, series = path.read_text(), Series(market, "aggTrades", "BTCUSDT")
        first = json.loads(body)[0]["a"]
        (tmp_path / "none").mkdir(exist_ok=True)
        fault = Fault("*aggTrades*", "body", text=body)
        with (
            Simulator(Bucket(tmp_path / "none"), faults=[fault]) as api,
            client_of(api, clock.now() + timedelta(days=1)) as client,
        ):
            answer = ask(client, None, Window(series, Places(first, first + 1000)))
        read += len(answer.lines)
        values = io.StringIO("\n".join(answer.lines))
        assert all(len(row) in {7, 8} for row in csv.reader(values))
    assert read > 1000
