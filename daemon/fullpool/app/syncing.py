"""`fullpool sync` and `plan`: one pass, with everything it needs opened and closed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from fullpool.app import clock, pools
from fullpool.app.assembly import opened_state, working
from fullpool.app.configuration import tree_of
from fullpool.app.lock import writing
from fullpool.config import Config
from fullpool.errors import IncompleteError, NoSeriesError
from fullpool.model import Stop
from fullpool.store import inventory
from fullpool.store.catalogue.reader import reading
from fullpool.store.state.queries import empty_state
from fullpool.store.state.writer import State
from fullpool.sync.damage import tell_gone
from fullpool.sync.outcome import Outcome
from fullpool.sync.passes import run_audited_pass, run_pass
from fullpool.sync.preview import Preview, preview
from fullpool.sync.steps.step import Steps
from fullpool.sync.watcher import Watcher
from fullpool.sync.work import Work

Elsewhere = AbstractContextManager[Callable[[Steps], Steps] | None]


def sync(
    config: Config, watcher: Watcher, stop: Stop, *, elsewhere: Elsewhere | None = None
) -> Outcome:
    """Run one pass over everything configured, retrying what fails in its rounds.

    It audits once a day. Steps are done by what *elsewhere* opens, or else on this machine. Raises
    whatever made the pass stop; what is still missing by its end is in the outcome.
    """
    return _synced(config, watcher, stop, run_pass, elsewhere)


def audited_sync(
    config: Config, watcher: Watcher, stop: Stop, *, elsewhere: Elsewhere | None = None
) -> Outcome:
    """Do what `sync` does, and audit, whenever that was done last."""
    return _synced(config, watcher, stop, run_audited_pass, elsewhere)


def _synced(
    config: Config,
    watcher: Watcher,
    stop: Stop,
    act: Callable[[Work, State, str], Outcome],
    elsewhere: Elsewhere | None,
) -> Outcome:
    tree = tree_of(config)
    with writing(tree, "sync", clock.now()) as held, opened_state(tree, held) as state:
        tell_gone(inventory.sweep(state, tree, clock.now()))
        builders = pools.processes(config.limits.builders, stop)
        with (
            inventory.swept_if_cut_short(state, tree, stop, held.is_ours),
            elsewhere or nullcontext() as steps,
            working(
                config, watcher, stop, builders, bans=state.queries.bans(), elsewhere=steps
            ) as work,
        ):
            return act(work, state, "sync")


def require_complete(outcome: Outcome) -> None:
    """Raise IncompleteError if something is missing for a reason that is ours or the network's.

    And NoSeriesError if nothing could ever come: whoever looks at exit codes alone has to see that.
    """
    if reasons := outcome.troubles:
        raise IncompleteError(
            f"syncing: {len(reasons)} of what is due could not be imported\n{_first(reasons)}",
            hint=outcome.hint or None,
        )
    if not outcome.has_series:
        raise NoSeriesError("syncing: the vendor has none of the configured symbols")


def require_listed(found: Preview) -> None:
    """Raise IncompleteError if a series could not be listed, so that the plan lacks it."""
    if found.failed:
        reasons = [f"{name}: {reason}" for name, reason in found.failed.items()]
        raise IncompleteError(
            f"planning: {len(reasons)} could not be listed\n{_first(reasons)}",
            hint="check the network and listing_url; plan again",
        )


def plan(config: Config, watcher: Watcher, stop: Stop) -> Preview:
    """Return what the next pass would do, from what is published and what the vendor lists."""
    tree = tree_of(config)
    with working(config, watcher, stop, nullcontext(pools.Idle())) as work:
        if not tree.current.exists():
            return preview(work, empty_state())
        with reading(tree) as reader:
            return preview(work, reader.queries)


def _first(reasons: Sequence[str]) -> str:
    """Return the first of many reasons, a line each."""
    shown = "\n".join(f"  {reason}" for reason in reasons[:10])
    return shown + (f"\n  and {len(reasons) - 10} more" if len(reasons) > 10 else "")
