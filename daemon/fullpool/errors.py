"""Every deliberate error: one class per operator action, with exit code and hint."""

import errno
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """The exit codes. The table may only grow; a test compares docs/reference.md with it."""

    OK = 0
    BUG = 1
    USAGE = 2
    CONFIG = 3
    INCOMPLETE = 4
    UNREACHABLE = 5
    UNTRUSTED = 6
    LAKE_UNWRITABLE = 7
    DISK_FULL = 8
    LAKE_BUSY = 9
    LAKE_NEWER = 10
    NO_LAKE = 11
    QUERY = 12
    STATE_DAMAGED = 13
    METRICS = 14
    NOT_RUNNING = 15
    DAMAGED = 16
    UNHEALTHY = 17
    WEB = 18
    REMOTE = 19
    CLUSTER = 20
    INTERRUPTED = 130
    TERMINATED = 143


# What the system says when a disk, or a quota of it, is used up; and when too many files are open.
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
NO_FILES: Final = (errno.EMFILE, errno.ENFILE)
# And when a file system has no hard links, or no symbolic ones.
NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FullpoolError(Exception):
    """Something an operator can act on: what was being done, to what, and what happened."""

    exit_code: Exit = Exit.BUG
    hint: str = "this is a bug in fullpool; please report it"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        self.add_note(f"hint: {self.hint}")  # shown by tracebacks and notebooks


class UsageError(FullpoolError):
    """An argument makes no sense."""

    exit_code = Exit.USAGE


class ConfigError(FullpoolError):
    """The configuration is wrong; *problems* holds every mistake, one line each."""

    exit_code = Exit.CONFIG
    hint = (
        "`fullpool init` writes a right one, in which every key is explained; commands that only"
        " read accept --lake instead"
    )

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"reading {source}: {count}\n" + "\n".join(f"  {p}" for p in problems))
        self.problems = problems


class NoSeriesError(FullpoolError):
    """The configuration is valid, and names nothing that the vendor has."""

    exit_code = Exit.CONFIG
    hint = "correct the symbols in the configuration; `fullpool symbols` lists what the vendor has"


class IncompleteError(FullpoolError):
    """Something due is still missing for a reason that is ours or the network's."""

    exit_code = Exit.INCOMPLETE
    hint = "run `fullpool sync` again; `fullpool status` lists what is missing and why"


class UnreachableError(FullpoolError):
    """The vendor's host gives no answer, or no usable one."""

    exit_code = Exit.UNREACHABLE
    hint = "check the network, and archive_url and listing_url in the config; nothing is lost"


# What a portal, or a proxy that blocks a host, answers in its place.
WEB_PAGE: Final = "got a web page instead of data"


class PortalError(UnreachableError):
    """A page for people came in place of data."""

    hint = "log in to this network, or allow that host in its proxy or firewall"


class UntrustedError(FullpoolError):
    """The host's certificate, scheme or redirect is not to be trusted."""

    exit_code = Exit.UNTRUSTED
    hint = (
        "check the clock, the CA certificates (network.ca_file), and which server answers"
        " for that host"
    )


class RedirectedError(UntrustedError):
    """The host sends us elsewhere: for one archive, or, behind a portal, for all."""

    hint = "log in to this network if it requires that; otherwise check archive_url and listing_url"


class LakeUnwritableError(FullpoolError):
    """The lake's folder cannot be made, read or written."""

    exit_code = Exit.LAKE_UNWRITABLE
    hint = "check the folder's owner, its permissions and that its disk is mounted writable"


class DiskFullError(FullpoolError):
    """The disk has no room left for the next step."""

    exit_code = Exit.DISK_FULL
    hint = (
        "free some space or move the lake; finished work is kept, the rest resumes on the next run"
    )


class FilesError(LakeUnwritableError):
    """This process, or the system, may open no more files."""

    hint = "raise the limit of open files: LimitNOFILE of the service, `ulimit -n` in a shell"


class LakeBusyError(FullpoolError):
    """Another process is writing the lake."""

    exit_code = Exit.LAKE_BUSY
    hint = "wait for it to end, or stop it; commands that only read work meanwhile"


class LakeOlderError(FullpoolError):
    """An older version wrote the lake, and nobody has brought it up to date yet."""

    exit_code = Exit.STATE_DAMAGED
    hint = "the next `fullpool sync`, or the daemon as it starts, brings it up to date"


class LakeNewerError(FullpoolError):
    """The lake was written by a newer version of fullpool."""

    exit_code = Exit.LAKE_NEWER
    hint = "upgrade fullpool; nothing was changed"


class NoLakeError(FullpoolError):
    """There is no published lake, or not the generation asked for."""

    exit_code = Exit.NO_LAKE
    hint = "run `fullpool sync`, wait for the daemon, or name the lake's folder with --lake"


class BusyError(FullpoolError):
    """Too many queries run at once on a page."""

    exit_code = Exit.QUERY
    hint = "try again in some seconds"


class QueryError(FullpoolError):
    """The SQL was refused."""

    exit_code = Exit.QUERY
    hint = "`fullpool sql 'SHOW ALL TABLES'` lists what can be queried"


class StateDamagedError(FullpoolError):
    """The daemon's own database cannot be opened or has stopped working."""

    exit_code = Exit.STATE_DAMAGED
    hint = "nothing of the lake was changed; `fullpool rebuild` rebuilds the state from its files"


class MetricsError(FullpoolError):
    """The metrics cannot be written or served."""

    exit_code = Exit.METRICS
    hint = "check [metrics] in the config: the file's folder, and that the port is free"


class WebError(FullpoolError):
    """The page cannot be served where it should be, or what it needs is not installed."""

    exit_code = Exit.WEB
    hint = "choose another --port, or end what uses that one"


class RemoteError(FullpoolError):
    """The remote copy of the lake cannot be read or written."""

    exit_code = Exit.REMOTE
    hint = (
        "check publish.to, AWS_ENDPOINT_URL, AWS_REGION and the network; the lake itself is not"
        " affected, and the next publication sends what is missing"
    )


class ClusterError(FullpoolError):
    """The cluster that is to do the steps cannot be used."""

    exit_code = Exit.CLUSTER
    hint = (
        "check the address, that `dask scheduler` and `dask worker` run, and that they have the"
        " same fullpool; imported data is kept, and the next sync resumes"
    )


class NotRunningError(FullpoolError):
    """No daemon keeps this lake, or it does not answer."""

    exit_code = Exit.NOT_RUNNING
    hint = "start it with `systemctl start fullpool`, or `fullpool run`"


class DamagedError(FullpoolError):
    """Files of the lake are not what was written."""

    exit_code = Exit.DAMAGED
    hint = "`fullpool verify --repair` removes them and re-downloads their archives"


class UnhealthyError(FullpoolError):
    """Something about the lake needs a person."""

    exit_code = Exit.UNHEALTHY
    hint = "each problem above comes with a fix"


class UnexpectedError(FullpoolError):
    """A mistake of ours that stopped one archive or step; the others go on."""

    exit_code = Exit.BUG


class ArchiveError(FullpoolError):
    """One archive could not be fetched; the pass records it and goes on."""

    exit_code = Exit.INCOMPLETE
    hint = "the next pass retries it"


class RestError(FullpoolError):
    """The API gave no usable answer for one gap; it stays open and is asked for again."""

    exit_code = Exit.INCOMPLETE
    hint = "the gap stays open and is retried; `fullpool gaps` shows when"


class RestSilentError(RestError):
    """The API's host gave no answer at all."""


class RestBannedError(RestError):
    """The API asked us to stay away for a while (429, 418); *seconds* is how long."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class RestRefusedError(RestError):
    """The API refuses this machine altogether (403, 451): by place, or by its firewall."""

    hint = "archives continue; set rest.spot_url, um_url or cm_url to a host that serves you"


class NoSymbolError(RestError):
    """The API does not know the symbol (any more)."""


class MalformedError(FullpoolError):
    """One archive failed a check; it goes to quarantine with this reason."""

    exit_code = Exit.INCOMPLETE
    hint = "see the .json next to it in .quarantine"


class NoRowsError(MalformedError):
    """One archive holds a header and no rows, as the vendor published it."""


def refused(error: OSError, doing: str) -> FullpoolError:
    """Return our error for what the system refused while *doing* something with files."""
    message = f"{doing}: {error}"
    if error.errno in NO_ROOM:
        return DiskFullError(message)
    if error.errno in NO_FILES:
        return FilesError(message)
    return LakeUnwritableError(message)


# Errors that would be the same for every archive: the pass ends instead of failing each.
FATAL: Final = (ClusterError, DiskFullError, LakeUnwritableError, UntrustedError)
