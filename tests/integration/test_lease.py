"""Two machines and one lake: the second writer is refused, and a crash keeps nobody out long."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event

import pytest

from fullpool.app import lease, syncing
from fullpool.app.lease import Lease, held, own, read, require_free
from fullpool.app.lock import writing
from fullpool.errors import LakeBusyError, LakeUnwritableError
from fullpool.model import Step
from fullpool.store.tree import Tree
from served import Seen, Vendor, dataset, tree_of, wait

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ELSEWHERE = Lease("run", "nas2", "another boot", "pid:[1]", 77, 5, "2024-06-01T00:00:00Z")


def left(path: Path, one: Lease) -> Path:
    path.write_text(json.dumps(asdict(one)))
    return path


def renewing(path: Path, times: int) -> Callable[[float], None]:
    """Return a wait meanwhile the other machine renews its lease."""
    count = 0

    def sleep(_seconds: float) -> None:
        nonlocal count
        count += 1
        if count == times:
            left(path, replace(ELSEWHERE, renewed=1))

    return sleep


def test_a_lease_renewed_elsewhere_is_held(tmp_path: Path) -> None:
    path = left(tmp_path / "lease", ELSEWHERE)

    with pytest.raises(LakeBusyError, match=r"process 77 on nas2.*is writing it"):
        require_free(path, own("sync", NOW), renewing(path, 11))


def test_a_crashed_machines_lease_is_taken_later(tmp_path: Path) -> None:
    waited: list[float] = []
    path = left(tmp_path / "lease", ELSEWHERE)
    require_free(path, own("sync", NOW), waited.append)

    assert sum(waited) == 3 * lease.RENEW_S


def test_a_lease_from_before_boot_is_taken(tmp_path: Path) -> None:
    before = replace(own("run", NOW), boot="the boot before")
    waited: list[float] = []
    require_free(left(tmp_path / "lease", before), own("sync", NOW), waited.append)

    assert sum(waited) == 3 * lease.RENEW_S


def test_local_processes_are_believed_while_alive(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        theirs = replace(own("run", NOW), pid=other.pid, began=lease._began(other.pid))
        path = left(tmp_path / "lease", theirs)
        with pytest.raises(LakeBusyError, match=f"process {other.pid}"):
            require_free(path, own("sync", NOW), lambda _: None)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now

        waited: list[float] = []
        require_free(path, own("sync", NOW), waited.append)
        assert waited == []


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    reused = replace(own("run", NOW), pid=os.getppid(), began=1)
    require_free(
        left(tmp_path / "lease", reused), own("sync", NOW), lambda _: pytest.fail("it waits")
    )


def test_a_lease_is_renewed_then_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.02)
    path, mine = tmp_path / "lease", own("run", NOW)
    with held(path, mine, None, wait):
        for _ in range(500):
            found = read(path)
            if found is not None and found.renewed > 2:
                break
            wait(0.01)
        assert found == replace(mine, renewed=found.renewed if found else 0)
        assert found is not None
        assert found.renewed > 2

    assert not path.exists()


def test_of_two_simultaneous_starts_one_wins(tmp_path: Path) -> None:
    """Both found no lease, and both want to leave theirs."""
    path = tmp_path / "lease"
    other = replace(own("sync", NOW), boot="another boot", host="nas2")
    with (
        held(path, own("sync", NOW), None, wait),
        pytest.raises(LakeBusyError, match="sync"),
        held(path, other, None, lambda _: None),
    ):
        pass


def test_last_to_replace_a_dead_lease_wins(tmp_path: Path) -> None:
    path, mine = left(tmp_path / "lease", ELSEWHERE), own("sync", NOW)
    other = replace(ELSEWHERE, host="nas3", boot="a third boot")

    with (
        pytest.raises(LakeBusyError, match="nas3"),
        held(path, mine, ELSEWHERE, lambda _: left(path, other).touch()),
    ):
        pass

    assert read(path) == other


def test_holders_without_room_count_as_alive(tmp_path: Path) -> None:
    """It can write no new lease, but touch the one that is there."""
    path = left(tmp_path / "lease", ELSEWHERE)

    with pytest.raises(LakeBusyError, match="nas2"):
        require_free(path, own("sync", NOW), lambda _: os.utime(path))


def test_a_look_awaits_no_other_machine(tmp_path: Path) -> None:
    waited: list[float] = []
    path = left(tmp_path / "lease", ELSEWHERE)

    with pytest.raises(LakeBusyError, match="nas2"):
        require_free(path, own("doctor", NOW), waited.append, is_look=True)
    assert len(waited) == 1


def test_after_takeover_a_pass_stops_writing(vendor: Vendor, tmp_path: Path) -> None:
    days = (date(2024, 6, 1), date(2024, 6, 3))
    vendor.publish("spot/klines/AUSDT/1h", *days)
    config = vendor.config(tmp_path / "lake", dataset("spot/klines/AUSDT/1h", start="2024-06-01"))
    tree = tree_of(config)

    class Taken(Seen):
        def planned(self, steps: Sequence[Step]) -> None:
            left(tree.owner, ELSEWHERE)

    with pytest.raises(LakeBusyError, match="took it over"):
        syncing.sync(config, Taken(), Event())

    assert read(tree.owner) == ELSEWHERE
    assert not tree.current.exists()


def test_simultaneous_openers_fail_only_as_busy(tmp_path: Path) -> None:
    tree, wrong = Tree(tmp_path / "lake"), []

    def write() -> None:
        for _ in range(60):
            try:
                with writing(tree, "sync", NOW):
                    pass
            except LakeBusyError:
                pass
            except LakeUnwritableError as error:
                wrong.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_lake_taken_over_is_given_up(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "lake")
    with writing(tree, "run", NOW) as one:
        one.require_in_place()
        left(tree.owner, ELSEWHERE)
        with pytest.raises(LakeBusyError, match="took it over while this machine was suspended"):
            one.require_in_place()

    assert read(tree.owner) == ELSEWHERE


def test_a_lease_alone_refuses_second_writers(tmp_path: Path) -> None:
    """As on a share whose locks hold on one machine alone: the folder is another, the lease not."""
    first, second = Tree(tmp_path / "a"), Tree(tmp_path / "b")
    second.create()
    script = (
        "import sys, datetime; from pathlib import Path; from fullpool.app.lock import writing;"
        "from fullpool.store.tree import Tree\n"
        "with writing(Tree(Path(sys.argv[1])), 'run', datetime.datetime.now(datetime.UTC)):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(first.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        second.owner.write_text(first.owner.read_text())
        with (
            pytest.raises(LakeBusyError, match=f"process {other.pid}"),
            writing(second, "sync", NOW),
        ):
            pass
        other.communicate("")


def test_an_invalid_lease_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    for text in ("", "{", '{"pid": 1}', "[]"):
        path.write_text(text)
        require_free(path, own("sync", NOW), lambda _: pytest.fail("it waits"))
