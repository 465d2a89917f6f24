"""What a pass would do now, without doing it."""

from typing import Final

from fullpool.model import Status, Step
from fullpool.store.memory import Memory
from fullpool.sync.discover import discover
from fullpool.sync.due import due_steps
from fullpool.sync.work import Work

_TO_FETCH: Final = (Status.PUBLISHED, Status.EXPECTED)


def preview(work: Work, memory: Memory) -> list[Step]:
    """Return the steps of the next pass; lists at the vendor what is not known, records nothing."""
    found = discover(work, memory)
    news = {known.archive: known for known in found.found}
    due = [known for known in memory.due(work.now()) if known.archive not in news]
    due += [known for known in news.values() if known.status in _TO_FETCH]
    return due_steps(due, memory, found.wants, work.now())
