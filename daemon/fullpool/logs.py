"""Configures logging and hands out loggers. Owns structlog."""

import logging
import os
import sys
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO

import structlog

# journald cuts lines at 48 KiB; a reason can hold what a host answered.
MAX_FIELD_LENGTH: Final = 2000
# syslog(3); journald reads it as <N> before a line.
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(level: str, stream: TextIO | None = None, *, journal: str = "") -> None:
    """Log events of *level* and above: readable on a terminal, one JSON object a line elsewhere.

    *journal* is what systemd put into JOURNAL_STREAM; lines to that stream carry their priority.
    """
    target = stream or sys.stderr
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if target.isatty():
        renderer = structlog.dev.ConsoleRenderer(timestamp_key="at")
    elif _is_journal(target, journal):
        renderer = _with_priority(renderer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            _shortened,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
    )
    # APScheduler's own words: a job of ours only leaves a message, so only its mistakes matter.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def get_logger() -> Any:
    """Return a logger; events are `noun.happened`, values are fields with their unit."""
    return structlog.get_logger()


def bound(**fields: Any) -> AbstractContextManager[Any]:
    """Add *fields* to every event of the block, also of work it hands to other threads."""
    return structlog.contextvars.bound_contextvars(**fields)


def _is_journal(target: TextIO, journal: str) -> bool:
    try:
        status = os.fstat(target.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"


def _with_priority(render: Any) -> Any:
    def rendered(logger: Any, method: str, event: Any) -> str:
        return f"<{_PRIORITIES.get(event['level'], 6)}>{render(logger, method, event)}"

    return rendered


def _shortened(_logger: Any, _method: str, event: Any) -> Any:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD_LENGTH:
            event[key] = value[:MAX_FIELD_LENGTH] + "..."
    return event
