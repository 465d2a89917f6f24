"""Files that may have rows of the period next to theirs. Pure."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from fullpool.model import PartitionFile, Period, Series

# A series and the period that is written in one go.
Unit = tuple[Series, Period]


def files_beside(
    held: Mapping[Unit, list[PartitionFile]], compared: AbstractSet[tuple[str, str]]
) -> dict[Unit, tuple[PartitionFile, ...]]:
    """Return the files with rows outside their period that may be in a file next to it, with those.

    A trade at midnight may be in the archives of both days.
    """
    astray = list(_astray(held))
    if not astray:
        return {}
    starts = {(series, unit.span.start): files for (series, unit), files in held.items()}
    ends = {(series, unit.span.end): files for (series, unit), files in held.items()}
    found: dict[Unit, tuple[PartitionFile, ...]] = {}
    for (series, unit), file in astray:
        is_early, is_late = _sides(unit, file)
        before = ends.get((series, unit.span.start), []) if is_early else []
        after = starts.get((series, unit.span.end), []) if is_late else []
        meeting = (other for other in (*before, *after) if _shares_keys(file, other))
        if new := tuple(o for o in meeting if (file.path, o.path) not in compared):
            found[series, unit] = new
    return found


def _astray(held: Mapping[Unit, list[PartitionFile]]) -> Iterator[tuple[Unit, PartitionFile]]:
    """Yield the files with rows outside their period."""
    for (series, unit), files in held.items():
        for file in files:
            if any(_sides(unit, file)):
                yield (series, unit), file


def _sides(unit: Period, file: PartitionFile) -> tuple[bool, bool]:
    """Return whether a file has rows from before its period, and from after it."""
    return file.first_time < unit.span.start, file.last_time >= unit.span.end


def _shares_keys(one: PartitionFile, other: PartitionFile) -> bool:
    return one.first_key <= other.last_key and other.first_key <= one.last_key
