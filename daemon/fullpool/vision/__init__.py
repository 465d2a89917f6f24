"""Downloads archives and CHECKSUMs, lists the bucket: the one owner of urllib."""

from fullpool.vision.access import Access
from fullpool.vision.archives import (
    NO_SUM,
    Fetched,
    Fetcher,
    FetchResult,
    NoSum,
    NotModified,
    NotThere,
    Unchanged,
    WrongSum,
)
from fullpool.vision.listing import Page, list_folders, list_keys, list_symbols, parse_page
from fullpool.vision.opener import Opener

__all__ = [
    "NO_SUM",
    "Access",
    "FetchResult",
    "Fetched",
    "Fetcher",
    "NoSum",
    "NotModified",
    "NotThere",
    "Opener",
    "Page",
    "Unchanged",
    "WrongSum",
    "list_folders",
    "list_keys",
    "list_symbols",
    "parse_page",
]
