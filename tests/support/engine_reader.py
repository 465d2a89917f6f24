"""Runs in an environment of its own: asks one engine for the rows of a table in object storage.

Reads an order from standard input as JSON: engine, root, table, endpoint, key, secret, questions
(SQL in which {t} is the table), snapshot. Prints the answers as JSON, times and decimals as text.
"""

import datetime as dt
import decimal
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

Rows = list[tuple[Any, ...]]


def plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return format(value.normalize() + 0, "f")
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat()
    return value.item() if hasattr(value, "item") else value


def with_extensions(con: Any, order: dict[str, Any]) -> Any:
    import duckdb_extensions

    for name in ("httpfs", "avro", "iceberg"):
        duckdb_extensions.import_extension(name, con=con)
    host = order["endpoint"].removeprefix("http://")
    con.execute(
        f"CREATE SECRET s (TYPE s3, KEY_ID '{order['key']}', SECRET '{order['secret']}',"
        f" ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')"
    )
    return con


def duckdb_iceberg(order: dict[str, Any]) -> Callable[[str], Rows]:
    import duckdb

    con = with_extensions(duckdb.connect(), order)
    location = f"'{order['root']}/_iceberg/{order['table']}'"
    if order["snapshot"]:
        location += f", snapshot_from_id = {order['snapshot']}"
    return lambda sql: con.execute(sql.format(t=f"iceberg_scan({location})")).fetchall()


def duckdb_catalogue(order: dict[str, Any]) -> Callable[[str], Rows]:
    import duckdb

    con = with_extensions(duckdb.connect(), order)
    con.execute(f"ATTACH '{order['root']}/{order['catalogue']}' AS lake (READ_ONLY)")
    con.execute(f"SET VARIABLE lake_root = '{order['root']}'")
    con.execute("USE lake")
    return lambda sql: con.execute(sql.format(t=f"{order['table']}_exact")).fetchall()


def static_table(order: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    from pyiceberg.table import StaticTable

    options = {
        "s3.endpoint": order["endpoint"], "s3.access-key-id": order["key"],
        "s3.secret-access-key": order["secret"], "s3.region": "us-east-1",
    }  # fmt: skip
    return StaticTable.from_metadata(f"{order['root']}/_iceberg/{order['table']}", options), options


def pyiceberg(order: dict[str, Any]) -> Callable[[str], Rows]:
    """Scan the whole table; its filters are asked for by the test of its own."""
    import duckdb

    table, _ = static_table(order)
    found = table.scan(snapshot_id=order["snapshot"] or None).to_arrow()
    con = duckdb.connect()
    con.register("found", found)
    return lambda sql: con.execute(sql.format(t="found")).fetchall()


def polars(order: dict[str, Any]) -> Callable[[str], Rows]:
    os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"
    import polars as pl

    table, options = static_table(order)
    frame = pl.scan_iceberg(table, storage_options=options, snapshot_id=order["snapshot"] or None)

    def ask(sql: str) -> Rows:
        text = sql.format(t="found").replace("TIMESTAMP '", "TIMESTAMP'").replace("TIMESTAMP'", "'")
        return [tuple(r) for r in pl.SQLContext(found=frame).execute(text).collect().rows()]

    return ask


def chdb(order: dict[str, Any]) -> Callable[[str], Rows]:
    import chdb as engine

    path = order["root"].removeprefix("s3://")
    url = f"{order['endpoint']}/{path}/_iceberg/{order['table']}/"
    table = f"icebergS3('{url}', '{order['key']}', '{order['secret']}')"
    settings = f" SETTINGS iceberg_snapshot_id = {order['snapshot']}" if order["snapshot"] else ""

    def ask(sql: str) -> Rows:
        text = sql.format(t=table).replace("TIMESTAMP '", "toDateTime64('")
        text = text.replace(" 00:00:00'", " 00:00:00', 6)")
        lines = str(engine.query(text + settings, "JSONCompactStringsEachRow")).splitlines()
        return [tuple(_typed(one) for one in json.loads(line)) for line in lines]

    return ask


def _typed(text: str) -> Any:
    for read in (int, decimal.Decimal, dt.datetime.fromisoformat):
        try:
            return read(text)
        except (ValueError, decimal.InvalidOperation):
            continue
    return text


def sail(order: dict[str, Any], form: str = "iceberg", folder: str = "") -> Callable[[str], Rows]:
    os.environ.update({
        "AWS_ENDPOINT": order["endpoint"], "AWS_ACCESS_KEY_ID": order["key"],
        "AWS_SECRET_ACCESS_KEY": order["secret"], "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    })  # fmt: skip
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer(port=0)
    server.start(background=True)
    order["server"] = server  # which ends when nothing refers to it
    _, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    reader = spark.read.format(form)
    if order["snapshot"] and form == "iceberg":
        reader = reader.option("snapshot-id", str(order["snapshot"]))
    elif order["snapshot"]:
        reader = reader.option("versionAsOf", str(order["snapshot"] - 1))
    folder = folder or f"_iceberg/{order['table']}"
    reader.load(f"{order['root']}/{folder}").createOrReplaceTempView("found")

    def ask(sql: str) -> Rows:
        text = sql.format(t="found").replace("TIMESTAMP '", "TIMESTAMP_NTZ '")
        text = text.replace('"', "`")
        return [tuple(row) for row in spark.sql(text).collect()]

    return ask


def polars_delta(order: dict[str, Any]) -> Callable[[str], Rows]:
    import polars as pl

    options = {
        "AWS_ENDPOINT_URL": order["endpoint"], "AWS_ACCESS_KEY_ID": order["key"],
        "AWS_SECRET_ACCESS_KEY": order["secret"], "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    version = order["snapshot"] - 1 if order["snapshot"] else None
    frame = pl.scan_delta(
        f"{order['root']}/{order['table']}", version=version, storage_options=options
    )
    return lambda sql: [
        tuple(row)
        for row in pl.SQLContext(found=frame)
        .execute(sql.format(t="found").replace("TIMESTAMP '", "'"))
        .collect()
        .rows()
    ]


def sail_delta(order: dict[str, Any]) -> Callable[[str], Rows]:
    return sail(order, "delta", order["table"])


ENGINES = {
    "duckdb": duckdb_iceberg, "catalogue": duckdb_catalogue, "pyiceberg": pyiceberg,
    "polars": polars, "chdb": chdb, "sail": sail,
    "polars delta": polars_delta, "sail delta": sail_delta,
}  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    order = json.load(sys.stdin)
    ask = ENGINES[order["engine"]](order)
    answers: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, sql in order["questions"].items():
        began = time.perf_counter()
        answers[name] = sorted([plain(value) for value in row] for row in ask(sql))
        seconds[name] = round(time.perf_counter() - began, 3)
    if order.get("is_timed"):
        answers["seconds"] = seconds
    sys.stdout.write("\n" + json.dumps(answers, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    try:
        main()
        code = 0
    except Exception:  # noqa: BLE001 - whatever an engine says
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Sail's server would not end by itself
