"""Reads a vendor's ZIP and CSV, detects its layout, and checks what is in it.

A ZIP holds exactly one CSV of a known name. Whether it has a header and whether its times are in
milliseconds or microseconds differs by market, kind and by when the file was made, so both are read
from the file. Source: 1,200 published files; see the project's ARCHITECTURE.md.
"""

import errno
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import IO, Final, cast

from isal import isal_zlib

from fullpool.errors import MalformedError, NoRowsError
from fullpool.kinds import Column, Kind
from fullpool.model import Span, Zipped, instant

CHUNK_BYTES: Final = 1 << 20
# The header of a local entry: a fixed part, then name and extra field, whose lengths it holds.
_LOCAL_HEADER_BYTES: Final = 30
_RAW_DEFLATE: Final = -15
# Times are in one of these, or written out.
WRITTEN: Final = "text"
_WRITTEN: Final = re.compile(rb"\d{4}-\d\d-\d\d( \d\d(:\d\d:\d\d)?)?")
# 1e14 ms is the year 5138; 1e14 us is 1973, before any exchange.
_MICROSECONDS_FROM: Final = 10**14
_EPOCH_MIN: Final = 10**12  # 2001 in ms: anything less is no time of the vendor's
_TIME_MAX: Final = 10**17
_MAX_LINE_BYTES: Final = 4096
_INFLATE_ERROR: Final = cast("type[Exception]", isal_zlib.error)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are written: its columns in order, and the unit of its times.

    That is us, ms, or text as `2023-10-20 01:00:00`.
    """

    columns: tuple[Column, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in one archive: its layout, rows, and the instants of first and last row."""

    layout: Layout
    rows: int
    first_time: datetime
    last_time: datetime


def decode(
    zipped: Zipped,
    member: str,
    kind: Kind,
    limit_bytes: int,
    sink_of: Callable[[Layout], IO[bytes]],
) -> Decoded:
    """Append the rows in *zipped* to the sink of their layout: no header, each ended by a newline.

    Streams: memory does not grow with the file. What went into the sink is to be thrown away if
    this raises. Raises MalformedError if the file is not what the vendor publishes.
    """
    chunks = _plain(_inflated(zipped, member, limit_bytes))
    head = _head(chunks)
    layout, header_bytes = sniff(head, kind)
    first_row = head[header_bytes:].split(b"\n", 1)[0]
    rows, last_row = _copy(chain((head[header_bytes:],), chunks), sink_of(layout))
    first, last = _time(first_row, layout, kind), _time(last_row, layout, kind)
    return Decoded(layout, rows, first, last)


def check_span(decoded: Decoded, span: Span) -> None:
    """Raise MalformedError unless first and last row lie in *span*."""
    for what, moment in (("first", decoded.first_time), ("last", decoded.last_time)):
        if not span.start <= moment < span.end:
            raise MalformedError(f"{what} row is of {moment:%Y-%m-%dT%H:%M:%S.%fZ}, outside {span}")


def sniff(head: bytes, kind: Kind) -> tuple[Layout, int]:
    """Return the layout of a file that starts with *head*, and the length of its header line.

    A file has a header exactly if its first byte is not a digit. Columns of a file with a header
    are taken by their names. Raises MalformedError if names or number of columns are unknown.
    """
    lines = head.split(b"\n", 2)
    if not lines[0].strip():
        raise MalformedError("its first line is blank" if head else "the file is empty")
    if head[:1].isdigit():
        columns, header_bytes, row = _columns_by_count(lines[0], kind), 0, lines[0]
    else:
        columns, header_bytes = _columns_by_name(lines[0], kind), len(lines[0]) + 1
        row = lines[1] if len(lines) > 1 else b""
    if not row.strip():
        is_blank = len(lines) > 2 and lines[2].strip()
        if is_blank:
            raise MalformedError("a line is blank")
        raise NoRowsError("it holds a header and no rows")
    return Layout(columns, _unit(_stamp(row, columns, kind))), header_bytes


def _columns_by_count(line: bytes, kind: Kind) -> tuple[Column, ...]:
    count = line.count(b",") + 1
    if count == len(kind.columns):
        return kind.columns
    required = tuple(column for column in kind.columns if not column.is_optional)
    if count == len(required):
        return required
    raise MalformedError(f"{count} columns where {kind.name} have {len(kind.columns)}")


def _columns_by_name(line: bytes, kind: Kind) -> tuple[Column, ...]:
    names = line.decode("utf-8-sig", "replace").strip().split(",")
    known: dict[str, Column] = {}
    for column in kind.columns:
        known |= dict.fromkeys((column.vendor, *column.aliases), column)
    columns = tuple(known[name] for name in names if name in known)
    if wrong := _wrong_with(kind, columns, [name for name in names if name not in known]):
        raise MalformedError(f"the header is not that of {kind.name}: it {wrong}")
    return columns


def _wrong_with(kind: Kind, columns: Sequence[Column], unknown: Sequence[str]) -> str:
    """Return what is wrong with a header of these columns and unknown names; "" if nothing is."""
    missing = [c.vendor for c in kind.columns if not c.is_optional and c not in columns]
    wrong: list[str] = []
    if missing:
        wrong.append(f"lacks {', '.join(missing)}")
    if unknown:
        wrong.append(f"has {', '.join(unknown)[:200]}")
    if not wrong and len(set(columns)) != len(columns):
        return "names a column twice"
    return " and ".join(wrong)


def _field(row: bytes, index: int) -> bytes:
    fields = row.split(b",", index + 1)
    return fields[index].strip() if len(fields) > index else b""


def _stamp(row: bytes, columns: Sequence[Column], kind: Kind) -> bytes:
    """Return what a row says of its time."""
    names = [column.name for column in columns]
    return b" ".join(_field(row, names.index(name)) for name in kind.stamp or (kind.time,))


def _unit(text: bytes) -> str:
    if _WRITTEN.fullmatch(text):
        return WRITTEN
    return "us" if _epoch(text) >= _MICROSECONDS_FROM else "ms"


def _epoch(text: bytes) -> int:
    if not text.isdigit() or not _EPOCH_MIN <= int(text) < _TIME_MAX:
        raise MalformedError(f"no time: {text[:40]!r}")
    return int(text)


def _time(row: bytes, layout: Layout, kind: Kind) -> datetime:
    text = _stamp(row, layout.columns, kind)
    if _unit(text) != layout.unit:
        raise MalformedError(f"mixed time units: {layout.unit} and {text[:40]!r}")
    if layout.unit == WRITTEN:
        return _written(text)
    return instant(int(text) * (1 if layout.unit == "us" else 1000))


def _written(text: bytes) -> datetime:
    try:
        return datetime.fromisoformat(text.decode()).replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedError(f"no time: {text[:40]!r}") from error


def _head(chunks: Iterator[bytes]) -> bytes:
    """Return the start of the file: at least its first two lines, if it has two."""
    head = b""
    for chunk in chunks:
        head += chunk
        if head.count(b"\n", 0, 2 * _MAX_LINE_BYTES) >= 2:
            break
        if len(head) > 2 * _MAX_LINE_BYTES:
            raise MalformedError(f"the first {len(head)} bytes hold fewer than two lines")
    return head


def _plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass *chunks* on with the line ends of Windows made plain.

    Files are parsed together, and DuckDB refuses two kinds of line ends in one.
    """
    held = b""
    for chunk in chunks:
        if not held and b"\r" not in chunk:
            yield chunk
            continue
        whole = held + chunk
        held = b"\r" if whole.endswith(b"\r") else b""
        plain = whole.removesuffix(held).replace(b"\r\n", b"\n")
        if b"\r" in plain:
            raise MalformedError("a carriage return inside a line")
        yield plain


def _copy(chunks: Iterable[bytes], sink: IO[bytes]) -> tuple[int, bytes]:
    """Write *chunks* to *sink*; return the number of lines and the last line."""
    rows, tail = 0, b""
    for chunk in chunks:
        sink.write(chunk)
        rows += chunk.count(b"\n")
        tail = chunk[-_MAX_LINE_BYTES:] if len(chunk) >= _MAX_LINE_BYTES else tail + chunk
        tail = tail[-_MAX_LINE_BYTES:]
    if not tail.endswith(b"\n"):
        sink.write(b"\n")
        rows += 1
    return rows, tail.rstrip(b"\r\n").rpartition(b"\n")[2]


def _inflated(zipped: Zipped, member: str, limit_bytes: int) -> Iterator[bytes]:
    """Yield the content of the only member in chunks; check its name, length and CRC."""
    with zipped.open("rb") if isinstance(zipped, Path) else io.BytesIO(zipped) as file:
        info = _only_member(_directory(file), member, limit_bytes)
        try:
            file.seek(info.header_offset)
            local = file.read(_LOCAL_HEADER_BYTES)
            lengths = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
            file.seek(sum(lengths), 1)
            yield from _checked(_raw(file, info), info)
        except (_INFLATE_ERROR, EOFError) as error:
            raise MalformedError(f"the ZIP is damaged: {error}") from error


def _directory(file: IO[bytes]) -> list[zipfile.ZipInfo]:
    """Return what the ZIP says it holds; zipfile trips over damaged ones in many ways."""
    try:
        with zipfile.ZipFile(file) as opened:
            return opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise MalformedError(f"the ZIP is damaged: {error}") from error


def _only_member(infos: list[zipfile.ZipInfo], member: str, limit_bytes: int) -> zipfile.ZipInfo:
    names = [info.filename for info in infos]
    if names != [member]:
        raise MalformedError(f"the ZIP holds {names[:3]}, not exactly {member!r}")
    (info,) = infos
    if info.file_size > limit_bytes:
        raise MalformedError(f"{info.file_size} bytes inflated, over the limit of {limit_bytes}")
    if info.header_offset < 0:
        raise MalformedError("the ZIP is damaged: its member starts before the file")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        raise MalformedError("the ZIP is encrypted or compressed in an unknown way")
    return info


def _raw(file: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    stored = info.compress_type == zipfile.ZIP_STORED
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    left = info.compress_size
    while left > 0:
        packed = file.read(min(CHUNK_BYTES, left))
        if not packed:
            raise EOFError("it is truncated")
        left -= len(packed)
        if stored:
            yield packed
            continue
        while packed and not inflater.eof:
            yield inflater.decompress(packed, CHUNK_BYTES)
            packed = inflater.unconsumed_tail
    if not stored:
        yield inflater.flush()


def _checked(chunks: Iterable[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Pass *chunks* on; raise MalformedError at the end if length or CRC is not the ZIP's own."""
    crc, length = 0, 0
    for chunk in chunks:
        crc, length = isal_zlib.crc32(chunk, crc), length + len(chunk)
        if length > info.file_size:
            break
        if chunk:
            yield chunk
    if length != info.file_size or crc != info.CRC:
        raise MalformedError(
            f"the ZIP is damaged: {length} bytes with CRC {crc:08x},"
            f" not {info.file_size} with {info.CRC:08x}"
        )
