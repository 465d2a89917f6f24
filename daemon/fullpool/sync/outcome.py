"""What a pass has done so far."""

from dataclasses import dataclass, field

from fullpool.adjacent import Unit
from fullpool.model import Series


@dataclass(slots=True)
class Outcome:
    """Counts of a pass, and what is missing by its end.

    *failed* and *listing_failures* hold what is missing for a reason that is ours or the network's;
    *unknown* the series the vendor has no archive of, *remarks* describes them, *has_series* is
    false if it has none of those that are configured; *missing* counts the archives that
    are missing, by status. *patched_rows* came from the API, in *requests*; *open_gaps* holds gaps
    that could not be filled, with the reason. *followed_rows* are newer than any archive, and from
    the API. *lost* counts files found damaged or gone;
    *too_large* holds steps that the disk has no room for.
    *is_audited*: all that is recorded was compared with the vendor's
    listing. *is_dirty*: something was recorded that is not published yet. *hint* says what to do
    about a host that is away. *told* has the reasons that are in the log: that a host is away is
    one event, not one for each of its archives.
    """

    archives: int = 0
    rows: int = 0
    downloaded_bytes: int = 0
    built: int = 0
    generation: int | None = None
    failed: dict[str, str] = field(default_factory=dict)
    listing_failures: dict[str, str] = field(default_factory=dict)
    unknown: tuple[Series, ...] = ()
    remarks: tuple[str, ...] = ()
    has_series: bool = True
    missing: dict[str, int] = field(default_factory=dict)
    patched_rows: int = 0
    followed_rows: int = 0
    requests: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    open_gaps: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    too_large: set[Unit] = field(default_factory=set)
    is_audited: bool = False
    is_dirty: bool = False
    hint: str = ""
    told: set[str] = field(default_factory=set, repr=False)

    @property
    def is_complete(self) -> bool:
        return not self.troubles

    @property
    def troubles(self) -> list[str]:
        """What could not be fetched for a reason that is ours or the network's, and why."""
        of_archives = [
            f"{name}: {why}" for name, why in (self.failed | self.listing_failures).items()
        ]
        return of_archives + [f"gap {gap}: {why}" for gap, why in self.open_gaps.items()]
