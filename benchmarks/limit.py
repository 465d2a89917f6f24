"""The limit: the fastest script we can write for the same archives, with no state and no checks.

Kept connections, sha256 (against the CHECKSUM unless --no-checksum), isal, many archives a COPY,
inflating and COPY in two processes that overlap with the downloads. It stays as it is, so that the
aim stands still. Usage:
limit.py BASE_URL LISTING_URL OUT_DIR CA_FILE [--no-checksum] PREFIX...
"""

import hashlib
import http.client
import multiprocessing
import re
import ssl
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import duckdb
from isal import isal_zlib

BATCH_BYTES = 14_000_000  # about 200 daily archives of klines
CONNECTIONS = 32
KLINES = (
    "{open_time: BIGINT, open: 'DECIMAL(18,8)', high: 'DECIMAL(18,8)', low: 'DECIMAL(18,8)',"
    " close: 'DECIMAL(18,8)', volume: 'DECIMAL(18,8)', close_time: BIGINT,"
    " quote_volume: 'DECIMAL(18,8)', count: BIGINT, taker_buy_volume: 'DECIMAL(18,8)',"
    " taker_buy_quote_volume: 'DECIMAL(18,8)', ignore: VARCHAR}"
)
# By kind: the columns of the vendor's files, and which of them is the time.
_BIG, _LESS, _FINE = "'DECIMAL(38,8)'", "'DECIMAL(18,8)'", "'DECIMAL(38,16)'"


def _spelled(**columns: str) -> str:
    return "{" + ", ".join(f"{name}: {kind}" for name, kind in columns.items()) + "}"


OTHERS = {
    "trades": (
        _spelled(
            id="BIGINT", price=_LESS, qty=_LESS, quote_qty=_BIG, time="BIGINT",
            is_buyer_maker="BOOLEAN", is_best_match="BOOLEAN",
        ),
        "time",
    ),
    "bookTicker": (
        _spelled(
            update_id="BIGINT", best_bid_price=_LESS, best_bid_qty=_LESS, best_ask_price=_LESS,
            best_ask_qty=_LESS, transaction_time="BIGINT", event_time="BIGINT",
        ),
        "transaction_time",
    ),
    "bookDepth": (
        _spelled(timestamp="TIMESTAMP", percentage=_LESS, depth=_BIG, notional=_BIG), ""
    ),
    "metrics": (
        _spelled(create_time="TIMESTAMP", symbol="VARCHAR", **dict.fromkeys("abcdef", _FINE)), ""
    ),
    "fundingRate": (
        _spelled(calc_time="BIGINT", funding_interval_hours="BIGINT", last_funding_rate=_LESS),
        "calc_time",
    ),
    "liquidationSnapshot": (
        _spelled(
            time="BIGINT", side="VARCHAR", order_type="VARCHAR", time_in_force="VARCHAR",
            original_quantity=_LESS, price=_LESS, average_price=_LESS, order_status="VARCHAR",
            last_fill_quantity=_LESS, accumulated_fill_quantity=_LESS,
        ),
        "time",
    ),
    "BVOLIndex": (
        _spelled(
            calc_time="BIGINT", symbol="VARCHAR", base_asset="VARCHAR", quote_asset="VARCHAR",
            index_value=_LESS,
        ),
        "calc_time",
    ),
    "EOHSummary": (
        _spelled(
            date="DATE", hour="BIGINT", symbol="VARCHAR", underlying="VARCHAR", type="VARCHAR",
            strike="VARCHAR", **dict.fromkeys("abcdefghijklmnopqrst", _FINE),
        ),
        "",
    ),
}  # fmt: skip
TRADES = (
    "{agg_trade_id: BIGINT, price: 'DECIMAL(18,8)', quantity: 'DECIMAL(18,8)',"
    " first_trade_id: BIGINT, last_trade_id: BIGINT, transact_time: BIGINT,"
    " is_buyer_maker: BOOLEAN}"
)


def keys_below(listing_url: str, prefix: str) -> list[str]:
    keys: list[str] = []
    marker = ""
    while True:
        url = f"{listing_url}?delimiter=/&prefix={prefix}&marker={marker}"
        with urlopen(url) as answer:
            body = answer.read().decode()
        page = re.findall(r"<Key>(.*?)</Key>", body)
        keys += [key for key in page if key.endswith(".zip")]
        if "<IsTruncated>true" not in body:
            return keys
        marker = page[-1]


class Client:
    """One kept connection a thread."""

    def __init__(self, base_url: str, ca_file: str) -> None:
        self._parts = urlsplit(base_url)
        self._context = ssl.create_default_context(cafile=ca_file or None)
        self._mine = threading.local()

    def get(self, path: str) -> bytes:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            host = self._parts.netloc
            connection = (
                http.client.HTTPSConnection(host, context=self._context)
                if self._parts.scheme == "https"
                else http.client.HTTPConnection(host)
            )
            self._mine.connection = connection
        connection.request("GET", "/" + path)
        return connection.getresponse().read()


def copy(batch: list[tuple[str, bytes]], target: str) -> int:
    """Inflate a batch into one CSV and COPY it into one Parquet file."""
    csv, header = target + ".csv", False
    with Path(csv).open("wb") as file:
        for name, body in batch:
            start = 30 + len(name) + int.from_bytes(body[28:30], "little")
            text = isal_zlib.decompressobj(-15).decompress(body[start:])
            header = not text[:1].isdigit()
            file.write(text[text.index(b"\n") + 1 :] if header else text)
    columns, time = (TRADES, "transact_time") if header else (KLINES, "open_time")
    kind = next((kind for kind in OTHERS if f"-{kind}-" in batch[0][0]), "")
    columns, time = OTHERS.get(kind, (columns, time))
    if kind == "trades" and header:  # of futures
        columns = columns.replace(", is_best_match: BOOLEAN", "")
    replaced = f"REPLACE (make_timestamp({time} * 1) AS {time})" if time else ""
    with duckdb.connect(config={"threads": 1, "memory_limit": "256MB"}) as connection:
        connection.execute(
            f"COPY (SELECT * {replaced} FROM read_csv('{csv}',"
            f" columns={columns}, header=false, auto_detect=false, delim=',', quote='', escape=''))"
            f" TO '{target}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)"
        )
    Path(csv).unlink()
    return len(batch)


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--no-checksum"]
    base_url, listing_url, out, ca_file, *prefixes = arguments
    checks = "--no-checksum" not in sys.argv
    Path(out).mkdir(parents=True)
    client = Client(base_url, "" if ca_file == "-" else ca_file)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        keys = [
            key
            for found in threads.map(lambda p: keys_below(listing_url, p), prefixes)
            for key in found
        ]

        def fetch(key: str) -> tuple[str, bytes]:
            body = client.get(key)
            digest = hashlib.sha256(body).hexdigest()
            if checks:
                assert client.get(key + ".CHECKSUM")[:64].decode() == digest
            return key.rpartition("/")[2].removesuffix(".zip") + ".csv", body

        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as processes:
            futures: list[Future[int]] = []
            batch: list[tuple[str, bytes]] = []
            size = 0
            for name, body in threads.map(fetch, keys):
                batch.append((name, body))
                size += len(body)
                if size >= BATCH_BYTES:
                    futures.append(processes.submit(copy, batch, f"{out}/{len(futures)}.parquet"))
                    batch, size = [], 0
            if batch:
                futures.append(processes.submit(copy, batch, f"{out}/{len(futures)}.parquet"))
            print(sum(future.result() for future in futures), "archives")


if __name__ == "__main__":
    main()
