"""Which rung of the ladder a gap is on: monthly archive, daily archive, API, explained.

Pure decisions on gaps, archives and the API's answers.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.errors import NoSymbolError, RestBannedError, RestError, RestRefusedError
from fullpool.gaps import Explanation, Gap, GapStatus, Grid, Places, part_of, subtract
from fullpool.model import (
    Archive,
    Cadence,
    Known,
    PartitionFile,
    Period,
    Series,
    Span,
    Status,
    period_of,
    periods,
)
from fullpool.planning import Want

# An outage that this many symbols have alike, to the bar, is one: the others are not asked for.
WITNESSES: Final = 3

_FIRST_WAIT: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(days=1)
# How long an explanation is believed before it is looked into again; for ever if it is not here.
_BELIEVED: Final = {
    Explanation.EMPTY_AT_SOURCE: timedelta(days=30),
    Explanation.DELISTED: timedelta(days=30),
    Explanation.NOT_LISTED: timedelta(days=90),
    Explanation.API_REFUSED: timedelta(days=1),
}
# Believed longer each time it is found to be true again.
_GROWING: Final = (Explanation.EMPTY_AT_SOURCE, Explanation.DELISTED, Explanation.NOT_LISTED)
# What is learned of delays is not believed beyond this: after archives were published anew in bulk
# their dates tell nothing.
_LONGEST_DELAY: Final = {Cadence.DAY: timedelta(days=2), Cadence.MONTH: timedelta(days=20)}
_LONGEST_BELIEVED: Final = timedelta(days=360)

Delays = Mapping[tuple[str, str, Cadence], timedelta]


def expected_span(
    want: Want,
    files: Sequence[PartitionFile],
    archives: Sequence[Known],
    grid: Grid | None,
    now: datetime,
) -> Span | None:
    """Return where rows of a series should be by *now*; None if nothing is known of it yet.

    From its first row, or the start asked for, to the last bar that is closed and that an archive
    can have: of the last day that ended, or month. Whether a series is older than its first row is
    the API's to say: what it has nothing before is `not_listed`.
    """
    if not archives and not files:
        return None
    start, end = _head(want, files, archives), expected_until(want, grid, now)
    return Span(start, end) if start < end else None


def expected_until(want: Want, grid: Grid | None, now: datetime) -> datetime:
    """Return the end of what is closed and what an archive can have by *now*."""
    cadence = Cadence.DAY if vendor.has_daily(want.series) else Cadence.MONTH
    end = min(want.span.end, period_of(now.date(), cadence).span.start)
    return min(end, grid.opens(grid.at(now))) if grid else end


def _head(want: Want, files: Sequence[PartitionFile], archives: Sequence[Known]) -> datetime:
    first_row = min((file.first_time for file in files), default=None)
    first = min(archives, key=lambda known: known.archive.period.span, default=None)
    if first is None:
        return max(want.span.start, first_row or want.span.start)
    begun = first.archive.period.span.start
    is_open = want.span.start == vendor.beginning()
    if is_open and first.is_held and first_row is not None:
        return first_row  # its life began inside that archive
    if not is_open:
        return want.span.start
    return max(want.span.start, begun if first_row is None else min(begun, first_row))


def unpublished(
    gaps: Iterable[Gap], grid: Grid | None, delays: Delays, had: datetime | None, now: datetime
) -> list[Gap]:
    """Explain the parts of open gaps whose archives are only on their way.

    Not those of a gap that begins long before: a series that stopped has none under way. Nor what
    archives that are there do not have: *had* is the end of the last one.
    """
    found: list[Gap] = []
    for gap in gaps:
        late = max(_late_until(gap.series, delays, now), had or vendor.beginning())
        is_waiting = gap.status is GapStatus.OPEN or gap.explanation is Explanation.NOT_PUBLISHED
        cadence, _ = _usual(gap.series, delays)
        is_old = vendor.is_overdue(period_of(gap.span.start.date(), cadence), now)
        if grid is None or not is_waiting or is_old or gap.span.end <= late:
            found.append(_reopened(gap))
            continue
        cut = max(grid.places(Span(late, late)).first, gap.places.first)
        before, after = Places(gap.places.first, cut), Places(cut, gap.places.end)
        found += [_reopened(part_of(gap, grid, before))] if before else []
        found += [_on_its_way(part_of(gap, grid, after), delays)] if after else []
    return found


def _late_until(series: Series, delays: Delays, now: datetime) -> datetime:
    """Return the end of the last period whose archive is late if it is not there."""
    cadence, delay = _usual(series, delays)
    return period_of((now - delay).date(), cadence).span.start


def _usual(series: Series, delays: Delays) -> tuple[Cadence, timedelta]:
    cadence = Cadence.DAY if vendor.has_daily(series) else Cadence.MONTH
    learned = delays.get((series.market, series.kind, cadence))
    usual = learned or vendor.usual_delay(series.market, cadence)
    return cadence, min(usual, _LONGEST_DELAY[cadence])


def _reopened(gap: Gap) -> Gap:
    if gap.explanation is not Explanation.NOT_PUBLISHED:
        return gap
    return replace(
        gap, status=GapStatus.OPEN, explanation=None, reason="its archive is late", next_try_at=None
    )


def _on_its_way(gap: Gap, delays: Delays) -> Gap:
    cadence, delay = _usual(gap.series, delays)
    first = next(periods(gap.span, cadence))
    hours = delay / timedelta(hours=1)
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=Explanation.NOT_PUBLISHED,
        reason=f"its archive usually comes within {hours:.0f} h after the {cadence}",
        evidence=_json({"usual_delay_h": round(hours, 1), "from": str(first)}),
        next_try_at=first.span.end + delay,
    )


def fills(gaps: Iterable[Gap], archives: Sequence[Known]) -> list[Known]:
    """Return the daily archives to ask for: of days with holes whose month's archive has them too.

    Or whose month's archive is in quarantine. A day that was asked for once is not asked for again.
    """
    months = {
        known.archive.period
        for known in archives
        if known.archive.period.cadence is Cadence.MONTH
        and known.status in (Status.PRESENT, Status.QUARANTINED)
    }
    asked = {known.archive.period for known in archives}
    days: dict[Archive, None] = {}
    for gap in gaps:
        if not vendor.has_daily(gap.series):
            continue
        for day in periods(gap.span, Cadence.DAY):
            month = Period(day.first.replace(day=1), Cadence.MONTH)
            if month in months and day not in asked:
                days[Archive(gap.series, day)] = None
    reason = "its month's archive has a hole"
    return [Known(archive, Status.EXPECTED, reason) for archive in days]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Gaps sorted by what is to be done: asked for now, or explained by those of other symbols."""

    to_ask: list[Gap]
    shared: list[Gap]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the gaps of an outage of a whole market have in common; ids belong to one symbol."""

    market: str
    kind: str
    interval_or_symbol: str
    places: Places


def shape_of(gap: Gap) -> Shape:
    series = gap.series
    return Shape(series.market, series.kind, series.interval or series.symbol, gap.places)


def choose(gaps: Sequence[Gap], patched: AbstractSet[Shape], now: datetime) -> Chosen:
    """Choose what to ask for now, so that an outage of a whole market is asked for only once.

    Gaps that many symbols have alike are asked for of a few; when those are all empty at the
    source, so are the others. *patched* are shapes that the API had rows for: no outages.
    """
    groups: dict[Shape, list[Gap]] = defaultdict(list)
    for gap in gaps:
        groups[shape_of(gap)].append(gap)
    to_ask: list[Gap] = []
    shared: list[Gap] = []
    for shape, alike in groups.items():
        due = [gap for gap in alike if gap.is_due(now)]
        witnesses = [gap for gap in alike if _is_witness(gap) and not gap.is_due(now)]
        if len(witnesses) >= WITNESSES:
            shared += [_like(gap, witnesses, now) for gap in due]
        elif len(alike) > WITNESSES and shape not in patched and not _is_mixed(alike, now):
            to_ask += sorted(due, key=lambda gap: gap.series)[: WITNESSES - len(witnesses)]
        else:
            to_ask += due
    # The shortest first: a gap of years is not to keep all others waiting.
    return Chosen(sorted(to_ask, key=lambda gap: (len(gap.places), gap.span, gap.series)), shared)


def _is_witness(gap: Gap) -> bool:
    return gap.explanation is Explanation.EMPTY_AT_SOURCE and gap.asked_at is not None


def _is_mixed(alike: Iterable[Gap], now: datetime) -> bool:
    """Whether one of the gaps was asked for lately, to no avail: they are no sure outage."""
    return any(g.status is GapStatus.OPEN and g.attempts and not g.is_due(now) for g in alike)


def _like(gap: Gap, witnesses: Sequence[Gap], now: datetime) -> Gap:
    names = sorted(witness.series.symbol for witness in witnesses)[: 2 * WITNESSES]
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=Explanation.EMPTY_AT_SOURCE,
        reason=f"the same bars are missing at the source of {', '.join(names)}",
        evidence=_json({"witnesses": names, "market": str(gap.series.market)}),
        asked_at=None,
        next_try_at=now + _BELIEVED[Explanation.EMPTY_AT_SOURCE],
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What the API said of a gap, or of the first part of it.

    *asked* holds the places that were asked for, *found* those that came, sorted, neighbours of the
    gap among them. *is_head* and *is_tail*: nothing is held before the gap, or after it. Only then
    *existed_before* or *is_trading* is asked; None if not.
    """

    gap: Gap
    asked: Places
    found: Sequence[int]
    url: str
    requests: int
    at: datetime
    error: RestError | None = None
    is_head: bool = False
    is_tail: bool = False
    existed_before: bool | None = None
    is_trading: bool | None = None


def remaining(heard: Heard, grid: Grid | None) -> list[Gap]:
    """Return what is left of the gap once the rows that came are in the lake, each part judged."""
    gap = heard.gap
    inside = heard.asked.meet(gap.places)
    left = [_judged(heard, part_of(gap, grid, places)) for places in subtract(inside, heard.found)]
    if inside.end < gap.places.end:
        if left and left[-1].explanation is Explanation.DELISTED:
            return [
                *left[:-1],
                part_of(left[-1], grid, replace(left[-1].places, end=gap.places.end)),
            ]
        left.append(part_of(gap, grid, Places(inside.end, gap.places.end)))
    return left


def _judged(heard: Heard, gap: Gap) -> Gap:
    gap = replace(gap, asked_at=heard.at, attempts=gap.attempts + 1)
    if heard.error is not None:
        return _failed(gap, heard.error, heard.at)
    before = any(place < gap.places.first for place in heard.found)
    after = any(place >= gap.places.end for place in heard.found)
    evidence = _json(
        {
            "url": heard.url,
            "from": gap.span.start.isoformat(),
            "to": gap.span.end.isoformat(),
            "asked_at": heard.at.isoformat(),
            "requests": heard.requests,
            "rows_found": len(heard.found),
            "row_before": before,
            "row_after": after,
            "existed_before": heard.existed_before,
            "is_trading": heard.is_trading,
        }
    )
    gap = replace(gap, evidence=evidence)
    if heard.is_head and not before and heard.existed_before is False:
        return _explained(gap, Explanation.NOT_LISTED, "the API has nothing before it", heard.at)
    if heard.is_tail and not after and heard.is_trading is False:
        why = "the API has nothing after it, and does not list the symbol as trading"
        return _explained(gap, Explanation.DELISTED, why, heard.at)
    if (before or (heard.is_head and heard.existed_before)) and after:
        why = "the API has the rows around it, and not these"
        return _explained(gap, Explanation.EMPTY_AT_SOURCE, why, heard.at)
    lacking = "before" if after else "after"
    reason = f"the API has neither these rows nor the one {lacking} them"
    return _open(gap, reason, heard.at + _wait(gap.attempts))


def _failed(gap: Gap, error: RestError, now: datetime) -> Gap:
    match error:
        case RestRefusedError():
            return _explained(gap, Explanation.API_REFUSED, str(error), now)
        case NoSymbolError():
            return _explained(gap, Explanation.DELISTED, str(error), now)
        case RestBannedError():
            return _open(gap, str(error), now + timedelta(seconds=error.seconds))
        case _:
            return _open(gap, str(error), now + _wait(gap.attempts))


def _wait(attempts: int) -> timedelta:
    doubled: int = 2 ** min(attempts - 1, 20)
    return min(_FIRST_WAIT * doubled, _LONGEST_WAIT)


def _open(gap: Gap, reason: str, next_try_at: datetime) -> Gap:
    return replace(
        gap, status=GapStatus.OPEN, explanation=None, reason=reason, next_try_at=next_try_at
    )


def _explained(gap: Gap, explanation: Explanation, reason: str, now: datetime) -> Gap:
    believed = _BELIEVED.get(explanation)
    is_again = gap.explanation is explanation and explanation in _GROWING
    attempts = gap.attempts if is_again else 1
    doubled: int = 2 ** min(attempts - 1, 20)
    again = now + min(believed * doubled, _LONGEST_BELIEVED) if believed else None
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=explanation,
        reason=reason,
        attempts=attempts,
        next_try_at=again,
    )


def unlisted(gap: Gap, url: str, now: datetime) -> Gap:
    """Explain a gap at the head of a series: the API has nothing of half a year before its end."""
    gap = replace(gap, asked_at=now, attempts=gap.attempts + 1)
    explained = _explained(gap, Explanation.NOT_LISTED, "the API has nothing before its end", now)
    evidence = {"url": url, "asked_at": now.isoformat(), "nothing_before": gap.span.end.isoformat()}
    return replace(explained, evidence=_json(evidence))


def blocked(gap: Gap, error: RestError, now: datetime) -> Gap:
    """Return what becomes of a gap whose host is not to be asked now."""
    return _failed(replace(gap, attempts=gap.attempts + 1), error, now)


def too_old(gap: Gap, now: datetime) -> Gap:
    """Explain a gap that the API has forgotten."""
    reason = "the API keeps trades of futures for two days, and no archive has these"
    return replace(
        _explained(gap, Explanation.TOO_OLD_FOR_API, reason, now),
        evidence=_json({"decided_at": now.isoformat()}),
    )


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)
