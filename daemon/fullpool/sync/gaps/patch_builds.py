"""Builds rows from the API into partitions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from fullpool import grouping
from fullpool.adjacent import Unit
from fullpool.errors import RestError
from fullpool.gaps import Patch
from fullpool.model import PartitionFile, Series, Span, instant
from fullpool.rest import Client, address
from fullpool.store.state.writer import State
from fullpool.sync.archives.rounds import Round
from fullpool.sync.gaps.asker import Inquiry
from fullpool.sync.outcome import Outcome
from fullpool.sync.work import Work


class PatchBuilds:
    """Writes the rows of inquiries into the lake."""

    def __init__(self, work: Work, state: State, outcome: Outcome, client: Client) -> None:
        self._work = work
        self._state = state
        self._outcome = outcome
        self._client = client

    def build(self, inquiries: Sequence[Inquiry]) -> None:
        """Write the rows that came into the partitions they belong to.

        Where that fails every gap is tried alone, so that one bad row costs its own gap. Where a
        file was damaged that is given up by now, they are tried together once more.
        """
        lost = self._outcome.lost
        failed = self._build_together(inquiries)
        suspects = [inquiry for inquiry in inquiries if failed & self._units(inquiry)]
        if self._outcome.lost > lost:
            failed = self._build_together(suspects)
            suspects = [inquiry for inquiry in suspects if failed & self._units(inquiry)]
        for inquiry in suspects:
            if len(suspects) == 1 or self._build_together([inquiry]):
                inquiry.error = RestError(f"the rows fetched for {inquiry.gap} cannot be imported")
                inquiry.rows, inquiry.places = {}, []

    def _units(self, inquiry: Inquiry) -> set[Unit]:
        series = inquiry.gap.series
        now = self._cut_at(self._state.queries.files.of({series})[series])
        moments = (instant(moment) for moment, _ in inquiry.rows.values())
        return {(series, grouping.unit_at(series, moment, now)) for moment in moments}

    def _build_together(self, inquiries: Sequence[Inquiry]) -> set[Unit]:
        """Build in the rows of some gaps; return the units that could not be written."""
        files = self._state.queries.files.of({one.gap.series for one in inquiries if one.rows})
        lines = self._lines(inquiries, files)
        if not lines:
            return set()
        patches = {key: (self._patch(key[0], rows),) for key, rows in lines.items()}
        steps = [grouping.patch_step(series, unit, files[series]) for series, unit in patches]
        round_ = Round(self._work, self._state, self._outcome)
        round_.run(steps, patches)
        built = [patch for key, (patch,) in patches.items() if key not in round_.unbuilt]
        self._outcome.patched_rows += sum(patch.rows for patch in built)
        for series, unit in patches.keys() - round_.unbuilt.keys():
            self._outcome.failed.pop(f"{series}/{unit}", None)
        return set(round_.unbuilt)

    def _lines(
        self, inquiries: Sequence[Inquiry], files: Mapping[Series, Sequence[PartitionFile]]
    ) -> dict[Unit, dict[int, tuple[int, str]]]:
        """Return the rows that came, by the partition they go into and their key."""
        lines: dict[Unit, dict[int, tuple[int, str]]] = defaultdict(dict)
        for inquiry in inquiries:
            series = inquiry.gap.series
            now = self._cut_at(files[series])
            for key, (moment, line) in inquiry.rows.items():
                unit = grouping.unit_at(series, instant(moment), now)
                lines[series, unit][key] = (moment, line)
        return lines

    def _cut_at(self, files: Sequence[PartitionFile]) -> datetime:
        return grouping.cut_at(files, self._work.now())

    def _patch(self, series: Series, rows: dict[int, tuple[int, str]]) -> Patch:
        ordered = [rows[key] for key in sorted(rows)]
        moments = [moment for moment, _ in ordered]
        span = Span(instant(min(moments)), instant(max(moments) + 1))
        text = "".join(f"{line}\n" for _, line in ordered).encode()
        return Patch(
            series, span, text, len(ordered), self._work.now(), address(self._client, series)
        )
