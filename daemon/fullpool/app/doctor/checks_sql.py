"""Checks by SQL on the newest generation: archives, gaps, bans, passes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.store.catalogue.reader import Queries
from fullpool.store.catalogue.sync_tables import is_by_month
from fullpool.store.state.gap_rows import UNANSWERED, WANTED_GAPS
from fullpool.store.tree import Tree

# So long after the end of its last bar a series lags more than is usual: archives of days come
# within hours, and those of months, which 3d, 1w and 1mo are published by, up to twenty days late.
LAGS: Final = timedelta(days=3)
LAGS_BY_MONTH: Final = timedelta(days=31 + 20 + 3)
_OPEN_FOR: Final = timedelta(days=1)
_MANY_GENERATIONS: Final = 500
# Two years of minutes: more than a hiccup of one series.
_MANY_ROWS: Final = 1_000_000
# Of what is wrong in the same way, so many are told.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something red, and what to do about it."""

    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Ill:
    """A query whose every row is something red; how to say it, and what to do, by its columns."""

    sql: str
    what: str
    advice: str

    def at(self, now: datetime) -> str:
        """Return the query as of *now*."""
        return self.sql.replace("now()", f"TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}'")


_ARCHIVES: Final = "if(count(*) = 1, '1 archive', count(*) || ' archives') AS archives"
# Archives whose file is lost; w is NULL where the configuration no longer includes them.
_LOST: Final = (
    "SELECT a.market || '/' || a.kind || '/' || a.symbol || coalesce('/' || a.interval, '')"
    f" AS series, {_ARCHIVES}, any_value(reason) AS reason"
    " FROM sync.archives AS a LEFT JOIN sync.wanted AS w ON a.market = w.market"
    " AND a.kind = w.kind AND a.symbol = w.symbol"
    " AND a.interval IS NOT DISTINCT FROM w.interval"
    " AND period_start < wanted_to AND period_end > wanted_from WHERE status = 'expected'"
    " AND fault IN ('file_gone', 'file_damaged')"
)
ILLS: Final = (
    Ill(
        "WITH late AS (SELECT market || '/' || kind || '/' || symbol"
        " || coalesce('/' || interval, '') AS series,"
        f" lag_s + date_diff('second', published_at, now()) AS lag,"
        f" if({is_by_month()},"
        f" {LAGS_BY_MONTH.total_seconds()}, {LAGS.total_seconds()}) AS usual"
        " FROM sync.coverage, sync.published WHERE is_trading)"
        " SELECT any_value(series ORDER BY lag DESC) AS series, max(lag) // 86400 AS days,"
        " if(count(*) = 1, '', ' and ' || count(*) - 1 || ' more') AS others"
        " FROM late WHERE lag > usual HAVING count(*) > 0",
        "{series}{others} lags by {days} days, more than usual",
        "run `fullpool sync`; sync.missing lists its missing archives and the reasons",
    ),
    Ill(
        f"SELECT status, {_ARCHIVES}, reason, coalesce('after ' || strftime(min(next_try_at),"
        " '%Y-%m-%d %H:%M UTC'), 'by the next pass') AS again,"
        " if(max(checksum IN ('missing', 'wrong')),"
        " '; [checks] in the configuration can accept such archives', '') AS checks"
        " FROM sync.missing WHERE status IN ('quarantined', 'failed') GROUP BY status, reason"
        f" ORDER BY count(*) DESC, reason LIMIT {_SHOWN}",
        "{archives} {status}: {reason}",
        "asked for again {again}; `fullpool sql 'FROM sync.missing'` lists them{checks}",
    ),
    Ill(
        f"{_LOST} AND w.symbol IS NULL GROUP BY series ORDER BY series LIMIT {_SHOWN}",
        "{archives} of {series} lost: {reason}; the configuration no longer includes them",
        "add them to the configuration to download them again; their rows are not in the lake",
    ),
    Ill(
        f"{_LOST} AND w.symbol IS NOT NULL GROUP BY series ORDER BY series LIMIT {_SHOWN}",
        "{archives} of {series} lost: {reason}",
        "run `fullpool sync`: it downloads them again",
    ),
    Ill(
        "SELECT count(*) AS gaps, format('{:,}', sum(row_count)::BIGINT) AS rows"
        f" FROM {WANTED_GAPS} AND status = 'open'"
        f" AND found_at < now() - INTERVAL {_OPEN_FOR.days} DAY HAVING gaps > 0",
        "gaps open for more than a day: {gaps}, of {rows} rows",
        "`fullpool gaps --open` shows why each could not be filled",
    ),
    Ill(
        "SELECT format('{:,}', sum(row_count)::BIGINT) AS rows"
        f" FROM {WANTED_GAPS} AND status = 'open'"
        f" AND found_at >= now() - INTERVAL {_OPEN_FOR.days} DAY"
        f" HAVING sum(row_count) > {_MANY_ROWS}",
        "{rows} rows were found missing within a day, and no source has provided them yet",
        "`fullpool gaps --open` lists them; [rest] in the configuration controls whether, and how"
        " much, the API is asked",
    ),
    Ill(
        "SELECT count(*) AS gaps, any_value(reason) AS reason"
        f" FROM {WANTED_GAPS} AND {UNANSWERED} HAVING gaps > 0",
        "the last question for {gaps} gaps got no answer: {reason}",
        "check the network and [rest] of the configuration; `fullpool sync` asks again at once",
    ),
    Ill(
        "SELECT host, banned_until, CASE WHEN status IN (403, 451) THEN 'the API does not serve"
        " this machine: name another host in [rest], or set rest.enabled = false' ELSE 'lower"
        " rest.weight_share if other programs share this address' END AS advice"
        " FROM sync.rest_bans WHERE banned_until > now()",
        "the API's host {host} is blocked until {banned_until} UTC",
        "gaps wait until then; {advice}",
    ),
    Ill(
        "SELECT reason, ended_at FROM sync.passes WHERE outcome = 'stopped'"
        " AND id = (SELECT max(id) FROM sync.passes)",
        "the last pass, of {ended_at} UTC, stopped: {reason}",
        "the next pass retries; fix the cause if it persists",
    ),
)


def recorded(reader: Queries, tree: Tree, now: datetime) -> Iterator[Finding]:
    """Yield what the newest generation reports, in the order of `ILLS`."""
    for ill in ILLS:
        for row in reader.query(ill.at(now)).as_dicts():
            shown = {name: _plain(value) for name, value in row.items()}
            yield Finding(ill.what.format(**shown), ill.advice.format(**shown))
    count = len(tree.generations())
    if count > _MANY_GENERATIONS:
        yield Finding(
            f"{count} generations are kept", "lower lake.retain_hours; housekeeping thins the rest"
        )


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value
