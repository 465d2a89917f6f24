"""Reading vendor files: real ones of every layout, and damaged ones."""

import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullpool.decode import CHUNK_BYTES, Decoded, Layout, _plain, check_span, decode, sniff
from fullpool.errors import MalformedError
from fullpool.kinds import KINDS
from fullpool.model import period_from
from real_reader import archives, content
from served import kline

KLINES, TRADES = KINDS["klines"], KINDS["aggTrades"]
START = datetime(2024, 1, 1, tzinfo=UTC)
LIMIT = 10**9

HEADER = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    b"taker_buy_quote_volume,ignore\n"
)


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def into(sink: io.BytesIO) -> Callable[[Layout], IO[bytes]]:
    return lambda _: sink


def read(path: Path, member: str = "a.csv", limit: int = LIMIT) -> tuple[Decoded, bytes]:
    sink = io.BytesIO()
    return decode(path, member, KLINES, limit, into(sink)), sink.getvalue()


def test_real_archives_match_an_independent_reader(real: Path) -> None:
    for path in archives(real / "archives"):
        expected, sink = content(path), io.BytesIO()

        decoded = decode(path, f"{path.stem}.csv", KINDS[expected.kind], LIMIT, into(sink))

        assert (decoded.rows, decoded.first_time, decoded.last_time) == (
            expected.rows,
            expected.first,
            expected.last,
        )
        assert sink.getvalue().count(b"\n") == expected.rows


def test_real_spot_headers_are_recognized(real: Path) -> None:
    for path in (real / "csv" / "spot_headered").rglob("*.csv"):
        layout, header_bytes = sniff(path.read_bytes(), KLINES)

        assert header_bytes > 0
        assert layout.columns[0].vendor == "open_time"


def test_headers_may_reorder_columns() -> None:
    head = (
        b"price,agg_trade_id,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    )
    layout, _ = sniff(head + b"1.5,7,2.0,1,2,1700000000000,true\n", TRADES)

    assert [column.name for column in layout.columns][:2] == ["price", "agg_trade_id"]


@pytest.mark.parametrize(("stamp", "unit"), [("1735603200000", "ms"), ("1735689600000000", "us")])
def test_the_file_tells_its_time_unit(stamp: str, unit: str) -> None:
    layout, _ = sniff(
        kline(START).replace(str(int(START.timestamp()) * 1000), stamp, 1).encode(), KLINES
    )

    assert layout.unit == unit


def test_a_last_line_needs_no_newline(tmp_path: Path) -> None:
    text = (kline(START) + kline(START.replace(minute=1))).rstrip("\n")

    decoded, rows = read(write(tmp_path / "a.zip", {"a.csv": text.encode()}))

    assert decoded.rows == 2
    assert rows.endswith(b"\n")
    assert decoded.last_time == START.replace(minute=1)


def test_a_stored_member_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.csv": kline(START).encode()}, zipfile.ZIP_STORED)

    assert read(path)[0].rows == 1


@given(st.integers(1, 40), st.integers(0, 3))
def test_chunks_never_change_what_is_read(rows: int, times: int) -> None:
    lines = [kline(START.replace(hour=n // 60, minute=n % 60)) for n in range(rows)]
    text = "".join(lines) * (1 + times * CHUNK_BYTES // 4000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    path = Path("/dev/shm") / f"fullpool-test-{rows}-{times}.zip"  # noqa: S108 - removed below
    path.write_bytes(buffer.getvalue())
    try:
        decoded, found = read(path)
    finally:
        path.unlink()

    assert found == text.encode()
    assert decoded.rows == text.count("\n")


def damaged_crc(path: Path) -> Path:
    body = bytearray(write(path, {"a.csv": kline(START).encode()}).read_bytes())
    at = body.rindex(b"PK\x01\x02") + 16  # the CRC in the central directory
    body[at : at + 4] = struct.pack("<I", 1)
    path.write_bytes(body)
    return path


def truncated(path: Path) -> Path:
    path.write_bytes(write(path, {"a.csv": kline(START).encode() * 100}).read_bytes()[:60])
    return path


def scrambled(path: Path) -> Path:
    body = bytearray(write(path, {"a.csv": kline(START).encode() * 500}).read_bytes())
    body[60:100] = bytes(40)
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("damage", [damaged_crc, truncated, scrambled])
def test_a_damaged_zip_is_malformed(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = damage(tmp_path / "a.zip")

    with pytest.raises(MalformedError, match="damaged"):
        read(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"b.csv": b"1"}, r"holds \['b.csv'\]"),
        ({"a.csv": b"1", "b.csv": b"1"}, "not exactly"),
        ({"../a.csv": b"1"}, "not exactly"),
        ({"a.csv": b""}, "the file is empty"),
        ({"a.csv": b"\n" + kline(START).encode()}, "its first line is blank"),
        ({"a.csv": HEADER}, "it holds a header and no rows"),
        ({"a.csv": HEADER + b"\n" + kline(START).encode()}, "a line is blank"),
        (
            {"a.csv": b"<html>\n<body>"},
            "not that of klines: it lacks open_time, .* has <html>",
        ),
        ({"a.csv": b"1,2,3\n"}, "3 columns"),
        ({"a.csv": kline(START).replace("17040672", "abc", 1).encode()}, "header|no time"),
        ({"a.csv": kline(START).replace("1704067200000", "1704067200", 1).encode()}, "no time"),
        ({"a.csv": b"x" * 20_000}, "fewer than two lines"),
    ],
)
def test_files_unlike_the_vendors_are_malformed(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    path = write(tmp_path / "a.zip", members)

    with pytest.raises(MalformedError, match=message):
        read(path)


def test_zips_inflating_past_the_limit_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.csv": kline(START).encode() * 1000})

    with pytest.raises(MalformedError, match="over the limit of 100"):
        read(path, limit=100)


def test_rows_outside_their_period_are_malformed(tmp_path: Path) -> None:
    decoded, _ = read(write(tmp_path / "a.zip", {"a.csv": kline(START).encode()}))

    check_span(decoded, period_from("2024-01-01").span)
    with pytest.raises(MalformedError, match="first row is of 2024-01-01"):
        check_span(decoded, period_from("2024-01-02").span)


WINDOWS = b"".join(kline(START.replace(minute=n)).encode() for n in range(3))


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_windows_line_ends_become_plain_however_cut(size: int) -> None:
    text = WINDOWS.replace(b"\n", b"\r\n")
    chunks = [text[at : at + size] for at in range(0, len(text), size)]

    assert b"".join(_plain(chunks)) == WINDOWS
    assert b"".join(_plain([WINDOWS])) == WINDOWS


def test_plain_chunks_pass_after_windows_ones() -> None:
    assert list(_plain([b"1\r", b"\n2\n", b"3\n"])) == [b"1", b"\n2\n", b"3\n"]
    with pytest.raises(MalformedError, match="a carriage return inside a line"):
        list(_plain([b"1\r2\n"]))
    with pytest.raises(MalformedError, match="a carriage return inside a line"):
        list(_plain([b"1\r", b"2\n"]))


@pytest.mark.parametrize(
    "names",
    [
        HEADER.decode().replace("ignore", "other"),
        HEADER.decode().replace(",ignore", ""),
        HEADER.decode().replace("open,", "open_time,"),
    ],
)
def test_headers_of_other_names_are_told(names: str) -> None:
    with pytest.raises(MalformedError, match=r"is not that of klines: it (lacks|names)"):
        sniff(names.strip().encode() + b"\n" + kline(START).encode(), KLINES)


def test_both_layouts_may_lack_optional_columns() -> None:
    required = [column for column in TRADES.columns if not column.is_optional]
    row = b"1,2.0,3.0,4,5,1704067200000,true\n"
    assert len(required) == row.count(b",") + 1
    layout, header = sniff(row, TRADES)
    assert (layout.columns, header) == (tuple(required), 0)

    names = ",".join(column.vendor for column in required).encode() + b"\n"
    assert sniff(names + row, TRADES) == (layout, len(names))


def test_mixed_time_units_are_malformed(tmp_path: Path) -> None:
    late = kline(START.replace(minute=1)).encode()
    fields = late.split(b",")
    fields[0] += b"000"
    path = write(tmp_path / "a.zip", {"a.csv": kline(START).encode() + b",".join(fields)})

    with pytest.raises(MalformedError, match="mixed time units: ms and"):
        read(path)


def test_a_span_excludes_its_end(tmp_path: Path) -> None:
    text = kline(START) + kline(START.replace(day=2))
    decoded, _ = read(write(tmp_path / "a.zip", {"a.csv": text.encode()}))

    with pytest.raises(MalformedError, match="last row is of 2024-01-02T00:00:00"):
        check_span(decoded, period_from("2024-01-01").span)
    assert decoded.layout.unit == "ms"
