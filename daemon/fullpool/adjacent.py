"""Files that may have rows of the period next to theirs. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from fullpool.model import PartitionFile, Period, Series


def files_beside(
    held: Mapping[tuple[Series, Period], list[PartitionFile]],
    compared: AbstractSet[tuple[str, str]],
) -> dict[tuple[Series, Period], tuple[PartitionFile, ...]]:
    """Return the files with rows outside their period that may be in a file next to it, with those.

    A trade at midnight may be in the archives of both days.
    """
    astray = [
        (series, unit, file)
        for (series, unit), files in held.items()
        for file in files
        if file.first_time < unit.span.start or file.last_time >= unit.span.end
    ]
    if not astray:
        return {}
    starts = {(series, unit.span.start): files for (series, unit), files in held.items()}
    ends = {(series, unit.span.end): files for (series, unit), files in held.items()}
    found = {}
    for series, unit, file in astray:
        span = unit.span
        before = ends.get((series, span.start), []) if file.first_time < span.start else []
        after = starts.get((series, span.end), []) if file.last_time >= span.end else []
        meeting = tuple(
            other
            for other in (*before, *after)
            if _shares_keys(file, other) and (file.path, other.path) not in compared
        )
        if meeting:
            found[series, unit] = meeting
    return found


def _shares_keys(one: PartitionFile, other: PartitionFile) -> bool:
    return one.first_key <= other.last_key and other.first_key <= one.last_key
