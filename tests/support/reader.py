# ruff: noqa: ANN001, ANN201, BLE001, T201
"""One reader of the test of readers: asks the lake until told to stop, and tells what it saw.

Runs under any DuckDB from 1.1 on. Every row is checked: the series, the minutes, and that all rows
are of one edition of the archives, whose number is the closing price.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

LAKE, STOP, HOW, SYMBOLS, MINUTES, START = sys.argv[1:7]
PAUSE_S = 0.4
EXPECTED = [
    (symbol, int(START) + 60_000_000 * minute)
    for symbol in SYMBOLS.split(",")
    for minute in range(int(MINUTES))
]
QUESTION = "SELECT symbol, epoch_us(open_time), close FROM klines ORDER BY symbol, open_time"
TABLES = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'foreign%'"


def connected():
    return duckdb.connect(LAKE, read_only=True)


def check(connection, seen):
    rows = connection.execute(QUESTION).fetchall()
    editions = {close for _, _, close in rows}
    if len(editions) != 1:
        raise ValueError(f"rows of {len(editions)} editions in one answer")
    if [(symbol, moment) for symbol, moment, _ in rows] != EXPECTED:
        raise ValueError(f"{len(rows)} rows, not those expected")
    if connection.execute(TABLES).fetchall() != [(0,)]:
        raise ValueError("a foreign table")
    seen.add(editions.pop())


def ask_anew(seen):
    connection = connected()
    try:
        check(connection, seen)
    finally:
        connection.close()


def be_rude():
    """Open the catalogue to write, as nobody should: that must fail, and disturb nobody."""
    try:
        connection = duckdb.connect(LAKE)
    except duckdb.Error:
        return
    connection.execute("CREATE TABLE foreign_table AS SELECT 1 AS x")
    raise ValueError("the catalogue could be opened to write")


def main():
    seen, errors, asked, longest = set(), [], 0, 0.0
    # One that asks anew may have no other connection: DuckDB 1.1 would share its database.
    kept, questions = connected() if HOW == "kept" else None, 0
    while not Path(STOP).exists():
        began = time.monotonic()
        try:
            if HOW == "kept":
                check(kept, seen)
            elif HOW == "rude":
                be_rude()
            else:
                ask_anew(seen)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])
        asked += 1
        questions += 1
        longest = max(longest, time.monotonic() - began)
        time.sleep(PAUSE_S)  # noqa: TID251 - else eight of them are a test of the machine's cores
        if HOW == "kept" and questions >= 50:  # a notebook that is opened again now and then
            kept.close()
            kept, questions = connected(), 0
    print(json.dumps({"asked": asked, "seen": len(seen), "errors": errors[:5], "longest": longest}))


main()
