"""What a lake itself shows of what is wrong with it: its folders, files, state and record."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from fullpool.app import clock
from fullpool.app.assembly import opened_state
from fullpool.app.lock import is_held, writing
from fullpool.app.verifying import strangers
from fullpool.errors import (
    DamagedError,
    FullpoolError,
    LakeBusyError,
    NoLakeError,
    StateDamagedError,
)
from fullpool.kinds import KINDS
from fullpool.model import PartitionFile
from fullpool.store import catalogue
from fullpool.store.reader import Reader, reading
from fullpool.store.tree import Tree

_LAGS: Final = timedelta(days=3)
_OPEN_FOR: Final = timedelta(days=1)
_MANY_GENERATIONS: Final = 500
# Of what is wrong in the same way, so many are told.
_SHOWN: Final = 5
_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE: Final = 0o077


@dataclass(frozen=True, slots=True)
class Finding:
    """Something red, and what to do about it."""

    what: str
    advice: str


def symptoms(tree: Tree) -> Iterator[Finding]:
    """Yield what is wrong with a lake, as far as it can be seen without reading every file."""
    yield from _folders(tree)
    yield from _state(tree)
    try:
        with reading(tree) as reader:
            yield from _files(reader, tree)
            yield from _record(reader, tree)
    except NoLakeError as error:
        yield Finding(str(error), error.hint)


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
    for path, others in _modes(tree):
        if mode := stat.S_IMODE(path.stat().st_mode) & others:
            yield Finding(
                f"{path} is open to others (by {mode:04o})",
                f"`chmod {'go=' if others == _PRIVATE else 'go-w'} {path}`",
            )


def _modes(tree: Tree) -> Iterator[tuple[Path, int]]:
    """Yield what is there that others should have no business in, and how they should not."""
    for path in (tree.root, tree.catalogues, *(tree.root / kind.table for kind in KINDS.values())):
        if path.exists():
            yield path, _OF_OTHERS
    for path in (tree.state.parent, tree.staging, tree.quarantine):
        if path.exists():
            yield path, _PRIVATE


def _state(tree: Tree) -> Iterator[Finding]:
    """Open the state as a sync would, unless somebody has it open."""
    if is_held(tree) or not os.access(tree.state.parent, os.W_OK):
        return
    if not tree.state.exists():
        yield Finding(f"{tree.state} is gone", StateDamagedError.hint)
        return
    try:
        with writing(tree, "doctor", clock.now()), opened_state(tree) as state:
            catalogue.require_own_state(state, tree, catalogue.partition_files(tree))
    except LakeBusyError:
        return
    except FullpoolError as error:
        yield Finding(str(error), error.hint)


def _files(reader: Reader, tree: Tree) -> Iterator[Finding]:
    """Look whether the files are there and as long as they were; `verify` reads them."""
    files = reader.memory.files()
    if harmed := [file.path for file in files if not _is_as_long(tree, file)]:
        yield Finding(
            f"{len(harmed)} files of the lake are gone or of another length, such as {harmed[0]}",
            DamagedError.hint,
        )
    if foreign := sorted(strangers(tree, reader.memory)):
        yield Finding(
            f"{len(foreign)} files in the lake are not its own, such as {foreign[0]}",
            "`fullpool verify --repair` moves them to .quarantine",
        )


def _is_as_long(tree: Tree, file: PartitionFile) -> bool:
    path = tree.root / file.path
    return path.exists() and path.stat().st_size == file.size_bytes


@dataclass(frozen=True, slots=True)
class Ill:
    """A query whose every row is something red, how to say it, and what to do."""

    sql: str
    what: str
    advice: str


_ILLS: Final = (
    Ill(
        "SELECT market || '/' || kind || '/' || symbol || coalesce('/' || interval, ''),"
        " lag_s // 86400 FROM sync.coverage WHERE is_trading"
        f" AND lag_s > {_LAGS.total_seconds()} ORDER BY lag_s DESC LIMIT {_SHOWN}",
        "{0} lags by {1} days, more than usual",
        "run `fullpool sync`; sync.missing tells which of its archives are not there, and why",
    ),
    Ill(
        "SELECT status, count(*), reason, coalesce('after ' || strftime(min(next_try_at),"
        " '%Y-%m-%d %H:%M UTC'), 'by the next pass'), if(contains(reason, 'CHECKSUM'),"
        " '; [checks] in the configuration lets such in', '') FROM sync.missing"
        " WHERE status IN ('quarantined', 'failed') GROUP BY status, reason"
        f" ORDER BY count(*) DESC, reason LIMIT {_SHOWN}",
        "{1} archives are {0}: {2}",
        "they are asked for again {3}; `fullpool sql 'FROM sync.missing'` lists them{4}",
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


def _record(reader: Reader, tree: Tree) -> Iterator[Finding]:
    for ill in _ILLS:
        for row in reader.query(ill.sql).rows:
            shown = [f"{v:%Y-%m-%d %H:%M}" if isinstance(v, datetime) else v for v in row]
            yield Finding(ill.what.format(*shown), ill.advice.format(*shown))
    count = len(tree.generations())
    if count > _MANY_GENERATIONS:
        yield Finding(
            f"{count} generations are kept", "lower lake.retain_hours; housekeeping thins the rest"
        )
