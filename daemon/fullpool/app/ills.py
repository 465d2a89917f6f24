"""What the record of a lake tells of what is wrong: archives, gaps, bans, passes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.store.reader import Reader
from fullpool.store.tree import Tree

_LAGS: Final = timedelta(days=3)
_OPEN_FOR: Final = timedelta(days=1)
_MANY_GENERATIONS: Final = 500
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


_ARCHIVES: Final = "if(count(*) = 1, '1 archive', count(*) || ' archives') AS archives"
ILLS: Final = (
    Ill(
        "SELECT market || '/' || kind || '/' || symbol || coalesce('/' || interval, '') AS series,"
        " lag_s // 86400 AS days FROM sync.coverage WHERE is_trading"
        f" AND lag_s > {_LAGS.total_seconds()} ORDER BY lag_s DESC LIMIT {_SHOWN}",
        "{series} lags by {days} days, more than usual",
        "run `fullpool sync`; sync.missing tells which of its archives are not there, and why",
    ),
    Ill(
        f"SELECT status, {_ARCHIVES}, reason, coalesce('after ' || strftime(min(next_try_at),"
        " '%Y-%m-%d %H:%M UTC'), 'by the next pass') AS again,"
        " if(max(checksum IN ('missing', 'wrong')),"
        " '; [checks] in the configuration lets such in', '') AS checks FROM sync.missing"
        " WHERE status IN ('quarantined', 'failed') GROUP BY status, reason"
        f" ORDER BY count(*) DESC, reason LIMIT {_SHOWN}",
        "{archives} {status}: {reason}",
        "asked for again {again}; `fullpool sql 'FROM sync.missing'` lists them{checks}",
    ),
    Ill(
        f"SELECT a.market || '/' || a.kind || '/' || a.symbol AS series, {_ARCHIVES},"
        " any_value(reason) AS reason"
        " FROM sync.archives AS a LEFT JOIN sync.wanted AS w ON a.market = w.market"
        " AND a.kind = w.kind AND a.symbol = w.symbol"
        " AND a.interval IS NOT DISTINCT FROM w.interval"
        " AND period_start < wanted_to AND period_end > wanted_from"
        " WHERE status = 'expected' AND fault = 'file_damaged'"
        f" AND w.symbol IS NULL GROUP BY series ORDER BY series LIMIT {_SHOWN}",
        "{archives} of {series} lost, for {reason}; the configuration asks for no such any more",
        "name them in the configuration to have them fetched again; its rows are not in the lake",
    ),
    Ill(
        "SELECT count(*) AS gaps FROM sync.gaps WHERE status = 'open'"
        f" AND found_at < now() AT TIME ZONE 'UTC' - INTERVAL {_OPEN_FOR.days} DAY"
        " HAVING gaps > 0",
        "gaps that are open for more than a day: {gaps}",
        "`fullpool gaps --open` tells why each could not be had",
    ),
    Ill(
        "SELECT host, banned_until FROM sync.rest_bans"
        " WHERE banned_until > now() AT TIME ZONE 'UTC'",
        "the API's host {host} is not asked before {banned_until} UTC",
        "lower rest.weight_share if other programs use this address; gaps wait until then",
    ),
    Ill(
        "SELECT reason, ended_at FROM sync.passes WHERE outcome = 'stopped'"
        " AND id = (SELECT max(id) FROM sync.passes)",
        "the last pass, of {ended_at} UTC, stopped: {reason}",
        "the next one tries again; see its reason",
    ),
)


def recorded(reader: Reader, tree: Tree) -> Iterator[Finding]:
    """Yield what the newest generation tells of, in the order of `ILLS`."""
    for ill in ILLS:
        for row in reader.query(ill.sql).as_dicts():
            shown = {name: _plain(value) for name, value in row.items()}
            yield Finding(ill.what.format(**shown), ill.advice.format(**shown))
    count = len(tree.generations())
    if count > _MANY_GENERATIONS:
        yield Finding(
            f"{count} generations are kept", "lower lake.retain_hours; housekeeping thins the rest"
        )


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value
