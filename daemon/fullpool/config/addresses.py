"""Addresses in a configuration: of servers, of this machine, of buckets. Pure."""

import re
from typing import Final
from urllib.parse import urlsplit

from fullpool.kinds import is_hive_key

# How the address of a scheduler begins, and how Dask itself writes that.
SCHEDULERS: Final = {"dask": "tcp", "dask+tls": "tls"}
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def is_url(text: str) -> str:
    """Return an address of a server. Raises ValueError if it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be an address like https://data.binance.vision")
    if parts.query or parts.fragment or text.endswith("/"):
        raise ValueError("must not have a query or end with a slash")
    return text


def is_address(text: str) -> str:
    """Return an address to listen at. Raises ValueError if it is none."""
    host, port = host_and_port(text)
    if text and (not host or not 1 <= port <= 65_535):
        raise ValueError("must be an address of this machine like 127.0.0.1:9187, or empty")
    return text


def is_scheduler(text: str) -> str:
    """Return the address of a cluster's scheduler. Raises ValueError if it is none."""
    parts = urlsplit(text)
    host, port = host_and_port(parts.netloc)
    is_plain = "@" not in host and not parts.path and not parts.query
    is_whole = parts.scheme in SCHEDULERS and host and 1 <= port <= 65_535 and is_plain
    if text and not is_whole:
        raise ValueError(
            'must be the address of a Dask scheduler, such as "dask://scheduler:8786", or'
            ' "dask+tls://scheduler:8786", or empty'
        )
    return text


def is_bucket(text: str) -> str:
    """Return a bucket with a prefix. Raises ValueError if it is none."""
    parts = urlsplit(text)
    path = parts.path.removeprefix("/")
    is_plain = re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", path or "_") is not None
    is_name = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc) is not None
    if text and not (parts.scheme == "s3" and is_name and is_plain and text == text.strip()):
        raise ValueError(
            'must be a bucket and a prefix, such as "s3://bucket/lake", in plain letters and'
            " without a slash at the end, or empty"
        )
    if text and any(is_hive_key(name) for name in path.split("/")):
        raise ValueError("may not lie below a folder called like market=spot")
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """Return the parts of `127.0.0.1:9187` or `[::1]:9187`; port 0 if there is none."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0


def name_in_host(header: str) -> str:
    """Return the name in a Host header, without its port."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]
