"""Parses a configuration, and checks what depends on several keys."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from fullpool.config.addresses import LOOPBACK
from fullpool.config.problems import line_in, problems_of, where
from fullpool.config.settings import Config, Lake, Metrics, Rest
from fullpool.errors import ConfigError
from fullpool.kinds import KINDS, Kind, offers
from fullpool.model import Interval, Market
from fullpool.patterns import fits, is_plain, parted


def parse_bytes(content: bytes, source: str) -> Config:
    """Return the configuration in a file's *content*. Raises ConfigError as `parse` does."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(source, (f"cannot be read: {error}",)) from error
    return parse(text, source)


def lake_path_in(text: str, default: str) -> str:
    """Return lake.path of a text whose other keys may be wrong, or no TOML; "" if it has none.

    The *default* is meant if the text is TOML and does not say.
    """
    with suppress(tomllib.TOMLDecodeError):
        raw = tomllib.loads(text)
        lake = raw.get("lake", {})
        if not isinstance(lake, dict):
            return ""
        return _path_of(lake, "" if _is_misspelled(raw, lake) else default)
    return _path_of(_section(text.splitlines()), "")


def _is_misspelled(raw: Mapping[str, Any], lake: Mapping[str, Any]) -> bool:
    """Whether the path may be there under another key, so that the default is not meant."""
    known = {field.name for field in fields(Lake)}
    others = [key for key in raw if key != "lake" and get_close_matches(key.lower(), ["lake"])]
    return bool(others) or not set(lake) <= known


def _path_of(lake: Mapping[str, Any], default: str) -> str:
    path = lake.get("path", default)
    return path if isinstance(path, str) else ""


def _section(lines: Sequence[str]) -> dict[str, Any]:
    """Return what can be read of the section [lake], line by line."""
    found: dict[str, Any] = {}
    is_inside = False
    for line in lines:
        if line.lstrip().startswith("["):
            is_inside = line.partition("#")[0].replace(" ", "").strip() == "[lake]"
        elif is_inside:
            with suppress(tomllib.TOMLDecodeError):
                found |= tomllib.loads(line)
    return found


@cache
def _validator() -> TypeAdapter[Config]:
    """Return what checks a configuration; made once, for that takes longer than its work."""
    return TypeAdapter(Config)


def parse(text: str, source: str) -> Config:
    """Return the configuration in *text*. Raises ConfigError naming every mistake in it."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, (f"not TOML: {error}",)) from error
    between = (*_contradictions(raw, text), *_insecure(raw))
    try:
        config = _validator().validate_python(raw)
    except ValidationError as error:
        found = (*sorted(problems_of(error, text), key=line_in), *between)
        raise ConfigError(source, tuple(dict.fromkeys(found))) from error
    found = (*between, *_narrow(config.rest), *_open(config.metrics))
    if found:
        raise ConfigError(source, found)
    return config


def _contradictions(raw: Mapping[str, Any], text: str) -> tuple[str, ...]:
    """Return what is wrong between the keys of each dataset, whatever else is wrong."""
    datasets = raw.get("dataset")
    found: list[str] = []
    for index, table in enumerate(datasets if isinstance(datasets, list) else ()):
        if isinstance(table, dict):
            found += (
                f"{where(('dataset', index, key), text)}: {what}"
                for key, what in _contradictions_in(table)
            )
    return tuple(found)


def _contradictions_in(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key and what is wrong with it."""
    for text in _left_out(table.get("symbols")):
        yield "symbols", text
    start, end = table.get("start"), table.get("end")
    if type(start) is date and type(end) is date and end < start:
        yield "end", f"{end} is before start, {start}"
    kind, intervals = KINDS.get(str(table.get("kind"))), table.get("intervals", [])
    market = str(table.get("market"))
    if kind is not None and isinstance(intervals, list) and market in set(Market):
        yield from _not_of_kind(kind, Market(market), intervals)
        if table.get("follow") is True and not kind.can_follow:
            yield "follow", f"the API cannot be asked for the newest {kind.name}; leave the key out"


def _not_of_kind(kind: Kind, market: Market, intervals: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Yield what the vendor does not have of a kind."""
    if market not in kind.markets:
        markets = ", ".join(sorted(kind.markets))
        yield "kind", f"the vendor has no {kind.name} of {market}; it has them of {markets}"
    elif kind.intervals and not intervals:
        yield "intervals", f"missing; {kind.name} need at least one of {', '.join(kind.intervals)}"
    elif not kind.intervals and intervals:
        yield "intervals", f"{kind.name} have none; leave the key out"
    elif "1s" in intervals and not offers(kind, market, Interval.S1):
        yield "intervals", "1s is published for spot only"


def _left_out(symbols: Any) -> Iterator[str]:
    """Yield what is wrong with patterns of which exclusions leave none."""
    texts = [text for text in symbols if isinstance(text, str)] if isinstance(symbols, list) else []
    ins, outs = parted(texts)
    if outs and all(_is_left_out(text, outs) for text in ins):
        yield f"nothing is left: {', '.join(f'!{out}' for out in outs)} exclude everything"


def _is_left_out(text: str, outs: list[str]) -> bool:
    return any(_covers(out, text) for out in outs)


def _covers(out: str, text: str) -> bool:
    """Whether a pattern takes in all that another one does, where that is easily seen."""
    return out in ("*", text) or (is_plain(text) and fits(text, [out]))


_ADDRESSES: Final = {
    "network": ("archive_url", "listing_url"),
    "rest": ("spot_url", "um_url", "cm_url"),
}


def _insecure(raw: Mapping[str, Any]) -> Iterator[str]:
    """Return the addresses that are not https, whatever else is wrong with them."""
    sections = {name: raw.get(name) for name in _ADDRESSES}
    told = {name: table for name, table in sections.items() if isinstance(table, dict)}
    if told.get("network", {}).get("allow_http") is True:
        return
    for section, table in told.items():
        for key in _ADDRESSES[section]:
            if _is_http_elsewhere(str(table.get(key))):
                yield f"{section}.{key}: must be https, or set network.allow_http = true"


def _is_http_elsewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # it is no address at all, which is told already
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _narrow(rest: Rest) -> Iterator[str]:
    if rest.max_connections < rest.max_keepalive_connections:
        yield (
            f"rest.max_connections: {rest.max_connections} is less than max_keepalive_connections,"
            f" {rest.max_keepalive_connections}"
        )


def _open(metrics: Metrics) -> Iterator[str]:
    if metrics.is_beyond and not metrics.anyone:
        yield (
            f"metrics.listen: {metrics.listen} is open to other machines; set metrics.anyone = true"
            " if that is meant"
        )
