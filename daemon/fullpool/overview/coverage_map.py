"""The coverage map: a row for each series, a cell for each month or day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Any, Final

from fullpool.grid import bars
from fullpool.kinds import BY_MONTH_ONLY, KINDS
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
    State,
    shortened,
)
from fullpool.store.catalogue.reader import Queries
from fullpool.store.catalogue.sync_tables import end_of
from fullpool.store.duck import quoted
from fullpool.store.state.tables import SERIES, same_series


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
    """A series, and its cells in runs: see `shortened`.

    One that *is_checked* was looked through for gaps; of others nobody knows what is missing.
    """

    market: str
    kind: str
    symbol: str
    interval: str
    rows: int
    missing_rows: int
    explained_rows: int
    lag_s: int | None
    is_checked: bool
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
    """Return the map of all series, those that have no row yet as well."""
    sql = f"""
        WITH {_cells(columns, "")}, lines AS (
          SELECT {SERIES}, list(code ORDER BY opens) AS codes, min(opens) AS opens FROM cells
          GROUP BY ALL)
        SELECT a.market, a.kind, a.symbol, coalesce(a.interval, ''),
          coalesce(c.row_count, 0), coalesce(c.open_rows, 0), coalesce(c.explained_rows, 0),
          CASE WHEN c.is_trading THEN c.lag_s END, c.expected_rows IS NOT NULL, l.codes,
          date_diff({quoted(columns.unit)}, {_stamp(columns.first)}, l.opens)
        FROM ({_ALL}) AS a LEFT JOIN sync.coverage AS c ON {same_series("c", "a")}
        LEFT JOIN lines AS l ON {same_series("l", "a")}
        ORDER BY a.market, a.kind, a.interval, a.symbol"""
    rows = (_row(row, columns.count) for row in source.query(sql).rows)
    return CoverageMap(columns, tuple(rows))


def _row(row: tuple[Any, ...], count: int) -> MapRow:
    *told, codes, before = row
    market, kind, symbol, interval, rows, missing, explained, lag_s, is_checked = told
    cells = [OUTSIDE.letter] * int(before or 0) + list(codes or ())
    cells += [OUTSIDE.letter] * (count - len(cells))
    return MapRow(
        market, kind, symbol, interval, rows, missing, explained, lag_s, is_checked,
        shortened(cells),
    )  # fmt: skip


def cells_of(source: Queries, columns: Columns, series: Sequence[str]) -> list[Cell]:
    """Return the cells of one series: market, kind, symbol, interval or ''."""
    where = f"""WHERE (market, kind, symbol, coalesce(interval, ''))
        = ({", ".join(map(quoted, series))})"""
    measured = ", ".join(f"rows_{state.letter}" for state in (ARCHIVED, *MEASURED))
    sql = f"""WITH {_cells(columns, where)}
        SELECT opens, code, length_s - missing_s, {measured} FROM cells ORDER BY opens"""
    return [_cell(*row, step_s=_even_step_s(series[3])) for row in source.query(sql).rows]


def _even_step_s(interval: str) -> float | None:
    """Return how long a bar is, if months and days are whole numbers of such bars."""
    if not interval or interval in BY_MONTH_ONLY:
        return None
    step = bars(Interval(interval)).step
    return None if step is None else step.total_seconds()


def _cell(
    opens: datetime, code: str, length_s: float, archived: float, *rows: float,
    step_s: float | None,
) -> Cell:  # fmt: skip
    """Return a cell with its rows by state; of bars those that are archived follow from the rest.

    An archive of a month does not tell how many of its rows are of which day.
    """
    if step_s and ARCHIVED.letter in code:
        archived = max(length_s / step_s - sum(rows), 0)
    names = [state.name for state in (ARCHIVED, *MEASURED)]
    counts = zip(names, (archived, *rows), strict=True)
    return Cell(opens, code, {name: round(count) for name, count in counts if round(count)})


_INSTANT: Final = "INTERVAL 1 MICROSECOND"
# Wanted series are there too whose archives are still to come.
_ALL: Final = f"""SELECT {SERIES} FROM sync.coverage
    UNION SELECT {SERIES} FROM sync.wanted"""
# What a series that still trades will have, of the time up to now.
_NOT_YET: Final = f"""
    SELECT {SERIES}, greatest(expected_until, archived_until, {end_of("last_time")}) AS starts,
      published_at AS ends FROM sync.coverage, sync.published
    WHERE is_trading AND followed_until IS NULL AND starts < ends"""
_SEEN: Final = f"""
    SELECT {SERIES}, min(starts) AS seen_from, max(ends) AS seen_until FROM (
      SELECT {SERIES}, least(expected_from, first_time) AS starts,
        greatest(expected_until, followed_until, {end_of("last_time")}) AS ends FROM sync.coverage
      UNION ALL SELECT {SERIES}, period_start, period_end FROM sync.archives
      UNION ALL SELECT {SERIES}, starts, ends FROM ({_NOT_YET}))
    WHERE starts < ends GROUP BY ALL"""
_GAP_STATE: Final = f"""CASE WHEN status = 'open' THEN '{OPEN.letter}'
    WHEN explanation = 'not_published' THEN '{NOT_PUBLISHED.letter}'
    WHEN explanation = 'not_listed' THEN '{NOT_LISTED.letter}' ELSE '{EXPLAINED.letter}' END"""
# What an archive that is not in the lake says of its period, where no gap says more.
_ARCHIVE_STATE: Final = f"""CASE status WHEN 'present' THEN '{ARCHIVED.letter}'
    WHEN 'absent' THEN '{EXPLAINED.letter}'
    WHEN 'expected' THEN if(coalesce(fault IN ('file_gone', 'file_damaged'), false),
        '{OPEN.letter}', '{NOT_PUBLISHED.letter}')
    WHEN 'not_published' THEN '{NOT_PUBLISHED.letter}' ELSE '{OPEN.letter}' END"""


def _uneven_step() -> str:
    """Return the SQL of how far rows of a kind without intervals are from each other, at most."""
    steps = " ".join(
        f"WHEN {quoted(kind.name)} THEN INTERVAL {kind.step.total_seconds():.0f} SECOND"
        for kind in KINDS.values()
        if kind.step is not None and not kind.intervals
    )
    return f"CASE kind {steps} ELSE INTERVAL 1 SECOND END"


def _bar_s() -> str:
    """Return the SQL of how many seconds a bar has that months and days have whole numbers of."""
    steps = " ".join(
        f"WHEN {quoted(interval)} THEN {step}"
        for interval in Interval
        if (step := _even_step_s(interval))
    )
    return f"CASE interval {steps} ELSE 'infinity'::DOUBLE END"


def _stamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"


def _cells(columns: Columns, where: str) -> str:
    """Return the queries, the last of them `cells`, of the series *where* holds for."""
    unit, spans = columns.unit, " UNION ALL ".join(_spans(where))
    secs, counts = _sums("secs", "secs"), _sums("part * row_count", "rows")
    known = " + ".join(f"secs_{state.letter}" for state in MEASURED)
    measured = ", ".join(
        f"coalesce({name}_{state.letter}, 0) AS {name}_{state.letter}"
        for name, state in product(("secs", "rows"), MEASURED)
    )
    return f"""
        seen AS (SELECT * FROM ({_SEEN}) {where}),
        spans AS (FROM ({spans}) WHERE ends > starts),
        parts AS (
          SELECT *, epoch(least(ends, opens + INTERVAL 1 {unit}) - greatest(starts, opens))
            AS secs, secs / epoch(ends - starts) AS part
          FROM (SELECT *, unnest({_opens(columns, "starts", "ends")}) AS opens FROM spans)),
        measured AS (
          SELECT *, {known} AS known_s
          FROM (SELECT {SERIES}, opens, {secs}, {counts} FROM parts GROUP BY ALL)),
        archived AS ({_archived(columns, where)}),
        grid AS (
          SELECT {SERIES}, opens, epoch(least(opens + INTERVAL 1 {unit}, seen_until)
            - greatest(opens, seen_from)) AS length_s
          FROM (SELECT *, unnest({_opens(columns, "seen_from", "seen_until")}) AS opens FROM seen)),
        joined AS (
          SELECT {_own("g")}, g.opens, length_s, coalesce(is_present, false) AS is_present, state,
            coalesce(greatest(0, least(absent_s, length_s - present_s - coalesce(known_s, 0))), 0)
              AS missing_s,
            coalesce(archived_rows, 0) AS rows_{ARCHIVED.letter}, {measured}
          FROM grid AS g LEFT JOIN measured AS m ON {same_series("m", "g")} AND m.opens = g.opens
          LEFT JOIN archived AS n ON {same_series("n", "g")} AND n.opens = g.opens),
        cells AS (SELECT *, {_code()} AS code FROM joined)"""


def _own(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in SERIES.split(", "))


def _spans(where: str) -> Iterable[str]:
    """Yield the queries of what is known of spans of time: state, from when, until when, rows."""
    yield f"""SELECT {SERIES}, {_GAP_STATE} AS state, gap_start AS starts, gap_end AS ends,
        row_count FROM sync.gaps {where}"""
    yield f"""SELECT {SERIES}, '{NOT_PUBLISHED.letter}', starts, ends,
        (epoch(ends - starts) / ({_bar_s()}))::BIGINT FROM ({_NOT_YET}) {where}"""
    for table, state in (("patched", PATCHED), ("followed", FOLLOWED)):
        yield f"""SELECT {SERIES}, {quoted(state.letter)}, first_time,
            CASE WHEN interval IS NULL THEN last_time + {_uneven_step()}
              ELSE {end_of("last_time")} END, row_count FROM sync.{table} {where}"""


def _sums(value: str, name: str) -> str:
    return ", ".join(
        f"coalesce(sum({value}) FILTER (state = '{s.letter}'), 0) AS {name}_{s.letter}"
        for s in MEASURED
    )


def _archived(columns: Columns, where: str) -> str:
    """Select what archives each cell has and lacks; those of days within months count once.

    That a month has so many rows does not tell how many each of its days has.
    """
    monthly, present = "length(period) = 7", f"state = '{ARCHIVED.letter}'"
    rank = f"CASE state WHEN '{OPEN.letter}' THEN 3 WHEN '{NOT_PUBLISHED.letter}' THEN 2 ELSE 1 END"
    opens = f"unnest({_opens(columns, 'period_start', 'period_end')}) AS opens"
    rows = f"if({monthly} AND '{columns.unit}' = 'day', NULL, row_count) AS row_count"
    cell = f"opens + INTERVAL 1 {columns.unit}"
    return f"""
        SELECT {SERIES}, opens, bool_or({present}) AS is_present,
          max_by(state, {rank}) FILTER (NOT {present}) AS state,
          coalesce(sum(secs) FILTER (NOT {present}), 0) AS absent_s,
          greatest(coalesce(sum(secs) FILTER ({present} AND {monthly}), 0),
            coalesce(sum(secs) FILTER ({present} AND NOT {monthly}), 0)) AS present_s,
          coalesce(sum(row_count) FILTER ({present} AND {monthly}),
            sum(row_count) FILTER ({present}), 0) AS archived_rows
        FROM (
          SELECT *, epoch(least(period_end, {cell}) - greatest(period_start, opens)) AS secs
          FROM (SELECT {SERIES}, {opens}, period, period_start, period_end, {rows},
            {_ARCHIVE_STATE} AS state FROM sync.archives {where}))
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
    known = {state: _known_s(state) for state in MEASURED}
    most = f"greatest({', '.join(known.values())})"
    archived = f"length_s - ({' + '.join(known.values())})"
    of_known = " ".join(f"WHEN {known[s]} >= {most} THEN '{s.letter}'" for s in MEASURED)
    base = f"""CASE WHEN is_present AND {archived} >= {most} THEN '{ARCHIVED.letter}'
        WHEN {most} <= 0 THEN '{OUTSIDE.letter}' {of_known} END"""
    marks = " ".join(
        f"WHEN {known[s]} > 0 AND base <> '{s.letter}' THEN '{s.letter.lower()}'" for s in MARKED
    )
    return f"({base}) AS base, base || CASE {marks} ELSE '' END"


def _known_s(state: State) -> str:
    """Return the SQL of how many seconds of a cell are in a state, its missing archives as well."""
    return f"(secs_{state.letter} + if(state = '{state.letter}', missing_s, 0))"
