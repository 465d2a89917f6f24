"""Queries on a lake of 200 symbols x 24 months of 1m bars, and planning against partitions."""

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import harness

from fullpool.model import Interval, Market, Partition, PartitionFile, Series, Step, period_from
from fullpool.store.catalogue import publication
from fullpool.store.partitions.messages import Built
from fullpool.store.state.opening import open_state
from fullpool.store.tree import Tree, partition_path

SYMBOLS, YEARS = 200, ("2024", "2025")
REPEATS = 15
NOW = datetime(2026, 6, 1, tzinfo=UTC)
COUNTS = (400, 1200, 2400, 4800, 9600)


def series_of(number: int) -> Series:
    return Series(Market.SPOT, "klines", f"S{number:04}USDT", Interval.M1)


def write_symbol(job: tuple[Path, int]) -> None:
    """Write a symbol's years as fullpool would: sorted, V2, zstd, exact decimals."""
    root, number = job
    with duckdb.connect(config={"threads": 1}) as connection:
        for year in YEARS:
            path = root / partition_path(Partition(series_of(number), period_from(year)), 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(
                f"""COPY (
                SELECT TIMESTAMP '{year}-01-01' + i * INTERVAL '1 minute' AS open_time,
                       p AS open, p + r AS high, p - r AS low, p + r / 2 AS close, v AS volume,
                       TIMESTAMP '{year}-01-01' + i * INTERVAL '1 minute' + INTERVAL '59.999999 s'
                       AS close_time, (v * 50)::DECIMAL(18,8) AS quote_volume,
                       (hash(i, {number}) % 5000)::BIGINT AS trade_count,
                       (v / 2)::DECIMAL(18,8) AS taker_buy_volume,
                       (v * 25)::DECIMAL(18,8) AS taker_buy_quote_volume, 'archive' AS source
                FROM (SELECT i, (100 + 10 * sin(i / 500))::DECIMAL(18,8) AS p,
                             ((hash(i, 1, {number}) % 1000000) / 1e6)::DECIMAL(18,8) AS r,
                             ((hash(i, 2, {number}) % 10000000000) / 1e8)::DECIMAL(18,8) AS v
                      FROM range({366 if year == "2024" else 365} * 1440) AS t(i)))
                TO '{path}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2,
                             ROW_GROUP_SIZE 122880)"""
            )


def publish(root: Path, files: list[PartitionFile]) -> None:
    tree = Tree(root)
    tree.create()
    state = open_state(tree.state, tree.staging / "spill", NOW)
    series = files[0].partition.series
    step = Step(series, files[0].partition.period, (), (), (), "bench")
    state.record_built([Built(step, tuple(files), (), ())], root, NOW)
    publication.publish(state, tree, state.next_value("generation"), NOW)
    state.close()


def file_of(root: Path, number: int, label: str) -> PartitionFile:
    partition = Partition(series_of(number), period_from(label))
    path = partition_path(partition, 1)
    span = partition.period.span
    size_bytes = (root / path).stat().st_size
    return PartitionFile(partition, path, 1, 1, size_bytes, span.start, span.end)


def large_lake(root: Path) -> None:
    if root.exists():
        return
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(write_symbol, [(root, number) for number in range(SYMBOLS)]))
    publish(root, [file_of(root, n, year) for n in range(SYMBOLS) for year in YEARS])


WEEK = "open_time >= '2025-03-03' AND open_time < '2025-03-10'"
QUERIES = {
    "one symbol, one week, view": f"SELECT count(*), avg(close) FROM klines"
    f" WHERE symbol = 'S0100USDT' AND {WEEK}",
    "one symbol, one week, macro": f"SELECT count(*), avg(close) FROM klines_of('S0100USDT')"
    f" WHERE {WEEK}",
    "one symbol resampled to days, macro": "SELECT time_bucket(INTERVAL '1 day', open_time) AS d,"
    " arg_max(close, open_time) FROM klines_of('S0100USDT') GROUP BY d",
    "all symbols, one day, view": "SELECT symbol, sum(volume) FROM klines"
    " WHERE open_time >= '2025-03-03' AND open_time < '2025-03-04' GROUP BY symbol",
}


def timed_ms(connection: duckdb.DuckDBPyConnection, sql: str) -> list[float]:
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        connection.execute(sql).fetchall()
        found.append((time.perf_counter() - started) * 1000)
    return found


def ask(root: Path) -> list[dict[str, object]]:
    with duckdb.connect(str(root / "lake.duckdb"), read_only=True) as connection:
        rows = []
        for name, sql in QUERIES.items():
            times = timed_ms(connection, sql)
            median, least, most = statistics.median(times), min(times), max(times)
            rows.append(
                {"query": name, "median_ms": round(median, 1), "min_ms": round(least, 1),
                 "max_ms": round(most, 1)}
            )  # fmt: skip
            print(" ", rows[-1])
    return rows


def planning(folder: Path) -> list[dict[str, object]]:
    """Measure planning against the number of partitions, in lakes of hard links to one file."""
    rows: list[dict[str, object]] = []
    for count in COUNTS:
        root = folder / str(count)
        if not root.exists():
            _links(root, count)
        with duckdb.connect(str(root / "lake.duckdb"), read_only=True) as connection:
            view, macro = (
                statistics.median(timed_ms(connection, f"EXPLAIN {QUERIES[name]}"))
                for name in ("one symbol, one week, view", "one symbol, one week, macro")
            )
        rows.append({"partitions": count, "view_ms": round(view, 1), "macro_ms": round(macro, 1)})
        print(" ", rows[-1])
    return rows


def _links(root: Path, count: int) -> None:
    months = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
    names = [(n, month) for n in range(count // len(months)) for month in months]
    names += [(9000 + n, "2024-01") for n in range(count - len(names))]
    sample: Path | None = None
    files = []
    for number, month in names:
        path = root / partition_path(Partition(series_of(number), period_from(month)), 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        if sample is None:
            sample = path
            _small(sample)
        else:
            os.link(sample, path)
        files.append(file_of(root, number, month))
    publish(root, files)


def _small(path: Path) -> None:
    columns = "1::DECIMAL(18,8)"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT TIMESTAMP '2025-03-03' AS open_time, {columns} AS open,"
            f" {columns} AS high, {columns} AS low, {columns} AS close, {columns} AS volume,"
            f" TIMESTAMP '2025-03-03' AS close_time, {columns} AS quote_volume, 1 AS trade_count,"
            f" {columns} AS taker_buy_volume, {columns} AS taker_buy_quote_volume,"
            f" 'archive' AS source) TO '{path}' (FORMAT parquet)"
        )


if __name__ == "__main__":
    print("200 symbols x 24 months of 1m bars")
    lake = harness.CACHE / "lake200"
    large_lake(lake)
    harness.save("queries", ask(lake))
    print("planning against partitions")
    harness.save("planning", planning(harness.CACHE / "planning"))
