"""Reading the bucket's listing: real pages, and paged ones of the simulator."""

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fullpool.errors import ArchiveError, UnreachableError
from fullpool.model import Interval, Market, Series, period_from
from fullpool.simulator import Bucket, Fault, Simulator
from fullpool.vision import Access, Opener, list_folders, list_keys, parse_page

BTC = Series(Market.SPOT, "klines", "BTCUSDT", Interval.M1)
FOLDER = "data/spot/daily/klines/BTCUSDT/1m"
PAGE = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</ListBucketResult>'


@pytest.fixture
def opener() -> Iterator[Opener]:
    access = Access(
        ssl.create_default_context(), time.monotonic, threading.Event(), read_timeout_s=5
    )
    opened = Opener(access)
    yield opened
    opened.close()


def test_real_pages_are_read(real: Path) -> None:
    first = parse_page((real / "listing/s3_list/daily-page1.xml").read_bytes(), "x")
    second = parse_page((real / "listing/s3_list/daily-page2.xml").read_bytes(), "x")
    empty = parse_page((real / "listing/s3_list/empty.xml").read_bytes(), "x")

    key, identity = first.objects[0]
    assert key == f"{FOLDER}/BTCUSDT-1m-2017-08-17.zip"
    assert identity.etag == "014a8d177da3bf9839c293f341804d26"
    assert identity.size_bytes == 29761
    assert identity.modified_at == datetime(2023, 7, 18, 4, 11, 20, tzinfo=UTC)
    assert first.next_marker == first.objects[-1][0]
    assert second.next_marker is None
    assert empty == type(empty)((), (), None)


def test_truncated_page_without_marker_is_no_end() -> None:
    with pytest.raises(ArchiveError, match="listing x: it is truncated"):
        parse_page(PAGE % b"<IsTruncated>true</IsTruncated>", "x")


def test_page_without_marker_continues_from_last_key(real: Path) -> None:
    body = (real / "listing/s3_list/daily-page1.xml").read_text()
    start, end = body.index("<NextMarker>"), body.index("</NextMarker>") + len("</NextMarker>")

    page = parse_page((body[:start] + body[end:]).encode(), "x")

    assert page.next_marker == page.objects[-1][0]


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"not xml", b"<Error><Code>NoSuchBucket</Code></Error>",
             b"<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult/>"],
)  # fmt: skip
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(UnreachableError, match="listing x"):
        parse_page(body, "x")


def test_listing_of_many_pages_is_read_whole(tmp_path: Path, opener: Opener) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    days = [
        f"20{y:02}-{m:02}-{d:02}" for y in range(18, 24) for m in range(1, 13) for d in range(1, 29)
    ]
    for day in days:
        (folder / f"BTCUSDT-1m-{day}.zip").write_bytes(b"PK")

    with Simulator(Bucket(tmp_path)) as vendor:
        found = list_keys(opener, vendor.listing_url, BTC, period_from("2018-01-01"))
        part = list_keys(opener, vendor.listing_url, BTC, period_from("2023-12-27"))

    assert [str(period) for period in found] == days
    assert [str(period) for period in part] == ["2023-12-27", "2023-12-28"]
    assert len(vendor.requests) == 6  # 4,032 keys and their CHECKSUMs, 1,000 a page, and one more


def test_a_missing_prefix_is_empty(tmp_path: Path, opener: Opener) -> None:
    with Simulator(Bucket(tmp_path)) as vendor:
        assert list_keys(opener, vendor.listing_url, BTC, period_from("2018-01-01")) == {}


def test_symbols_are_prefix_folders_over_many_pages(tmp_path: Path, opener: Opener) -> None:
    names = sorted([*(f"S{n:04}USDT" for n in range(1200)), "币安人生USDT"], key=str.encode)
    for name in names:
        folder = tmp_path / "data/spot/daily/klines" / name / "1m"
        folder.mkdir(parents=True)
        (folder / "x.zip").write_bytes(b"PK")

    with Simulator(Bucket(tmp_path)) as vendor:
        assert list_folders(opener, vendor.listing_url, "data/spot/daily/klines/") == names


def test_refused_listing_is_unreachable(tmp_path: Path, opener: Opener) -> None:
    with Simulator(Bucket(tmp_path), faults=[Fault("*", "status", 503)]) as vendor:
        with pytest.raises(UnreachableError, match="HTTP 503"):
            list_keys(opener, vendor.listing_url, BTC, period_from("2018-01-01"))


def test_circling_listing_is_given_up(tmp_path: Path, opener: Opener) -> None:
    body = PAGE % b"<IsTruncated>true</IsTruncated><NextMarker>a</NextMarker>"

    class Circling(Bucket):
        def page(self, prefix: str, marker: str, delimiter: str, limit: int = 1000) -> bytes:
            return body

    with (
        Simulator(Circling(tmp_path)) as vendor,
        pytest.raises(ArchiveError, match="starts before"),
    ):
        list_keys(opener, vendor.listing_url, BTC, period_from("2018-01-01"))
