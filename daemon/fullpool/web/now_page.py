"""The page of what happens now: the daemon, its passes, lag, the API, the disk, problems."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.app.doctor.checks_sql import recorded
from fullpool.app.remarks import behind, remarks_by
from fullpool.errors import FullpoolError, UsageError
from fullpool.metrics import last_written
from fullpool.store.catalogue.reader import reading
from fullpool.web.site import Site

_PASSES_SHOWN: Final = 200
_PARTS: Final = ("", "live", "passes", "problems")
_TIMELINE: Final = timedelta(hours=24)
_DOCTOR_EVERY_S: Final = 60
_GROWTH_DAYS: Final = 30
_EDITS_SHOWN: Final = 10

_PASSES: Final = f"""
    SELECT id, command, started_at, ended_at, outcome, archives, failed, downloaded_bytes,
      row_count, reason FROM sync.passes ORDER BY id DESC LIMIT {_PASSES_SHOWN}"""
_LAG: Final = """
    SELECT concat_ws('/', market, kind, nullif(interval, '')) AS series_group,
      count(*) AS series, count(*) FILTER (is_trading) AS trading,
      max(lag_s) FILTER (is_trading) + date_diff('second', any_value(published_at), $1::TIMESTAMP)
        AS lag_s,
      arg_max(symbol, lag_s) FILTER (is_trading) AS worst,
      sum(open_rows)::BIGINT AS open_rows, sum(row_count)::BIGINT AS row_count
    FROM sync.coverage, sync.published GROUP BY 1 ORDER BY 1"""
_BANS: Final = """
    SELECT host, status, reason, banned_at, banned_until FROM sync.rest_bans
    ORDER BY banned_until DESC LIMIT 20"""
_EDITS: Final = f"""
    SELECT seen_at, path, outcome, problems FROM sync.config_edits
    ORDER BY seen_at DESC LIMIT {_EDITS_SHOWN}"""
# What the data of the last days takes, however late it was fetched.
_GROWTH: Final = f"""
    SELECT coalesce(sum(size_bytes * greatest(0, epoch(last_time - greatest(first_time,
      newest - INTERVAL {_GROWTH_DAYS} DAY))) / greatest(1, epoch(last_time - first_time))), 0)
      / {_GROWTH_DAYS} AS bytes_a_day
    FROM sync.partitions, (SELECT max(last_time) AS newest FROM sync.partitions)"""


def page(site: Site, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows; of one *part* only what that needs."""
    head = site.head()
    part = asked.get("part", "")
    if part not in _PARTS:
        raise UsageError(f"showing the part {part!r}: there is none", hint=f"one of {_PARTS[1:]}")
    data: dict[str, Any] = {**head, "part": part}
    now = head["now"].replace(tzinfo=None)
    session = site.session()
    if part in {"", "live"}:
        daemon = site.daemon()
        data |= {
            "daemon_since": daemon.since if daemon else None,
            "daemon_pid": daemon.pid if daemon else None,
            "daemon_config": daemon.config if daemon else None,
            "weights": last_written(site.tree.root / _metrics_file(site)),
            "disk": _disk(site),
            "bans": session.query(_BANS).as_dicts(),
        }
    if part in {"", "passes"}:
        passes = session.query(_PASSES).as_dicts()
        data |= {"passes": passes, "timeline": timeline(passes, now)}
        data |= {"lag": session.query(_LAG, [now]).as_dicts()}
        data |= {"edits": session.query(_EDITS).as_dicts()}
    if part in {"", "problems"}:
        data["problems"] = _problems(site, head["published_at"], head["now"])
    return data


def _metrics_file(site: Site) -> str:
    file = site.config.metrics.file if site.config else "fullpool.prom"
    return file or "fullpool.prom"


def _disk(site: Site) -> dict[str, Any]:
    """Return what is free, and when the lake will have filled that at the rate of late."""
    session = site.session()
    ((a_day,),) = session.query(_GROWTH).rows
    ((size,),) = session.query("SELECT sum(size_bytes)::BIGINT FROM sync.partitions").rows
    usage = shutil.disk_usage(site.tree.root)
    reserved = int(site.config.lake.min_free_gb * 1e9) if site.config else 0
    left = max(usage.free - reserved, 0)
    return {
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        "reserved_bytes": reserved,
        "lake_bytes": size or 0,
        "bytes_a_day": round(a_day),
        "full_in_days": int(left / a_day) if a_day > 0 else None,
    }


def _problems(site: Site, published: datetime, now: datetime) -> list[dict[str, str]]:
    """Return what needs a person, as far as the newest generation tells; looked at once a minute.

    It opens neither the state nor the files: that would be a burden on the daemon.
    """

    def look() -> list[dict[str, str]]:
        found = [asdict(one) for one in recorded(site.session(), site.tree, now)]
        return [*_refused(site), *found, *_of_configuration(site, now)]

    key = (published, int(now.timestamp()) // _DOCTOR_EVERY_S)
    problems: list[dict[str, str]] = site.kept("problems", key, look)
    return problems


def _refused(site: Site) -> list[dict[str, str]]:
    daemon = site.daemon()
    problems = daemon.config_problems if daemon else ()
    return [
        {"what": f"an edit of the configuration is refused: {problem}", "advice": "correct it"}
        for problem in problems
    ]


def _of_configuration(site: Site, now: datetime) -> list[dict[str, str]]:
    if site.config is None:
        return []
    try:
        with reading(site.tree, settings=site.limits.settings) as reader:
            told = remarks_by(reader, site.config)
            told += behind(reader, site.config, now) if site.daemon() else []
    except FullpoolError as error:
        return [{"what": str(error), "advice": error.hint}]
    return [{"what": line, "advice": "see the configuration"} for line in told]


def timeline(passes: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Return the passes of a day as bars, in shares of its width; one lane for each command."""
    start = now - _TIMELINE
    recent = [p for p in passes if (p["ended_at"] or now) > start]
    lanes = sorted({str(p["command"]) for p in recent})

    def share(at: datetime) -> float:
        return round(max((at - start) / _TIMELINE, 0.0) * 1000, 2)

    drawn = [
        {
            "lane": lanes.index(str(p["command"])),
            "x": share(p["started_at"]),
            "width": max(share(p["ended_at"] or now) - share(p["started_at"]), 2.0),
            **p,
        }
        for p in recent
    ]
    hours = [
        start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=h) for h in range(25)
    ]
    ticks = [(share(at), f"{at:%H:%M}") for at in hours if at >= start and at.hour % 4 == 0]
    return {"lanes": lanes, "passes": drawn, "ticks": ticks}
