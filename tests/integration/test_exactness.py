"""Text to lake to text: every type of column holds what was written, or refuses it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from fullpool.decode import sniff
from fullpool.kinds import Column, Kind, Type
from fullpool.model import Market
from fullpool.store.partitions import csv_rows

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def kind_of(value: Type, *, is_nullable: bool = False) -> Kind:
    columns = (
        Column("at", "at_", Type.TIME),
        Column("value", "value", value, is_nullable=is_nullable),
    )
    return Kind("odd", "odd", frozenset({Market.UM}), columns, "at_", ("at_",))


def read(folder: Path, kind: Kind, texts: Sequence[str], width: csv_rows.Width) -> list[Any]:
    """Return what the SQL of a build makes of these values."""
    path = folder / "rows.csv"
    lines = "".join(f"{1_700_000_000_000 + n},{text}\n" for n, text in enumerate(texts))
    path.write_text(lines)
    layout, _ = sniff(lines.encode(), kind)
    sql = csv_rows.from_csv(csv_rows.Sheet(kind, layout, path, "X"), width)
    with duckdb.connect(folder / "odd.duckdb") as connection:
        return [value for _, value, _ in connection.execute(sql).fetchall()]


def numbers(whole: int, places: int) -> st.SearchStrategy[str]:
    """Return decimals as the vendor writes them: plain, with zeros more, or as Java does."""
    plain = st.decimals(
        min_value=-(10**whole) + 1, max_value=10**whole - 1, places=places, allow_nan=False
    ).map(lambda value: f"{value:f}")
    zeros = st.sampled_from(["0E-8", "0E-16", "0", "0.0", "-0.00000000"])
    java = st.builds(
        lambda first, rest, power: f"{first}.{rest}E{power}",
        st.integers(1, 9), st.integers(0, 99), st.sampled_from([-4, -3, 7]),
    )  # fmt: skip
    return st.one_of(plain, zeros, java)


@QUICK
@given(texts=st.lists(numbers(9, 8), min_size=1, max_size=8))
def test_a_price_is_what_was_written(tmp_path: Path, texts: list[str]) -> None:
    found = read(tmp_path, kind_of(Type.PRICE), texts, csv_rows.Width.NARROW)

    assert found == [Decimal(text) for text in texts]


@QUICK
@given(texts=st.lists(numbers(28, 8), min_size=1, max_size=8))
def test_an_amount_is_what_was_written(tmp_path: Path, texts: list[str]) -> None:
    found = read(tmp_path, kind_of(Type.AMOUNT), texts, csv_rows.Width.WIDE)

    assert found == [Decimal(text) for text in texts]


@QUICK
@given(texts=st.lists(numbers(20, 16), min_size=1, max_size=8))
def test_fine_numbers_are_what_was_written(tmp_path: Path, texts: list[str]) -> None:
    found = read(tmp_path, kind_of(Type.FINE), texts, csv_rows.Width.NARROW)

    assert found == [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Type.PRICE, "0.123456789"), (Type.AMOUNT, "0.123456789"),
        (Type.FINE, "0.12345678901234567"), (Type.PRICE, ""), (Type.PRICE, "NaN"),
        (Type.PRICE, "1e400"), (Type.COUNT, "1.5"), (Type.COUNT, "1.0004"),
        (Type.COUNT, ""), (Type.FLAG, "maybe"),
        (Type.PRICE, "12345678901"), (Type.TEXT, ""), (Type.SYMBOL, "Y"), (Type.SYMBOL, ""),
    ],
)  # fmt: skip
def test_values_not_held_exactly_are_refused(tmp_path: Path, value: Type, text: str) -> None:
    with pytest.raises(duckdb.Error):
        read(tmp_path, kind_of(value), [text], csv_rows.Width.NARROW)


@pytest.mark.parametrize("value", [Type.PRICE, Type.AMOUNT, Type.FINE, Type.COUNT, Type.TEXT])
def test_empty_nullable_fields_are_null_even_quoted(tmp_path: Path, value: Type) -> None:
    kind = kind_of(value, is_nullable=True)

    assert read(tmp_path, kind, ["", '""', "7"], csv_rows.Width.NARROW)[:2] == [None, None]


@QUICK
@given(texts=st.lists(st.sampled_from(["true", "false", "True", "False"]), min_size=1, max_size=9))
def test_a_flag_is_what_was_written(tmp_path: Path, texts: list[str]) -> None:
    found = read(tmp_path, kind_of(Type.FLAG), texts, csv_rows.Width.NARROW)

    assert found == [text.lower() == "true" for text in texts]


@QUICK
@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_a_count_is_what_was_written(tmp_path: Path, values: list[int]) -> None:
    texts = [str(value) for value in values]
    small = [value // 10**5 for value in values]

    assert read(tmp_path, kind_of(Type.COUNT), texts, csv_rows.Width.WIDE) == values
    texts = [f"{value}.0" for value in small]
    assert read(tmp_path, kind_of(Type.COUNT), texts, csv_rows.Width.NARROW) == small


@QUICK
@given(
    micros=st.lists(st.integers(10**14 + 5, 4 * 10**15), min_size=1, max_size=9),
    unit=st.sampled_from(["us", "ms", "text"]),
)
def test_a_time_is_what_was_written(tmp_path: Path, micros: list[int], unit: str) -> None:
    moments = [EPOCH + timedelta(microseconds=value) for value in micros]
    if unit == "ms":
        moments = [EPOCH + timedelta(milliseconds=value // 1000) for value in micros]
        micros = [value for value in micros if value // 1000 >= 10**12]
        moments = [EPOCH + timedelta(milliseconds=value // 1000) for value in micros]
    texts = [str(value if unit == "us" else value // 1000) for value in micros]
    if unit == "text":
        moments = [moment.replace(microsecond=0) for moment in moments]
        texts = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]
    kind = kind_of(Type.COUNT)
    path = tmp_path / "times.csv"
    path.write_text("".join(f"{text},1\n" for text in texts))
    if not texts:
        return
    layout, _ = sniff(path.read_bytes(), kind)
    sql = csv_rows.from_csv(csv_rows.Sheet(kind, layout, path, "X"), csv_rows.Width.NARROW)

    with duckdb.connect(tmp_path / "odd.duckdb") as connection:
        found = [moment for moment, _, _ in connection.execute(sql).fetchall()]

    assert found == moments
