"""Configures logging and hands out loggers. The one owner of structlog."""

import logging
import sys
from typing import Any, TextIO

import structlog


def configure(level: str, stream: TextIO | None = None) -> None:
    """Log events of *level* and above: readable on a terminal, one JSON object a line elsewhere."""
    target = stream or sys.stderr
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if target.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
    )


def get_logger() -> Any:
    """Return a logger; events are `noun.happened`, values are fields with their unit."""
    return structlog.get_logger()
