"""Who is told of each request to a host. Pure."""

from collections.abc import Callable

# Takes the name of a host, and the HTTP status; None if there was no answer.
CountRequest = Callable[[str, int | None], object]


def uncounted(_host: str, _status: int | None) -> None:
    """Count no request."""
