"""Where the rows of a partition file came from, kept in the file's own Parquet metadata.

So the state can be written anew from the files alone.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import duckdb

from fullpool import __version__
from fullpool.model import Span, period_from
from fullpool.store.duck import listed, quoted

_SOURCES: Final = "fullpool.sources"
_VERSION: Final = "fullpool.version"
_FORMAT: Final = "fullpool.format"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Source:
    """One archive whose rows are in the file; *rows* as counted in the archive."""

    key: str
    period: str
    etag: str
    sha256: str
    size_bytes: int
    modified_at: str
    rows: int


def metadata(sources: Sequence[Source]) -> str:
    """Return the KV_METADATA of a COPY statement."""
    text = json.dumps(
        [asdict(source) for source in sources], ensure_ascii=True, separators=(",", ":")
    )
    values = {_SOURCES: text, _VERSION: __version__, _FORMAT: str(FORMAT)}
    return "{" + ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in values.items()) + "}"


def sources_in(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], replaced: Sequence[Span]
) -> list[Source]:
    """Return the sources of partition files, oldest first, without those that were replaced."""
    if not paths:
        return []
    found = connection.execute(
        f"SELECT decode(value) FROM parquet_kv_metadata({listed([str(p) for p in paths])})"
        f" WHERE decode(key) = {quoted(_SOURCES)}"
    ).fetchall()
    sources = {Source(**item) for (text,) in found for item in json.loads(text)}
    kept = (source for source in sources if not _is_replaced(source, replaced))
    return sorted(kept, key=lambda source: source.period)


def _is_replaced(source: Source, replaced: Sequence[Span]) -> bool:
    span = period_from(source.period).span
    return any(other.covers(span) for other in replaced)
