"""Prints the results of sync and plan."""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fullpool import vendor
from fullpool.app import signals
from fullpool.app.service import progress
from fullpool.cli import screen
from fullpool.cli.report import remarks
from fullpool.estimate import Estimate
from fullpool.model import Known, Series, Status, Step
from fullpool.sync.outcome import Outcome
from fullpool.sync.preview import Preview

_MB: Final = 1_000_000
_SHOWN_SERIES: Final = 10


def outcome(done: Outcome, *, is_json: bool) -> None:
    """Print what a sync did."""
    if is_json:
        screen.show_json(_done(done))
        return
    remarks(done.remarks)
    _built(done)
    if done.followed_rows:
        rows = progress.counted(done.followed_rows, "row")
        sys.stdout.write(f"followed: {rows} from the API, generation: {done.generation}\n")
    if done.patched_rows:
        sys.stdout.write(
            f"patched: {progress.counted(done.patched_rows, 'row')} from the API,"
            f" in {progress.counted(done.requests, 'request')}\n"
        )
    if done.gaps:
        counts = ", ".join(f"{rows:,} {what}" for what, rows in done.gaps.items())
        sys.stdout.write(f"missing rows: {counts} (`fullpool gaps` shows why)\n")
    if done.missing:
        counts = ", ".join(f"{count:,} {status}" for status, count in done.missing.items())
        sys.stdout.write(f"missing archives: {counts} (`fullpool status` shows why)\n")


def _built(done: Outcome) -> None:
    if done.built:
        size = f"{done.downloaded_bytes / _MB:,.1f} MB"
        sys.stdout.write(
            f"archives: {done.archives:,} ({size}), rows: {done.rows:,},"
            f" partitions written: {done.built:,}, generation: {done.generation}\n"
        )
        return
    if done.followed_rows:
        return  # `outcome` tells that
    is_short = bool(done.remarks) or Status.LISTED in done.missing
    is_all = done.is_complete and not is_short and not signals.is_stopped()
    sys.stdout.write("nothing new\n" if is_all else "nothing was imported\n")


def _done(done: Outcome) -> dict[str, Any]:
    return {
        "archives": done.archives,
        "rows": done.rows,
        "downloaded_bytes": done.downloaded_bytes,
        "partitions": done.built,
        "generation": done.generation,
        "unknown_series": [str(series) for series in done.unknown],
        "remarks": done.remarks,
        "failed": done.failed | done.listing_failures,
        "missing": done.missing,
        "followed_rows": done.followed_rows,
        "patched_rows": done.patched_rows,
        "requests": done.requests,
        "missing_rows": done.gaps,
        "failed_gaps": done.open_gaps,
    }


def plan(found: Preview, *, is_json: bool, is_detailed: bool) -> None:
    """Print steps, grouped by market, kind, interval, length of the archives and reason."""
    groups = _groups(found.steps)
    archives = [known for step in found.steps for known in step.archives] if is_detailed else []
    if is_json:
        keys = {"keys": [vendor.archive_key(record.archive) for record in archives]}
        screen.show_json(_planned(found, groups) | (keys if is_detailed else {}))
        return
    _write_archives(archives)
    if groups:
        screen.show_table("", tuple(groups[0]), [tuple(group.values()) for group in groups])
    _series("new", found.begun)
    _series("no longer configured (their data stays)", found.left)
    remarks(found.remarks)
    _cost(found.estimate, _total(groups, "archives"), _total(groups, "bytes"))


def _write_archives(archives: Sequence[Known]) -> None:
    for known in archives:
        size = known.identity.size_bytes if known.identity else 0
        sys.stdout.write(f"{size:>12,}  {known.reason}  {vendor.archive_key(known.archive)}\n")


def _cost(estimate: Estimate, archives: int, size_bytes: int) -> None:
    sys.stdout.write(
        f"{progress.counted(archives, 'archive')}, {size_bytes / _MB:,.1f} MB to download\n"
    )
    if size_bytes:
        by = "the speed of earlier syncs" if estimate.is_measured else "100 Mbit/s"
        sys.stdout.write(
            f"about {estimate.disk_bytes / _MB:,.0f} MB of disk, and"
            f" {progress.rough(estimate.seconds)} at {by}\n"
        )


def _planned(found: Preview, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "archives": _total(groups, "archives"),
        "bytes": _total(groups, "bytes"),
        "disk_bytes": round(found.estimate.disk_bytes),
        "seconds": round(found.estimate.seconds, 1),
        "groups": groups,
        "new_series": [str(series) for series in found.begun],
        "series_left": [str(series) for series in found.left],
        "unknown_series": [str(series) for series in found.unknown],
        "remarks": found.remarks,
        "failed": dict(found.failed),
    }


def _total(groups: Sequence[Mapping[str, Any]], what: str) -> int:
    return sum(group[what] for group in groups)


def _series(what: str, series: Sequence[Series]) -> None:
    if series:
        names = ", ".join(str(each) for each in series[:_SHOWN_SERIES])
        more = f" and {len(series) - _SHOWN_SERIES:,} more" if len(series) > _SHOWN_SERIES else ""
        sys.stdout.write(f"{len(series):,} series {what}: {names}{more}\n")


_GROUP: Final = (
    "market", "kind", "interval", "archive", "reason", "archives", "bytes", "partitions",
)  # fmt: skip


def _groups(steps: Sequence[Step]) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for step in steps:
        series = step.series
        by_length: dict[str, list[Known]] = defaultdict(list)
        for known in step.archives:
            by_length[known.archive.period.cadence].append(known)
        for length, archives in (by_length or {"none": []}).items():
            names = (series.market, series.kind, series.interval or "", length, step.reason)
            total = found[names]
            total[0] += len(archives)
            total[1] += sum(known.identity.size_bytes for known in archives if known.identity)
            total[2] += len(step.partitions)
    return [dict(zip(_GROUP, (*key, *total), strict=True)) for key, total in sorted(found.items())]
