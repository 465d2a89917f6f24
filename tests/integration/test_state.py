"""The state: migrations, newer versions, numbers that are never handed out twice."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from fullpool.attempts import unchanged
from fullpool.errors import LakeNewerError, StateDamagedError
from fullpool.model import (
    Archive,
    Checksum,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Series,
    Status,
    period_from,
)
from fullpool.store.state.migrations import MIGRATIONS
from fullpool.store.state.opening import open_state
from fullpool.store.state.tables import qualified

NOW = datetime(2024, 6, 15, tzinfo=UTC)
BTC = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)


def test_a_new_state_can_be_reopened(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    for expected in (1, 2):
        state = open_state(path, path.parent / "spill", NOW)
        assert state.next_value("generation") == expected
        state.close()


def test_tables_have_the_schema_queries_expect(tmp_path: Path) -> None:
    with open_state(tmp_path / "state.duckdb", tmp_path, NOW).connection as connection:
        sql = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'state'"
        tables = connection.execute(sql).fetchall()

    assert all(qualified(name) == f"{schema}.{name}" for schema, name in tables), tables
    assert {schema for schema, _ in tables} == {"internal", "sync"}


def test_an_unknown_change_means_newer_state(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    open_state(path, path.parent / "spill", NOW).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO sync.migrations VALUES ('9999_from_the_future', now())")

    with pytest.raises(LakeNewerError, match="9999_from_the_future"):
        open_state(path, path.parent / "spill", NOW)


def test_a_non_database_state_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(StateDamagedError, match="opening the state"):
        open_state(path, path.parent / "spill", NOW)


def test_older_quarantined_archives_tell_their_checksum(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.duckdb"
    state = open_state(path, path.parent / "spill", NOW)
    archive = Archive(BTC, period_from("2024-06-01"))
    reason = "the vendor has no CHECKSUM of it (404)"
    state.record_tried([Known(archive, Status.QUARANTINED, reason, None, 2, NOW)], NOW)
    state.connection.execute("DELETE FROM sync.migrations WHERE name = '0004_name_checksums'")
    state.close()
    state = open_state(path, path.parent / "spill", NOW)

    assert [known.checksum for known in state.queries.known([BTC])] == [Checksum.MISSING]
    state.close()


def test_archives_recorded_twice_become_one(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    state = open_state(path, path.parent / "spill", NOW)
    archive = Archive(BTC, period_from("2024-06"))
    state.record_listings([], [Known(archive, Status.LISTED, "listed by the vendor")], NOW)
    state.connection.execute("INSERT INTO sync.archives FROM sync.archives")
    name = "0011_record_archives_once"
    state.connection.execute(f"DELETE FROM sync.migrations WHERE name = '{name}'")
    state.close()
    state = open_state(path, path.parent / "spill", NOW)

    assert [known.archive for known in state.queries.known([BTC])] == [archive]
    state.close()


def test_archives_wrongly_recorded_present_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    state = open_state(path, path.parent / "spill", NOW)
    archive = Archive(BTC, period_from("2024-06-01"))
    state.record_tried([Known(archive, Status.PRESENT, "", None, 3)], NOW)
    name = "0012_expect_lost_again"
    state.connection.execute(f"DELETE FROM sync.migrations WHERE name = '{name}'")
    state.close()
    state = open_state(path, path.parent / "spill", NOW)

    assert [known.status for known in state.queries.due(NOW)] == [Status.EXPECTED]
    state.close()


def state_log(folder: Path) -> Path:
    """What was committed and is not in the database's own file yet."""
    return folder / "state.duckdb.wal"


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state.duckdb", tmp_path / "spill", NOW)
    archive = Archive(BTC, period_from("2024-06-01"))
    known = Known(archive, Status.FAILED, 'it\'s "broken"', Identity("é", 5, NOW), 2, NOW)

    state.record_tried([known], NOW)
    state.record_tried([known], NOW)

    assert state.queries.known([BTC]) == [known]
    assert state.queries.due(NOW) == [known]
    state.renew()
    assert state.queries.known([BTC]) == [known]
    assert not state_log(tmp_path).exists()
    assert state.next_value("generation") == 1
    state.close()


def test_waiting_archives_become_due_on_time(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state.duckdb", tmp_path / "spill", NOW)
    later = datetime(2024, 6, 16, tzinfo=UTC)
    archive = Archive(BTC, period_from("2024-06-01"))
    state.record_tried([Known(archive, Status.NOT_PUBLISHED, "", None, 1, later)], NOW)

    assert state.queries.due(NOW) == []
    assert len(state.queries.due(later)) == 1
    state.close()


def test_archives_lost_during_a_look_stay_expected(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state.duckdb", tmp_path / "spill", NOW)
    archive = Archive(BTC, period_from("2024-06-01"))
    state.record_tried([Known(archive, Status.PRESENT, "", None, 0, NOW)], NOW)
    state.connection.execute("UPDATE sync.archives SET row_count = 5")
    (before,) = state.queries.due(NOW)
    lost = "UPDATE sync.archives SET row_count = NULL, status = 'expected', next_try_at = NULL"
    state.connection.execute(lost)
    state.record_tried([unchanged(before, NOW)], NOW)

    assert [known.status for known in state.queries.due(NOW)] == [Status.EXPECTED]
    state.close()


OLD_STATE = """
INSERT INTO sync.archives (key, market, kind, symbol, interval, period, period_start, period_end,
    status, reason, size_bytes, sha256, row_count, tried_at, checksum) VALUES
    ('a', 'spot', 'klines', 'BTCUSDT', '1m', '2024-01', '2024-01-01', '2024-02-01', 'present',
        '', 99, 'hash', 5, '2024-06-01', 'verified'),
    ('b', 'spot', 'klines', 'BTCUSDT', '1m', '2024-02', '2024-02-01', '2024-03-01', 'quarantined',
        'sha256 is', 98, NULL, NULL, '2024-06-01', 'wrong'),
    ('c', 'spot', 'klines', 'BTCUSDT', '1m', '2024-03', '2024-03-01', '2024-04-01', 'quarantined',
        '3 rows lie outside', 97, NULL, NULL, '2024-06-01', NULL),
    ('d', 'spot', 'klines', 'BTCUSDT', '1m', '2024-04', '2024-04-01', '2024-05-01', 'expected',
        'its partition file x is gone', 96, 'hash', NULL, NULL, NULL),
    ('e', 'spot', 'klines', 'BTCUSDT', '1m', '2024-05', '2024-05-01', '2024-06-01', 'expected',
        'its partition file x has 3 bytes, not 4', 95, 'hash', NULL, NULL, NULL);
INSERT INTO sync.passes (id, command, outcome, started_at) VALUES
    (1, 'sync', 'complete', '2024-06-01'), (2, 'audit', 'incomplete', '2024-06-02'),
    (3, 'sync', 'stopped: no host', '2024-06-03');
"""


def test_words_of_older_states_become_values(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS state (STORAGE_VERSION 'v1.5.0')")
        connection.execute("USE state")
        for name, migration in MIGRATIONS[:4]:
            migration(connection)
            connection.execute("INSERT INTO sync.migrations VALUES (?, now())", [name])
        connection.execute(OLD_STATE)

    state = open_state(path, path.parent / "spill", NOW)
    known = sorted(state.queries.known([BTC]), key=lambda one: one.archive)
    passes = state.connection.execute("SELECT outcome, reason, audited FROM sync.passes").fetchall()
    last = state.queries.last_audit(NOW)
    state.close()

    assert [(one.status, one.fault) for one in known] == [
        (Status.PRESENT, None),
        (Status.QUARANTINED, Fault.WRONG_SUM),
        (Status.QUARANTINED, Fault.WRONG_ROWS),
        (Status.EXPECTED, Fault.GONE),
        (Status.EXPECTED, Fault.DAMAGED),
    ]
    assert [(one.sha256, one.held_bytes) for one in known[:2]] == [("hash", 99), ("", None)]
    assert passes == [
        ("complete", None, False), ("incomplete", None, True), ("stopped", "no host", False),
    ]  # fmt: skip
    assert last == datetime(2024, 6, 2, tzinfo=UTC)
