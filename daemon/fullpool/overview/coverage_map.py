"""The coverage map: a row for each series, a cell for each month or day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from fullpool.grid import bars
from fullpool.model import Interval
from fullpool.overview.states import (
    ARCHIVED,
    EXPLAINED,
    FOLLOWED,
    MARKED,
    MEASURED,
    NOT_LISTED,
    NOT_PUBLISHED,
    OPEN,
    OUTSIDE,
    PATCHED,
    shortened,
)
from fullpool.store.catalogue.reader import Queries
from fullpool.store.catalogue.sync_tables import end_of
from fullpool.store.duck import quoted

SERIES: Final = "market, kind, symbol, interval"


class Unit(StrEnum):
    """How long a cell is."""

    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Columns:
    """The cells of a map: *count* of one *unit*, from *first* on (UTC, without a zone)."""

    unit: Unit
    first: datetime
    count: int


@dataclass(frozen=True, slots=True)
class MapRow:
    """A series, and its cells in runs: see `shortened`."""

    market: str
    kind: str
    symbol: str
    interval: str
    rows: int
    missing_rows: int
    explained_rows: int
    lag_s: int | None
    cells: str

    @property
    def group(self) -> str:
        """Its market, kind and interval: what stands together in the map."""
        return "/".join(part for part in (self.market, self.kind, self.interval) if part)

    @property
    def name(self) -> str:
        """The series as it is written everywhere."""
        parts = (self.market, self.kind, self.symbol, self.interval)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class CoverageMap:
    """The map of some series, sorted by group and symbol."""

    columns: Columns
    rows: tuple[MapRow, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of one series: what it is, and how many rows are of what."""

    opens: datetime
    code: str
    rows: dict[str, int]


def all_months(source: Queries) -> Columns:
    """Return the months from the first row that is expected to the last that is there."""
    sql = f"""SELECT date_trunc('month', min(seen_from)),
        date_diff('month', date_trunc('month', min(seen_from)), max(seen_until) - {_INSTANT}) + 1
        FROM ({_SEEN})"""
    ((first, count),) = source.query(sql).rows
    return Columns(Unit.MONTH, first or datetime(1970, 1, 1), int(count or 0))  # noqa: DTZ001


def coverage_map(source: Queries, columns: Columns) -> CoverageMap:
    """Return the map of all series."""
    sql = f"""
        WITH {_cells(columns, "")}, lines AS (
          SELECT {SERIES}, list(code ORDER BY opens) AS codes, min(opens) AS opens FROM cells
          GROUP BY ALL)
        SELECT c.market, c.kind, c.symbol, coalesce(c.interval, ''), c.row_count, c.open_rows,
          c.explained_rows, CASE WHEN c.is_trading THEN c.lag_s END, l.codes,
          date_diff({quoted(columns.unit)}, {_stamp(columns.first)}, l.opens)
        FROM sync.coverage AS c LEFT JOIN lines AS l ON {_same("l", "c")}
        ORDER BY c.market, c.kind, c.interval, c.symbol"""
    rows = (_row(row, columns.count) for row in source.query(sql).rows)
    return CoverageMap(columns, tuple(rows))


def _row(row: tuple[Any, ...], count: int) -> MapRow:
    market, kind, symbol, interval, rows, missing, explained, lag_s, codes, before = row
    cells = [OUTSIDE.letter] * int(before or 0) + list(codes or ())
    cells += [OUTSIDE.letter] * (count - len(cells))
    return MapRow(
        market, kind, symbol, interval, rows, missing, explained, lag_s, shortened(cells)
    )  # fmt: skip


def cells_of(source: Queries, columns: Columns, series: Sequence[str]) -> list[Cell]:
    """Return the cells of one series: market, kind, symbol, interval or ''."""
    where = f"""WHERE (market, kind, symbol, coalesce(interval, ''))
        = ({", ".join(map(quoted, series))})"""
    measured = ", ".join(f"rows_{state.letter}" for state in (ARCHIVED, *MEASURED))
    sql = f"""WITH {_cells(columns, where)}
        SELECT opens, code, length_s, {measured} FROM cells ORDER BY opens"""
    step = bars(Interval(series[3])).step if series[3] else None
    return [_cell(*row, step=step) for row in source.query(sql).rows]


def _cell(
    opens: datetime, code: str, length_s: float, archived: float, *rows: float,
    step: timedelta | None,
) -> Cell:  # fmt: skip
    """Return a cell with its rows by state; of bars those that are archived follow from the rest.

    An archive of a month does not tell how many of its rows are of which day.
    """
    if step and code.startswith(ARCHIVED.letter):
        archived = max(length_s / step.total_seconds() - sum(rows), 0)
    names = [state.name for state in (ARCHIVED, *MEASURED)]
    counts = zip(names, (archived, *rows), strict=True)
    return Cell(opens, code, {name: round(count) for name, count in counts if round(count)})


_INSTANT: Final = "INTERVAL 1 MICROSECOND"
_SEEN: Final = f"""SELECT {SERIES}, least(expected_from, first_time) AS seen_from,
    greatest(expected_until, archived_until, followed_until, {end_of("last_time")}) AS seen_until
    FROM sync.coverage"""
_GAP_STATE: Final = f"""CASE WHEN status = 'open' THEN '{OPEN.letter}'
    WHEN explanation = 'not_published' THEN '{NOT_PUBLISHED.letter}'
    WHEN explanation = 'not_listed' THEN '{NOT_LISTED.letter}' ELSE '{EXPLAINED.letter}' END"""
# What an archive that is not in the lake says of its period, where no gap says more.
_ARCHIVE_STATE: Final = f"""CASE status WHEN 'present' THEN '{ARCHIVED.letter}'
    WHEN 'absent' THEN '{EXPLAINED.letter}' WHEN 'expected' THEN '{NOT_PUBLISHED.letter}'
    WHEN 'not_published' THEN '{NOT_PUBLISHED.letter}' ELSE '{OPEN.letter}' END"""


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{n} IS NOT DISTINCT FROM {other}.{n}" for n in SERIES.split(", "))


def _stamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"


def _cells(columns: Columns, where: str) -> str:
    """Return the queries, the last of them `cells`, of the series *where* holds for."""
    unit = columns.unit
    spans = " UNION ALL ".join(_spans(where))
    secs = _sums("secs", MEASURED)
    counts = _sums("part * row_count", MEASURED, "rows")
    return f"""
        seen AS (SELECT * FROM ({_SEEN}) {where}),
        spans AS (FROM ({spans}) WHERE ends > starts),
        parts AS (
          SELECT *, epoch(least(ends, opens + INTERVAL 1 {unit}) - greatest(starts, opens)) AS secs,
            secs / epoch(ends - starts) AS part
          FROM (SELECT *, unnest({_opens(columns, "starts", "ends")}) AS opens FROM spans)),
        measured AS (SELECT {SERIES}, opens, {secs}, {counts} FROM parts GROUP BY ALL),
        archived AS ({_archived(columns, where)}),
        grid AS (
          SELECT {SERIES}, opens, epoch(least(opens + INTERVAL 1 {unit}, seen_until)
            - greatest(opens, seen_from)) AS length_s
          FROM (SELECT *, unnest({_opens(columns, "seen_from", "seen_until")}) AS opens
            FROM seen)),
        cells AS (
          SELECT {_own("g")}, g.opens, length_s, {_code()} AS code,
            coalesce(n.archived_rows, 0) AS rows_{ARCHIVED.letter},
            {", ".join(f"coalesce(m.rows_{s.letter}, 0) AS rows_{s.letter}" for s in MEASURED)}
          FROM grid AS g LEFT JOIN measured AS m ON {_same("m", "g")} AND m.opens = g.opens
          LEFT JOIN archived AS n ON {_same("n", "g")} AND n.opens = g.opens)"""


def _own(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in SERIES.split(", "))


def _spans(where: str) -> Iterable[str]:
    """Yield the queries of what is known of spans of time: state, from when, until when, rows."""
    yield f"""SELECT {SERIES}, {_GAP_STATE} AS state, gap_start AS starts, gap_end AS ends,
        row_count FROM sync.gaps {where}"""
    for table, state in (("patched", PATCHED), ("followed", FOLLOWED)):
        yield f"""SELECT {SERIES}, {quoted(state.letter)}, first_time,
            {end_of("last_time")}, row_count FROM sync.{table} {where}"""


def _sums(value: str, states: Iterable[Any], name: str = "secs") -> str:
    return ", ".join(
        f"coalesce(sum({value}) FILTER (state = '{s.letter}'), 0) AS {name}_{s.letter}"
        for s in states
    )


def _archived(columns: Columns, where: str) -> str:
    """Select what archives and files each cell has; archives of days within months count once.

    That a month has so many rows does not tell how many each of its days has.
    """
    present = "status = 'present'"
    monthly = f"{present} AND length(period) = 7"
    rank = f"CASE state WHEN '{OPEN.letter}' THEN 3 WHEN '{NOT_PUBLISHED.letter}' THEN 2 ELSE 1 END"
    opens = f"unnest({_opens(columns, 'period_start', 'period_end')}) AS opens"
    rows = f"if(length(period) = 7 AND '{columns.unit}' = 'day', NULL, row_count) AS row_count"
    return f"""
        SELECT {SERIES}, opens, bool_or({present}) AS is_present, max_by(state, {rank}) AS state,
          coalesce(sum(row_count) FILTER ({monthly}), sum(row_count) FILTER ({present}), 0)
            AS archived_rows
        FROM (
          SELECT {SERIES}, {opens}, status, period, {rows}, {_ARCHIVE_STATE} AS state
          FROM sync.archives {where}
          UNION ALL
          SELECT {SERIES}, unnest({_opens(columns, "first_time", f"last_time + {_INSTANT}")}),
            'present', '', NULL, '{ARCHIVED.letter}' FROM sync.partitions {where})
        GROUP BY ALL"""


def _opens(columns: Columns, start: str, end: str) -> str:
    """Return the SQL of a list of when the cells open that lie in a span of time."""
    first, unit = _stamp(columns.first), columns.unit
    last = f"{first} + INTERVAL {columns.count} {unit}"
    return (
        f"generate_series(greatest(date_trunc('{unit}', {start}), {first}),"
        f" least({end}, {last}) - {_INSTANT}, INTERVAL 1 {unit})"
    )


def _code() -> str:
    """Return the SQL of a cell: the letter of what most of it is, and a small one of its mark."""
    known = {state: f"coalesce(m.secs_{state.letter}, 0)" for state in MEASURED}
    all_known = " + ".join(known.values())
    most = f"greatest({', '.join(known.values())})"
    is_held = "coalesce(n.is_present, false)"
    of_known = " ".join(f"WHEN {known[s]} >= {most} THEN '{s.letter}'" for s in MEASURED)
    base = f"""CASE WHEN {is_held} AND length_s - ({all_known}) >= {most} THEN '{ARCHIVED.letter}'
        WHEN {most} <= 0 THEN coalesce(n.state, '{OUTSIDE.letter}') {of_known} END"""
    marks = " ".join(
        f"WHEN {known[s]} > 0 AND base <> '{s.letter}' THEN '{s.letter.lower()}'" for s in MARKED
    )
    return f"({base}) AS base, base || CASE {marks} ELSE '' END"
