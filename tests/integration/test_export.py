"""What is exported, as plain files of one type: rows, and the lake's own files."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fullpool.errors import DamagedError, FullpoolError, LakeUnwritableError, UsageError
from fullpool.export.exporting import Exported, export
from fullpool.export.order import Choice, Form, Order, Program, Types, Way
from fullpool.export.pairs import Pair, Pairs
from fullpool.model import Market
from lab import DAY, HOUR, MINUTE, Lab, at, bars, trade, uncounted
from served import dataset, tree_of

HOURLY = "data/spot/monthly/klines/{s}/1h/{s}-1h-2024-{m}.zip"
TRADES = "data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-2024-01-{d}.zip"
WIDE = 12_345_678_901  # more than a narrow decimal holds


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two symbols, one with volumes that need wide decimals, and trades beside them."""
    text = "".join(
        dataset(one, start="2023-12-01", end="2024-02-29")
        for one in ("spot/klines/AUSDT,BUSDT/1h", "spot/klines/AUSDT/1d", "um/aggTrades/AUSDT")
    )
    with Lab(text, has_api=False) as made:
        for month, ends in (("01", "2024-02-01"), ("02", "2024-03-01")):
            begins = at(f"2024-{month}-01")
            for symbol, volume in (("AUSDT", 10), ("BUSDT", WIDE)):
                key = HOURLY.format(s=symbol, m=month)
                made.put(key, bars(begins, at(ends), HOUR, volume))
            daily = HOURLY.format(s="AUSDT", m=month).replace("1h", "1d")
            made.put(daily, bars(begins, at(ends), DAY))
        for day in (30, 31):
            begins = at(f"2024-01-{day}")
            lines = [trade(day * 100 + n, begins + n * HOUR) for n in range(24)]
            made.put(TRADES.format(d=day), "".join(lines))
        made.run("sync", "2024-03-05T12:00")
        yield made


def exported(lab: Lab, target: Path, **order: Any) -> Exported:
    return export(tree_of(lab.config), target, Order(**order), uncounted)


def read(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def paths(target: Path, form: str = "parquet") -> list[str]:
    return sorted(str(path.relative_to(target)) for path in target.rglob(f"*.{form}"))


def test_each_series_exports_files_of_doubles(lab: Lab, tmp_path: Path) -> None:
    done = exported(lab, tmp_path / "out")

    assert paths(tmp_path / "out") == [
        "agg_trades/market=um/symbol=AUSDT/2024-01.parquet",
        "klines/market=spot/interval=1d/symbol=AUSDT/2024.parquet",
        "klines/market=spot/interval=1h/symbol=AUSDT/2024.parquet",
        "klines/market=spot/interval=1h/symbol=BUSDT/2024.parquet",
    ]
    assert (done.files, done.rows) == (4, 48 + 60 + 2 * 1440)
    glob = f"read_parquet('{tmp_path}/out/klines/**/*.parquet', hive_partitioning = true)"
    columns = "symbol, interval, open_time, close, volume, quote_volume, trade_count, source"
    assert read(f"SELECT {columns} FROM {glob} ORDER BY ALL") == lab.ask(
        f"SELECT {columns} FROM klines ORDER BY ALL"
    )
    types = dict(read(f"SELECT column_name, column_type FROM (DESCRIBE FROM {glob})"))
    assert {types["close"], types["volume"]} == {"DOUBLE"}
    schema = f"parquet_schema('{tmp_path}/out/**/*.parquet')"
    assert read(f"SELECT count(*) FROM {schema} WHERE type IS NOT NULL AND field_id IS NULL") == [
        (0,)
    ]


def test_exact_tables_have_one_decimal_width(lab: Lab, tmp_path: Path) -> None:
    exported(lab, tmp_path / "out", types=Types.EXACT)

    found = read(
        "SELECT DISTINCT precision, scale FROM"
        f" parquet_schema('{tmp_path}/out/klines/**/*.parquet') WHERE name = 'volume'"
    )
    assert found == [(38, 8)]
    total = f"SELECT sum(volume) FROM '{tmp_path}/out/klines/**/*.parquet'"
    assert read(total) == lab.ask("SELECT sum(volume) FROM klines_exact")


def test_only_what_is_chosen_is_exported(lab: Lab, tmp_path: Path) -> None:
    choice = Choice(
        ("spot",), ("klines",), ("*USDT", "!B*"), ("1h",), at("2024-01-10"), at("2024-02-03T05:00")
    )
    done = exported(lab, tmp_path / "out", choice=choice)

    (path,) = paths(tmp_path / "out")
    assert path == "klines/market=spot/interval=1h/symbol=AUSDT/2024.parquet"
    ends = "min(open_time)::VARCHAR, max(open_time)::VARCHAR"
    found = read(f"SELECT {ends} FROM '{tmp_path}/out/{path}'")
    assert found == [("2024-01-10 00:00:00", "2024-02-03 04:00:00")]
    assert done.rows == 24 * 24 + 5


def test_a_view_name_selects_its_kind(lab: Lab, tmp_path: Path) -> None:
    exported(lab, tmp_path / "out", choice=Choice(kinds=("agg_trades",)))

    files = f"'{tmp_path}/out/**/*.parquet'"
    found = read(f"SELECT agg_trade_id, price, is_void FROM {files}")  # in the file's order
    assert [row[0] for row in found] == [*range(3000, 3024), *range(3100, 3124)]
    assert found[0] == (3000, 1.5, False)


def test_csv_has_header_and_same_rows(lab: Lab, tmp_path: Path) -> None:
    exported(
        lab, tmp_path / "out", form=Form.CSV, choice=Choice(kinds=("klines",), intervals=("1d",))
    )

    (path,) = paths(tmp_path / "out", "csv")
    lines = (tmp_path / "out" / path).read_text().splitlines()
    assert lines[0].startswith("open_time,open,high,low,close,volume,")
    assert lines[1].startswith("2024-01-01 00:00:00,1.0,2.0,0.5,1.5,10.0,")
    assert len(lines) == 61


def test_manifest_lists_every_file_with_hash(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "out"
    exported(lab, target, choice=Choice(symbols=("AUSDT",), start=at("2024-01-31")))

    manifest = json.loads((target / "manifest.json").read_text())

    assert manifest["symbols"] == ["AUSDT"]
    assert (manifest["start"], manifest["end"]) == ("2024-01-31T00:00:00.000000Z", None)
    told = (manifest["types"], manifest["format"], manifest["way"])
    assert told == ("double", "parquet", "write")
    assert manifest["generation"] == tree_of(lab.config).published()
    assert [one["path"] for one in manifest["files"]] == paths(target)
    for one in manifest["files"]:
        content = (target / one["path"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["size_bytes"] == len(content)
        assert read(f"SELECT count(*) FROM '{target / one['path']}'") == [(one["rows"],)]


def test_uniform_files_are_linked_or_copied(lab: Lab, tmp_path: Path) -> None:
    tree = tree_of(lab.config)
    choice = Choice(kinds=("klines",), symbols=("AUSDT",), intervals=("1h",))
    exported(lab, tmp_path / "linked", way=Way.LINK, choice=choice)
    exported(lab, tmp_path / "copied", way=Way.COPY, choice=choice)

    (path,) = paths(tmp_path / "linked")
    assert path == "klines/market=spot/interval=1h/symbol=AUSDT/2024.parquet"
    (own,) = (tree.root / "klines").glob("*/interval=1h/symbol=AUSDT/*.parquet")
    assert (tmp_path / "linked" / path).samefile(own)
    assert not (tmp_path / "copied" / path).samefile(own)
    assert (tmp_path / "copied" / path).read_bytes() == own.read_bytes()
    manifest = json.loads((tmp_path / "copied" / "manifest.json").read_text())
    assert (manifest["types"], manifest["way"]) == ("stored", "copy")
    (one,) = manifest["files"]
    assert one["sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    assert one["rows"] == 1440


def test_mixed_files_are_linked_only_on_request(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quote_volume has decimals of different widths"):
        exported(lab, tmp_path / "out", way=Way.LINK)

    assert exported(lab, tmp_path / "out", way=Way.LINK, types=Types.STORED).files == 5


def test_linking_to_another_disk_is_refused(lab: Lab) -> None:
    target = Path(f"/dev/shm/export-{os.getpid()}")  # noqa: S108 - it is a disk of its own
    if target.parent.stat().st_dev == tree_of(lab.config).root.stat().st_dev:
        pytest.skip("shared memory is no disk of its own here")
    with pytest.raises(LakeUnwritableError) as refused:
        exported(lab, target, way=Way.LINK, types=Types.STORED)

    assert refused.value.hint == "that is another disk than the lake's: use --copy"
    assert not list(target.parent.glob(f"*{target.name}*"))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"choice": Choice(markets=("dex",))}, "the market 'dex': there is no such market"),
        ({"choice": Choice(kinds=("candles",))}, "the kind 'candles': there is no such kind"),
        ({"choice": Choice(intervals=("7m",))}, "the interval '7m': there is no such interval"),
        ({"choice": Choice(symbols=("CUSDT",))}, "'CUSDT': not in the lake"),
        ({"choice": Choice(markets=("cm",))}, "the lake has no such rows"),
        ({"choice": Choice(start=at("2024-03-01"))}, "the lake has no such rows"),
        ({"way": Way.LINK, "choice": Choice(start=at("2024-01-01"))}, "take whole Parquet files"),
        ({"way": Way.COPY, "form": Form.CSV}, "take whole Parquet files"),
        ({"types": Types.STORED}, "for files as they are"),
        ({"choice": Choice(start=at("2300-01-01"))}, "the lake has no such rows"),
        ({"choice": Choice(end=at("1960-01-01"))}, "the lake has no such rows"),
        ({"choice": Choice(symbols=("",))}, "a name is empty"),
        ({"program": Program.NAUTILUS, "types": Types.EXACT}, "a format of its own"),
        ({"form": Form.FEATHER}, "No module named 'pyarrow'"),
        ({"program": Program.FREQTRADE}, "No module named 'pyarrow'"),
        ({"program": Program.NAUTILUS}, "No module named 'nautilus_trader'"),
        ({"program": Program.NAUTILUS, "form": Form.CSV}, "a format of its own"),
    ],
)
def test_a_refused_export_explains_and_leaves_nothing(
    lab: Lab, tmp_path: Path, order: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        exported(lab, tmp_path / "out", **order)

    assert list(tmp_path.iterdir()) == []


def test_an_impossible_target_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    inside = tree_of(lab.config).root / "klines" / "out"
    for target, said in [
        (tmp_path / "there", "it already exists"),
        (inside, "inside the lake"),
        (tmp_path / "symbol=A" / "out", "as a column"),
        (tmp_path / "file" / "out", "File exists"),
        (Path("s3://bucket/out"), "that is no folder"),
    ]:
        with pytest.raises(FullpoolError, match=said):
            exported(lab, target)


def test_intervals_filter_only_kinds_with_intervals(lab: Lab, tmp_path: Path) -> None:
    exported(lab, tmp_path / "out", choice=Choice(intervals=("1d",)))

    assert [path.split("/")[0] for path in paths(tmp_path / "out")] == ["agg_trades", "klines"]


def test_exporting_damaged_files_leaves_no_folder(lab: Lab, tmp_path: Path) -> None:
    key = next((tree_of(lab.config).root / "klines").rglob("*.parquet"))
    key.chmod(0o644)
    content = key.read_bytes()
    key.write_bytes(content[:-100])
    try:
        for way in (Way.LINK, Way.COPY):
            with pytest.raises(DamagedError, match="it is not what was written"):
                exported(lab, tmp_path / "new" / "out", way=way, types=Types.STORED)
        with pytest.raises(FullpoolError) as refused:
            exported(lab, tmp_path / "new" / "out")
        assert "`fullpool verify` looks for files that are damaged" in refused.value.hint
    finally:
        key.write_bytes(content)
    assert list(tmp_path.iterdir()) == []


def test_a_parallel_export_is_not_disturbed(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / f".out.part-{os.getpid()}"
    other.mkdir()
    exported(lab, tmp_path / "out", choice=Choice(intervals=("1d",)))

    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else: needs root")
def test_unlinkable_files_are_not_silently_copied() -> None:
    folder = Path(tempfile.mkdtemp())  # not below one that is root's alone
    folder.chmod(0o777)
    program = (
        "import os, sys; from pathlib import Path; from fullpool.export.links import _link\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "_link(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    file = folder / "file"
    file.write_bytes(b"x")
    file.chmod(0o444)
    done = subprocess.run(
        [sys.executable, "-c", program, file, folder / "link"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    shutil.rmtree(folder)
    if done.returncode == 0:
        pytest.skip("this system lets anybody link anything")

    assert "hint: links of it are not possible, or not for you: use --copy" in done.stderr


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")), ("BTCAEUR", ("BTC", "AEUR")), ("ADAEUR", ("ADA", "EUR")),
        ("BTCUSD1", ("BTC", "USD1")), ("USDTBRL", ("USDT", "BRL")), ("WINTRX", ("WIN", "TRX")),
        ("XYZZY", None), ("QQAEUR", None),
    ],
)  # fmt: skip
def test_assets_of_unlisted_symbols_are_derived(symbol: str, pair: tuple[str, str] | None) -> None:
    listed = {("spot", f"{base}USDT"): Pair("", "") for base in ("BTC", "ADA", "WIN")}

    found = Pairs(listed).of(Market.SPOT, symbol)

    assert (found and (found.base, found.quote)) == pair


def test_a_lost_file_leaves_no_export(tmp_path: Path) -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-08", end="2024-03-08")) as lab:
        key = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-03-08.zip"
        lab.put(key, bars(at("2024-03-08"), at("2024-03-09"), MINUTE))
        lab.run("sync", "2024-03-10T12:00")
        (file,) = (tree_of(lab.config).root / "klines").rglob("*.parquet")
        file.unlink()
        for way in (Way.LINK, Way.WRITE):
            with pytest.raises(FullpoolError) as refused:
                exported(
                    lab,
                    tmp_path / "out",
                    way=way,
                    types=Types.STORED if way is Way.LINK else Types.DOUBLE,
                )
            assert "a file of this generation is gone" in refused.value.hint

    assert list(tmp_path.iterdir()) == []


def test_past_generations_export_as_they_were(tmp_path: Path) -> None:
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-08", end="2024-03-09")) as lab:
        for day in (8, 9):
            key = f"data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-03-0{day}.zip"
            lab.put(key, bars(at(f"2024-03-0{day}"), at(f"2024-03-0{day}") + DAY, MINUTE))
            lab.run("sync", f"2024-03-1{day}T12:00")

        assert exported(lab, tmp_path / "new").rows == 2880
        assert exported(lab, tmp_path / "old", as_of="2").rows == 1440


def test_what_is_named_and_has_no_rows_is_told(lab: Lab, tmp_path: Path) -> None:
    choice = Choice(kinds=("klines", "aggTrades"), markets=("spot", "cm"))
    done = exported(lab, tmp_path / "out", choice=choice)
    early = Choice(symbols=("AUSDT",), start=at("2024-02-02"))
    without_trades = exported(lab, tmp_path / "early", choice=early)

    assert done.left_out == (
        "market cm: the lake has no such rows",
        "kind aggTrades: the lake has no such rows",
    )
    assert without_trades.left_out == ("um/aggTrades/AUSDT: no rows in that time",)
