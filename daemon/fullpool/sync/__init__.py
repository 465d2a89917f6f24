"""One pass: discover, plan, fetch, build, record, publish. Calls in order and decides nothing."""

from fullpool.sync.archives.discover import Discovered, discover
from fullpool.sync.damage import tell_gone
from fullpool.sync.outcome import Outcome
from fullpool.sync.passes import run_audit, run_audited_pass, run_pass, run_patch, run_tick
from fullpool.sync.preview import Preview, preview
from fullpool.sync.publishing import publish_state
from fullpool.sync.work import Builders, Done, Map, Watcher, Work

__all__ = [
    "Builders",
    "Discovered",
    "Done",
    "Map",
    "Outcome",
    "Preview",
    "Watcher",
    "Work",
    "discover",
    "preview",
    "publish_state",
    "run_audit",
    "run_audited_pass",
    "run_pass",
    "run_patch",
    "run_tick",
    "tell_gone",
]
