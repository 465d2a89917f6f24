"""What a lake gives to pandas, Polars and pyarrow, in an environment with these."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import DAY, MINUTE, Lab, at, bars
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


def run(program: str, lake: Path) -> str:
    python = os.environ.get("FRAMES_PYTHON")
    if not python:
        pytest.skip("pandas, Polars and pyarrow are not installed: make test-frames installs them")
    done = subprocess.run(
        [python, "-c", program, str(lake)],
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


def test_data_frames_and_tables_have_the_rows(lake: Path) -> None:
    assert run(PROGRAM, lake) == "ok"


def test_a_library_that_is_missing_is_named(lake: Path) -> None:
    assert run(WITHOUT, lake) == "True True"
