"""Converts rows of the gap tables to values and back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from fullpool import vendor
from fullpool.cuts import Cut, CutRows
from fullpool.evidence import Evidence
from fullpool.gaps import Expected, Explanation, Gap, GapStatus
from fullpool.grid import Places
from fullpool.model import Damage, Known, PartitionFile, Series, Span
from fullpool.store.state.tables import (
    SERIES_COLUMNS,
    at_utc,
    naive,
    same_series,
    series_in,
    series_values,
)

GAPS: Final = (
    "SELECT gaps.market, gaps.kind, gaps.symbol, gaps.interval, gap_start, gap_end, first_place,"
    " end_place, status, explanation, reason, evidence, found_at, asked_at, attempts, next_try_at,"
    " asked_since FROM sync.gaps"
)
# Gaps that were asked for, and of which the last question got no answer.
UNANSWERED: Final = (
    "status = 'open' AND attempts > 0 AND asked_at IS NOT NULL"
    " AND regexp_extract(coalesce(evidence, ''), '\"asked_at\": \"([^\"]{19})', 1)"
    " <> strftime(asked_at, '%Y-%m-%dT%H:%M:%S')"
)
# Gaps of what is configured: nobody looks into those of other series any more.
WANTED_GAPS: Final = (
    f"sync.gaps AS g WHERE EXISTS (SELECT 1 FROM sync.wanted AS w WHERE {same_series('w', 'g')})"
)
# How many rows are missing, by what is known of them: those from before trading began are none.
MISSING_ROWS: Final = (
    f"SELECT coalesce(explanation, status), sum(row_count)::BIGINT FROM {WANTED_GAPS}"
    " AND explanation IS DISTINCT FROM 'not_listed' GROUP BY ALL ORDER BY ALL"
)
GAP_COLUMNS: Final = (
    *SERIES_COLUMNS, "gap_start", "gap_end", "first_place", "end_place", "row_count", "status",
    "explanation", "reason", "evidence", "found_at", "asked_at", "attempts", "next_try_at",
    "asked_since", "recorded_at",
)  # fmt: skip
EXPECTED_COLUMNS: Final = (
    *SERIES_COLUMNS, "wanted_from", "wanted_to", "expected_from", "expected_until", "row_count",
)  # fmt: skip
CUT_COLUMNS: Final = (
    *SERIES_COLUMNS, "path", "span_start", "span_end", "row_count", "patched_rows",
)  # fmt: skip
EVIDENCE_COLUMNS: Final = (
    *SERIES_COLUMNS, "first_place", "end_place", "near_from", "near_to", "asked_at",
    "row_before", "row_after",
)  # fmt: skip


def look_row(known: Known) -> tuple[Any, ...]:
    """Return key, attempts and next try of an archive of the lake."""
    look = naive(known.next_try_at) if known.next_try_at else None
    return (vendor.archive_key(known.archive), known.attempts, look)


def lost_row(file: PartitionFile, damage: Damage) -> tuple[Any, ...]:
    """Return series, span, reason and fault of what a lost file held."""
    span = file.partition.period.span
    return (
        *series_values(file.partition.series),
        naive(span.start),
        naive(span.end),
        f"its partition file {file.path} {damage.words}",
        str(damage.fault),
    )


def gap_in(row: Sequence[Any]) -> Gap:
    """Return one row of GAPS."""
    (start, end, first, last, status, explanation, reason, evidence, found_at, asked_at, attempts,
     next_try_at, asked_since) = row[4:]  # fmt: skip
    return Gap(
        series=series_in(row),
        places=Places(first, last),
        span=Span(at_utc(start), at_utc(end)),
        found_at=at_utc(found_at),
        status=GapStatus(status),
        explanation=Explanation(explanation) if explanation else None,
        reason=reason,
        evidence=evidence,
        asked_at=at_utc(asked_at) if asked_at else None,
        attempts=attempts,
        next_try_at=at_utc(next_try_at) if next_try_at else None,
        asked_since=at_utc(asked_since) if asked_since else None,
    )


def gap_row(gap: Gap, recorded_at: datetime) -> tuple[Any, ...]:
    """Return the values of GAP_COLUMNS."""
    return (
        *series_values(gap.series),
        naive(gap.span.start),
        naive(gap.span.end),
        gap.places.first,
        gap.places.end,
        len(gap.places),
        str(gap.status),
        str(gap.explanation) if gap.explanation else None,
        gap.reason,
        gap.evidence,
        naive(gap.found_at),
        naive(gap.asked_at) if gap.asked_at else None,
        gap.attempts,
        naive(gap.next_try_at) if gap.next_try_at else None,
        naive(gap.asked_since) if gap.asked_since else None,
        naive(recorded_at),
    )


def evidence_in(row: Sequence[Any]) -> Evidence:
    """Return one row of EVIDENCE_COLUMNS."""
    first, end, start, until, asked_at, before, after = row[4:]
    return Evidence(
        series_in(row),
        Places(first, end),
        Span(at_utc(start), at_utc(until)),
        at_utc(asked_at),
        before,
        after,
    )


def evidence_row(one: Evidence) -> tuple[Any, ...]:
    """Return the values of EVIDENCE_COLUMNS."""
    places = one.places.first, one.places.end
    return (
        *series_values(one.series),
        *places,
        naive(one.near.start),
        naive(one.near.end),
        naive(one.asked_at),
        one.row_before,
        one.row_after,
    )


def expected_row(one: Expected) -> tuple[Any, ...]:
    """Return the values of EXPECTED_COLUMNS."""
    return (
        *series_values(one.series),
        naive(one.wanted.start),
        naive(one.wanted.end),
        naive(one.span.start),
        naive(one.span.end),
        one.rows,
    )


def cut_row(series: Series, cut: Cut, inside: CutRows) -> tuple[Any, ...]:
    """Return the values of CUT_COLUMNS."""
    start, end = naive(cut.span.start), naive(cut.span.end)
    return (*series_values(series), cut.path, start, end, inside.rows, inside.patched)
