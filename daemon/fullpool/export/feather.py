"""Writes Feather files (Arrow IPC), with pyarrow."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fullpool.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_HINT: Final = "pip install 'fullpool[arrow]'"


def require_pyarrow() -> None:
    """Raise UsageError if pyarrow is not installed."""
    try:
        import pyarrow.ipc  # noqa: F401, PLC0415 - it is an extra
    except ImportError as error:
        raise UsageError(f"writing Feather files: {error}", hint=_HINT) from error


def write(batches: "pa.RecordBatchReader", target: Path, *, in_utc: bool = False) -> int:
    """Write batches to a file; return the number of rows. No file is left without any.

    *in_utc*: times become milliseconds with the zone UTC.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import ipc  # noqa: PLC0415

    rows = 0
    schema = _zoned(batches.schema) if in_utc else batches.schema
    options = ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(target), "wb") as sink,
        ipc.new_file(sink, schema, options=options) as out,
    ):
        for batch in batches:
            out.write_batch(batch.cast(schema))
            rows += batch.num_rows
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
