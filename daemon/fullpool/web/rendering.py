"""Turns what a page has into HTML or JSON. Owns jinja2."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from fullpool import __version__
from fullpool.app.service.progress import counted, rough
from fullpool.overview.states import STATES

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
# What ends a script element, or an HTML comment, wherever it stands.
_UNSAFE: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"}


def rendered(template: str, data: Mapping[str, Any], **more: Any) -> str:
    """Return a page; everything from the lake is escaped."""
    return _environment().get_template(template).render(**data, **more)


def as_json(data: Any) -> str:
    """Return JSON: times in ISO 8601 and UTC, decimals as text."""
    separators = (",", ":")
    try:
        return json.dumps(
            data, default=_plain, ensure_ascii=False, separators=separators, allow_nan=False
        )
    except ValueError:  # a number that is none, which JSON does not have
        finite = json.loads(json.dumps(data, default=_plain), parse_constant=lambda _: None)
        return json.dumps(finite, ensure_ascii=False, separators=separators)


def in_page(data: Any) -> Markup:
    """Return JSON that may stand inside of a script element."""
    text = as_json(data)
    for sign, escaped in _UNSAFE.items():
        text = text.replace(sign, escaped)
    return Markup(text)  # noqa: S704 - no sign is left that HTML knows


def series_path(market: str, kind: str, symbol: str, interval: str | None) -> str:
    """Return the address of a series below the root of the site."""
    parts = (market, kind, symbol, interval or "")
    return "/series/" + "/".join(quote(part, safe="") for part in parts if part)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fullpool.web"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters.update(
        {
            "size": size,
            "moment": moment,
            "age": age,
            "number": number,
            "json": in_page,
            "counted": counted,
        }
    )
    environment.globals.update(
        {"series_path": series_path, "states": STATES, "version": __version__}
    )
    return environment


def size(count: float | None) -> str:
    """Return bytes in the unit a person would use: `1.2 GB`."""
    value, power = float(count or 0), 0
    while value >= _STEP and power < len(_UNITS) - 1:
        value, power = value / _STEP, power + 1
    return f"{value:.0f} {_UNITS[power]}" if power == 0 else f"{value:.1f} {_UNITS[power]}"


def number(value: float | None) -> str:
    """Return a number with its thousands apart."""
    return "" if value is None else f"{value:,}"


def moment(at: datetime | None) -> str:
    """Return a time to the second, in UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def age(at: datetime | float | None, now: datetime | None = None) -> str:
    """Return how long ago something was, or how long so many seconds are."""
    if at is None:
        return ""
    if isinstance(at, datetime):
        assert now is not None
        at = (now - at.replace(tzinfo=UTC)).total_seconds()
    days = timedelta(seconds=at).days
    return f"{days:,} days" if days > 1 else rough(max(at, 0))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"no JSON for {type(value)}")
