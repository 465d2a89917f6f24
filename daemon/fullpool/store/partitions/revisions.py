"""Counts the rows that a republished archive added, removed and changed."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from fullpool.kinds import KINDS, Kind
from fullpool.model import Span
from fullpool.store.duck import quoted
from fullpool.store.partitions import rows
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
    kind, held = KINDS[order.step.series.kind], [order.root / f.path for f in order.step.files]
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
    inside = f"{rows.SOURCE_COLUMN} <> {quoted(rows.REST)} AND {rows.within(kind.time, span)}"
    old = " UNION ALL ".join(f"SELECT * FROM {rows.parquet(p)} WHERE {inside}" for p in held)
    new = f"SELECT * FROM {rows.parquet(whole)} WHERE {inside}"
    names = [column.name for column in kind.kept if column.name != kind.key]
    differs = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in names)
    return (
        f"SELECT count(*) FILTER (o.{kind.key} IS NULL), count(*) FILTER (n.{kind.key} IS NULL),"
        f" count(*) FILTER (o.{kind.key} IS NOT NULL AND n.{kind.key} IS NOT NULL AND ({differs}))"
        f" FROM ({old}) AS o FULL JOIN ({new}) AS n ON o.{kind.key} = n.{kind.key}"
    )
