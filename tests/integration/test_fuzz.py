"""Mutants of archives: only errors of ours come out, and nothing wrong enters the lake."""

import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from fullpool import vendor as places
from fullpool.decode import Layout, check_span, decode
from fullpool.errors import MalformedError
from fullpool.kinds import KINDS
from fullpool.model import (
    Archive,
    Identity,
    Interval,
    Market,
    Partition,
    Series,
    Step,
    period_from,
)
from fullpool.simulator.generate import zipped
from fullpool.store.partitions.build import build
from fullpool.store.partitions.messages import Built, Edition, Input, Order
from fullpool.store.tree import Tree
from served import kline

pytestmark = pytest.mark.faults

MUTANTS = int(os.environ.get("MUTANTS", "1500"))
SERIES = Series(Market.SPOT, "klines", "AUSDT", Interval.M1)
DAY = datetime(2024, 6, 3, tzinfo=UTC)
ARCHIVE = Archive(SERIES, period_from(f"{DAY:%Y-%m-%d}"))
MEMBER = places.member_name(ARCHIVE)
TEXT = "".join(kline(DAY + timedelta(minutes=minute)) for minute in range(20)).encode()
SPLICES = (b",", b"\n", b"\r", b"\r\n", b"\0", b'"', b"-", b"e9", b"9" * 30, b"inf", b"nan",
           b"\xff", b"0x10", b" ", b"';--", b"1,2\n")  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return *content* with a few bytes flipped, cut out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) or 1)
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randint(1, 40)]
            case 2:
                changed[at:at] = chance.choice(SPLICES)
            case 3:
                changed[at:at] = changed[at : at + chance.randint(1, 200)]
            case _:
                del changed[at:]
        if not changed:
            changed += b"x"
    return bytes(changed)


def mutants(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    for _ in range(count):
        yield mutate(content, chance)


def decoded(content: bytes) -> bytes | None:
    """Return what the decoder passes on; None if it refuses the archive."""
    sheet = BytesIO()

    def sink(_: Layout) -> BytesIO:
        return sheet

    try:
        found = decode(content, MEMBER, KINDS["klines"], 1 << 20, sink)
        check_span(found, ARCHIVE.period.span)
    except MalformedError:
        return None
    return sheet.getvalue()


def test_zip_mutants_never_yield_other_rows() -> None:
    good = zipped(MEMBER, TEXT)

    accepted = [got for mutant in mutants(good, MUTANTS, 1) if (got := decoded(mutant)) is not None]

    assert set(accepted) <= {TEXT}


def test_real_archive_mutants_never_yield_other_rows(real: Path) -> None:
    seeds = sorted((real / "archives").rglob("*-1m-20*.zip"))[:3]
    for seed, path in enumerate(seeds):
        with ZipFile(path) as whole:
            name = whole.namelist()[0]
            text = whole.read(name)
        chance = random.Random(seed)  # noqa: S311 - the same every time
        for _ in range(MUTANTS // 10):
            sheet = BytesIO()
            try:
                kind = KINDS["klines"]
                decode(mutate(path.read_bytes(), chance), name, kind, 1 << 30, lambda _: sheet)  # noqa: B023
            except MalformedError:
                continue
            assert sheet.getvalue() in text  # without its header, if it has one


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    one = Tree(tmp_path / "lake")
    one.create()
    return one


def built(tree: Tree, content: bytes, number: int) -> Built:
    edition = Edition(ARCHIVE, "0" * 64, Identity("x", len(content), DAY))
    unit = period_from("2024-06")
    step = Step(SERIES, unit, (), (), (Partition(SERIES, unit),), "test")
    order = Order(step, (Input(edition, content),), tree.root, tree.staging, number, 256, 1 << 20)
    return build(order)


def test_csv_mutants_enter_only_if_sound(tree: Tree) -> None:
    import duckdb  # noqa: PLC0415 - after the fixture, to be alone in this process

    accepted = 0
    for number, mutant in enumerate(mutants(TEXT, MUTANTS // 3, 2), start=1):
        done = built(tree, zipped(MEMBER, mutant), number)
        assert bool(done.files) == bool(done.accepted)
        for file in done.files:
            accepted += 1
            path = tree.root / file.path
            with duckdb.connect() as connection:
                found = connection.execute(
                    "SELECT count(*), count(DISTINCT open_time), min(open_time), max(open_time),"
                    f" count(*) FILTER (close IS NULL) FROM read_parquet('{path}')"
                ).fetchone()
            assert found is not None
            rows, distinct, first, last, empty = found
            assert rows == distinct == file.rows
            assert empty == 0
            assert first.date() == last.date() == date(2024, 6, 3)
            path.unlink()

    assert accepted > 0  # a digit of a price that is another digit is a row like any other
    assert list(tree.staging.glob("build-*")) == []
