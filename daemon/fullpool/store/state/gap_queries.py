"""Queries about gaps, evidence and publication delays."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import duckdb

from fullpool.cuts import Cut, CutRows
from fullpool.evidence import Evidence
from fullpool.gaps import Gap
from fullpool.model import Cadence, Series, Span
from fullpool.store.state.asking import OF_SERIES, rows_of
from fullpool.store.state.gap_rows import (
    CUT_COLUMNS,
    EVIDENCE_COLUMNS,
    GAPS,
    MISSING_ROWS,
    evidence_in,
    gap_in,
)
from fullpool.store.state.tables import DAY_LENGTH, at_utc, naive, series_in, series_names

_SHAPE: Final = ("market", "kind", "interval", "first_place", "end_place")
_UNTRIED: Final = (
    "a.market = gaps.market AND a.kind = gaps.kind AND a.symbol = gaps.symbol"
    " AND a.interval IS NOT DISTINCT FROM gaps.interval AND a.status IN ('expected', 'listed')"
    " AND a.period_start < gaps.gap_end AND a.period_end > gaps.gap_start"
    " AND EXISTS (SELECT 1 FROM sync.wanted AS w WHERE w.market = a.market AND w.kind = a.kind"
    " AND w.symbol = a.symbol AND w.interval IS NOT DISTINCT FROM a.interval"
    " AND w.wanted_from < a.period_end AND w.wanted_to > a.period_start)"
)
_LEARNED_FROM: Final = timedelta(days=60)
_LEARNED_FROM_ARCHIVES: Final = 20


class GapQueries:
    """The gaps, where rows are expected, the evidence, and how long archives take to come."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def expected(self) -> dict[Series, list[tuple[datetime, datetime, datetime]]]:
        """Return, by series, the spans that were configured and the ends that were looked up to.

        Nothing of a series that got new files since.
        """
        found: dict[Series, list[tuple[datetime, datetime, datetime]]] = defaultdict(list)
        for row in rows_of(
            self._connection,
            "SELECT market, kind, symbol, interval, wanted_from, wanted_to, expected_until"
            " FROM internal.expected WHERE wanted_from IS NOT NULL AND wanted_to IS NOT NULL"
            " ORDER BY ALL",
        ):
            start, end, until = map(at_utc, row[4:])
            found[series_in(row)].append((start, end, until))
        return found

    def counts_of(self, series: Iterable[Series]) -> dict[Series, dict[Cut, CutRows]]:
        """Return what is counted of the files of *series* that are only partly expected."""
        found: dict[Series, dict[Cut, CutRows]] = defaultdict(dict)
        for row in rows_of(
            self._connection,
            f"SELECT {', '.join(CUT_COLUMNS)} FROM internal.cuts {OF_SERIES}",
            [series_names(series)],
        ):
            path, start, end, *counts = row[4:]
            found[series_in(row)][Cut(path, Span(at_utc(start), at_utc(end)))] = CutRows(*counts)
        return found

    def evidence_of(self, series: Iterable[Series]) -> dict[Series, list[Evidence]]:
        """Return what the API was asked of *series* and does not have."""
        found: dict[Series, list[Evidence]] = defaultdict(list)
        for row in rows_of(
            self._connection,
            f"SELECT {', '.join(EVIDENCE_COLUMNS)} FROM sync.evidence {OF_SERIES}",
            [series_names(series)],
        ):
            one = evidence_in(row)
            found[one.series].append(one)
        return found

    def of(self, series: Iterable[Series]) -> dict[Series, list[Gap]]:
        """Return what is known of the gaps of *series*."""
        found: dict[Series, list[Gap]] = defaultdict(list)
        for row in rows_of(self._connection, f"{GAPS} {OF_SERIES}", [series_names(series)]):
            gap = gap_in(row)
            found[gap.series].append(gap)
        return found

    def due(self, now: datetime) -> list[Gap]:
        """Return the gaps worth asking for, and those of other symbols that are just like one.

        Not those whose archive is there and was not tried yet: it comes first.
        """
        same = " AND ".join(f"gaps.{name} IS NOT DISTINCT FROM d.{name}" for name in _SHAPE)
        found = rows_of(
            self._connection,
            f"{GAPS} SEMI JOIN (SELECT DISTINCT {', '.join(_SHAPE)} FROM sync.gaps WHERE"
            " (status = 'open' AND next_try_at IS NULL) OR next_try_at <= ?)"
            f" AS d ON {same} ANTI JOIN sync.archives AS a ON {_UNTRIED}",
            [naive(now)],
        )
        return [gap_in(row) for row in found]

    def rows_by_state(self) -> dict[str, int]:
        """Return how many rows are missing, by what is known of them.

        Those from before trading began are none.
        """
        return {str(what): int(rows) for what, rows in rows_of(self._connection, MISSING_ROWS)}

    def delays(self, now: datetime) -> dict[tuple[str, str, Cadence], timedelta]:
        """Return how long after its period an archive usually came: 9 of 10 of the last 60 days.

        Only where at least 20 are known. Archives republished long after do not count.
        """
        found = rows_of(
            self._connection,
            "SELECT market, kind, length(period), quantile_cont(epoch(modified_at - period_end),"
            " 0.9) FROM sync.archives WHERE modified_at BETWEEN period_end AND period_end +"
            " INTERVAL 20 DAY AND period_end >= ? GROUP BY ALL HAVING count(*) >= ?",
            [naive(now - _LEARNED_FROM), _LEARNED_FROM_ARCHIVES],
        )
        return {
            (market, kind, Cadence.DAY if length == DAY_LENGTH else Cadence.MONTH): timedelta(
                seconds=seconds
            )
            for market, kind, length, seconds in found
        }
