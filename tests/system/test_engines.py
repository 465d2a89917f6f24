"""Other engines read the copy in object storage: equal to the lake, to the last decimal."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

import seaweed
from engine_reader import plain
from fullpool.remote.bucket import Bucket
from fullpool.remote.delta import DeltaTables
from fullpool.remote.publisher import Publisher
from fullpool.store.catalogue.reader import reading
from fullpool.store.tree import Tree
from seaweed import KEY, SECRET, credentials
from served import Vendor, audit, dataset, sync, tree_of
from site_client import made_demo

pytestmark = pytest.mark.engines

ENGINES = ("duckdb", "catalogue", "pyiceberg", "polars", "chdb", "sail")
# Counted from below, so that a row more, less or another one shows.
WHOLE = "count(*) AS n, sum(volume) AS v, min(open_time) AS a, max(open_time) AS b"
KLINES = {
    "all": f"SELECT {WHOLE} FROM {{t}}",
    "series": f'SELECT market, symbol, "interval", {WHOLE} FROM {{t}}'
    ' GROUP BY market, symbol, "interval"',
    "one day": "SELECT symbol, count(*) AS n, sum(quote_volume) AS v FROM {t} WHERE open_time >="
    " TIMESTAMP '2024-06-02 00:00:00' AND open_time < TIMESTAMP '2024-06-03 00:00:00'"
    " GROUP BY symbol",
    "one symbol": "SELECT count(*) AS n, sum(volume) AS v, max(volume) AS m, min(low) AS l"
    " FROM {t} WHERE symbol = '币安人生USDT' AND market = 'spot'",
    "wide": "SELECT count(*) AS n, sum(volume) AS v, max(volume) AS m FROM {t}"
    " WHERE symbol = 'AUSDT'",
    "sources": "SELECT source, count(*) AS n FROM {t} GROUP BY source",
}
TRADES = {
    "all": "SELECT market, symbol, count(*) AS n, sum(quantity) AS q, sum(agg_trade_id) AS i,"
    " max(transact_time) AS b FROM {t} GROUP BY market, symbol",
}
# Rows that no archive has yet are in files of all symbols.
FOLLOWED = {
    "all": f"SELECT symbol, {WHOLE} FROM {{t}} GROUP BY symbol",
    "followed": "SELECT symbol, count(*) AS n, max(open_time) AS b FROM {t}"
    " WHERE source = 'rest' AND symbol = 'BTCUSDT' GROUP BY symbol",
}
SERIES = ("spot/klines/AUSDT/1m", "spot/klines/币安人生USDT/1m", "um/klines/AUSDT/1m")
TRADED = "um/aggTrades/CUSDT"
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 3)
WIDE_DAY = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"
# One more digit than DECIMAL(18,8) has room for.
WIDE = "12345678901.00000001"


@dataclass
class Copy:
    """A lake, and its copy."""

    tree: Tree
    address: str
    to: str

    def publish(self, now: datetime) -> None:
        bucket = Bucket(self.to, credentials(self.address))
        delta = DeltaTables(self.to, credentials(self.address))
        Publisher(self.tree, bucket, timedelta(hours=24), lambda: now, delta).publish()

    def expected(self, table: str, questions: dict[str, str]) -> dict[str, Any]:
        """Return what the lake itself answers."""
        with reading(self.tree) as reader:
            return {
                name: sorted(
                    [plain(v) for v in row]
                    for row in reader.query(sql.format(t=f"{table}_exact")).rows
                )
                for name, sql in questions.items()
            }

    def asked(
        self, engine: str, table: str, questions: dict[str, str], *, snapshot: int = 0,
        catalogue: str = "lake.duckdb",
    ) -> dict[str, Any]:  # fmt: skip
        """Return what an engine answers, in an environment of its own."""
        python = os.environ.get("ENGINES_PYTHON")
        if not python:
            pytest.skip("the engines are not installed: make test-engines installs them")
        order = {
            "engine": engine, "root": self.to, "table": table, "endpoint": self.address,
            "key": KEY, "secret": SECRET, "questions": questions, "snapshot": snapshot,
            "catalogue": catalogue,
        }  # fmt: skip
        script = Path(__file__).parents[1] / "support" / "engine_reader.py"
        done = subprocess.run(
            [python, str(script)],
            input=json.dumps(order), check=False, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def snapshots(self, table: str) -> list[int]:
        """Return the numbers of a table's snapshots, oldest first."""
        bucket, folder = Bucket(self.to, credentials(self.address)), f"_iceberg/{table}/metadata"
        version = int(bucket.get(f"{folder}/version-hint.text") or b"")
        found = orjson.loads(bucket.get(f"{folder}/v{version}.metadata.json") or b"")
        return [one["snapshot-id"] for one in found["snapshots"]]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.served(tmp_path_factory.mktemp("weed"), "copy") as address:
        yield address


@dataclass
class Past:
    """What a lake answered before a partition was replaced, and by what it is found."""

    klines: dict[str, Any]
    generation: int


@pytest.fixture(scope="module")
def changed(s3: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, Past]:
    """A lake of which an archive was republished, with an amount that needs the wide type."""
    folder = tmp_path_factory.mktemp("lake")
    with Vendor(folder / "vendor") as vendor:
        for series in (*SERIES, TRADED):
            vendor.publish(series, FIRST, LAST, trades_a_day=300)
        days = {"start": str(FIRST), "end": str(LAST)}
        text = "".join(dataset(series, **days) for series in (*SERIES, TRADED))
        config = vendor.config(folder / "lake", text)
        sync(config)
        copy = Copy(tree_of(config), s3, "s3://copy/lake")
        now = datetime(2026, 1, 1, tzinfo=UTC)
        copy.publish(now)
        past = Past(copy.expected("klines", KLINES), copy.tree.published())
        first, *rest = vendor.text_of(WIDE_DAY).splitlines(keepends=True)
        fields = first.split(",")
        fields[5] = WIDE
        vendor.put(WIDE_DAY, "".join([",".join(fields), *rest]))
        audit(config)
        copy.publish(now + timedelta(hours=1))
    return copy, past


@pytest.fixture(scope="module")
def followed(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    lake = made_demo(tmp_path_factory.mktemp("demo"))
    copy = Copy(Tree(lake), s3, "s3://copy/demo")
    copy.publish(datetime(2026, 1, 1, tzinfo=UTC))
    return copy


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_read_what_the_lake_has(changed: tuple[Copy, Past], engine: str) -> None:
    copy, past = changed
    expected = copy.expected("klines", KLINES)
    assert expected["wide"] != past.klines["wide"]
    assert expected["wide"][0][2] == WIDE
    assert expected["one symbol"][0][0] == 3 * 24 * 60

    assert copy.asked(engine, "klines", KLINES) == expected
    assert copy.asked(engine, "agg_trades", TRADES) == copy.expected("agg_trades", TRADES)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_reads_the_past(changed: tuple[Copy, Past], engine: str) -> None:
    copy, past = changed
    number = f".catalogue/{past.generation:06d}/lake.duckdb"
    first = copy.snapshots("klines")[0]

    assert copy.asked(engine, "klines", KLINES, snapshot=first, catalogue=number) == past.klines


def test_spark_s_api_reads_delta_tables(changed: tuple[Copy, Past]) -> None:
    copy, past = changed

    assert copy.asked("sail delta", "klines", KLINES) == copy.expected("klines", KLINES)
    assert copy.asked("sail delta", "klines", KLINES, snapshot=1) == past.klines  # version 0


def test_polars_reads_delta_tables_of_ascii_symbols(changed: tuple[Copy, Past]) -> None:
    copy, _ = changed

    assert copy.asked("polars delta", "agg_trades", TRADES) == copy.expected("agg_trades", TRADES)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_reads_followed_rows(followed: Copy, engine: str) -> None:
    expected = followed.expected("klines", FOLLOWED)
    assert expected["followed"]

    assert followed.asked(engine, "klines", FOLLOWED) == expected


def test_pyiceberg_filters_need_their_columns_selected(changed: tuple[Copy, Past]) -> None:
    """A fault of pyiceberg 0.12 that the docs tell of: when it is gone, they are to be changed."""
    copy, _ = changed
    script = """
import json, sys
from engine_reader import static_table
table, _ = static_table(json.load(sys.stdin))
by = "symbol = 'AUSDT' and market = 'um'"
print(table.scan(row_filter=by).to_arrow().num_rows)
print(table.scan(row_filter=by, selected_fields=("open_time",)).to_arrow().num_rows)
"""
    order = {"root": copy.to, "table": "klines", "endpoint": copy.address, "key": KEY,
             "secret": SECRET}  # fmt: skip
    python = os.environ.get("ENGINES_PYTHON")
    if not python:
        pytest.skip("the engines are not installed: make test-engines installs them")
    folder = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script],
        input=json.dumps(order), check=True, capture_output=True, text=True, timeout=180,
        env={**os.environ, "PYTHONPATH": folder},
    )  # fmt: skip

    assert done.stdout.split() == [str(3 * 24 * 60), "0"]
