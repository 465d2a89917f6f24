"""What a worker of a cluster keeps, tells and returns; the processes are in test_cluster."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fullpool.cluster.budget import ByteBudget
from fullpool.cluster.packing import packed
from fullpool.cluster.progress import Progress
from fullpool.cluster.settings import require_equal
from fullpool.config.addresses import is_scheduler
from fullpool.errors import ClusterError, MalformedError
from fullpool.gaps import Patch
from fullpool.model import (
    Archive,
    Cadence,
    Fault,
    Identity,
    Interval,
    Known,
    Market,
    Period,
    Series,
    Span,
    Status,
    Step,
)
from fullpool.store.partitions.messages import Built, Edition, Followed, Input, Order, Rejected
from fullpool.store.tree import make_folder
from fullpool.sync.steps.fetch import ArchiveResult
from fullpool.sync.steps.step import StepResult
from fullpool.vision import Fetched, WrongSum

SERIES = Series(Market.SPOT, "klines", "AUSDT", Interval.M1)
DAYS = [Archive(SERIES, Period(date(2024, 6, day), Cadence.DAY)) for day in (1, 2)]
IDENTITY = Identity("e", 3, None)


def result(*answers: ArchiveResult, inputs: tuple[Input, ...] = (), **ended: Any) -> StepResult:
    known = tuple(answer.known for answer in answers)
    step = Step(SERIES, Period(date(2024, 6, 1), Cadence.MONTH), known, (), (), "test")
    order = Order(step, inputs, Path("/lake"), Path("/lake/.staging"), 1, 256, 1 << 20)
    return StepResult(order, answers, **ended)


def known(archive: Archive, fault: Fault | None = None) -> Known:
    return Known(archive, Status.LISTED, "", IDENTITY, fault=fault)


def test_only_rejected_archives_return_their_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_bytes(b"zip")
    inputs = tuple(
        Input(Edition(day, "s", IDENTITY), file) for day, file in zip(DAYS, files, strict=True)
    )
    answers = [
        ArchiveResult(known(item.edition.archive), Fetched(item.zipped, "s", IDENTITY))
        for item in inputs
    ]
    built = Built(result(*answers).order.step, (), (), (Rejected(inputs[1].edition, "bad"),))

    found = packed(result(*answers, inputs=inputs, built=built), is_shared=False)

    assert [item.zipped for item in found.order.inputs] == [b"", b"zip"]
    assert [answer.value.zipped for answer in found.answers] == [b"", b""]  # type: ignore[union-attr]
    assert not any(file.exists() for file in files)


def test_a_malformed_build_returns_all_archives() -> None:
    inputs = tuple(Input(Edition(day, "s", IDENTITY), b"zip") for day in DAYS)

    found = packed(result(inputs=inputs, error=MalformedError("rows")), is_shared=True)

    assert [item.zipped for item in found.order.inputs] == [b"zip", b"zip"]


@pytest.mark.parametrize(("fault", "kept"), [(None, b""), (Fault.WRONG_SUM, b"zip")])
def test_a_repeated_wrong_sum_is_kept(fault: Fault | None, kept: bytes) -> None:
    wrong = WrongSum(Fetched(b"zip", "s", IDENTITY), "wrong")

    found = packed(result(ArchiveResult(known(DAYS[0], fault), wrong)), is_shared=True)

    value = found.answers[0].value
    assert isinstance(value, WrongSum)
    assert value.fetched.zipped == kept


def test_steps_wait_until_their_bytes_fit() -> None:
    budget, entered = ByteBudget(100), threading.Event()

    def enter() -> None:
        with budget.taken(60):
            entered.set()

    with budget.taken(60):
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    other.join()
    with budget.taken(1000):  # more than all there is, but alone
        pass


def test_requests_and_bytes_are_reported_once() -> None:
    told: list[dict[str, Any]] = []
    progress = Progress(told.append)
    for _ in range(2):
        progress.requested("host", 200)
    progress.requested("host", None)
    progress.received(10)

    progress.report_now()
    progress.report_now()

    assert told == [{"requests": [["host", 200, 2], ["host", None, 1]], "received_bytes": 10}]


def test_workers_of_another_version_are_refused() -> None:
    require_equal(("fullpool 1",), ("fullpool 1",), "worker w")
    with pytest.raises(ClusterError, match="worker w: it has fullpool 2; this machine has full"):
        require_equal(("fullpool 1",), ("fullpool 2",), "worker w")


@pytest.mark.parametrize("text", ["", "dask://scheduler:8786", "dask+tls://[::1]:8786"])
def test_scheduler_addresses_are_accepted(text: str) -> None:
    assert is_scheduler(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "scheduler:8786",
        "tcp://scheduler:8786",
        "dask://scheduler",
        "dask://:1",
        "dask://a:1/b",
        "dask://a:99999",
        "dask://u:p@a:1",
    ],
)
def test_wrong_scheduler_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Dask scheduler"):
        is_scheduler(text)


def test_followed_rows_end_where_archives_begin() -> None:
    at = [datetime(2024, 6, day, tzinfo=UTC) for day in (1, 2, 3)]
    followed = Followed(
        ("file",), Patch(SERIES, Span(at[0], at[2]), b"", 5, at[2], "followed"), at[1]
    )

    shorter = followed.before(datetime(2024, 6, 2, 12, tzinfo=UTC))

    assert shorter is not None
    assert shorter.patch.span == Span(at[0], datetime(2024, 6, 2, 12, tzinfo=UTC))
    assert followed.before(at[1]) is None  # the first of them lies behind


def test_making_folders_never_makes_the_lake(tmp_path: Path) -> None:
    make_folder(tmp_path, tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(FileNotFoundError):
        make_folder(tmp_path / "gone", tmp_path / "gone" / "a")
