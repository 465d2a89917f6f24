"""Writes Feather files (Arrow IPC), with pyarrow."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fullpool.errors import QueryError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_HINT: Final = "pip install 'fullpool[arrow]'"


def require_pyarrow() -> None:
    """Raise UsageError if pyarrow is not installed."""
    try:
        import pyarrow.ipc  # noqa: F401, PLC0415 - it is an extra
    except ImportError as error:
        raise UsageError(f"writing Feather files: {error}", hint=_HINT) from error


def stream(batches: "pa.RecordBatchReader") -> "Iterator[pa.RecordBatch]":
    """Yield batches. Raises QueryError if a file of the lake cannot be read."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        hint = "`fullpool verify` looks for files that are damaged"
        raise QueryError(f"reading the lake: {error}", hint=hint) from error


def write(parts: "Iterable[pa.RecordBatchReader]", target: Path, *, in_utc: bool = False) -> int:
    """Write the batches of some parts to a file; return the number of rows. No rows, no file.

    *in_utc*: times become milliseconds with the zone UTC.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import ipc  # noqa: PLC0415

    writer, rows = None, 0
    options = ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(target), "wb") as sink:
        for batches in parts:
            schema = _zoned(batches.schema) if in_utc else batches.schema
            writer = writer or ipc.new_file(sink, schema, options=options)
            for batch in stream(batches):
                writer.write_batch(batch.cast(schema))
                rows += batch.num_rows
        if writer is not None:
            writer.close()
    if not rows:
        target.unlink()
    return rows


def _zoned(schema: "pa.Schema") -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415

    fields = [
        field.with_type(pa.timestamp("ms", "UTC")) if pa.types.is_timestamp(field.type) else field
        for field in schema
    ]
    return pa.schema(fields)
