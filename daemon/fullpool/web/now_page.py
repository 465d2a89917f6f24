"""The page of what happens now: the daemon, its passes, lag, the API, the disk, problems."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from fullpool.app.doctor.checks_sql import recorded
from fullpool.app.lock import is_held
from fullpool.app.remarks import behind, remarks_by, without_rows
from fullpool.app.service.status_file import is_fine, read
from fullpool.config import Config
from fullpool.errors import FullpoolError, UsageError
from fullpool.metrics import last_written
from fullpool.unknown import and_more
from fullpool.web.site import MOST_SERIES, Site

_TABLE_ROWS: Final = 20
# More than are drawn apart from each other.
_MOST_PASSES: Final = 3000
_PARTS: Final = ("", "live", "passes", "problems")
_TIMELINE: Final = timedelta(hours=24)
_LOOK_EVERY_S: Final = 60
_GROWTH_DAYS: Final = 30
_NAMED: Final = 3
_NARROWEST: Final = 2.0
_METRICS_FILE: Final = "fullpool.prom"
_EDITS_SHOWN: Final = 10

_COLUMNS: Final = """id, command, started_at, ended_at, outcome, archives, failed, downloaded_bytes,
      row_count, reason"""
_PASSES: Final = f"SELECT {_COLUMNS} FROM sync.passes ORDER BY id DESC LIMIT {_TABLE_ROWS}"
_RECENT: Final = f"""
    SELECT {_COLUMNS} FROM sync.passes WHERE started_at > ?::TIMESTAMP
    ORDER BY id DESC LIMIT {_MOST_PASSES}"""
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
      / {_GROWTH_DAYS} AS bytes_a_day, sum(size_bytes)::BIGINT AS size_bytes
    FROM internal.partitions, (SELECT max(last_time) AS newest FROM internal.partitions)"""


def page(site: Site, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows; of one *part* only what that needs."""
    part = asked.get("part", "")
    if part not in _PARTS:
        hint = f"the parts are {', '.join(_PARTS[1:])}"
        raise UsageError(f"showing the part {part!r}: there is none", hint=hint)
    head = site.head()
    data: dict[str, Any] = {**head, "part": part}
    if part in {"", "live"}:
        data |= _live(site, head)
    if part in {"", "passes"}:
        data |= _passes(site, head)
    if part == "":
        data |= {"edits": site.session().query(_EDITS).as_dicts()}
    if part in {"", "problems"}:
        data["problems"] = _problems(site, head["published_at"], head["now"])
    return data


def _live(site: Site, head: Mapping[str, Any]) -> dict[str, Any]:
    daemon, config = site.daemon(), site.config()
    metrics = site.tree.root / ((config.metrics.file if config else "") or _METRICS_FILE)
    return {
        "daemon_since": daemon.since if daemon else None,
        "daemon_pid": daemon.pid if daemon else None,
        "daemon_config": daemon.config if daemon else None,
        "weights": last_written(metrics) if daemon else {},
        "disk": _disk(site, config, head["published_at"]),
        "bans": site.session().query(_BANS).as_dicts(),
    }


def _passes(site: Site, head: Mapping[str, Any]) -> dict[str, Any]:
    now, session = head["now"].replace(tzinfo=None), site.session()
    is_running = is_held(site.tree)
    recent = session.query(_RECENT, [now - _TIMELINE]).as_dicts()
    return {
        "passes": with_outcome(session.query(_PASSES).as_dicts(), is_running=is_running),
        "timeline": timeline(with_outcome(recent, is_running=is_running), now),
        "lag": session.query(_LAG, [now]).as_dicts(),
    }


def with_outcome(passes: list[dict[str, Any]], *, is_running: bool) -> list[dict[str, Any]]:
    """Return passes, the newest first, with what became of those without an end.

    The newest one may still be running; the others were killed.
    """
    told = []
    for number, one in enumerate(passes):
        without_end = "running" if is_running and number == 0 else "interrupted"
        told.append({**one, "outcome": one["outcome"] if one["ended_at"] else without_end})
    return told


def _disk(site: Site, config: Config | None, published: datetime) -> dict[str, Any]:
    """Return what is free, and when the lake will have filled that at the rate of late."""

    def measure() -> tuple[float, int]:
        ((a_day, size),) = site.session().query(_GROWTH).rows
        return a_day, size or 0

    a_day, size = site.kept("growth", published, measure)
    usage = shutil.disk_usage(site.tree.root)
    reserved = int(config.lake.min_free_gb * 1e9) if config else 0
    left = max(usage.free - reserved, 0)
    return {
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        "reserved_bytes": reserved,
        "lake_bytes": size,
        "bytes_a_day": round(a_day),
        "full_in_days": int(left / a_day) if a_day > 0 else None,
    }


def _problems(site: Site, published: datetime, now: datetime) -> list[dict[str, str]]:
    """Return what needs a person, as far as the newest generation tells; looked at once a minute.

    It opens neither the state nor the files: that would be a burden on the daemon.
    """

    def look() -> list[dict[str, str]]:
        found = [asdict(one) for one in recorded(site.session(), site.tree, now)]
        return [*found, *_empty(site), *_of_configuration(site, now)]

    key = (published, int(now.timestamp()) // _LOOK_EVERY_S)
    problems: list[dict[str, str]] = site.kept("problems", key, look)
    return [*_of_daemon(site), *problems]


def _of_daemon(site: Site) -> list[dict[str, str]]:
    """Return what the daemon says that it could not do, and that it is gone if it was killed."""
    daemon = site.daemon()
    if daemon is None:
        if read(site.tree) is None:  # it was stopped, or none ever ran
            return []
        return [{"what": "the daemon ended unexpectedly", "advice": "start it; its log says why"}]
    if is_fine(daemon.status):
        return []
    advice = "its log, and `fullpool status`, have the details"
    return [{"what": f"the daemon reports: {daemon.status}", "advice": advice}]


def _empty(site: Site) -> list[dict[str, str]]:
    """Return what is said of configured series without a row."""
    names = without_rows(site.session().with_rows(MOST_SERIES))
    if not names:
        return []
    what = f"configured, but without rows so far: {and_more(names, names[:_NAMED])}"
    return [{"what": what, "advice": "wait for the first sync, or correct the configuration"}]


def _of_configuration(site: Site, now: datetime) -> list[dict[str, str]]:
    try:
        config = site.load_config()
        if config is None:
            return []
        with site.session().reader() as reader:
            lines = remarks_by(reader, config)
            lines += behind(reader, config, now) if site.daemon() else []
    except FullpoolError as error:
        return [{"what": str(error), "advice": error.hint}]
    return [{"what": line, "advice": "correct the configuration, or wait"} for line in lines]


def timeline(passes: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Return the passes of a day as bars, in thousandths of its width; a lane for each command.

    Of a pass that was killed only its start is known.
    """
    start = now - _TIMELINE
    lanes = sorted({str(one["command"]) for one in passes})

    def share(at: datetime) -> float:
        return round(max((at - start) / _TIMELINE, 0.0) * 1000, 2)

    drawn = []
    for one in passes:
        begins = share(one["started_at"])
        end = one["ended_at"] or (now if one["outcome"] == "running" else one["started_at"])
        place = {"lane": lanes.index(str(one["command"])), "x": begins}
        drawn.append({**one, **place, "width": max(share(end) - begins, _NARROWEST)})
    first_hour = start.replace(minute=0, second=0, microsecond=0)
    hours = [first_hour + timedelta(hours=number) for number in range(1, 25)]
    ticks = [(share(at), f"{at:%H:%M}") for at in hours if at.hour % 4 == 0]
    return {"lanes": lanes, "passes": drawn, "ticks": ticks}
