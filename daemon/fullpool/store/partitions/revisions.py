"""Counts the rows that a republished archive added, removed and changed."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from fullpool.kinds import Kind, kind_of
from fullpool.model import Span
from fullpool.store.duck import quoted
from fullpool.store.partitions import csv_rows, rows
from fullpool.store.partitions.messages import Accepted, Order, Revision
from fullpool.store.partitions.provenance import Origin, edition_key


def revisions(
    connection: duckdb.DuckDBPyConnection,
    order: Order,
    accepted: Sequence[Accepted],
    before: Origin,
    whole: Path,
) -> tuple[Revision, ...]:
    """Return a revision for each of *accepted* that the files it replaces had other bytes of."""
    kind, held = kind_of(order.step.series), [order.root / f.path for f in order.step.files]
    sources = {source.key: source for source in before.sources}
    found = []
    for archive in accepted:
        old = sources.get(edition_key(archive.edition))
        if old is None or old.sha256 == archive.edition.sha256:
            continue
        sql = _counts(kind, held, whole, archive.edition.archive.period.span)
        counts = connection.execute(sql).fetchone()
        assert counts is not None
        found.append(
            Revision(
                edition=archive.edition,
                old=old.identity,
                old_sha256=old.sha256,
                added=counts[0],
                removed=counts[1],
                changed=counts[2],
            )
        )
    return tuple(found)


def _counts(kind: Kind, held: Sequence[Path], whole: Path, span: Span) -> str:
    """Select how many rows of archives in *span* are new, gone, and of other values."""
    inside = (
        f"{csv_rows.SOURCE_COLUMN} <> {quoted(csv_rows.REST)} AND {rows.within(kind.time, span)}"
    )
    old = " UNION ALL ".join(f"SELECT * FROM {rows.parquet(p)} WHERE {inside}" for p in held)
    new = f"SELECT * FROM {rows.parquet(whole)} WHERE {inside}"
    return rows.changes_of(kind, old, new)
