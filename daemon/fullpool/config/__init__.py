"""Text to one frozen configuration, or every error at once."""

from fullpool.config.parsing import lake_path_in, parse, parse_bytes
from fullpool.config.settings import (
    Checks,
    Cluster,
    Config,
    Dataset,
    Discovery,
    Lake,
    Limits,
    Metrics,
    Network,
    Publish,
    Rest,
    Schedule,
)

__all__ = [
    "Checks",
    "Cluster",
    "Config",
    "Dataset",
    "Discovery",
    "Lake",
    "Limits",
    "Metrics",
    "Network",
    "Publish",
    "Rest",
    "Schedule",
    "lake_path_in",
    "parse",
    "parse_bytes",
]
