"""Where the rows of a file came from, kept in its Parquet metadata.

So the state can be rewritten from the files alone.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from fullpool import __version__, vendor
from fullpool.errors import MalformedError
from fullpool.gaps import Patch
from fullpool.model import Checksum, Identity, Series, Span, period_from
from fullpool.store.duck import listed, quoted
from fullpool.store.partitions.messages import Accepted, Edition

_SOURCES: Final = "fullpool.sources"
_PATCHES: Final = "fullpool.patches"
_VERSION: Final = "fullpool.version"
_FORMAT: Final = "fullpool.format"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Source:
    """One archive whose rows are in the file; *rows* as counted in the archive.

    *first_time* and *last_time* are those of its rows; files from before these were kept have none.
    """

    key: str
    period: str
    etag: str
    sha256: str
    size_bytes: int
    modified_at: str
    rows: int
    checksum: Checksum = Checksum.VERIFIED
    first_time: str = ""
    last_time: str = ""

    @property
    def span(self) -> Span:
        return period_from(self.period).span

    @property
    def identity(self) -> Identity:
        """The edition, as the vendor's server named it."""
        modified = datetime.fromisoformat(self.modified_at) if self.modified_at else None
        return Identity(self.etag, self.size_bytes, modified)

    @property
    def is_known_to_pass_its_end(self) -> bool:
        """Whether its last row is after its span."""
        return bool(self.last_time) and datetime.fromisoformat(self.last_time) >= self.span.end

    @property
    def may_pass_its_end(self) -> bool:
        """Whether its last row is, or may be, after its span: older files do not tell."""
        return not self.last_time or self.is_known_to_pass_its_end

    def is_known_to_begin_within(self, slack: timedelta) -> bool:
        """Whether its first row is no later than that after the start of its span."""
        latest = self.span.start + slack
        return bool(self.first_time) and datetime.fromisoformat(self.first_time) < latest


@dataclass(frozen=True, slots=True)
class Patched:
    """Rows of REST that are in the file, unless an archive has replaced them since."""

    start: str
    end: str
    url: str
    asked_at: str
    rows: int

    @property
    def span(self) -> Span:
        return Span(datetime.fromisoformat(self.start), datetime.fromisoformat(self.end))


@dataclass(frozen=True, slots=True)
class Origin:
    """All that the rows of one file came from, oldest first."""

    sources: tuple[Source, ...] = ()
    patches: tuple[Patched, ...] = ()

    def others(self, accepted: Iterable[Accepted]) -> tuple[Source, ...]:
        """Return the sources that are other archives than those just *accepted*."""
        keys = {edition_key(archive.edition) for archive in accepted}
        return tuple(source for source in self.sources if source.key not in keys)

    def why_not_of(self, series: Series) -> str | None:
        """Return what shows that the rows are not those of *series*; None if nothing does."""
        if not self.sources and not self.patches:
            return "has no provenance metadata"
        for source in self.sources:
            archive = vendor.archive_in(source.key)
            if archive is None or archive.series != series:
                return f"holds {source.key}, of another series"
        return None

    def plus(self, accepted: Iterable[Accepted], patches: Iterable[Patch]) -> "Origin":
        """Return what the rows come from once these are built in, over their older editions."""
        new = list(accepted)
        sources = sorted({*self.others(new), *map(_source, new)}, key=lambda s: s.period)
        patched = sorted({*self.patches, *map(_patched, patches)}, key=lambda p: p.start)
        return Origin(tuple(sources), tuple(patched))

    def inside(self, span: Span) -> "Origin":
        """Return what has rows in *span*."""
        sources = (source for source in self.sources if source.span.overlaps(span))
        return Origin(tuple(sources), tuple(p for p in self.patches if p.span.overlaps(span)))


def edition_key(edition: Edition) -> str:
    """Return what a source's key is for that edition."""
    return vendor.archive_key(edition.archive)


def metadata(origin: Origin) -> str:
    """Return the KV_METADATA of a COPY statement."""
    values = {
        _SOURCES: _json([_flat(source) for source in origin.sources]),
        _PATCHES: _json([_flat(patch) for patch in origin.patches]),
        _VERSION: __version__,
        _FORMAT: str(FORMAT),
    }
    return "{" + ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in values.items()) + "}"


def origin_of(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> Origin:
    """Return what the rows of partition files came from.

    Raises MalformedError if a file has that in no form of ours.
    """
    if not paths:
        return Origin()
    found = connection.execute(
        "SELECT decode(key), decode(value) FROM"
        f" parquet_kv_metadata({listed([str(p) for p in paths])})"
    ).fetchall()
    try:
        sources = _once(_source_in(item) for item in _items(found, _SOURCES))
        patches = {Patched(**item) for item in _items(found, _PATCHES)}
    except (ValueError, TypeError) as error:
        raise MalformedError(f"has unreadable provenance metadata: {error}") from error
    return Origin(
        tuple(sorted(sources, key=lambda source: source.period)),
        tuple(sorted(patches, key=lambda patch: patch.start)),
    )


def _items(metadata: Iterable[tuple[str, str]], name: str) -> Iterator[Any]:
    for key, text in metadata:
        if key == name:
            yield from json.loads(text)


def _once(sources: Iterable[Source]) -> Iterable[Source]:
    """Return each edition once, from a file that tells its first and last row if one does."""
    ordered = sorted(sources, key=lambda source: bool(source.last_time))
    return {(source.key, source.sha256): source for source in ordered}.values()


def _source_in(item: dict[str, Any]) -> Source:
    source = Source(**item)
    for time in filter(None, (source.first_time, source.last_time)):
        datetime.fromisoformat(time)  # or whoever reads it would meet the error
    return replace(source, checksum=Checksum(source.checksum))  # JSON has it as text


def _flat(one: Source | Patched) -> dict[str, Any]:
    """Return the fields by name; dataclasses.asdict would copy each of their values."""
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _source(accepted: Accepted) -> Source:
    edition, identity = accepted.edition, accepted.edition.identity
    return Source(
        key=edition_key(edition),
        period=str(edition.archive.period),
        etag=identity.etag,
        sha256=edition.sha256,
        size_bytes=identity.size_bytes,
        modified_at=identity.modified_at.isoformat() if identity.modified_at else "",
        rows=accepted.rows,
        checksum=edition.checksum,
        first_time=accepted.first_time.isoformat(),
        last_time=accepted.last_time.isoformat(),
    )


def _patched(patch: Patch) -> Patched:
    span, asked_at = patch.span, patch.asked_at
    return Patched(
        span.start.isoformat(), span.end.isoformat(), patch.url, asked_at.isoformat(), patch.rows
    )
