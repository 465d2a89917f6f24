"""The state: migrations, newer versions, numbers that are never handed out twice."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from fullpool.errors import LakeNewerError, StateDamagedError
from fullpool.model import (
    Archive,
    Checksum,
    Identity,
    Interval,
    Known,
    Market,
    Series,
    Status,
    period_from,
)
from fullpool.store.opening import open_state

NOW = datetime(2024, 6, 15, tzinfo=UTC)
BTC = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)


def test_a_state_is_made_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    for expected in (1, 2):
        state = open_state(path, path.parent / "spill", NOW)
        assert state.next_value("generation") == expected
        state.close()


def test_a_state_with_an_unknown_change_is_newer(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    open_state(path, path.parent / "spill", NOW).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO sync.migrations VALUES ('9999_from_the_future', now())")

    with pytest.raises(LakeNewerError, match="9999_from_the_future"):
        open_state(path, path.parent / "spill", NOW)


def test_a_state_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.duckdb"
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(StateDamagedError, match="opening the state"):
        open_state(path, path.parent / "spill", NOW)


def test_what_an_older_version_put_in_quarantine_says_what_its_checksum_said(
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

    assert [known.checksum for known in state.memory.known([BTC])] == [Checksum.MISSING]
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

    assert state.memory.known([BTC]) == [known]
    assert state.memory.due(NOW) == [known]
    state.renew()
    assert state.memory.known([BTC]) == [known]
    assert not state_log(tmp_path).exists()
    assert state.next_value("generation") == 1
    state.close()


def test_what_waits_is_due_when_its_time_has_come(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state.duckdb", tmp_path / "spill", NOW)
    later = datetime(2024, 6, 16, tzinfo=UTC)
    archive = Archive(BTC, period_from("2024-06-01"))
    state.record_tried([Known(archive, Status.NOT_PUBLISHED, "", None, 1, later)], NOW)

    assert state.memory.due(NOW) == []
    assert len(state.memory.due(later)) == 1
    state.close()
