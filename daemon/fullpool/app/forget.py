"""Removes series from the lake that nobody wants any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fullpool.app import clock
from fullpool.app.assembly import opened_state
from fullpool.app.configuration import tree_of
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import UsageError
from fullpool.model import Series, Status
from fullpool.store import duck, inventory
from fullpool.store.catalogue.reader import reading
from fullpool.store.quarantine import is_empty, release
from fullpool.store.state.tables import SERIES, same_series, series_in
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.sync import tails
from fullpool.sync.publishing import publish_state


@dataclass(frozen=True, slots=True)
class Held:
    """What the lake has of a series."""

    series: Series
    rows: int
    files: int
    size_bytes: int


def unwanted(config: Config, patterns: Sequence[str]) -> list[Held]:
    """Return the series that are meant: `um/klines/*UPUSDT/1m`, or only the beginning of that.

    Raises UsageError if a pattern means none, or one that the configuration asks for, NoLakeError.
    """
    with reading(tree_of(config)) as reader:
        rows = reader.query(
            "SELECT n.*, coalesce(row_count, 0), coalesce(files, 0), coalesce(size_bytes, 0)"
            f" FROM (SELECT {SERIES} FROM sync.coverage UNION SELECT {SERIES} FROM sync.archives"
            f" UNION SELECT {SERIES} FROM internal.listings) AS n LEFT JOIN sync.coverage AS c ON"
            f" {same_series('n', 'c')} ORDER BY ALL"
        ).rows
    held = [Held(series_in(row), *row[4:]) for row in rows]
    for pattern in patterns:
        if not any(_is_meant(one.series, [pattern]) for one in held):
            hint = "write MARKET/KIND/SYMBOL/INTERVAL; `fullpool status --series` lists all"
            raise UsageError(f"forgetting {pattern!r}: the lake has no such series", hint=hint)
    found = [one for one in held if _is_meant(one.series, patterns)]
    _require_unwanted(config, [one.series for one in found])
    return found


def _require_unwanted(config: Config, found: Sequence[Series]) -> None:
    wanted = [series for series in found if config.wants(series)]
    if wanted:
        more = f" and {len(wanted) - 1:,} more" if len(wanted) > 1 else ""
        raise UsageError(
            f"forgetting {wanted[0]}{more}: the configuration asks for it",
            hint="take it out of the configuration first, or the next sync would bring it back",
        )


def _is_meant(series: Series, patterns: Iterable[str]) -> bool:
    """Whether a name fits; only `*` and `?` are special."""
    plain = (pattern.rstrip("/").replace("[", "[[]") for pattern in patterns)
    name = str(series)
    return any(fnmatchcase(name, one) or fnmatchcase(name, f"{one}/*") for one in plain)


def require_free(config: Config) -> None:
    """Raise LakeBusyError if a daemon, or another command, writes the lake."""
    with writing(tree_of(config), "forget", clock.now()):
        pass


def forget(config: Config, series: Sequence[Series]) -> None:
    """Forget series, and publish; their files are deleted after lake.retain_hours.

    Raises LakeBusyError.
    """
    tree, now = tree_of(config), clock.now()
    with writing(tree, "forget", now) as held, opened_state(tree, held) as state:
        inventory.require_own_state(state, tree, inventory.partition_files(tree))
        _release(state, tree, series)
        with duck.map_errors("forgetting series"):
            tails.forget(state, tree, series, state.next_value("generation"), now)
            state.series.forget(series, now)
            publish_state(state, tree, state.next_value("generation"), now)


def _release(state: State, tree: Tree, series: Sequence[Series]) -> None:
    """Delete the archives of the series that are in quarantine."""
    if is_empty(tree):
        return
    for own in state.queries.known_of(series).values():
        for known in (one for one in own if one.status is Status.QUARANTINED):
            release(tree, known.archive)
