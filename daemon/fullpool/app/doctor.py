"""`fullpool doctor`: each thing that needs a person, in one sentence with what to do."""

import os
import shutil
import urllib.error
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from fullpool.app import clock
from fullpool.app.assembly import tree_of, working
from fullpool.app.pools import Idle
from fullpool.app.said import status_of
from fullpool.app.signals import Flag
from fullpool.config import Config
from fullpool.errors import FullpoolError, NoLakeError
from fullpool.store.reader import Reader, reading
from fullpool.store.tree import Tree
from fullpool.sync import Watcher

_CLOCK_OFF: Final = timedelta(seconds=60)
_LAGS: Final = timedelta(days=3)
_OPEN_FOR: Final = timedelta(days=1)
_MANY_GENERATIONS: Final = 500
_NEAR_FLOOR: Final = 1.25


@dataclass(frozen=True, slots=True)
class Finding:
    """Something red, and what to do about it."""

    what: str
    advice: str


def examine(config: Config, watcher: Watcher) -> list[Finding]:
    """Return everything that needs a person; asks the vendor's hosts for their time."""
    tree = tree_of(config)
    found = [*_folders(tree), *_disk(config, tree), *_daemon(tree), *_host(config, watcher)]
    try:
        with reading(tree) as reader:
            found += _lake(reader, tree)
    except NoLakeError as error:
        found.append(Finding(str(error), error.hint))
    return found


def _folders(tree: Tree) -> Iterator[Finding]:
    if not tree.root.exists():
        return
    if not os.access(tree.root, os.R_OK | os.X_OK):
        yield Finding(f"{tree.root} cannot be read", "give its group read access: docs/operate.md")
    elif os.access(tree.root, os.W_OK):
        own = (tree.staging, tree.state.parent, tree.quarantine, tree.catalogues)
        for folder in own:
            if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                yield Finding(
                    f"{folder} cannot be written",
                    "run fullpool as one user always; `chown -R` the lake to that one",
                )


def _disk(config: Config, tree: Tree) -> Iterator[Finding]:
    if tree.root.exists():
        free_gb = shutil.disk_usage(tree.root).free / 1e9
        if free_gb < config.lake.min_free_gb * _NEAR_FLOOR:
            yield Finding(
                f"{free_gb:.1f} GB are free on the lake's disk;"
                f" below {config.lake.min_free_gb:.1f} GB nothing is fetched",
                "free some space, lower lake.retain_hours, or move the lake: docs/operate.md",
            )


def _daemon(tree: Tree) -> Iterator[Finding]:
    said = status_of(tree)
    if said is not None:
        for problem in said["config_problems"]:
            yield Finding(f"an edit of {said['config']} is refused: {problem}", "mend it")


def _host(config: Config, watcher: Watcher) -> Iterator[Finding]:
    """Ask where the bucket is listed: whether it answers, and what time it has."""
    url = f"{config.network.listing_url}?max-keys=1"
    try:
        with (
            working(config, watcher, Flag(), nullcontext(Idle())) as work,
            work.opener().open(url) as answer,
        ):
            date = answer.headers.get("Date")
    except FullpoolError as error:
        yield Finding(str(error), error.hint)
        return
    except (OSError, urllib.error.URLError) as error:
        yield Finding(f"asking {url}: {error}", "check the network, a firewall, listing_url")
        return
    off = clock.now() - parsedate_to_datetime(date).astimezone(UTC) if date else timedelta()
    if abs(off) > _CLOCK_OFF:
        yield Finding(
            f"this machine's clock is {off.total_seconds():+,.0f} s off the vendor's",
            "set the clock (timedatectl set-ntp true); what is due depends on it",
        )


@dataclass(frozen=True, slots=True)
class Ill:
    """A query whose every row is something red, how to say it, and what to do."""

    sql: str
    what: str
    advice: str


_ILLS: Final = (
    Ill(
        "SELECT market || '/' || kind || '/' || symbol || coalesce('/' || c.interval, ''), lag_s"
        " FROM sync.coverage AS c JOIN sync.listings AS l USING (market, kind, symbol)"
        " WHERE is_wanted AND l.interval IS NOT DISTINCT FROM c.interval"
        " AND l.known_until >= l.listed_at - INTERVAL 14 DAY"
        f" AND lag_s > {_LAGS.total_seconds()} ORDER BY lag_s DESC LIMIT 5",
        "{0} lags by {1} s, more than usual",
        "`fullpool status` and sync.missing tell why its archives are not there",
    ),
    Ill(
        "SELECT status, count(*), any_value(reason) FROM sync.missing"
        " WHERE status IN ('quarantined', 'failed') GROUP BY status",
        "{1} archives are {0}; one because: {2}",
        "`fullpool status` lists them; they are asked for again by themselves",
    ),
    Ill(
        "SELECT count(*) FROM sync.gaps WHERE status = 'open'"
        f" AND found_at < now() AT TIME ZONE 'UTC' - INTERVAL {_OPEN_FOR.days} DAY"
        " HAVING count(*) > 0",
        "{0} gaps are open for more than a day",
        "`fullpool gaps --open` tells why each could not be had",
    ),
    Ill(
        "SELECT host, banned_until FROM sync.rest_bans"
        " WHERE banned_until > now() AT TIME ZONE 'UTC'",
        "the API's host {0} is not asked before {1} UTC",
        "lower rest.weight_share if other programs use this address; gaps wait until then",
    ),
    Ill(
        "SELECT outcome, ended_at FROM sync.passes WHERE starts_with(outcome, 'stopped')"
        " AND id = (SELECT max(id) FROM sync.passes)",
        "the last pass, of {1} UTC, {0}",
        "the next one tries again; see its reason",
    ),
)


def _lake(reader: Reader, tree: Tree) -> Iterator[Finding]:
    for ill in _ILLS:
        for row in reader.query(ill.sql).rows:
            shown = [f"{v:%Y-%m-%d %H:%M}" if isinstance(v, datetime) else v for v in row]
            yield Finding(ill.what.format(*shown), ill.advice)
    count = len(tree.generations())
    if count > _MANY_GENERATIONS:
        yield Finding(
            f"{count} generations are kept", "lower lake.retain_hours; housekeeping thins the rest"
        )
