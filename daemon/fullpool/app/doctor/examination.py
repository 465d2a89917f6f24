"""`fullpool doctor`: runs all checks, and those of network, disk and clock."""

import shutil
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from fullpool import vendor
from fullpool.app import clock
from fullpool.app.assembly import working
from fullpool.app.configuration import tree_of
from fullpool.app.doctor.checks_lake import symptoms
from fullpool.app.doctor.checks_sql import Finding
from fullpool.app.pools import Idle
from fullpool.app.remarks import behind, never_listed, on_following, on_names
from fullpool.app.service.status_file import status_of
from fullpool.app.signals import Flag
from fullpool.config import Config
from fullpool.errors import FullpoolError, RemoteError
from fullpool.store import remote_record
from fullpool.store.catalogue.reader import reading
from fullpool.store.remote_record import RemoteRecord, words_of
from fullpool.store.tree import Tree
from fullpool.sync.watcher import Watcher
from fullpool.sync.work import Work
from fullpool.unknown import NO_ARCHIVE

_MISSPELLED: Final = "correct its spelling in the configuration, or remove it"
_LACKING: Final = "check its interval, start and end in the configuration, or remove it"
_NOT_FOUND: Final = 404
_CLOCK_OFF: Final = timedelta(seconds=60)
# A first publication may take longer: then it says so until it has come to its end.
_REMOTE_LATE: Final = timedelta(hours=2)
_NEAR_FLOOR: Final = 1.25
# Something that Binance has had for years. A mirror may lack it; it answers all the same.
_LONG_THERE: Final = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip.CHECKSUM"


def examine(config: Config, watcher: Watcher) -> list[Finding]:
    """Return everything that needs a person; asks the vendor's hosts for their time."""
    tree = tree_of(config)
    return [
        *_disk(config, tree),
        *_daemon(tree),
        *_hosts(config, watcher),
        *_asked_for(config),
        *_remote(config, tree),
        *symptoms(tree, clock.now()),
    ]


def examine_lake(tree: Tree, problems: Sequence[str] = ()) -> list[Finding]:
    """Return what needs a person about a lake whose configuration is not at hand, or is wrong."""
    wrong = [Finding(problem, "`fullpool check` lists what to correct") for problem in problems]
    return [*wrong, *_daemon(tree), *symptoms(tree, clock.now())]


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
    status = status_of(tree)
    if status is not None:
        for problem in status.config_problems:
            yield Finding(f"an edit of {status.config} is refused: {problem}", "correct it")


def _remote(config: Config, tree: Tree) -> Iterator[Finding]:
    """Look whether the copy in object storage is as far as the lake, or was a while ago."""
    to, newest = config.publish.to, tree.published()
    if not (to and newest):
        return
    known = remote_record.read_for(tree, to)
    if known is None:
        yield Finding(f"nothing is published to {to} yet", "run `fullpool publish`")
    elif known.reason:
        yield Finding(f"{to}: {words_of(known, newest)}", known.hint or RemoteError.hint)
    elif not known.has(newest, to) and _is_late(config, tree, known, clock.now()):
        yield Finding(f"{to}: {words_of(known, newest)}", "run `fullpool publish`")


def _is_late(config: Config, tree: Tree, known: RemoteRecord, now: datetime) -> bool:
    """Whether a generation has waited for its publication longer than that should take."""
    waiting = [number for number in tree.generations() if number > known.generation]
    allowed = _REMOTE_LATE + timedelta(seconds=config.publish.every_s)
    for number in waiting:
        with suppress(FileNotFoundError):  # it was removed meanwhile
            at = tree.catalogue(number).stat().st_mtime
            return now - datetime.fromtimestamp(at, UTC) > allowed
    return False


def _asked_for(config: Config) -> Iterator[Finding]:
    with suppress(FullpoolError), reading(tree_of(config)) as reader:
        if status_of(tree_of(config)):
            for late in behind(reader, config, clock.now()):
                yield Finding(late, "`journalctl -u fullpool -p warning` shows the log")
        for remark in on_names(reader, config):
            yield Finding(remark, _LACKING if remark.startswith(NO_ARCHIVE) else _MISSPELLED)
        for remark in on_following(reader, config):
            yield Finding(remark, "change `follow` of the datasets, or [rest] in the configuration")
        if series := never_listed(reader, config):
            more = f" and {len(series) - 1:,} more" if len(series) > 1 else ""
            yield Finding(
                f"{series[0]}{more} has not been looked up at the vendor yet",
                "run `fullpool sync`, or let the daemon run",
            )


def _hosts(config: Config, watcher: Watcher) -> Iterator[Finding]:
    """Ask both hosts of archives whether they answer, and what time they have."""
    network = config.network
    with working(config, watcher, Flag(), nullcontext(Idle())) as work:
        asked = [
            _ask(work, f"{network.listing_url}?max-keys=1"),
            _ask(work, vendor.url(network.archive_url, _LONG_THERE), may_lack=True),
        ]
    yield from (one for one in asked if isinstance(one, Finding))
    listed, _ = asked  # an archive may be an answer of long ago, from a cache
    date = listed if isinstance(listed, str) else ""
    off = clock.now() - parsedate_to_datetime(date).astimezone(UTC) if date else timedelta()
    if abs(off) > _CLOCK_OFF:
        yield Finding(
            f"this machine's clock is {off.total_seconds():+,.0f} s off the vendor's",
            "set the clock (timedatectl set-ntp true); what is due depends on it",
        )


def _ask(work: Work, url: str, *, may_lack: bool = False) -> Finding | str:
    """Return the Date of an answer, or what kept us from one."""
    try:
        with work.opener().open(url) as answer:
            return answer.headers.get("Date", "")
    except FullpoolError as error:
        return Finding(str(error), error.hint)
    except urllib.error.HTTPError as error:
        if may_lack and error.code == _NOT_FOUND:
            return error.headers.get("Date", "")
        return Finding(f"asking {url}: {error}", "check archive_url and listing_url")
    except OSError as error:
        return Finding(f"asking {url}: {error}", "check the network, a firewall, listing_url")
