"""No path, SQL or address can be steered from outside; files have their modes."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from stat import S_IMODE

import duckdb
import pytest

from fullpool.errors import ArchiveError, FullpoolError
from fullpool.model import Interval, Market, Series, is_symbol
from fullpool.store import duck
from fullpool.vendor import archive_in, period_in, symbol_in
from fullpool.vision import parse_page
from served import Vendor, ask, dataset, sync, tree_of

SERIES = "spot/klines/AUSDT/1m"
HOSTILE = [
    "../../etc", "..", "/etc/passwd", "A'; DROP TABLE sync.archives; --", "A|B", "A\x00B", "A/B",
    "A\nB", "~", "", "$(reboot)", "%2e%2e", "A B", "A\u202eB", "-rf",
]  # fmt: skip


@pytest.fixture
def confined(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    (tmp_path / "lake").mkdir()
    duckdb.sql(f"COPY (SELECT 1 AS x) TO '{tmp_path}/lake/in.parquet'")
    duckdb.sql(f"COPY (SELECT 1 AS x) TO '{tmp_path}/out.parquet'")
    (tmp_path / "lake" / "link.parquet").symlink_to(tmp_path / "out.parquet")
    return duck.connect(tmp_path / "lake")


def test_duckdb_reads_and_writes_the_lake(
    confined: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"

    assert confined.execute(f"FROM read_parquet('{lake}/in.parquet')").fetchall() == [(1,)]
    confined.execute(f"COPY (SELECT 2 AS x) TO '{lake}/new.parquet'")
    confined.execute(f"ATTACH '{lake}/new.duckdb' AS other")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/hostname')",
        "FROM read_parquet('{0}/out.parquet')",
        "FROM read_parquet('{0}/lake/../out.parquet')",
        "COPY (SELECT 1) TO '{0}/written.csv'",
        "ATTACH '{0}/other.duckdb' AS other",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET temp_directory = '/'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FROM read_csv('http://127.0.0.1:9/x.csv')",
    ],
)
def test_duckdb_touches_nothing_else(
    confined: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str
) -> None:
    with pytest.raises(duckdb.Error, match=r"(?i)permission|locked|disabled|cannot"):
        confined.execute(sql.format(tmp_path))

    assert not (tmp_path / "written.csv").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_vendor_name_becomes_a_path(name: str) -> None:
    found = symbol_in(f"data/spot/daily/klines/{name}/")
    assert found is None or is_symbol(found)  # the last part of it may be a name like any other
    assert archive_in(f"data/spot/daily/klines/{name}/1m/{name}-1m-2024-06-03.zip") is None
    with pytest.raises(ValueError, match="symbol"):
        Series(Market.SPOT, "klines", name, Interval.M1)


@pytest.mark.parametrize(
    "key",
    [
        "data/spot/daily/klines/AUSDT/1m/../AUSDT-1m-2024-06-03.zip",
        "data/spot/daily/klines/BUSDT/1m/AUSDT-1m-2024-06-03.zip",
        "AUSDT-1m-2024-06-03.zip",
        "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-03.zip/x",
        "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-13-03.zip",
    ],
)
def test_a_misplaced_key_is_no_archive(key: str) -> None:
    assert period_in(Series(Market.SPOT, "klines", "AUSDT", Interval.M1), key) is None


def test_a_listing_with_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>'

    with pytest.raises(FullpoolError, match="not a bucket listing"):
        parse_page(bomb, "data/")
    with pytest.raises(FullpoolError):
        parse_page(b"<ListBucketResult><Contents></Contents></ListBucketResult>" * 2, "data/")
    assert issubclass(ArchiveError, FullpoolError)


def test_a_lake_named_like_sql_works(vendor: Vendor, tmp_path: Path) -> None:
    vendor.publish(SERIES, date(2024, 6, 1), date(2024, 6, 1))
    folder = tmp_path / "lake); DROP SCHEMA sync; --"
    config = vendor.config(folder, dataset(SERIES, start="2024-06-01", end="2024-06-01"))
    sync(config)

    assert ask(config, "SELECT count(*) FROM klines") == [(1440,)]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o000, 0o444, 0o755), (0o027, 0o440, 0o750)]
)
def test_modes_hold_whatever_the_umask(
    vendor: Vendor, tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    vendor.publish(SERIES, date(2024, 6, 1), date(2024, 6, 1))
    path = tmp_path / "fullpool.toml"
    text = vendor.config_text(tmp_path / "lake", dataset(SERIES, end="2024-06-01"))
    path.write_text(text)
    subprocess.run(
        [sys.executable, "-m", "fullpool", "sync", "-c", str(path)],
        check=True, capture_output=True, umask=umask, env=dict(os.environ),
    )  # fmt: skip
    config = vendor.config(tmp_path / "lake", dataset(SERIES, end="2024-06-01"))
    tree = tree_of(config)

    published = [*(tree.root / "klines").rglob("*.parquet"), tree.current.resolve()]
    assert {S_IMODE(one.stat().st_mode) for one in published} == {file}
    folders = [tree.root, tree.catalogues, *(tree.root / "klines").rglob("symbol=*")]
    assert {S_IMODE(one.stat().st_mode) for one in folders} == {folder}
    own = (tree.state.parent, tree.staging, tree.quarantine)
    assert {S_IMODE(one.stat().st_mode) for one in own} == {0o700}
    assert not [
        one for one in tree.root.rglob("*") if not one.is_symlink() and one.stat().st_mode & 0o022
    ]
