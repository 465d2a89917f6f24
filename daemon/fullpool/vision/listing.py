"""Lists the bucket (S3 ListObjects).

Source: AWS S3 API reference, ListObjects; real pages of the bucket. `NextMarker` is there only if a
delimiter was given; without it the last key is the next marker. A prefix that does not exist is an
empty page, not an error.
"""

import http.client
import urllib.error
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from urllib.parse import urlencode

from fullpool import vendor
from fullpool.errors import ArchiveError, UnreachableError
from fullpool.kinds import KINDS
from fullpool.model import Identity, Market, Period, Series
from fullpool.vision.opener import Opener

MAX_PAGE_BYTES: Final = 8 << 20  # a page of 1000 keys has about 0.4 MB
MAX_PAGES: Final = 1000

_NAMESPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page: objects in order with their identity, common prefixes, where to go on."""

    objects: tuple[tuple[str, Identity], ...]
    prefixes: tuple[str, ...]
    next_marker: str | None


def list_keys(
    opener: Opener, base_url: str, series: Series, first: Period, *, end: date = date.max
) -> dict[Period, Identity]:
    """Return the series' archives from *first* on, of its length, by period.

    Pages that begin at *end* or later are not asked for.

    Raises UnreachableError or UntrustedError; ArchiveError if the answer makes no sense.
    """
    prefix = vendor.series_prefix(series, first.cadence)
    found: dict[Period, Identity] = {}
    for page in _pages(opener, base_url, prefix, vendor.marker_before(series, first)):
        for key, identity in page.objects:
            period = vendor.period_in(series, key)
            if period is not None and period.cadence is first.cadence:
                found[period] = identity
        if found and max(found).first >= end:
            break
    return found


def list_folders(opener: Opener, base_url: str, prefix: str) -> list[str]:
    """Return the folders below *prefix* that can be symbols, or intervals."""
    pages = _pages(opener, base_url, prefix, "")
    names = (vendor.symbol_in(folder) for page in pages for folder in page.prefixes)
    return [name for name in names if name is not None]


def list_symbols(opener: Opener, base_url: str, market: Market, kind: str) -> list[str]:
    """Return the symbols that the vendor has archives of, of any length, delisted ones too."""
    prefixes = (
        vendor.symbols_prefix(market, kind, cadence) for cadence in sorted(KINDS[kind].cadences)
    )
    found = {name for prefix in prefixes for name in list_folders(opener, base_url, prefix)}
    return sorted(found)


def _pages(opener: Opener, base_url: str, prefix: str, marker: str) -> Iterator[Page]:
    for _ in range(MAX_PAGES):
        query = {"delimiter": "/", "prefix": prefix} | ({"marker": marker} if marker else {})
        page = parse_page(_get(opener, f"{base_url}?{urlencode(query)}"), prefix)
        yield page
        if page.next_marker is None:
            return
        if page.next_marker <= marker:
            raise ArchiveError(f"listing {prefix}: the next page starts before this one")
        marker = page.next_marker
    raise ArchiveError(f"listing {prefix}: more than {MAX_PAGES} pages")


def _get(opener: Opener, url: str) -> bytes:
    try:
        with opener.open(url) as response:
            body = response.read(MAX_PAGE_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise UnreachableError(f"listing {url}: HTTP {error.code} {error.reason}") from error
    except ArchiveError as error:  # it closed the connection, or took too long
        raise UnreachableError(f"listing the bucket: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"listing {url}: {error}") from error
    if len(body) > MAX_PAGE_BYTES:
        raise ArchiveError(f"listing {url}: more than {MAX_PAGE_BYTES} bytes in one page")
    return body


def parse_page(body: bytes, prefix: str) -> Page:
    """Return what one page of XML says.

    Raises UnreachableError if it is no listing, ArchiveError if it makes no sense.
    """
    if b"<!DOCTYPE" in body[:1024] or b"<!ENTITY" in body:
        raise UnreachableError(f"listing {prefix}: the answer is not a bucket listing")
    try:
        root = ET.fromstring(body)  # noqa: S314 - no entities, see above; the size is bounded
    except ET.ParseError as error:
        raise UnreachableError(f"listing {prefix}: the answer is not XML: {error}") from error
    if root.tag.removeprefix(_NAMESPACE) != "ListBucketResult":
        raise UnreachableError(f"listing {prefix}: the answer is a <{root.tag}>, not a listing")
    try:
        objects = tuple(_object(item) for item in root.iter(f"{_NAMESPACE}Contents"))
        folders = root.iterfind(f"{_NAMESPACE}CommonPrefixes/{_NAMESPACE}Prefix")
        prefixes = tuple(folder.text or "" for folder in folders)
        return Page(objects, prefixes, _next_marker(root, objects, prefixes))
    except ValueError as error:
        raise ArchiveError(f"listing {prefix}: {error}") from error


def _object(item: ET.Element) -> tuple[str, Identity]:
    modified_at = datetime.fromisoformat(_text(item, "LastModified"))
    size_bytes = int(_text(item, "Size"))
    return _text(item, "Key"), Identity(_text(item, "ETag").strip('"'), size_bytes, modified_at)


def _text(item: ET.Element, name: str) -> str:
    found = item.findtext(_NAMESPACE + name)
    if found is None:
        raise ValueError(f"an entry without {name}")
    return found


def _next_marker(
    root: ET.Element, objects: tuple[tuple[str, Identity], ...], prefixes: tuple[str, ...]
) -> str | None:
    if root.findtext(f"{_NAMESPACE}IsTruncated") != "true":
        return None
    given = root.findtext(f"{_NAMESPACE}NextMarker")
    last = given or max([*(key for key, _ in objects[-1:]), *prefixes[-1:]], default=None)
    if last is None:
        raise ValueError("it is truncated without a marker for the next page")
    return last
