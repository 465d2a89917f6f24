"""The migrations of the state's tables, each run once in one transaction.

The tables live in schemas called `sync` and `internal`, as in the catalogue, so that the same
queries read both.
There are no keys and no indexes: DuckDB has lost their entries after a crash before, and every
write here is a set anyway.
"""

from collections.abc import Callable
from typing import Final

import duckdb

Migration = Callable[[duckdb.DuckDBPyConnection], object]

_SERIES: Final = "market VARCHAR, kind VARCHAR, symbol VARCHAR, interval VARCHAR"


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """The first tables: what is expected, what is there, what was done."""
    for sql in (
        "CREATE SCHEMA sync",
        "CREATE TABLE sync.migrations (name VARCHAR, applied_at TIMESTAMP)",
        "CREATE TABLE sync.counters (name VARCHAR, value BIGINT)",
        "INSERT INTO sync.counters VALUES ('generation', 0), ('pass', 0)",
        f"""CREATE TABLE sync.archives (key VARCHAR, {_SERIES}, period VARCHAR,
            period_start TIMESTAMP, period_end TIMESTAMP, status VARCHAR, reason VARCHAR,
            etag VARCHAR, size_bytes BIGINT, modified_at TIMESTAMP, sha256 VARCHAR,
            row_count BIGINT, first_time TIMESTAMP, last_time TIMESTAMP, attempts INTEGER,
            tried_at TIMESTAMP, next_try_at TIMESTAMP)""",
        f"""CREATE TABLE sync.partitions (path VARCHAR, {_SERIES}, period VARCHAR,
            generation BIGINT, row_count BIGINT, size_bytes BIGINT, first_time TIMESTAMP,
            last_time TIMESTAMP, written_at TIMESTAMP)""",
        "CREATE TABLE sync.retired (path VARCHAR, generation BIGINT, retired_at TIMESTAMP)",
        f"""CREATE TABLE sync.listings ({_SERIES}, listed_from TIMESTAMP, listed_to TIMESTAMP,
            listed_at TIMESTAMP, known_until TIMESTAMP)""",
        """CREATE TABLE sync.symbols (market VARCHAR, kind VARCHAR, symbol VARCHAR,
            listed_at TIMESTAMP)""",
        """CREATE TABLE sync.passes (id BIGINT, command VARCHAR, version VARCHAR,
            started_at TIMESTAMP, ended_at TIMESTAMP, outcome VARCHAR, archives BIGINT,
            failed BIGINT, downloaded_bytes BIGINT, row_count BIGINT)""",
        "CREATE TABLE sync.generations (generation BIGINT, published_at TIMESTAMP)",
    ):
        connection.execute(sql)


def add_gaps(connection: duckdb.DuckDBPyConnection) -> None:
    """What is missing and why. A partition whose `patched_rows` is NULL was not looked at yet."""
    for sql in (
        "ALTER TABLE sync.partitions ADD COLUMN patched_rows BIGINT",
        "ALTER TABLE sync.partitions ADD COLUMN first_key BIGINT",
        "ALTER TABLE sync.partitions ADD COLUMN last_key BIGINT",
        """CREATE TABLE sync.holes (path VARCHAR, before_key BIGINT, after_key BIGINT,
            before_time TIMESTAMP, after_time TIMESTAMP)""",
        """CREATE TABLE sync.runs (path VARCHAR, first_time TIMESTAMP, last_time TIMESTAMP,
            row_count BIGINT)""",
        f"""CREATE TABLE sync.gaps ({_SERIES}, gap_start TIMESTAMP, gap_end TIMESTAMP,
            first_place BIGINT, end_place BIGINT, row_count BIGINT, status VARCHAR,
            explanation VARCHAR, reason VARCHAR, evidence VARCHAR, found_at TIMESTAMP,
            asked_at TIMESTAMP, attempts INTEGER, next_try_at TIMESTAMP)""",
        f"""CREATE TABLE sync.expected ({_SERIES}, wanted_from TIMESTAMP,
            expected_from TIMESTAMP, expected_until TIMESTAMP, row_count BIGINT)""",
        f"""CREATE TABLE sync.differences ({_SERIES}, key BIGINT, row_time TIMESTAMP,
            column_name VARCHAR, kept_source VARCHAR, kept_value VARCHAR, other_source VARCHAR,
            other_value VARCHAR, found_at TIMESTAMP)""",
        """CREATE TABLE sync.rest_bans (host VARCHAR, status INTEGER, reason VARCHAR,
            banned_at TIMESTAMP, banned_until TIMESTAMP)""",
    ):
        connection.execute(sql)


def add_daemon(connection: duckdb.DuckDBPyConnection) -> None:
    """What the configuration asks for, its edits, and archives that were republished."""
    for sql in (
        "ALTER TABLE sync.retired ADD COLUMN size_bytes BIGINT",
        "ALTER TABLE sync.archives ADD COLUMN checksum VARCHAR",
        "ALTER TABLE sync.partitions ADD COLUMN sha256 VARCHAR",
        f"CREATE TABLE sync.wanted ({_SERIES}, wanted_from TIMESTAMP, wanted_to TIMESTAMP)",
        """CREATE TABLE sync.config_edits (seen_at TIMESTAMP, path VARCHAR, sha256 VARCHAR,
            outcome VARCHAR, problems VARCHAR)""",
        f"""CREATE TABLE sync.revisions (key VARCHAR, {_SERIES}, period VARCHAR,
            found_at TIMESTAMP, old_etag VARCHAR, old_sha256 VARCHAR, old_size_bytes BIGINT,
            old_modified_at TIMESTAMP, new_etag VARCHAR, new_sha256 VARCHAR,
            new_size_bytes BIGINT, new_modified_at TIMESTAMP, rows_added BIGINT,
            rows_removed BIGINT, rows_changed BIGINT, generation BIGINT)""",
    ):
        connection.execute(sql)


def name_checksums(connection: duckdb.DuckDBPyConnection) -> None:
    """Say of what is in quarantine what its CHECKSUM said; before, only its reason told."""
    connection.execute("UPDATE sync.archives SET checksum = NULL WHERE status <> 'present'")
    for checksum, reason in (("missing", "the vendor has no CHECKSUM"), ("wrong", "sha256 is ")):
        connection.execute(
            "UPDATE sync.archives SET checksum = ?"
            " WHERE status = 'quarantined' AND starts_with(reason, ?)",
            [checksum, reason],
        )


def add_decisions(connection: duckdb.DuckDBPyConnection) -> None:
    """What decisions hang on as values of its own: faults, times, evidence, parts of spans."""
    for sql in (
        "ALTER TABLE sync.archives ADD COLUMN fault VARCHAR",
        "ALTER TABLE sync.archives ADD COLUMN recorded_at TIMESTAMP",
        "ALTER TABLE sync.archives ADD COLUMN held_bytes BIGINT",
        "ALTER TABLE sync.gaps ADD COLUMN asked_since TIMESTAMP",
        "ALTER TABLE sync.gaps ADD COLUMN recorded_at TIMESTAMP",
        "ALTER TABLE sync.listings ADD COLUMN left_out VARCHAR",
        "ALTER TABLE sync.passes ADD COLUMN reason VARCHAR",
        "ALTER TABLE sync.passes ADD COLUMN audited BOOLEAN",
        "ALTER TABLE sync.expected ADD COLUMN wanted_to TIMESTAMP",
        "CREATE TABLE sync.compared (path VARCHAR, beside VARCHAR)",
        f"""CREATE TABLE sync.evidence ({_SERIES}, first_place BIGINT, end_place BIGINT,
            near_from TIMESTAMP, near_to TIMESTAMP, asked_at TIMESTAMP, row_before BOOLEAN,
            row_after BOOLEAN)""",
    ):
        connection.execute(sql)


def fill_decisions(connection: duckdb.DuckDBPyConnection) -> None:
    """Say in values what reasons and outcomes said in words.

    A transaction of its own: DuckDB 1.5 changes no rows of a table that the same one has altered.
    """
    for sql in (
        """UPDATE sync.archives SET recorded_at = tried_at,
            held_bytes = if(status = 'present', size_bytes, NULL),
            fault = CASE WHEN status = 'failed' THEN 'other'
            WHEN status = 'quarantined' AND checksum = 'missing' THEN 'no_checksum'
            WHEN status = 'quarantined' AND checksum = 'wrong' THEN 'wrong_checksum'
            WHEN status = 'quarantined' THEN 'wrong_rows'
            WHEN status = 'expected' AND sha256 IS NOT NULL THEN
            if(ends_with(reason, 'is gone'), 'file_gone', 'file_damaged') END""",
        """UPDATE sync.passes SET audited = command = 'audit',
            reason = if(starts_with(outcome, 'stopped: '), outcome[10:], NULL),
            outcome = if(starts_with(outcome, 'stopped: '), 'stopped', outcome)""",
    ):
        connection.execute(sql)


def rename_words(connection: duckdb.DuckDBPyConnection) -> None:
    """Call what the vendor lists `listed`, and values that two sources give otherwise conflicts."""
    connection.execute("UPDATE sync.archives SET status = 'listed' WHERE status = 'published'")
    connection.execute("ALTER TABLE sync.differences RENAME TO conflicts")


def add_instruments(connection: duckdb.DuckDBPyConnection) -> None:
    """Hold what can be traded, each version of it from when to when it was seen."""
    connection.execute(
        "CREATE TABLE sync.instruments (market VARCHAR, symbol VARCHAR, status VARCHAR,"
        " base_asset VARCHAR, quote_asset VARCHAR, contract_type VARCHAR, tick_size VARCHAR,"
        " step_size VARCHAR, min_notional VARCHAR, contract_size VARCHAR, listed_at TIMESTAMP,"
        " delivers_at TIMESTAMP, valid_from TIMESTAMP, valid_to TIMESTAMP)"
    )
    connection.execute(
        "CREATE TABLE sync.instrument_lists (market VARCHAR, asked_at TIMESTAMP, reason VARCHAR)"
    )


def add_tails(connection: duckdb.DuckDBPyConnection) -> None:
    """Hold what is followed, and which generations only follow."""
    connection.execute(
        "CREATE TABLE sync.tail_files (market VARCHAR, kind VARCHAR, interval VARCHAR,"
        " period VARCHAR, path VARCHAR, generation BIGINT, row_count BIGINT, size_bytes BIGINT,"
        " written_at TIMESTAMP)"
    )
    connection.execute(
        f"CREATE TABLE sync.followed ({_SERIES}, first_time TIMESTAMP, last_time TIMESTAMP,"
        " row_count BIGINT)"
    )
    connection.execute("ALTER TABLE sync.generations ADD COLUMN is_tail BOOLEAN")
    connection.execute("ALTER TABLE sync.retired ADD COLUMN retired_by BIGINT")


def add_ids_followed(connection: duckdb.DuckDBPyConnection) -> None:
    """Hold which ids are followed, of kinds that have some."""
    for column in ("first_id", "last_id"):
        connection.execute(f"ALTER TABLE sync.followed ADD COLUMN {column} BIGINT")


def record_archives_once(connection: duckdb.DuckDBPyConnection) -> None:
    """Hold each archive once: a month that two datasets share in parts could be there twice."""
    connection.execute(
        "DELETE FROM sync.archives WHERE rowid IN (SELECT rowid FROM (SELECT rowid, row_number()"
        " OVER (PARTITION BY key ORDER BY row_count IS NULL, recorded_at DESC, rowid) AS number"
        " FROM sync.archives) WHERE number > 1)"
    )


def expect_lost_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Expect archives again whose rows were lost while they were looked at."""
    connection.execute(
        "UPDATE sync.archives SET status = 'expected', reason = 'no file of the lake has it',"
        " attempts = 0, next_try_at = NULL WHERE status = 'present' AND row_count IS NULL"
    )


def move_internal_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Move the tables for the lake's own work to a schema of their own."""
    connection.execute("CREATE SCHEMA internal")
    for table in (
        "partitions", "listings", "symbols", "expected", "retired", "holes", "compared",
        "instruments", "instrument_lists", "tail_files",
    ):  # fmt: skip
        connection.execute(f"CREATE TABLE internal.{table} AS FROM sync.{table}")
        connection.execute(f"DROP TABLE sync.{table}")


def add_hashes_of_followed(connection: duckdb.DuckDBPyConnection) -> None:
    """Have the hash of each file of followed rows on record; "" of those of before."""
    connection.execute("ALTER TABLE internal.tail_files ADD COLUMN sha256 VARCHAR DEFAULT ''")


def add_cuts(connection: duckdb.DuckDBPyConnection) -> None:
    """Count the rows of files that lie only partly in what is configured; look at all series."""
    connection.execute(
        f"CREATE TABLE internal.cuts ({_SERIES}, path VARCHAR, span_start TIMESTAMP,"
        " span_end TIMESTAMP, row_count BIGINT, patched_rows BIGINT)"
    )
    connection.execute("UPDATE internal.expected SET wanted_from = NULL")


MIGRATIONS: Final[tuple[tuple[str, Migration], ...]] = (
    ("0001_create_tables", create_tables),
    ("0002_add_gaps", add_gaps),
    ("0003_add_daemon", add_daemon),
    ("0004_name_checksums", name_checksums),
    ("0005_add_decisions", add_decisions),
    ("0006_fill_decisions", fill_decisions),
    ("0007_rename_words", rename_words),
    ("0008_add_instruments", add_instruments),
    ("0009_add_tails", add_tails),
    ("0010_add_ids_followed", add_ids_followed),
    ("0011_record_archives_once", record_archives_once),
    ("0012_expect_lost_again", expect_lost_again),
    ("0013_move_internal_tables", move_internal_tables),
    ("0014_add_hashes_of_followed", add_hashes_of_followed),
    ("0015_add_cuts", add_cuts),
)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all tables, as they are by now."""
    for _, migration in MIGRATIONS:
        migration(connection)
