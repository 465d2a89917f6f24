"""The stand-in against what the real bucket answered."""

import re
import socket
import urllib.error
import urllib.request
import zipfile
from datetime import date
from hashlib import md5, sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from fullpool.simulator import Bucket, Fault, Simulator, fault_from, generate, spec_from
from real_reader import content

KEY = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip"


def served(tmp_path: Path, key: str = KEY, body: bytes = b"PK\x03\x04body") -> Bucket:
    path = tmp_path / key
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    return Bucket(tmp_path)


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_missing_key_answer_matches_real_bucket(tmp_path: Path, real: Path) -> None:
    body = (real / "listing/404_bodies/ETHUSDT-4h-2021-01-01.zip.404.xml").read_text()
    key = "data/spot/daily/klines/ETHUSDT/4h/ETHUSDT-4h-2021-01-01.zip"
    with Simulator(Bucket(tmp_path)) as vendor:
        status, headers, answer = get(f"{vendor.url}/{key}")

    shape = r"<(RequestId|HostId)>[^<]*</\1>"
    assert status == 404
    assert headers["Content-Type"] == "application/xml"
    assert re.sub(shape, "", answer.decode()).strip() == re.sub(shape, "", body).strip()


@pytest.mark.parametrize("page", ["daily-page1.xml", "monthly-1mo-hole.xml", "empty.xml"])
def test_listing_has_elements_of_real_page(tmp_path: Path, real: Path, page: str) -> None:
    body = (real / "listing/s3_list" / page).read_text()
    for key in re.findall(r"<Key>(.*?\.zip)</Key>", body):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"PK")
    found = re.search(r"<Prefix>(.*?)</Prefix>", body)
    assert found is not None

    with Simulator(Bucket(tmp_path)) as vendor:
        _, _, answer = get(f"{vendor.listing_url}?delimiter=/&prefix={found[1]}")

    ours, theirs = (re.findall(r"<(\w+)", text) for text in (answer.decode(), body))
    assert set(ours) == set(theirs) - {"NextMarker"}  # ours is one page
    assert re.findall(r"<Key>(.*?)</Key>", answer.decode()) == re.findall(r"<Key>(.*?)</Key>", body)
    assert "&quot;" in answer.decode() or page == "empty.xml"


def test_headers_match_the_real_bucket(tmp_path: Path, real: Path) -> None:
    text = (real / "listing/http_metadata_spot_BTCUSDT_1s_2017-2025.csv").read_text()
    with Simulator(served(tmp_path)) as vendor:
        _, headers, body = get(f"{vendor.url}/{KEY}")

    assert headers["Server"] == "AmazonS3"
    assert ",AmazonS3,application/zip," in text
    assert headers["Content-Type"] == "application/zip"
    assert headers["ETag"] == f'"{md5(body, usedforsecurity=False).hexdigest()}"'
    assert headers["Last-Modified"].endswith("GMT")


def test_held_edition_gets_304_without_body(tmp_path: Path) -> None:
    with Simulator(served(tmp_path)) as vendor:
        _, headers, _ = get(f"{vendor.url}/{KEY}")

        status, _, body = get(f"{vendor.url}/{KEY}", **{"If-None-Match": headers["ETag"]})

    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("key", "newline"),
    [
        (KEY, b""),
        (KEY.replace("spot", "futures/um"), b"\n"),
        (KEY.replace("spot", "futures/cm"), b"\n"),
    ],
)
def test_checksum_has_the_vendor_s_spelling(tmp_path: Path, key: str, newline: bytes) -> None:
    with Simulator(served(tmp_path, key)) as vendor:
        _, _, zipped = get(f"{vendor.url}/{key}")
        _, _, text = get(f"{vendor.url}/{key}.CHECKSUM")

    assert text == sha256(zipped).hexdigest().encode() + b"  BTCUSDT-1m-2024-01-01.zip" + newline


def test_real_checksums_are_served_unchanged(real: Path) -> None:
    bucket = Bucket(real / "archives")
    for path in (real / "archives").rglob("*.CHECKSUM"):
        entry = bucket.get(path.relative_to(real / "archives").as_posix())
        assert entry is not None
        assert entry.read() == path.read_bytes()


def test_answer_is_sent_in_one_piece(tmp_path: Path) -> None:
    with Simulator(served(tmp_path)) as vendor:
        host, _, port = vendor.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            for _ in range(3):
                client.sendall(f"GET /{KEY} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

                # Sent in two pieces, the second would wait 40 ms for the ACK of the first.
                assert client.recv(65536).endswith(b"PK\x03\x04body")
        assert vendor.connections == 1


def test_fault_strikes_as_often_as_asked(tmp_path: Path) -> None:
    with Simulator(served(tmp_path), faults=[fault_from("*.zip=status:503:2")]) as vendor:
        statuses = [get(f"{vendor.url}/{KEY}")[0] for _ in range(3)]

    assert statuses == [503, 503, 200]


@pytest.mark.parametrize("text", ["x", "x=boom", "x=status:a", "x=status:1:2:3"])
def test_senseless_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        fault_from(text)


def test_tampering_changes_bytes_not_length(tmp_path: Path) -> None:
    with Simulator(served(tmp_path), faults=[Fault("*.zip", "tamper", 5)]) as vendor:
        _, _, body = get(f"{vendor.url}/{KEY}")

    assert len(body) == 8
    assert body != b"PK\x03\x04body"


def test_names_beyond_ascii_are_served(tmp_path: Path) -> None:
    key = KEY.replace("BTC", "币安人生")
    with Simulator(served(tmp_path, key)) as vendor:
        assert get(f"{vendor.url}/{quote(key)}")[0] == 200


@pytest.mark.parametrize(
    ("series", "rows", "digits", "header"),
    [
        ("spot/klines/BTCUSDT/1m", 1440, 16, False),
        ("um/klines/BTCUSDT/1h", 24, 13, True),
        ("cm/markPriceKlines/BTCUSD_PERP/1d", 1, 13, True),
        ("um/aggTrades/BTCUSDT", 300, 13, True),
        ("spot/aggTrades/BTCUSDT", 300, 16, False),
    ],
)
def test_invented_archives_look_like_the_vendors(
    tmp_path: Path, series: str, rows: int, digits: int, *, header: bool
) -> None:
    spec = spec_from(series, date(2025, 3, 31), date(2025, 3, 31), 300)

    daily, monthly = generate(tmp_path, spec)

    with zipfile.ZipFile(daily) as opened:
        lines = opened.read(opened.namelist()[0]).decode().splitlines()
    assert (not lines[0][0].isdigit()) == header
    assert (
        len(max(lines[-1].split(","), key=lambda text: len(text) if text.isdigit() else 0))
        == digits
    )
    assert content(daily).rows == content(monthly).rows == rows


def test_series_is_invented_the_same_twice(tmp_path: Path) -> None:
    spec = spec_from("spot/klines/BTCUSDT/1h", date(2024, 1, 1), date(2024, 1, 2))

    one, two = ([p.read_bytes() for p in generate(tmp_path / n, spec)] for n in ("a", "b"))

    assert one == two
