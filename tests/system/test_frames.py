"""What a lake gives to pandas, Polars and pyarrow, in an environment with these."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import DAY, HOUR, MINUTE, Lab, at, bars
from served import dataset, tree_of

pytestmark = pytest.mark.frames
ROOT = Path(__file__).parents[2]
KEY = "data/spot/daily/klines/{s}/1m/{s}-1m-2024-03-08.zip"

PROGRAM = """
import datetime, sys
import fullpool

lake = fullpool.open(sys.argv[1])
rows = lake.klines("*", start="2024-03-08T12:00")
frame = rows.df()
assert len(frame) == 1440, len(frame)
assert str(frame["open_time"].dtype).startswith("datetime64"), frame.dtypes
assert str(frame["close"].dtype) == "float64", frame.dtypes
assert frame["open_time"].min() == datetime.datetime(2024, 3, 8, 12)
assert frame.groupby("symbol")["close"].count().to_dict() == {"AUSDT": 720, "BUSDT": 720}

polars = rows.pl()
assert polars.shape == frame.shape, polars.shape
assert polars["close"].dtype.is_float()
exact = lake.klines("AUSDT", exact=True).pl()
assert exact["close"].dtype.is_decimal() and exact["close"].sum() * 2 == 1440 * 3

table = rows.arrow()
assert table.num_rows == 1440
assert str(table.schema.field("open_time").type) == "timestamp[us]", table.schema
sizes = [batch.num_rows for batch in rows.batches(500)]
assert sum(sizes) == 1440 and max(sizes) <= 2048, sizes
import polars, pyarrow
assert polars.DataFrame(rows).shape == frame.shape
assert pyarrow.table(rows).num_rows == 1440
print("ok")
"""

WITHOUT = """
import sys
import fullpool

for module in ("pandas", "polars", "pyarrow"):
    sys.modules[module] = None
try:
    fullpool.open(sys.argv[1]).klines("AUSDT").df()
except fullpool.FullpoolError as error:
    print("pandas" in str(error), "pip install" in error.hint)
"""


EXPORTED = """
import sys
import duckdb, pandas, polars, pyarrow.dataset

for folder in sys.argv[2:]:
    klines = f"{folder}/klines"
    counts = {"BTCUSDT": 48, "PEPEUSDT": 48}
    files = f"{klines}/**/*.parquet"
    found = polars.scan_parquet(files, hive_partitioning=True).group_by("symbol").len().collect()
    assert dict(found.rows()) == counts
    found = polars.read_parquet(files, hive_partitioning=True)["volume"].sum()
    assert abs(float(found) - 48 * (10 + 98765432109)) < 1, found
    frame = pandas.read_parquet(klines)
    assert frame.groupby("symbol", observed=True)["close"].count().to_dict() == counts
    table = pyarrow.dataset.dataset(klines, partitioning="hive").to_table()
    assert table.num_rows == 96
    (found,) = duckdb.sql(f"SELECT count(*), sum(volume) FROM '{files}'").fetchall()
    assert found[0] == 96
assert str(frame["close"].dtype) in ("float64", "object"), frame.dtypes
print("ok")
"""
FEATHER = """
import pathlib, sys
import pandas, polars

(path,) = pathlib.Path(sys.argv[2]).rglob("symbol=PEPEUSDT/*.feather")
frame = pandas.read_feather(path)
assert len(frame) == 48 and str(frame["volume"].dtype) == "float64", frame.dtypes
assert str(frame["open_time"].dtype).startswith("datetime64"), frame.dtypes
assert polars.read_ipc(path).shape == frame.shape
print("ok")
"""


@pytest.fixture
def mixed() -> Iterator[Path]:
    """A lake whose files have decimals of two widths."""
    with Lab(dataset("spot/klines/*/1h", start="2024-03-08", end="2024-03-09")) as lab:
        for symbol, volume in (("BTCUSDT", 10), ("PEPEUSDT", 98_765_432_109)):
            for day in ("2024-03-08", "2024-03-09"):
                key = KEY.format(s=symbol).replace("1m", "1h").replace("2024-03-08", day)
                lab.put(key, bars(at(day), at(day) + DAY, HOUR, volume))
        lab.run("sync", "2024-03-10T06:00")
        yield tree_of(lab.config).root


def test_every_engine_reads_an_export(mixed: Path, tmp_path: Path) -> None:
    for types in ("double", "exact"):
        export(mixed, tmp_path / types, "--types", types)
    assert run(EXPORTED, mixed, tmp_path / "double", tmp_path / "exact") == "ok"


def test_feather_files_are_written_with_pyarrow(mixed: Path, tmp_path: Path) -> None:
    export(mixed, tmp_path / "out", "--format", "feather")
    assert run(FEATHER, mixed, tmp_path / "out") == "ok"


def export(lake: Path, target: Path, *options: str) -> None:
    done = run_in(frames(), "-m", "fullpool", "export", "--lake", lake, target, *options)
    assert done.startswith("2 files, 96 rows, "), done


def frames() -> str:
    python = os.environ.get("FRAMES_PYTHON")
    if not python:
        pytest.skip("pandas, Polars and pyarrow are not installed: make test-frames installs them")
    return python


def run(program: str, *arguments: Path) -> str:
    return run_in(frames(), "-c", program, *arguments)


def run_in(python: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [python, *map(str, arguments)],
        check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def lake() -> Iterator[Path]:
    with Lab(dataset("spot/klines/*/1m", start="2024-03-08", end="2024-03-08")) as lab:
        for symbol in ("AUSDT", "BUSDT"):
            begins = at("2024-03-08")
            lab.put(KEY.format(s=symbol), bars(begins, begins + DAY, MINUTE))
        lab.run("sync", "2024-03-09T06:00")
        yield tree_of(lab.config).root


def test_frames_and_tables_have_the_rows(lake: Path) -> None:
    assert run(PROGRAM, lake) == "ok"


IBIS = """
import sys
import ibis

klines = ibis.duckdb.connect(f"{sys.argv[1]}/lake.duckdb", read_only=True).table("klines")
counted = klines.group_by("symbol").agg(bars=klines.count()).order_by("symbol").to_pandas()
assert counted.values.tolist() == [["AUSDT", 1440], ["BUSDT", 1440]], counted
print("ok")
"""
ALCHEMY = """
import sys
import sqlalchemy

url = f"duckdb:///{sys.argv[1]}/lake.duckdb"
engine = sqlalchemy.create_engine(url, connect_args={"read_only": True})
with engine.connect() as connection:
    query = sqlalchemy.text("SELECT count(*) FROM klines WHERE symbol = :symbol")
    assert connection.execute(query, {"symbol": "AUSDT"}).scalar() == 1440
    assert "klines" in sqlalchemy.inspect(engine).get_view_names()
print("ok")
"""


@pytest.mark.parametrize("program", [IBIS, ALCHEMY], ids=["ibis", "SQLAlchemy"])
def test_tools_using_duckdb_read_the_lake(lake: Path, program: str) -> None:
    assert run(program, lake) == "ok"


def test_duckdbs_command_line_reads_the_lake(lake: Path) -> None:
    duckdb = Path(frames()).with_name("duckdb")
    done = subprocess.run(
        [duckdb, "-readonly", lake / "lake.duckdb", "-csv", "-c", "SELECT count(*) FROM klines"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "2880"


def test_a_missing_library_is_named(lake: Path) -> None:
    assert run(WITHOUT, lake) == "True True"
