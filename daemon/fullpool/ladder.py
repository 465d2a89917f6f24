"""What becomes of a gap: by its archives, and by what the API answers. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from fullpool import vendor
from fullpool.errors import NoSymbolError, RestBannedError, RestError, RestRefusedError
from fullpool.evidence import Evidence, Proof, proof_of, unasked
from fullpool.gaps import Explanation, Gap, GapStatus, part_of
from fullpool.grid import Grid, Places, subtract
from fullpool.kinds import is_counted, kind_of
from fullpool.model import (
    Cadence,
    Known,
    PartitionFile,
    Series,
    Span,
    period_of,
    periods,
)
from fullpool.planning import Want

# As many symbols are named as have a gap alike.
_MOST_NAMES: Final = 6

_FIRST_WAIT: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(days=1)
# How long an explanation is believed before it is looked into again.
_BELIEVED: Final = {
    Explanation.EMPTY_AT_SOURCE: timedelta(days=30),
    Explanation.SUSPENDED: timedelta(days=30),
    Explanation.RELISTED: timedelta(days=30),
    Explanation.DELISTED: timedelta(days=30),
    Explanation.UNKNOWN_TO_API: timedelta(days=30),
    Explanation.NOT_LISTED: timedelta(days=90),
    Explanation.TOO_OLD_FOR_API: timedelta(days=90),
    Explanation.NO_ARCHIVE: timedelta(days=90),
    Explanation.API_REFUSED: timedelta(days=1),
}
# Believed longer each time it is found to be true again.
_GROWING: Final = frozenset(_BELIEVED) - {Explanation.API_REFUSED}
# What is learned of delays is not believed beyond this: after archives were republished in bulk
# their dates tell nothing.
_LONGEST_DELAY: Final = {Cadence.DAY: timedelta(days=2), Cadence.MONTH: timedelta(days=20)}
_LONGEST_BELIEVED: Final = timedelta(days=360)

Delays = Mapping[tuple[str, str, Cadence], timedelta]


def expected_spans(
    want: Want,
    files: Sequence[PartitionFile],
    archives: Sequence[Known],
    until: datetime,
) -> list[Span]:
    """Return where rows of a series should be by now; nothing if nothing is known of it yet.

    From its first row, or the start asked for, *until* what `expected_until` returns. Whether a
    series is older than its first row is the API's to say: what it has nothing before is
    `not_listed`.
    """
    if not archives and not files:
        return []
    head = _head(want, files, archives)
    first_row = kind_of(want.series).first_row
    bounds = [(max(p.start + first_row, head), min(p.end, until)) for p in want.parts]
    return [Span(start, end) for start, end in bounds if start < end]


def places_there(grid: Grid | None, archives: Iterable[Known]) -> list[int]:
    """Return the places whose own archive the lake has, where whole archives are expected."""
    if grid is None or not grid.is_by_period:
        return []
    cadence = Cadence.MONTH if grid.step is None else Cadence.DAY
    held = (known.archive.period for known in archives if known.is_held)
    return sorted({grid.at(period.span.start) for period in held if period.cadence is cadence})


def expected_until(
    want: Want, grid: Grid | None, now: datetime, followed_until: datetime | None = None
) -> datetime:
    """Return the end of what is closed and what an archive can have by *now*, or is followed.

    An archive can have the last day that ended, or month. A followed row that is some milliseconds
    late ends where its place does.
    """
    kind = kind_of(want.series)
    cadence = Cadence.DAY if kind.is_current else vendor.shortest(want.series)
    if followed_until is not None and kind.jitter:
        followed_until = followed_until.replace(second=0, microsecond=0)
    end = period_of(now.date(), cadence).span.start
    end = min(want.span.end, max(end, followed_until or end))
    return min(end, grid.opens(grid.at(now))) if grid else end


def _head(want: Want, files: Sequence[PartitionFile], archives: Sequence[Known]) -> datetime:
    start, first_row = want.span.start, _first_row(want, files)
    first = min(archives, key=lambda known: known.archive.period.span, default=None)
    if start != vendor.beginning():
        return start
    if first is None:
        return max(start, first_row or start)
    if first_row is None:
        return max(start, first.archive.period.span.start)
    if first.is_held:
        return first_row  # its life began inside that archive
    return max(start, min(first.archive.period.span.start, first_row))


def _first_row(want: Want, files: Sequence[PartitionFile]) -> datetime | None:
    first_row = min((file.first_time for file in files), default=None)
    if first_row is not None and kind_of(want.series).jitter:
        return first_row.replace(second=0, microsecond=0)  # its place begins before it
    return first_row


def on_their_way(
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
    cadence = vendor.shortest(series)
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
    is_current = kind_of(gap.series).is_current
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=Explanation.NOT_PUBLISHED,
        reason=f"its archive usually arrives within {hours:.0f} h of the end of the {cadence}",
        evidence=_json({"usual_delay_h": round(hours, 1), "from": str(first)}),
        next_try_at=gap.found_at if is_current else first.span.end + delay,
    )


def like(gap: Gap, witnesses: Sequence[Gap], now: datetime) -> Gap:
    """Explain a gap by those of other symbols that are empty at the source alike."""
    names = sorted(witness.series.symbol for witness in witnesses)[:_MOST_NAMES]
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=Explanation.EMPTY_AT_SOURCE,
        reason=f"the same bars are missing at the source for {', '.join(names)}",
        evidence=_json({"witnesses": names, "market": str(gap.series.market)}),
        asked_at=None,
        next_try_at=min([now + _BELIEVED[Explanation.EMPTY_AT_SOURCE], *_coming(gap, now)]),
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API said of a gap, or of parts of it.

    *evidence* is all that is known of it, *found* are the places that came, sorted. *is_head* and
    *is_tail*: nothing is held before the gap, or after it. What no row tells is asked:
    *existed_before* and *existed_after*, at the tail *is_trading*; None if it was not.
    """

    gap: Gap
    evidence: Sequence[Evidence]
    found: Sequence[int]
    url: str
    requests: int
    at: datetime
    error: RestError | None = None
    is_head: bool = False
    is_tail: bool = False
    existed_before: bool | None = None
    existed_after: bool | None = None
    is_trading: bool | None = None


def begun(gap: Gap, evidence: Iterable[Evidence], now: datetime) -> Gap:
    """Return a gap as it is asked for: what was asked for lately and is not judged yet counts."""
    since = gap.asked_since
    is_left = since is not None and (
        gap.next_try_at is None or bool(unasked(gap.places, evidence, since))
    )
    if is_left and since is not None and now - since < _BELIEVED[Explanation.EMPTY_AT_SOURCE]:
        return gap
    return replace(gap, asked_since=now)


def remaining(heard: Reply, grid: Grid | None) -> list[Gap]:
    """Return what is left of the gap once the rows that came are in the lake, each part judged."""
    gap = replace(heard.gap, asked_at=heard.at)
    parts = [part_of(gap, grid, places) for places in subtract(gap.places, heard.found)]
    if isinstance(heard.error, RestRefusedError | NoSymbolError):  # which is an answer
        said = {"url": heard.url, "asked_at": heard.at.isoformat(), "answer": str(heard.error)}
        parts = [replace(part, evidence=_json(said)) for part in parts]
    if heard.error is not None:
        return [_failed(part, heard.error, heard.at, is_tail=heard.is_tail) for part in parts]
    return [_judged(heard, part) for part in parts]


def _judged(heard: Reply, gap: Gap) -> Gap:
    proof = proof_of(gap.places, heard.evidence, gap.asked_since or heard.at)
    if _has_ended(heard, gap, proof):
        why = "the API has nothing after it, and does not list the symbol as trading"
        return explained(_evident(heard, gap, proof), Explanation.DELISTED, why, heard.at)
    if proof is None:
        return replace(gap, next_try_at=heard.at)  # what is left of it is asked for at once
    return _proven(heard, _evident(heard, gap, proof), proof)


def _has_ended(heard: Reply, gap: Gap, proof: Proof | None) -> bool:
    """Whether nothing came after a gap whose symbol does not trade any more."""
    is_end = heard.is_tail and heard.is_trading is False and not heard.existed_after
    has_row_after = proof is not None and proof.row_after
    return is_end and gap.places.end == heard.gap.places.end and not has_row_after


def _proven(heard: Reply, gap: Gap, proof: Proof) -> Gap:
    """Return a gap of which all was asked for: explained if the API has the rows around it."""
    if heard.is_head and not proof.row_before and heard.existed_before is False:
        return explained(gap, Explanation.NOT_LISTED, "the API has nothing before it", heard.at)
    before = proof.row_before or bool(heard.existed_before)
    after = proof.row_after or bool(heard.existed_after)
    if before and after:
        why = "the API has the rows around it, but not these"
        return explained(gap, Explanation.EMPTY_AT_SOURCE, why, heard.at)
    if proof.row_after and is_counted(gap.series):
        why = "the API's trades begin after it: it lacks even the row before it, which the lake has"
        return explained(gap, Explanation.TOO_OLD_FOR_API, why, heard.at)
    lacks = "before" if after else "after"
    reason = f"the API has neither these rows nor the one {lacks} them"
    return _open(gap, reason, heard.at + _wait(gap.attempts))


def _evident(heard: Reply, gap: Gap, proof: Proof | None) -> Gap:
    """Return a gap with what was asked and what came back."""
    evidence = _json(
        {
            "url": heard.url,
            "from": gap.span.start.isoformat(),
            "to": gap.span.end.isoformat(),
            "asked_since": (gap.asked_since or heard.at).isoformat(),
            "asked_at": heard.at.isoformat(),
            "requests": heard.requests,
            "rows_found": len(heard.found),
            "row_before": bool(proof and proof.row_before),
            "row_after": bool(proof and proof.row_after),
            "existed_before": heard.existed_before,
            "existed_after": heard.existed_after,
            "is_trading": heard.is_trading,
        }
    )
    return replace(gap, attempts=gap.attempts + 1, evidence=evidence)


def _failed(gap: Gap, error: RestError, now: datetime, *, is_tail: bool = False) -> Gap:
    gap = replace(gap, attempts=gap.attempts + 1)
    match error:
        case RestRefusedError():
            return explained(gap, Explanation.API_REFUSED, str(error), now)
        case NoSymbolError():
            gone = Explanation.DELISTED if is_tail else Explanation.UNKNOWN_TO_API
            return explained(gap, gone, str(error), now)
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


def explained(gap: Gap, explanation: Explanation, reason: str, now: datetime) -> Gap:
    """Return a gap with an explanation, which is believed for some time, longer each time."""
    believed = _BELIEVED[explanation]
    is_again = gap.explanation is explanation and explanation in _GROWING
    attempts = gap.attempts if is_again else 1
    doubled: int = 2 ** min(attempts - 1, 20)
    again = now + min(believed * doubled, _LONGEST_BELIEVED)
    return replace(
        gap,
        status=GapStatus.EXPLAINED,
        explanation=explanation,
        reason=reason,
        attempts=attempts,
        next_try_at=min([again, *_coming(gap, now)]),
    )


def _coming(gap: Gap, now: datetime) -> Iterator[datetime]:
    """Yield when archives can first be asked for that may have rows that are explained now."""
    is_by_both = vendor.has_daily(gap.series) and vendor.has_monthly(gap.series)
    if gap.explanation is Explanation.NOT_LISTED or not is_by_both:
        return
    for month in periods(gap.span, Cadence.MONTH):
        if (moment := vendor.first_ask(gap.series, month)) > now:
            yield moment


def not_listed(gap: Gap, url: str, now: datetime) -> Gap:
    """Explain a gap at the head of a series: the API has nothing before its end."""
    gap = replace(gap, asked_at=now, attempts=gap.attempts + 1)
    told = explained(gap, Explanation.NOT_LISTED, "the API has nothing before its end", now)
    evidence = {"url": url, "asked_at": now.isoformat(), "nothing_before": gap.span.end.isoformat()}
    return replace(told, evidence=_json(evidence))


def blocked(gap: Gap, error: RestError, now: datetime) -> Gap:
    """Return what becomes of a gap whose host is not to be asked now."""
    return _failed(gap, error, now)


def held_up(gap: Gap, archive: Known, attempts: int, now: datetime) -> Gap:
    """Return a gap whose rows are in an archive that failed: nobody knows that they are not."""
    gap = replace(gap, attempts=attempts)
    reason = (
        f"the archive {archive.archive.period} may have these rows, but failed: {archive.reason}"
    )
    return _open(gap, reason, now + _wait(gap.attempts))


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)
