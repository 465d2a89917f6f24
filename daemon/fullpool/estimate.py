"""How much room archives will take in the lake, and how long they may take. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fullpool.kinds import KINDS
from fullpool.model import Step

# Parquet per byte of ZIP, of 1,200 real archives: 0.75 to 1.0 for klines, 0.42 to 0.52 for trades.
_RATIO: Final = {True: 0.9, False: 0.5}
# So many archives a second at most, of one day of 1m each, on two cores; the line is assumed.
_ARCHIVES_PER_S: Final = 400.0
_BYTES_PER_S: Final = 100e6 / 8
# What a lake tells of less than that says nothing yet.
_ENOUGH_BYTES: Final = 5_000_000
_ENOUGH_ARCHIVES: Final = 100
_ALIKE: Final = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of archives, and of the Parquet files made of them."""

    archives: int
    files: int


@dataclass(frozen=True, slots=True)
class Experience:
    """What earlier passes tell: sizes by kind, and how much was had in how many seconds."""

    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    archives: int = 0
    size_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What steps will take; *is_measured*: by the speed of earlier passes, else at 100 Mbit/s."""

    disk_bytes: float
    seconds: float
    is_measured: bool


def estimated(steps: Sequence[Step], experience: Experience) -> Estimate:
    """Return what the archives of *steps* will take."""
    archives = sum(len(step.archives) for step in steps)
    size_bytes = sum(step.size_bytes for step in steps)
    disk_bytes = sum(step.size_bytes * _ratio(step.series.kind, experience) for step in steps)
    if is_measured := _is_alike(archives, size_bytes, experience):
        seconds = size_bytes * experience.seconds / experience.size_bytes
    else:  # small archives wait for requests, large ones for the line
        seconds = max(archives / _ARCHIVES_PER_S, size_bytes / _BYTES_PER_S)
    return Estimate(disk_bytes, seconds, is_measured)


def _is_alike(archives: int, size_bytes: int, experience: Experience) -> bool:
    """Whether earlier archives were many, and about as large: the rate of others is another."""
    if experience.archives < _ENOUGH_ARCHIVES or not (archives and experience.size_bytes):
        return False
    mean, before = size_bytes / archives, experience.size_bytes / experience.archives
    return experience.seconds > 0 and before / _ALIKE <= mean <= before * _ALIKE


def _ratio(kind: str, experience: Experience) -> float:
    known = experience.sizes.get(kind)
    if known and known.archives >= _ENOUGH_BYTES:
        return known.files / known.archives
    return _RATIO[bool(KINDS[kind].intervals)]
